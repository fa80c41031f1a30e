//! Handlers on plain state: no Raft, no network.

mod access;
mod alerts;
mod artifacts;
mod bounds;
mod campaigns;
mod cautions;
mod documents;
mod fleet;
mod fuzz;
mod lives;
mod memory;
mod previews;
mod rotation;
mod routes;
mod tenancy;
mod testbed;
mod warmup;
mod writes;
