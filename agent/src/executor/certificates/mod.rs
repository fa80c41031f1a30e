//! Certificates that somebody else issues: asked for beside the passes, put in place by one.

use std::collections::BTreeSet;

use email_engine_protocol::desired::Spec;

use super::core::Core;
use crate::certificate::acme::Desk;
use crate::certificate::issuer::Issuer;
use crate::reconciler::Scope;

impl Core {
    /// A sandbox asks nobody.
    pub(super) fn start_issuer(&mut self, tell: impl Fn() + Send + 'static) {
        let machine = &self.reconciler.machine;
        if machine.system.is_simulated() {
            return;
        }
        let started = machine.files.twin().map_err(std::io::Error::other);
        let started = started.and_then(|files| {
            let cabinet = self.cabinet.clone();
            Issuer::start(Desk { cabinet, files }, self.way.clone(), tell)
        });
        match started {
            Ok(issuer) => self.issuer = Some(issuer),
            Err(error) => tracing::error!(%error, "no certificates are asked for in this life"),
        }
    }

    /// Everything was gone through: whoever is to see the answers of an ACME server may be there.
    pub(super) fn want_certificates(&self) {
        if let (Some(issuer), Some(enforced)) = (&self.issuer, &self.enforced) {
            issuer.want(&enforced.config, enforced.target.issued_at);
        }
    }

    /// One was issued, or could not be: it is put in place, or said.
    pub(super) fn look_at_certificates(&mut self) {
        let Some(enforced) = &self.enforced else {
            return;
        };
        let resources = enforced.config.resources.iter();
        let certificates = resources.filter(|one| matches!(one.spec, Spec::Certificate(_)));
        let ids: BTreeSet<_> = certificates.map(|one| one.id.clone()).collect();
        if !ids.is_empty() {
            self.pass(&Scope::Some(ids));
            self.report_changes();
        }
    }
}
