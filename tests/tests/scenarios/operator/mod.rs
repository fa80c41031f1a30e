//! What those who run the fleet type and watch.
//!
//! Every command of `email-engine` is walked here once, as a process against a real cluster: `apply`
//! and `plan` in [`fleet_file`], what only looks (`hosts`, `ips`, `tenants`, `config render` and so on)
//! and the forms of answers in [`nouns`], `token`, `keys`, `cluster` and `hosts retire` in
//! [`doorkeeping`], `status` in [`status`], and in [`contact`] what it says of nodes that are down.
//! [`deploy`] is all of it by one command. [`base`] takes an earlier configuration over, and [`last_ones`] is about identities that nobody
//! stands in for, [`lives`] about what becomes of them,
//! [`turns`] about what is done with those that send, [`roles`] about what hosts are made from. [`calls`] is what all commands share: context and exit codes. [`watching`] is what machines read.
//! (What needs no cluster is shown beside the program.)

mod base;
mod calls;
mod contact;
mod deploy;
mod doorkeeping;
mod fleet_file;
mod last_ones;
mod lives;
mod nouns;
mod roles;
mod status;
mod turns;
mod watching;
