//! Verbs about the cluster itself.

mod found;
mod raise_version;
mod recover;
mod set_node;
