//! What is declared reaches the hosts, and stays.

mod drift;
mod headless;
mod leftovers;
mod lost_ledger;
mod races;
mod reach;
mod removal;
mod sleeper;
