//! What those who run the fleet type and watch.

mod contact;
mod desk;
mod doorkeeping;
mod status;
mod watching;
