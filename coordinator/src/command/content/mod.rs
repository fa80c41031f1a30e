//! Verbs about what hosts are given: targets, and the releases that these are rendered from.

mod put_bundle;
mod put_settings;
mod release;
mod set_release;
mod set_targets;
mod target;

pub(super) use put_settings::is_room as is_room_for_settings;
pub(super) use release::release_settings;
pub(super) use target::{drop_target, hold, let_go, store};
