//! Observed state: what an agent saw, measured and did.
//!
//! Unreadable is never empty and unknown is never false: every observation is [`Observed::Known`] or
//! [`Observed::Unknown`].

mod bounce;
mod claim;
mod counts;
mod drain;
mod facts;
mod notice;
mod reply;
mod report;
mod statistics;
mod status;
mod told;

pub use bounce::{BounceCategory, Categories};
pub use claim::{CLAIM_CHARS, Claim, NoClaim};
pub use counts::{Counts, DayCounts};
pub use drain::DrainStatus;
pub use facts::{Disk, Facts, Mode};
pub use notice::{MailNotice, MailNotices};
pub use reply::ListReplies;
pub use report::{Attempt, Convergence, GenerationStates, HostReport, Stage, StatusCounts};
pub use statistics::{
    AccountingCursors, AccountingFileId, FileCursor, Gap, IdentityTotals, Mark, OWNED_FOR,
    StatisticsBatch, Stretch, TAIL_BYTES,
};
pub use status::{Observed, ResourceState, ResourceStatus};
pub use told::Told;
