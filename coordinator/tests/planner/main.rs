//! The planner as its neighbours use it: from a fleet file to texts on hosts.

#![allow(
    clippy::unwrap_used,
    reason = "everything in this crate is a test, its functions too"
)]

mod affected;
mod api;
mod artifacts;
mod basics;
mod certificates;
mod cron;
mod databases;
mod document;
mod firewall;
mod fixture;
mod going_live;
mod golden;
mod health;
mod import;
mod large_fleet;
mod laws;
mod layers;
mod leaving;
mod listing;
mod mailwizz;
mod names;
mod own_lines;
mod packages;
mod release;
mod rotating;
