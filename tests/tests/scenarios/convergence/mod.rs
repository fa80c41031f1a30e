//! What is declared reaches the hosts, and stays.

mod allow_list;
mod crashes;
mod drift;
mod headless;
mod leftovers;
mod races;
mod reach;
mod removal;
mod sleeper;
