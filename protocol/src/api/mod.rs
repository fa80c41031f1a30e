//! Bodies of the HTTP API `/api/v1`, shared by coordinator, command line and tests.
//!
//! What an operator *declares* are the `*Spec` types, such as [`IpSpec`]; they are also what the replicated
//! state keeps. What is *answered* are views of it. Errors are [`Problem`]s (RFC 9457).

mod access;
mod alerts;
mod application;
mod artifact;
mod cluster;
mod dns;
mod failover;
mod fleet;
mod history;
mod ip;
mod leaving;
mod listing;
mod preview;
mod problem;
mod release;
mod secret;
mod view;
mod warmup;

pub use access::{
    AccessRole, ApiKeyCreated, ApiKeyRequest, ApiKeyView, TokenCreated, TokenRequest, TokenUseView,
    TokenView,
};
pub use alerts::{
    AlertKind, AlertKindError, AlertView, ChannelRequest, ChannelSecret, ChannelSpec, ChannelView,
    DeliveryState, DeliveryView, Occasion, RouteSpec, RouteView, Severity, SeverityError,
    SilenceRequest, SilenceView, SmtpSpec, SmtpTls, TelegramSpec, TestRequest, TestView,
    WebhookSpec,
};
pub use application::{CampaignRequest, CampaignState, CampaignStatus, CampaignView};
pub use artifact::{ArtifactNameRequest, ArtifactRequest, ArtifactView};
pub use cluster::{ClusterView, Consistency, Contact, MemberRole, NodeView, VersionRequest};
pub use dns::{
    ComplianceState, ComplianceView, DnsCheckView, DnsFinding, DnsPart, DnsRecordsView, DnsVerdict,
    DomainCheck, ExportFile, ExportFormat, ExportView, LeftOut, Pointer, PointerBlock,
    ReceiverCompliance, RuleCompliance, ZoneApplied, ZoneApplyRequest, ZoneMode, ZonePlanView,
    ZoneRecords, ZoneRequest, ZoneView,
};
pub use failover::{
    BrakeView, BreakerView, CandidateView, FailoverBound, FailoverPlan, FailoverSettings,
    FailoverView, FrozenView, HeldCampaignView, ListedBy, ListingEventView, SearchView, Why,
};
pub use fleet::{
    FleetDocument, HostSpec, IpDocument, IpSpec, IpStatus, Phase, Purpose, Rotation, Settings,
    TenantSpec,
};
pub use history::{
    AuditView, GapView, OpensRow, StatisticsBy, StatisticsRow, StatisticsView, Uncounted,
    UncountedView,
};
pub use ip::{
    Addresses, Cause, Check, ChecksRequest, DkimView, ExpiredMailView, ExplainedFact, Explanation,
    IpEntries, IpEntry, IpView, MoveRequest, NamePattern, QuarantineRequest, QuarantineView,
    RotateRequest, RotationCause, RotationStage, RotationView, Statement, TenantRotation,
    Transition, TurnView, Verdict, Written,
};
pub use leaving::{GivenUpView, LeavingView};
pub use listing::{
    ListCode, ListKeyRequest, ListReplyView, ListTestRequest, ListTestView, ListView, ListingClass,
    ListingView, SweepView, SweptView,
};
pub use preview::{HostChange, ResourceChange, RestartRequest, RestartView, TextDiff};
pub use problem::{KEYS_UNDER_WAY, Problem, REMOVALS_MOVED};
pub use release::{
    BundleCreated, BundleRequest, BundleView, ReleaseRequest, ReleaseView, ReleasesView,
};
pub use secret::{TenantSecret, TenantSecretError, TenantSecretRequest, TenantSecretView};
pub use view::{
    ApplyAnswer, Change, ChangeAction, DomainRecord, DomainView, FleetState, HostView, MailDay,
    MailView, PlannedPhase, RenderedConfig, RenderedFile, StatusView, TurnedAway, pruned, removals,
};
pub use warmup::{
    CoverView, PAUSE_DAYS, PartView, PauseRequest, Rate, ResumeRequest, SelectRequest,
    SelectionView, SimulatedDay, Simulation, SimulationTarget, TenantWarmup, WarmupBound,
    WarmupPlan, WarmupRates, WarmupReason, WarmupSettings, WarmupStep, WarmupStop, WarmupVerdict,
    WarmupView,
};
