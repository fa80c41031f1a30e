//! Verbs about the cluster itself.

mod found;
mod place_node;
mod raise_version;
mod recover;
mod set_node;
mod tell_time;

pub(crate) use tell_time::AGREEMENT_MILLIS;
