//! Handlers on plain state: no Raft, no network, no planner.

mod access;
mod bounds;
mod fleet;
mod fuzz;
mod tenancy;
mod testbed;
mod writes;
