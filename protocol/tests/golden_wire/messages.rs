//! Every message has its line: a new one does not compile until it is named here, and fails until its
//! bytes are written down.

use email_engine_protocol::desired::{CertificateSource, DatabaseAuth, FileContent, Spec};
use email_engine_protocol::enroll::{EnrollRefusal, EnrollReply, EnrollRequest};
use email_engine_protocol::wire::RefusalCode;
use email_engine_protocol::wire::v1::{AgentMessage, BodyReply, CoordinatorMessage};

use super::Golden;

/// The names of an enum's variants, by a `match` without a wildcard.
macro_rules! names {
    ($kind:ty, [$($pattern:pat => $name:literal),* $(,)?]) => {{
        let _: fn(&$kind) -> &'static str = |value| match value { $($pattern => $name),* };
        [$($name),*]
    }};
}

pub(crate) fn check(golden: &Golden) {
    let messages = [
        &names!(AgentMessage, [
            AgentMessage::Hello(_) => "agent/hello",
            AgentMessage::Report(_) => "agent/report",
            AgentMessage::SecretsWanted { .. } => "agent/secrets-wanted",
            AgentMessage::Renew { .. } => "agent/renew",
            AgentMessage::Statistics(_) => "agent/statistics",
            AgentMessage::Pong { .. } => "agent/pong",
            AgentMessage::Holding { .. } => "agent/holding",
        ])[..],
        &names!(CoordinatorMessage, [
            CoordinatorMessage::Welcome(_) => "coordinator/welcome",
            CoordinatorMessage::Refused(_) => "coordinator/refused/Version",
            CoordinatorMessage::Offer(_) => "coordinator/offer",
            CoordinatorMessage::Secrets(_) => "coordinator/secrets",
            CoordinatorMessage::Coordinators(_) => "coordinator/coordinators",
            CoordinatorMessage::Renewed(_) => "coordinator/renewed",
            CoordinatorMessage::StatisticsStored { .. } => "coordinator/statistics-stored",
            CoordinatorMessage::Ping { .. } => "coordinator/ping",
            CoordinatorMessage::RenewRefused { .. } => "coordinator/renew-refused",
            CoordinatorMessage::StatisticsCursors(_) => "coordinator/statistics-cursors",
            CoordinatorMessage::StatisticsRefused { .. } => "coordinator/statistics-refused",
        ]),
        &names!(BodyReply, [
            BodyReply::Found { .. } => "coordinator/body-found",
            BodyReply::Missing => "coordinator/body-missing",
        ]),
        &names!(EnrollRequest, [
            EnrollRequest::Host(_) => "enroll/host",
            EnrollRequest::Node(_) => "enroll/node",
            EnrollRequest::Renew(_) => "enroll/renew",
        ]),
        &names!(EnrollReply, [
            EnrollReply::Host(_) => "enroll/host-admitted",
            EnrollReply::Node(_) => "enroll/node-admitted",
            EnrollReply::Refused { .. } => "enroll/refused/Malformed",
        ]),
    ];
    let refusals = names!(RefusalCode, [
        RefusalCode::Version => "Version",
        RefusalCode::Identity => "Identity",
        RefusalCode::Revoked => "Revoked",
        RefusalCode::WrongMode => "WrongMode",
        RefusalCode::NoLeader => "NoLeader",
        RefusalCode::Superseded => "Superseded",
        RefusalCode::Busy => "Busy",
        RefusalCode::Protocol => "Protocol",
        RefusalCode::Holding => "Holding",
    ]);
    let turned_away = names!(EnrollRefusal, [
        EnrollRefusal::Malformed => "Malformed",
        EnrollRefusal::TokenUnknown => "TokenUnknown",
        EnrollRefusal::TokenExpired => "TokenExpired",
        EnrollRefusal::TokenUsed => "TokenUsed",
        EnrollRefusal::Revoked => "Revoked",
        EnrollRefusal::WrongMode => "WrongMode",
        EnrollRefusal::Unavailable => "Unavailable",
    ]);
    let messages = [messages.concat(), states()]
        .concat()
        .into_iter()
        .map(str::to_owned);
    let refusals = refusals.map(|code| format!("coordinator/refused/{code}"));
    let turned_away = turned_away.map(|code| format!("enroll/refused/{code}"));
    for name in messages.chain(refusals).chain(turned_away) {
        let mut lines = golden.0.lines();
        let is_there = lines.any(|line| line.split(' ').next() == Some(&name));
        assert!(is_there, "{name} has no line");
    }
}

/// What a state consists of.
fn states() -> Vec<&'static str> {
    [
        &names!(Spec, [
            Spec::Directory(_) | Spec::File(_) | Spec::Package(_) | Spec::Service(_)
                | Spec::Step(_) => "manifest",
            Spec::Transaction(_) => "transaction",
            Spec::Suspension(_) => "suspension",
            Spec::Database(_) | Spec::SqlRow(_) => "database",
            Spec::SqlScript(_) => "scripts",
            Spec::Discard(_) => "discard",
            Spec::Group(_) | Spec::IpAddress(_) | Spec::Symlink(_) | Spec::Sysctl(_)
                | Spec::User(_) => "basics",
            Spec::Firewall(_) => "firewall",
            Spec::Archive(_) | Spec::VendorPackage(_) => "artifacts",
            Spec::Certificate(_) => "certificates",
            Spec::HealthCheck(_) => "health",
            Spec::PackageRepository(_) => "repository",
        ])[..],
        &names!(DatabaseAuth, [DatabaseAuth::Password(_) | DatabaseAuth::Peer => "database"]),
        &names!(CertificateSource, [
            CertificateSource::Acme(_) | CertificateSource::Supplied(_) => "certificates",
        ]),
        &names!(FileContent, [
            FileContent::Body { .. } | FileContent::Secret(_) => "manifest",
            FileContent::Artifact(_) => "artifacts",
            FileContent::Variable { .. } => "variable",
        ]),
    ]
    .concat()
}
