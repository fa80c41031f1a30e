//! Verbs about campaigns, which a tenant's MailWizz sends: one before it is asked, one when it has answered.
//! A campaign goes by the request that asked for it.

mod begin;
mod end;

pub use begin::BeginCampaign;
pub use end::EndCampaign;

/// Longest name of a campaign and longest reason, in characters.
const TEXT_CHARS: usize = 600;
/// Most campaigns that are remembered; the oldest go first.
const CAMPAIGNS: usize = 10_000;

#[cfg(test)]
mod tests;
