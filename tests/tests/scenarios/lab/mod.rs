//! Real hosts with systemd: what a sandbox can only simulate is done.

mod agent;
mod application;
mod bare_host;
mod basics;
mod bootstrap;
mod confined;
mod databases;
mod firewall;
mod mailwizz;
mod packages;
mod rollback;
mod rows;
