//! Who may do what, and where secrets are.

mod api_keys;
mod bad_tokens;
mod certificates;
mod clones;
mod doors;
mod join_tokens;
mod lying_agent;
mod retirement;
mod revocation;
mod secrets;
mod tenants;
