//! The order of every enum inside messages: a variant put in between is another wire.
//!
//! Each list is made by a `match` without a wildcard, so that a new variant does not compile until
//! it has its line.

use email_engine_protocol::desired::{
    Disposition, Engine, Guard, Holds, HostPath, OnNotify, OnRemove, Policy, Probe, ResourceKind,
    Sought, SqlValue,
};
use email_engine_protocol::id::{HostId, Role};
use email_engine_protocol::join::Admission;
use email_engine_protocol::observed::{Convergence, Mode, Observed, ResourceState, Stage, Told};

use super::Golden;
use super::health::{check, question};
use super::samples::{AT, command};

/// The variants of an enum, and a function that names each of them.
macro_rules! variants {
    ($golden:ident, $name:literal, $kind:ty, [$($value:expr => $pattern:pat),* $(,)?]) => {{
        fn known(value: &$kind) {
            match value { $($pattern)|* => {} }
        }
        for (at, value) in [$($value),*].iter().enumerate() {
            known(value);
            let value: &$kind = value;
            $golden.add(&format!("variant/{}/{at}", $name), value);
        }
    }};
}

pub(crate) fn add(golden: &mut Golden) {
    desired(golden);
    observed(golden);
    let host = HostId::new("pmta1").unwrap();
    let role = Role::Api;
    variants!(golden, "admission", Admission, [
        Admission::Host { host, role } => Admission::Host { .. },
        Admission::Node => Admission::Node,
    ]);
    variants!(golden, "role", Role, [
        Role::Api => Role::Api,
        Role::Mailwizz => Role::Mailwizz,
        Role::Powermta => Role::Powermta,
        "relay".parse().unwrap() => Role::Own(_),
    ]);
}

fn desired(golden: &mut Golden) {
    let path = || HostPath::new("/a").unwrap();
    let text = || "r".to_owned();
    variants!(golden, "kind", ResourceKind, [
        ResourceKind::File => ResourceKind::File,
        ResourceKind::Directory => ResourceKind::Directory,
        ResourceKind::Package => ResourceKind::Package,
        ResourceKind::Service => ResourceKind::Service,
        ResourceKind::Step => ResourceKind::Step,
        ResourceKind::Transaction => ResourceKind::Transaction,
        ResourceKind::Suspension => ResourceKind::Suspension,
        ResourceKind::Symlink => ResourceKind::Symlink,
        ResourceKind::Group => ResourceKind::Group,
        ResourceKind::User => ResourceKind::User,
        ResourceKind::Sysctl => ResourceKind::Sysctl,
        ResourceKind::IpAddress => ResourceKind::IpAddress,
        ResourceKind::Database => ResourceKind::Database,
        ResourceKind::SqlRow => ResourceKind::SqlRow,
        ResourceKind::Firewall => ResourceKind::Firewall,
        ResourceKind::Archive => ResourceKind::Archive,
        ResourceKind::VendorPackage => ResourceKind::VendorPackage,
        ResourceKind::Certificate => ResourceKind::Certificate,
        ResourceKind::HealthCheck => ResourceKind::HealthCheck,
        ResourceKind::PackageRepository => ResourceKind::PackageRepository,
        ResourceKind::Webhook => ResourceKind::Webhook,
        ResourceKind::SqlScript => ResourceKind::SqlScript,
        ResourceKind::Discard => ResourceKind::Discard,
    ]);
    databases(golden);
    variants!(golden, "probe", Probe, [
        Probe::Answer { command: command(), seconds: 5, expect: Vec::new() } => Probe::Answer { .. },
        Probe::Greeting { address: "192.0.2.20:2525".parse().unwrap(), begins: text(), seconds: 6 }
            => Probe::Greeting { .. },
        Probe::Running { unit: "pmta.service".to_owned(), seconds: 7 } => Probe::Running { .. },
        Probe::Quiet { log: path(), errors: vec![text()] } => Probe::Quiet { .. },
        Probe::Connect { address: "127.0.0.1:6379".parse().unwrap(), seconds: 8 }
            => Probe::Connect { .. },
        Probe::Http { question: question(), seconds: 9, steady_seconds: 10 } => Probe::Http { .. },
        Probe::Command { check: check() } => Probe::Command { .. },
    ]);
    variants!(golden, "sought", Sought, [
        Sought::Nothing => Sought::Nothing,
        Sought::Something => Sought::Something,
        Sought::Text(text()) => Sought::Text(_),
    ]);
    variants!(golden, "holds", Holds, [
        Holds::Contains(text()) => Holds::Contains(_),
        Holds::Equals(text()) => Holds::Equals(_),
        Holds::Mentions(text()) => Holds::Mentions(_),
        Holds::Present => Holds::Present,
    ]);
    variants!(golden, "on-notify", OnNotify, [
        OnNotify::Reload => OnNotify::Reload,
        OnNotify::Restart => OnNotify::Restart,
    ]);
    variants!(golden, "guard", Guard, [
        Guard::Creates(path()) => Guard::Creates(_),
        Guard::Notified => Guard::Notified,
        Guard::Removes(path()) => Guard::Removes(_),
        Guard::OnlyIf(command()) => Guard::OnlyIf(_),
        Guard::Unless(command()) => Guard::Unless(_),
    ]);
    variants!(golden, "on-remove", OnRemove, [
        OnRemove::Delete => OnRemove::Delete,
        OnRemove::Disable => OnRemove::Disable,
        OnRemove::Leave => OnRemove::Leave,
    ]);
    variants!(golden, "policy", Policy, [
        Policy::Enforce => Policy::Enforce,
        Policy::Report => Policy::Report,
        Policy::Hold => Policy::Hold,
    ]);
    variants!(golden, "disposition", Disposition, [
        Disposition::Active => Disposition::Active,
        Disposition::Retired => Disposition::Retired,
    ]);
}

