//! What those who run the fleet type and watch.

mod desk;
mod doorkeeping;
mod status;
mod watching;
