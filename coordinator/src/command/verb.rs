//! What every verb has: a name and an object for the audit, and its `apply`.

use email_engine_protocol::time::Timestamp;

use super::{BodyChange, Command, Effect, Proposal, Rejection};
use crate::state::FleetState;

/// One run of a command: what it may know beside the state, and what it leaves for the shell.
pub(crate) struct Turn<'a> {
    pub(crate) proposal: &'a Proposal,
    /// Changes of stored bodies, in order.
    pub(crate) bodies: Vec<BodyChange>,
    /// Others of the same batch follow: what concerns several hosts is judged when all are done.
    pub(crate) in_batch: bool,
}

impl<'a> Turn<'a> {
    pub(crate) const fn new(proposal: &'a Proposal) -> Self {
        Self {
            proposal,
            bodies: Vec::new(),
            in_batch: false,
        }
    }

    /// The proposer's clock, which the gate let pass.
    pub(crate) const fn now(&self) -> Timestamp {
        self.proposal.now
    }
}

/// What became of the state.
pub(crate) enum Change {
    /// It changed.
    Made(Effect),
    /// It was so already.
    Kept(Effect),
}

impl Change {
    pub(crate) const DONE: Self = Self::Made(Effect::Done);
    pub(crate) const NONE: Self = Self::Kept(Effect::Unchanged);
}

/// A command that changes one thing.
pub(crate) trait Verb {
    /// Its name in the audit, such as `add-identity`.
    fn name(&self) -> &'static str;

    /// What it is about, such as `ip 192.0.2.1`.
    fn object(&self) -> String;

    /// Whether it changes the fleet, and so has a revision, an audit entry and a remembered answer.
    fn is_change_of_fleet(&self) -> bool {
        true
    }

    /// Checks everything, then changes the state: after an `Err` the state is what it was.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection>;
}

impl Command {
    /// The verb of this command; none for a batch, which is a list of verbs.
    pub(crate) fn verb(&self) -> Option<&dyn Verb> {
        Some(match self {
            Self::Found(verb) => &**verb,
            Self::CreateTenant(verb) => verb,
            Self::ChangeTenant(verb) => verb,
            Self::RemoveTenant(verb) => verb,
            Self::AddHost(verb) => verb,
            Self::ChangeHost(verb) => verb,
            Self::RetireHost(verb) => verb,
            Self::CutOffHost(verb) => verb,
            Self::AddIdentity(verb) => verb,
            Self::ChangeIdentity(verb) => verb,
            Self::RetireIdentity(verb) => verb,
            Self::IssueToken(verb) => verb,
            Self::RevokeToken(verb) => verb,
            Self::RedeemToken(verb) => &**verb,
            Self::RenewCertificate(verb) => verb,
            Self::RevokeCertificate(verb) => verb,
            Self::SetTargets(verb) => verb,
            Self::PutBundle(verb) => verb,
            Self::SetRelease(verb) => verb,
            Self::PutSettings(verb) => verb,
            Self::RecordOutcome(verb) => verb,
            Self::CreateApiKey(verb) => verb,
            Self::RevokeApiKey(verb) => verb,
            Self::StockKeys(verb) => verb,
            Self::SetNode(verb) => verb,
            Self::RaiseVersion(verb) => verb,
            Self::Recover(verb) => &**verb,
            Self::AllowRemoval(verb) => verb,
            Self::RefuseToken(verb) => &**verb,
            Self::TellTime(verb) => verb,
            Self::ReadmitHost(verb) => verb,
            Self::PlaceNode(verb) => verb,
            Self::AllowRestart(verb) => verb,
            Self::RetryChange(verb) => verb,
            Self::EndDrain(verb) => verb,
            Self::GiveUpDrain(verb) => verb,
            Self::SetSubmissionAuthority(verb) => &**verb,
            Self::SetSubmissionCertificate(verb) => &**verb,
            Self::SetDatabasePassword(verb) => &**verb,
            Self::BeginArtifact(verb) => verb,
            Self::PutArtifactPiece(verb) => verb,
            Self::FinishArtifact(verb) => verb,
            Self::RemoveArtifact(verb) => verb,
            Self::NameArtifact(verb) => verb,
            Self::SetSecret(verb) => &**verb,
            Self::BeginCampaign(verb) => verb,
            Self::EndCampaign(verb) => verb,
            Self::TickWarmup(verb) => verb,
            Self::PauseWarmup(verb) => verb,
            Self::ResumeWarmup(verb) => &**verb,
            Self::StopWarmup(verb) => &**verb,
            Self::RecordStatistics(verb) => verb,
            Self::SteerIdentity(verb) => verb,
            Self::StateChecks(verb) => verb,
            Self::RecordSending(verb) => verb,
            Self::RotateKeys(verb) => verb,
            Self::StateNextKey(verb) => verb,
            Self::TurnRotations(verb) => verb,
            Self::RecordReadings(verb) => verb,
            Self::RecordForeignPlans(verb) => verb,
            Self::RecordDns(verb) => verb,
            Self::AskDns(verb) => verb,
            Self::BeginSweep(verb) => verb,
            Self::RecordListings(verb) => &**verb,
            Self::RaiseAlerts(verb) => verb,
            Self::TestAlerts(verb) => verb,
            Self::RecordDeliveries(verb) => verb,
            Self::SetChannel(verb) => &**verb,
            Self::RemoveChannel(verb) => verb,
            Self::SetRoute(verb) => verb,
            Self::RemoveRoute(verb) => verb,
            Self::SilenceAlerts(verb) => verb,
            Self::EndSilence(verb) => verb,
            Self::Batch(_) => return None,
            further => return further.further_verb(),
        })
    }

    /// The same of the others: one list of all would be longer than a function may be.
    fn further_verb(&self) -> Option<&dyn Verb> {
        Some(match self {
            Self::TakeOut(verb) => verb,
            Self::PromoteIdentity(verb) => &**verb,
            Self::NoteSearch(verb) => verb,
            Self::OpenBreaker(verb) => verb,
            Self::ReleaseBreaker(verb) => verb,
            Self::PullBrake(verb) => verb,
            Self::ReleaseBrake(verb) => verb,
            Self::FreezeFailover(verb) => verb,
            Self::ThawFailover(verb) => verb,
            Self::RestrainIdentities(verb) => verb,
            Self::SetDnsZone(verb) => &**verb,
            Self::RemoveDnsZone(verb) => verb,
            Self::BeginPublish(verb) => verb,
            Self::EndPublish(verb) => &**verb,
            Self::RecordHeldCampaigns(verb) => verb,
            Self::RecordQuotas(verb) => verb,
            Self::ExpireQueues(verb) => verb,
            Self::RecordExpired(verb) => verb,
            _ => return None,
        })
    }
}
