//! The HTTP API under `/api/v1`: one file per resource, one table of who may do what.
//!
//! A request passes, in this order: a request id and the shape of errors (`layers`), the rule of its
//! route (`gate`, by the table in `routes`), its key (`auth`), a body of bounded size, then its resource. Reads are
//! linearizable unless they ask otherwise; writes become one [`Proposal`](crate::command::Proposal)
//! whose request id comes from `Idempotency-Key`. Nothing here knows Raft, agents or rendering: those
//! rooms are reached through the two traits in `rooms`, so that handlers are tested on plain state.

mod app;
mod auth;
mod connections;
mod gate;
mod layers;
mod problem;
mod query;
mod request;
mod resource;
mod rooms;
mod routes;
mod serve;
#[cfg(test)]
mod tests;

pub use app::{Api, Clock};
pub use auth::{ApiKeyText, ApiKeyTextError};
pub use resource::statistics::{UNKNOWN as STATISTICS_UNKNOWN, statistics_csv};
pub use resource::status::trouble;
pub use rooms::{Backup, BackupError, Draft, Fleet, MembershipError, Planning, StockError};
pub use routes::router;
pub use serve::{ServeError, TlsError, serve, tls_config};
