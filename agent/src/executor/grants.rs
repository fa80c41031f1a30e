//! Trust and grants: who may speak, and in which epoch.

use email_engine_protocol::crypto::Signed;
use email_engine_protocol::desired::{EpochGrant, PlanKeyGrant};

use super::accept::{self, Standpoint};
use super::core::Core;
use crate::halves::Trust;
use crate::ledger;

impl Core {
    /// Pins the trust, once and for ever.
    pub(super) fn admit(&mut self, trust: Trust) {
        if let Some(pinned) = &self.trust {
            let same = pinned.cluster == trust.cluster
                && pinned.host == trust.host
                && pinned.recovery == trust.recovery;
            if !same {
                tracing::error!(
                    pinned = %pinned.cluster, offered = %trust.cluster,
                    "a second, different trust is refused"
                );
            }
            return;
        }
        let grant = accept::judge_plan_key(
            trust.cluster,
            &trust.recovery.verifying,
            None,
            &trust.plan_key,
        );
        if let Err(error) = grant {
            tracing::error!(%error, "trust is refused: its plan key is not granted");
            return;
        }
        match ledger::pin_trust(&self.cabinet, &trust) {
            Ok(()) => {
                tracing::info!(cluster = %trust.cluster, host = %trust.host, "trust is pinned");
                self.trust = Some(trust);
                self.say_standing();
            }
            Err(error) => tracing::error!(%error, "trust cannot be pinned"),
        }
    }

    /// Takes over grants that are newer than what is trusted.
    pub(super) fn take_grants(
        &mut self,
        plan_key: &Signed<PlanKeyGrant>,
        epoch: Option<&Signed<EpochGrant>>,
    ) {
        let Some(trust) = &self.trust else {
            tracing::warn!("grants before trust are ignored");
            return;
        };
        let (cluster, recovery) = (trust.cluster, trust.recovery.verifying);
        let trusted = self.plan_key();
        match accept::judge_plan_key(cluster, &recovery, trusted.as_ref(), plan_key) {
            Ok(Some(grant)) => {
                tracing::info!(version = grant.version, "plan key is trusted");
                // Without the disk the older one stays trusted.
                let _ = self.turn(|page| page.plan_key = Some(grant));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "plan key grant is refused"),
        }
        let trusted = self.ledger.page().epoch.clone();
        let judged =
            epoch.map(|epoch| accept::judge_epoch(cluster, &recovery, trusted.as_ref(), epoch));
        match judged {
            Some(Ok(Some(grant))) => {
                tracing::info!(epoch = grant.epoch, "epoch is granted");
                let _ = self.turn(|page| page.epoch = Some(grant));
            }
            Some(Err(error)) => tracing::warn!(%error, "epoch grant is refused"),
            Some(Ok(None)) | None => {}
        }
        self.say_standing();
    }

    /// The plan key that is trusted: the newest granted, else that of the enrolment.
    pub(super) fn plan_key(&self) -> Option<PlanKeyGrant> {
        let enrolled = self.trust.as_ref().and_then(|trust| {
            // Verified when it was pinned; verified again because it is cheap.
            trust.plan_key.verify(&trust.recovery.verifying).ok()
        });
        let newest = self.ledger.page().plan_key.clone();
        newest.into_iter().chain(enrolled).max_by_key(|g| g.version)
    }

    /// Calls with where we stand; nothing before the host was let in.
    pub(super) fn with_standpoint<T>(&self, then: impl FnOnce(&Standpoint<'_>) -> T) -> Option<T> {
        let trust = self.trust.as_ref()?;
        let plan_key = self.plan_key()?;
        let page = self.ledger.page();
        Some(then(&Standpoint {
            cluster: trust.cluster,
            host: &trust.host,
            recovery: &trust.recovery.verifying,
            plan_key: &plan_key,
            enrolled_epoch: trust.epoch,
            granted_epoch: page.epoch.as_ref().map(|grant| grant.epoch),
            floor: page.floor(),
        }))
    }
}
