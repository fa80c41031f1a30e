//! The executor, driven through its channels as the network half does.

mod acceptance;
mod accounting;
mod allowed;
mod drift;
mod first_trust;
mod floor;
mod halts;
mod health;
mod life;
mod removal;
mod rig;
mod sandbox;
mod secrets;
mod sources;
mod stopping;
