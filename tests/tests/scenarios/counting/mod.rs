//! What was sent is counted: all of it, and nothing twice.

mod files;
mod kills;
mod sent;
mod webhook;
