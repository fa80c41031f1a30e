//! Lists of bad senders: which there are, how they are asked, and what their answers mean.
//!
//! A false alarm here takes a healthy address out of service, and a listing that is not seen lets it send
//! into a wall. So three rules hold everywhere below.
//! - **What is not understood is unknown**: neither listed nor clean. A code that no table has, a refusal,
//!   an answer outside 127/8, silence, an answer without data: none of them changes anything.
//! - **A list is believed only while it answers its own test points right**, before and after everything
//!   else it was asked, and by each resolver.
//! - **A key of a list is a secret**, also where it stands inside a name that is asked for.
//!
//! Reading order: [`registry`] is the lists as data (`zones.toml`); [`query`] renders the names that are
//! asked for; [`verdict`] judges answers, [`health`] a list by its test points. Those are pure. [`sweep`]
//! asks: its `engine` is pure as well (packets and time in, packets out), around it is the IO. [`desk`] is what a node has for it.

pub mod desk;
pub mod health;
pub mod query;
pub mod registry;
pub mod sweep;
pub mod verdict;
