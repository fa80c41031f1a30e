//! What is counted of mail: how far its files were read, and the series that counts go to.

mod accounting;
mod series;

pub use accounting::{Accounting, CountedFile, HostAccounting, Owner};
pub use series::{DAYS_KEPT, HOURS_KEPT_DAYS, SeriesChange, SeriesKey, Span, Subject};
