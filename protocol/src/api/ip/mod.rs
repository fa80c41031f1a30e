//! A sending identity beyond its declaration: what is asked of its life, and what is answered.

mod life;
mod range;
mod rotation;

pub use life::{
    Cause, Check, ChecksRequest, ExpiredMailView, ExplainedFact, Explanation, IpView, MoveRequest,
    QuarantineRequest, QuarantineView, Statement, Transition, TurnView, Verdict,
};
pub(super) use range::entries;
pub use range::{Addresses, IpEntries, IpEntry, NamePattern, Written};
pub use rotation::{
    DkimView, RotateRequest, RotationCause, RotationStage, RotationView, TenantRotation,
};
