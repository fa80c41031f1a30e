//! Real hosts with systemd: what a sandbox can only simulate is done.

mod agent;
mod api;
mod application;
mod bare_host;
mod basics;
mod bootstrap;
mod confined;
mod deploy;
mod firewall;
mod headless;
mod mailwizz;
mod packages;
mod rollback;
mod six;
mod sources;
mod sql;
