//! Trust and grants: who may speak, and in which epoch.

use email_engine_protocol::crypto::Signed;
use email_engine_protocol::desired::{EpochGrant, PlanKeyGrant};

use super::accept::{self, GrantRefused, Standpoint};
use super::core::Core;
use crate::halves::Trust;
use crate::host::RecordError;
use crate::ledger;
use crate::ledger::expected::{self, Unexpected};
use crate::ledger::grants::Grants;

/// Why a first trust is not believed.
#[derive(Debug, thiserror::Error)]
enum TrustRefused {
    #[error("its plan key is not granted: {0}")]
    PlanKey(#[from] GrantRefused),
    #[error("whom this host may belong to cannot be read: {0}")]
    Record(#[from] RecordError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Core {
    /// Pins the trust, once and for ever, when it is the one that is expected.
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
        let trust = match self.judge_first(trust) {
            Ok(trust) => trust,
            Err(error) => {
                tracing::error!(%error, "trust is refused");
                return;
            }
        };
        match ledger::pin_trust(&self.cabinet, &trust) {
            Ok(()) => {
                tracing::info!(cluster = %trust.cluster, host = %trust.host, "trust is pinned");
                self.trust = Some(trust);
                self.say_standing();
                self.report();
            }
            Err(error) => tracing::error!(%error, "trust cannot be pinned"),
        }
    }

    /// Read anew each time: whoever holds the machine may have spoken since this life began.
    fn judge_first(&self, trust: Trust) -> Result<Trust, TrustRefused> {
        let expected = expected::expected(&self.cabinet)??;
        let trust = expected.judge(trust)?;
        let verifying = &trust.recovery.verifying;
        let grant = accept::judge_plan_key(trust.cluster, verifying, None, &trust.plan_key)?;
        // Without one that is trusted, any that is granted is new.
        expected.judge_plan_key(grant.map_or(0, |grant| grant.version))?;
        Ok(trust)
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
                self.keep_grants(|grants| grants.plan_key = Some(plan_key.clone()));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "plan key grant is refused"),
        }
        let trusted = self.epoch_grant();
        let judged = epoch.map(|epoch| {
            let judged = accept::judge_epoch(cluster, &recovery, trusted.as_ref(), epoch);
            (epoch, judged)
        });
        match judged {
            Some((epoch, Ok(Some(grant)))) => {
                tracing::info!(epoch = grant.epoch, "epoch is granted");
                self.keep_grants(|grants| grants.epoch = Some(epoch.clone()));
            }
            Some((_, Err(error))) => tracing::warn!(%error, "epoch grant is refused"),
            Some((_, Ok(None))) | None => {}
        }
        self.say_standing();
    }

    /// Without the disk the older ones stay trusted.
    fn keep_grants(&mut self, change: impl FnOnce(&mut Grants)) {
        let mut next = self.grants.clone();
        change(&mut next);
        match next.write(&self.cabinet) {
            Ok(()) => self.grants = next,
            Err(error) => tracing::error!(%error, "grant cannot be kept"),
        }
    }

    /// The plan key that is trusted: the newest granted, else that of the enrolment. Verified when
    /// they were kept; verified again because it is cheap.
    pub(super) fn plan_key(&self) -> Option<PlanKeyGrant> {
        let trust = self.trust.as_ref()?;
        let recovery = &trust.recovery.verifying;
        let enrolled = trust.plan_key.verify(recovery).ok();
        let newest = self.grants.plan_key.as_ref();
        let newest = newest.and_then(|signed| signed.verify(recovery).ok());
        let ours = newest.filter(|grant| grant.cluster == trust.cluster);
        ours.into_iter().chain(enrolled).max_by_key(|g| g.version)
    }

    fn epoch_grant(&self) -> Option<EpochGrant> {
        let trust = self.trust.as_ref()?;
        let newest = self.grants.epoch.as_ref()?;
        let newest = newest.verify(&trust.recovery.verifying).ok()?;
        (newest.cluster == trust.cluster).then_some(newest)
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
            granted_epoch: self.epoch_grant().map(|grant| grant.epoch),
            floor: page.floor(),
        }))
    }
}
