//! Commands: what may happen to the fleet. One verb, one file, one `apply`.
//!
//! A command is checked wholly before anything changes; a [`Rejection`] changes nothing and is an
//! answer, not an error. Clock, ids, keys and random bytes are in the command: `apply` has none.
//! Variants are append-only: their order is the log's format.

//!
//! Shelves by noun: `alerts`, `tenant`, `host`, `identity`, `access`, `content`, `artifact`, `campaign`,
//! `cluster`, `dns`, `failover`, `listing`, `statistics`, `submission`; `batch`
//! runs the others. The way in is [`FleetState::apply`](crate::state::FleetState::apply).

mod access;
mod alerts;
mod apply;
mod artifact;
mod batch;
mod campaign;
mod cluster;
mod content;
mod dns;
mod failover;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod format;
#[cfg(test)]
mod fuzz;
mod host;
mod identity;
mod listing;
mod outcome;
mod payload;
#[cfg(test)]
mod property;
pub(crate) mod refuse;
mod statistics;
mod submission;
mod tenant;
mod verb;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::RequestId;
use email_engine_protocol::time::Timestamp;

pub(crate) use alerts::TOGETHER as ALERTS_TOGETHER;
pub use alerts::{
    EndSilence, RaiseAlerts, RecordDeliveries, RemoveChannel, RemoveRoute, SetChannel, SetRoute,
    SilenceAlerts, TestAlerts,
};
pub(crate) use apply::CLOCK_AHEAD_MILLIS;
pub(crate) use artifact::IDLE_MILLIS;
pub use artifact::{
    BeginArtifact, FinishArtifact, NameArtifact, Piece, PutArtifactPiece, RemoveArtifact,
};
pub use campaign::{BeginCampaign, EndCampaign, RecordReadings, Take};
pub(crate) use campaign::{
    KNOWN as CAMPAIGNS_KNOWN, READINGS, is_news_reading, is_uid as is_campaign_uid,
};
pub(crate) use cluster::AGREEMENT_MILLIS;
pub(crate) use dns::PUBLISH_NAMES;
pub use dns::{
    AskDns, BeginPublish, EndPublish, Marks, RecordDns, RemoveDnsZone, SeenDns, SetDnsZone,
};
pub use failover::{
    Asked, FreezeFailover, NoteSearch, OpenBreaker, PromoteIdentity, PullBrake,
    RecordHeldCampaigns, ReleaseBrake, ReleaseBreaker, RestrainIdentities, TakeOut, ThawFailover,
    ToldCampaign,
};
pub(crate) use failover::{TOGETHER as RESTRAINED_TOGETHER, is_to_be_said};
pub use host::SetDatabasePassword;
pub use identity::{
    ExpireQueues, PauseWarmup, RecordExpired, RecordForeignPlans, RecordQuotas, RecordSending,
    ResumeWarmup, RotateKeys, StateChecks, StateNextKey, SteerIdentity, StopWarmup, TickWarmup,
    Ticked, ToldQueue, TurnRotations,
};
pub(crate) use identity::{QUEUES, ROTATIONS, is_on_its_host, life_refused, rotation_facts};
pub(crate) use listing::SUBJECTS as LISTING_SUBJECTS;
pub use listing::{BeginSweep, RecordListings, RunEnd, Sighting};
pub use outcome::{Answer, BodyChange, Effect, Outcome, Rejection, RejectionCode};
pub use payload::*;
pub(crate) use statistics::{BATCHES as STATISTICS_BATCHES, ROWS as STATISTICS_ROWS};
pub(crate) use submission::COVERED;
pub use submission::{SetSubmissionAuthority, SetSubmissionCertificate};
pub use tenant::SetSecret;

/// A command with who, when and why: one entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Who: `key NAME`, `node N`, `host NAME`, `init`.
    pub actor: String,
    /// A repeated one returns the first outcome.
    pub request: RequestId,
    /// Why, in the actor's words.
    pub reason: String,
    /// The proposer's clock. The fleet's clock never goes back, so whoever orders proposals stamps it
    /// in that order, and stamps it anew when it proposes again.
    pub now: Timestamp,
    /// An admin allows a `now` before the fleet's clock or more than 24 h ahead of it.
    pub override_clock: bool,
    /// What.
    pub command: Command,
}

