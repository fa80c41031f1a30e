//! What the network half says, one method per message. None of it is believed.

use std::time::Instant;

use email_engine_protocol::bytes::{ContentHash, Nonce};
use email_engine_protocol::crypto::{SealedSecret, Signed};
use email_engine_protocol::desired::Target;
use email_engine_protocol::observed::Stage;
use email_engine_protocol::secret::SecretRef;

use super::accept::{self, Verdict};
use super::core::{Core, Session};
use super::offered::{Needs, Offered, Wanted};
use crate::halves::ToExecutor;

impl Core {
    pub(super) fn hear(&mut self, message: ToExecutor) {
        match message {
            ToExecutor::Admitted(trust) => self.admit(*trust),
            ToExecutor::Body { hash, bytes } => self.take_body(hash, &bytes),
            ToExecutor::BodyMissing { hash, reason } => self.miss_body(&hash, &reason),
            ToExecutor::CutOff => self.cut_off(),
            ToExecutor::Disconnected => {
                self.wanted = Wanted::default();
                // Whoever came and went without a session was no company.
                if self.session.take().is_some() {
                    self.alone_since = Instant::now();
                }
            }
            ToExecutor::Grants { plan_key, epoch } => self.take_grants(&plan_key, epoch.as_ref()),
            ToExecutor::Offer(signed) => self.weigh(signed),
            // Put where it is waited for, before it comes here.
            ToExecutor::Fetched { .. } | ToExecutor::Reconnected { .. } => {}
            ToExecutor::Posted { number, answer } => self.posted(number, answer),
            ToExecutor::Secrets(secrets) => self.take_secrets(&secrets),
            ToExecutor::Session { nonce } => self.begin_session(nonce),
            ToExecutor::StatisticsCursors(cursors) => self.take_cursors(cursors),
            ToExecutor::StatisticsRefused { cursor } => self.statistics_answered(false, cursor),
            ToExecutor::StatisticsStored { cursor } => self.statistics_answered(true, cursor),
        }
    }

    /// Acts on what was heard. Apart from hearing, so that of several offers that wait only the
    /// newest is taken up.
    pub(super) fn proceed(&mut self) {
        if std::mem::take(&mut self.due) {
            self.advance();
            self.mend();
            self.report_changes();
        }
    }

    fn begin_session(&mut self, nonce: Nonce) {
        self.session = Some(Session { nonce, sequence: 0 });
        self.doubted = None;
        self.measure();
        if self.is_fallen_back() {
            self.enforce_accepted();
            self.pass_all();
        }
        self.report();
        self.begin_statistics();
        self.confirm_retirement();
        self.ask_again();
    }

    fn weigh(&mut self, signed: Signed<Target>) {
        let Some(judged) = self.with_standpoint(|at| accept::judge_target(at, &signed)) else {
            tracing::warn!("a target before trust is ignored");
            return;
        };
        self.told |= judged.is_ok();
        match judged {
            Ok(Verdict::Known) => self.ask_again(),
            Ok(Verdict::New(target)) => {
                let newer = self.offered.as_ref().is_none_or(|waiting| {
                    waiting.target.generation <= target.generation && waiting.target != target
                });
                if newer {
                    tracing::info!(generation = %target.generation, "offer is well signed");
                    self.offered = Some(Offered::new(target, signed));
                    self.wanted.offer = Needs::default();
                    self.due = true;
                }
            }
            Err(error) => {
                // Claimed only: good enough to say what was refused.
                let generation = signed.unverified().map(|target| target.generation);
                let generation = generation.unwrap_or_default();
                if error.is_ours() {
                    self.attempted(generation, Stage::Accept, error.to_string());
                } else {
                    self.doubt(generation, error.to_string());
                }
                self.report_changes();
            }
        }
    }

    fn take_body(&mut self, hash: ContentHash, bytes: &[u8]) {
        if !self.wanted.has_body(&hash) {
            tracing::debug!(%hash, "a body that nobody wants is dropped");
            return;
        }
        if ContentHash::of(bytes) != hash {
            self.miss_body(&hash, "its bytes have another hash");
            return;
        }
        if let Err(error) = self.ledger.store.keep_body(hash, bytes) {
            self.miss_body(&hash, &error.to_string());
            return;
        }
        self.untidy = true;
        self.mendable |= self.wanted.body_came(&hash);
        self.due = true;
    }

    fn miss_body(&mut self, hash: &ContentHash, reason: &str) {
        let wanted = self.wanted.offer.bodies.contains(hash);
        let Some(offered) = self.offered.as_ref().filter(|_| wanted) else {
            tracing::warn!(%hash, reason, "a body could not be had");
            return;
        };
        let generation = offered.target.generation;
        self.attempted(generation, Stage::Fetch, format!("body {hash}: {reason}"));
        self.report_changes();
    }

    fn take_secrets(&mut self, secrets: &[SealedSecret]) {
        let Some(trust) = &self.trust else {
            return;
        };
        let (cluster, host) = (trust.cluster, trust.host.clone());
        for sealed in secrets {
            let id = &sealed.secret.id;
            if !self.wanted.has_secret(&sealed.secret) {
                tracing::debug!(secret = %id, "a secret that nobody wants is dropped");
                continue;
            }
            // Opened here and forgotten again: only what will open later is kept.
            let kept = match sealed.open(cluster, &host, &self.keys.sealing) {
                Ok(_) => self
                    .ledger
                    .store
                    .keep_secret(sealed)
                    .map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match kept {
                Ok(()) => {
                    self.untidy = true;
                    self.mendable |= self.wanted.secret_came(&sealed.secret);
                }
                Err(reason) => self.refuse_secret(&sealed.secret, &reason),
            }
        }
        self.due = true;
    }

    fn refuse_secret(&mut self, secret: &SecretRef, reason: &str) {
        tracing::warn!(secret = %secret.id, reason, "a secret cannot be used");
        let wanted = self.wanted.offer.secrets.contains(secret);
        if let Some(offered) = self.offered.as_ref().filter(|_| wanted) {
            let generation = offered.target.generation;
            let reason = format!("secret {}: {reason}", secret.id);
            self.attempted(generation, Stage::Fetch, reason);
        }
    }
}
