//! Verbs about campaigns, which a tenant's MailWizz sends: one before it is asked, one when it has answered,
//! and what it counts of the mail later. A campaign goes by the request that asked for it.

mod begin;
mod end;
mod record;

pub use begin::{BeginCampaign, Take};
pub use end::EndCampaign;
pub use record::RecordReadings;
pub(crate) use record::{CAMPAIGNS as READINGS, is_news as is_news_reading};

/// Longest name of a campaign and longest reason, in characters.
const TEXT_CHARS: usize = 600;
/// Most campaigns of the same name that are told from a new one.
pub(crate) const KNOWN: usize = 100;
/// What a campaign goes by in MailWizz.
const UID: &str = "1 to 50 letters and digits";
/// Most campaigns that are remembered; the oldest go first.
const CAMPAIGNS: usize = 10_000;

pub(crate) fn is_uid(text: &str) -> bool {
    (1..=50).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
