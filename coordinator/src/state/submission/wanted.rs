//! Which hosts shall have a certificate, and who has to trust it first.

use std::collections::BTreeMap;
use std::net::IpAddr;

use email_engine_protocol::id::{HostId, Role, SecretId};
use email_engine_protocol::mail::DomainName;

use super::SubmissionNames;
use crate::state::{FleetState, Host, HostLifecycle, TargetRecord};

/// Label of a PowerMTA host that holds the machine's own mail name.
pub const HOST_NAME_LABEL: &str = "host-name";
/// Label of a PowerMTA host with a certificate of the operator's own: the cluster makes it none.
pub const OWN_CERTIFICATE_LABEL: &str = "smtp-certificate";
/// Label of a host that submits and is not waited for: whoever sets it vouches that it trusts the
/// authority, or sends nothing.
pub const TRUSTS_LABEL: &str = "trusts-submission";

impl Host {
    /// How this host is called by whoever submits there; nothing where nobody does, or where the
    /// operator has a certificate of their own.
    #[must_use]
    pub fn submission_names(&self) -> Option<SubmissionNames> {
        let spec = &self.spec;
        if spec.role != Role::Powermta
            || !self.takes_work()
            || spec.labels.contains_key(OWN_CERTIFICATE_LABEL)
        {
            return None;
        }
        let address = spec.addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })?;
        let label = spec.labels.get(HOST_NAME_LABEL);
        Some(SubmissionNames {
            address,
            host_name: label.and_then(|name| DomainName::new(name.clone()).ok()),
        })
    }

    /// Whether the host submits to PowerMTA hosts, so that it has to trust their authority. Those of roles
    /// of an operator's own do not.
    #[must_use]
    pub fn submits(&self) -> bool {
        self.takes_work() && matches!(self.spec.role, Role::Api | Role::Mailwizz)
    }
}

impl FleetState {
    /// Hosts that shall have a certificate for submission, with their names.
    #[must_use]
    pub fn submission_wanted(&self) -> BTreeMap<&HostId, SubmissionNames> {
        let hosts = self.hosts.iter();
        let hosts = hosts.filter(|(_, host)| self.gives_certificate(host));
        hosts
            .filter_map(|(id, host)| Some((id, host.submission_names()?)))
            .collect()
    }

    /// Whether the role bundle that a host is pinned to has a place for its certificate. A line that
    /// names a file which is not there would be refused by the product.
    #[must_use]
    pub fn gives_certificate(&self, host: &Host) -> bool {
        self.gives(host, "certificate")
    }

    fn gives(&self, host: &Host, each: &str) -> bool {
        let bundle = self.bundles.get(&host.release.bundle);
        bundle.is_some_and(|bundle| bundle.gives(&host.spec, each))
    }

    /// The name of a host's certificate in the table of secrets.
    #[must_use]
    pub fn submission_secret(host: &HostId) -> SecretId {
        SecretId::new(format!("tls/{host}/submission")).expect("a slug is part of a path")
    }

    /// Hosts that shall have a certificate and have none under their present names.
    pub fn submission_missing(&self) -> impl Iterator<Item = &HostId> {
        let wanted = self.submission_wanted().into_iter();
        wanted.filter_map(|(id, names)| {
            let row = self.submission_certificates.get(id);
            row.is_none_or(|row| row.names != names).then_some(id)
        })
    }

    /// Hosts that submit, whose agent is there, and that did not yet report to be at a target of after
    /// the authority's present certificate, or whose role bundle has no place for it: they may not
    /// trust it yet.
    pub fn submission_distrusted_by(&self) -> impl Iterator<Item = &HostId> {
        let since = self
            .submission_authority
            .as_ref()
            .map_or(u64::MAX, |record| record.revision);
        let counts = |host: &Host| {
            let vouched_for = host.spec.labels.contains_key(TRUSTS_LABEL);
            host.lifecycle == HostLifecycle::Enrolled && host.submits() && !vouched_for
        };
        let hosts = self.hosts.iter().filter(move |(_, host)| counts(host));
        let distrusts = move |(id, host): &(&HostId, &Host)| {
            if !self.gives(host, "authority") {
                return true;
            }
            let good = self.outcomes.get(*id).and_then(|outcome| outcome.last_good);
            let at_newest = |target: &TargetRecord| {
                target.planned_from >= since && good == Some(target.generation)
            };
            !self.targets.get(*id).is_some_and(at_newest)
        };
        hosts.filter(distrusts).map(|(id, _)| id)
    }

    /// Takes back what a host had, if anything.
    pub(crate) fn forget_submission(&mut self, host: &HostId) {
        if let Some(row) = self.submission_certificates.remove(host) {
            self.drop_secret(&row.secret);
        }
    }
}
