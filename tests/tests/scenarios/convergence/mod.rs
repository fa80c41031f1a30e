//! What is declared reaches the hosts, and stays.

mod allow_list;
mod crashes;
mod drift;
mod going_live;
mod headless;
mod leftovers;
mod races;
mod reach;
mod removal;
mod sleeper;
mod umask;
