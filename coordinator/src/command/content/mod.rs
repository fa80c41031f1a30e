//! Verbs about what hosts are given: targets, and the releases that these are rendered from.

mod put_bundle;
mod put_settings;
mod release;
mod set_release;
mod set_targets;
mod target;

pub(super) use target::drop_target;