fn databases(golden: &mut Golden) {
    let text = || "r".to_owned();
    variants!(golden, "engine", Engine, [
        Engine::Mysql => Engine::Mysql,
        Engine::Postgresql => Engine::Postgresql,
    ]);
    variants!(golden, "sql-value", SqlValue, [
        SqlValue::Null => SqlValue::Null,
        SqlValue::Bool(true) => SqlValue::Bool(_),
        SqlValue::Integer(-7) => SqlValue::Integer(_),
        SqlValue::Decimal(text()) => SqlValue::Decimal(_),
        SqlValue::Text(text()) => SqlValue::Text(_),
        SqlValue::Json(text()) => SqlValue::Json(_),
        SqlValue::Now => SqlValue::Now,
        SqlValue::OneOf(vec![text()]) => SqlValue::OneOf(_),
        SqlValue::Unclaimed => SqlValue::Unclaimed,
    ]);
}

fn observed(golden: &mut Golden) {
    let text = || "r".to_owned();
    variants!(golden, "mode", Mode, [
        Mode::Real => Mode::Real,
        Mode::Sandbox => Mode::Sandbox,
    ]);
    variants!(golden, "stage", Stage, [
        Stage::Accept => Stage::Accept,
        Stage::Fetch => Stage::Fetch,
        Stage::Plan => Stage::Plan,
        Stage::Apply => Stage::Apply,
    ]);
    variants!(golden, "convergence", Convergence, [
        Convergence::Idle => Convergence::Idle,
        Convergence::Converging => Convergence::Converging,
        Convergence::Converged => Convergence::Converged,
        Convergence::Degraded => Convergence::Degraded,
    ]);
    variants!(golden, "state", ResourceState, [
        ResourceState::Blocked(text()) => ResourceState::Blocked(_),
        ResourceState::Converged => ResourceState::Converged,
        ResourceState::Drifted(text()) => ResourceState::Drifted(_),
        ResourceState::Failed(text()) => ResourceState::Failed(_),
        ResourceState::Simulated => ResourceState::Simulated,
        ResourceState::Unknown(text()) => ResourceState::Unknown(_),
        ResourceState::Told(Told::new([vec![text()]])) => ResourceState::Told(_),
    ]);
    variants!(golden, "observed", Observed<u8>, [
        Observed::Known { value: 7, at: AT } => Observed::Known { .. },
        Observed::Unknown { reason: text(), since: AT } => Observed::Unknown { .. },
    ]);
}