/// What may happen to the fleet. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// First command of a cluster's life.
    Found(Box<Found>),
    /// Adds a customer.
    CreateTenant(CreateTenant),
    /// Changes a customer.
    ChangeTenant(ChangeTenant),
    /// Removes a customer that has nothing left.
    RemoveTenant(RemoveTenant),
    /// Declares a machine.
    AddHost(AddHost),
    /// Changes a machine's declaration.
    ChangeHost(ChangeHost),
    /// Wipes a machine's secrets, then cuts it off.
    RetireHost(RetireHost),
    /// The wipe is confirmed, or its deadline passed: the machine is cut off.
    CutOffHost(CutOffHost),
    /// Adds a sending identity; takes its DKIM key from the prepared ones.
    AddIdentity(AddIdentity),
    /// Changes a sending identity.
    ChangeIdentity(ChangeIdentity),
    /// Removes a sending identity.
    RetireIdentity(RetireIdentity),
    /// Issues a join token.
    IssueToken(IssueToken),
    /// Takes a join token back.
    RevokeToken(RevokeToken),
    /// A machine used its token.
    RedeemToken(Box<RedeemToken>),
    /// A certificate was renewed.
    RenewCertificate(RenewCertificate),
    /// A certificate is no longer good.
    RevokeCertificate(RevokeCertificate),
    /// New targets of hosts, with the bodies that they need.
    SetTargets(SetTargets),
    /// Stores a role bundle.
    PutBundle(PutBundle),
    /// Moves hosts to a release.
    SetRelease(SetRelease),
    /// Stores a revision of the settings.
    PutSettings(PutSettings),
    /// A host's outcome changed.
    RecordOutcome(RecordOutcome),
    /// Adds an API key.
    CreateApiKey(CreateApiKey),
    /// Revokes an API key.
    RevokeApiKey(RevokeApiKey),
    /// Stocks DKIM keys made ahead of need.
    StockKeys(StockKeys),
    /// Records a node's part in Raft or its end points.
    SetNode(SetNode),
    /// Raises the cluster version.
    RaiseVersion(RaiseVersion),
    /// The cluster was restored from a backup: a new epoch begins.
    Recover(Box<Recover>),
    /// All or nothing.
    Batch(Batch),
    /// Hosts may lose much, or data, with their next target.
    AllowRemoval(AllowRemoval),
    /// A second machine showed a used token and was refused.
    RefuseToken(Box<RefuseToken>),
    /// Moves the fleet's clock forward while nothing else does.
    TellTime(TellTime),
    /// A host came back with a certificate from the time that a restore lost.
    ReadmitHost(ReadmitHost),
    /// A node says where it is reached and what its software supports.
    PlaceNode(PlaceNode),
    /// A host's product may be restarted for what only that brings into force.
    AllowRestart(AllowRestart),
    /// A host shall try a refused content once more.
    RetryChange(RetryChange),
    /// Queues of identities that left a host are empty.
    EndDrain(EndDrain),
    /// Queues of an identity that left are given up.
    GiveUpDrain(GiveUpDrain),
    /// Who vouches for the hosts at which the fleet submits, and for which of them.
    SetSubmissionAuthority(Box<SetSubmissionAuthority>),
    /// A host has a certificate for submission, or the next one.
    SetSubmissionCertificate(Box<SetSubmissionCertificate>),
    /// A database of a host has a password.
    SetDatabasePassword(Box<SetDatabasePassword>),
    /// An operator's file is about to come, in pieces.
    BeginArtifact(BeginArtifact),
    /// One piece of it.
    PutArtifactPiece(PutArtifactPiece),
    /// All of it came.
    FinishArtifact(FinishArtifact),
    /// It is needed no more, or its upload was given up.
    RemoveArtifact(RemoveArtifact),
    /// What role files call it.
    NameArtifact(NameArtifact),
    /// A tenant or a host has a secret.
    SetSecret(Box<SetSecret>),
    /// A tenant's MailWizz is about to be asked for a campaign.
    BeginCampaign(BeginCampaign),
    /// What became of it.
    EndCampaign(EndCampaign),
    /// What a day's evidence came to, of some identities.
    TickWarmup(TickWarmup),
    /// An operator slows an identity's warm-up.
    PauseWarmup(PauseWarmup),
    /// An operator lets a warm-up go on.
    ResumeWarmup(Box<ResumeWarmup>),
    /// A line is broken at which no new mail is sent.
    StopWarmup(Box<StopWarmup>),
    /// What accounting files say, with up to where they are counted.
    RecordStatistics(RecordStatistics),
    /// A turn of an identity's life.
    SteerIdentity(SteerIdentity),
    /// What was seen of an identity.
    StateChecks(StateChecks),
    /// When mail left identities last.
    RecordSending(RecordSending),
    /// DKIM keys of identities are to be changed.
    RotateKeys(RotateKeys),
    /// What was seen of the record of a key that comes.
    StateNextKey(StateNextKey),
    /// Rotations go on whose time has come.
    TurnRotations(TurnRotations),
    /// What MailWizz counts of campaigns' mail.
    RecordReadings(RecordReadings),
    /// Which warm-up plans of its own a tenant's MailWizz has on servers of ours.
    RecordForeignPlans(RecordForeignPlans),
    /// What was seen of identities' records in DNS.
    RecordDns(RecordDns),
    /// Somebody wants records looked at anew.
    AskDns(AskDns),
    /// Everybody is looked up on every list.
    BeginSweep(BeginSweep),
    /// What a list said.
    RecordListings(Box<RecordListings>),
    /// What the leader saw that people have to know, or that is over.
    RaiseAlerts(RaiseAlerts),
    /// Somebody tries whether alerts arrive.
    TestAlerts(TestAlerts),
    /// What became of deliveries of alerts.
    RecordDeliveries(RecordDeliveries),
    /// A way by which alerts go to people.
    SetChannel(Box<SetChannel>),
    /// No alerts go there any more.
    RemoveChannel(RemoveChannel),
    /// Which alerts go to which channels.
    SetRoute(SetRoute),
    /// They do not any more.
    RemoveRoute(RemoveRoute),
    /// Alerts are kept quiet for a while.
    SilenceAlerts(SilenceAlerts),
    /// They are told again.
    EndSilence(EndSilence),
    /// Lists have an identity: it goes into quarantine, and another is sought for what it sent.
    TakeOut(TakeOut),
    /// Somebody takes the place of an identity that was taken out.
    PromoteIdentity(Box<PromoteIdentity>),
    /// Nobody does, or not yet.
    NoteSearch(NoteSearch),
    /// A tenant's bulk mail is paused, and nobody is promoted for it.
    OpenBreaker(OpenBreaker),
    /// It may go on.
    ReleaseBreaker(ReleaseBreaker),
    /// Nothing is done because of a list.
    PullBrake(PullBrake),
    /// It is believed again.
    ReleaseBrake(ReleaseBrake),
    /// Nobody is promoted for a tenant by itself.
    FreezeFailover(FreezeFailover),
    /// It is again.
    ThawFailover(ThawFailover),
    /// Identities are slowed by lists, or not any more.
    RestrainIdentities(RestrainIdentities),
    /// Where a zone is changed, by which key, and whether it is.
    SetDnsZone(Box<SetDnsZone>),
    /// A zone is none of the fleet's business any more.
    RemoveDnsZone(RemoveDnsZone),
    /// Records are about to be made in a zone.
    BeginPublish(BeginPublish),
    /// What became of a zone.
    EndPublish(Box<EndPublish>),
    /// Campaigns that stand still in a tenant's MailWizz.
    RecordHeldCampaigns(RecordHeldCampaigns),
    /// Whether a tenant's MailWizz keeps the quotas of its servers.
    RecordQuotas(RecordQuotas),
    /// Mail that waited too long for identities in quarantine is given up.
    ExpireQueues(ExpireQueues),
    /// What of it was deleted, and where its recipients are listed.
    RecordExpired(RecordExpired),
}
