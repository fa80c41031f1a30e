//! What was: changes by people, and mail.

mod audit;
mod statistics;

pub use audit::AuditView;
pub use statistics::{
    GapView, OpensRow, StatisticsBy, StatisticsRow, StatisticsView, Uncounted, UncountedView,
};
