//! One file per resource: what its requests mean, in terms of state and commands.

pub(super) mod alerts;
pub(super) mod apply;
pub(super) mod audit;
pub(super) mod campaigns;
pub(super) mod cluster;
pub(super) mod dns;
pub(super) mod dnsbl;
pub(super) mod failover;
pub(super) mod hosts;
pub(super) mod ips;
pub(super) mod keys;
mod page;
pub(super) mod releases;
pub(super) mod statistics;
pub(super) mod status;
pub(super) mod targets;
pub(super) mod tenant_secrets;
pub(super) mod tenants;
pub(super) mod tokens;
pub(super) mod warmup;
