//! Verbs about sending identities and their keys.

mod add;
mod change;
mod check;
mod end_drain;
mod give_up_drain;
mod life;
mod retire;
mod roster;
mod rotation;
mod stock_keys;
mod warmup;

pub(in crate::command) use check::has_mailbox;
pub(crate) use life::QUEUES;
pub(crate) use life::refused as life_refused;
pub(in crate::command) use life::walk;
pub use life::{ExpireQueues, RecordExpired, RecordSending, StateChecks, SteerIdentity, ToldQueue};
pub(in crate::command) use roster::replace;
pub(crate) use roster::{forget_leaving, is_on_its_host};
pub(crate) use rotation::{PER_COMMAND as ROTATIONS, facts as rotation_facts};
pub use rotation::{RotateKeys, StateNextKey, TurnRotations};
pub use warmup::{
    PauseWarmup, RecordForeignPlans, RecordQuotas, ResumeWarmup, StopWarmup, TickWarmup, Ticked,
};
