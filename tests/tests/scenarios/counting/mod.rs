//! What was sent is counted: all of it, and nothing twice.

mod files;
mod kills;
mod midnight;
mod sent;
mod webhook;
