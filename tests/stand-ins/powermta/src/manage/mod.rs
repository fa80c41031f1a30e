//! The commands of `pmta`, answered over a socket of the daemon, and the web monitor.

mod act;
mod answer;
pub mod client;
mod command;
mod control;
mod delete;
mod http;
mod queues;
mod settings;
mod status;

pub use answer::Format;
pub(crate) use control::serve;
pub(crate) use http::serve as serve_http;
