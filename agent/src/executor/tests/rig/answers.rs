//! What the coordinator offers, answers and waits to hear.

use std::time::Instant;

use email_engine_protocol::bytes::{ContentHash, Nonce};
use email_engine_protocol::crypto::{Entropy, SealedSecret, Signed};
use email_engine_protocol::desired::{HostConfig, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::HostId;
use email_engine_protocol::observed::{
    AccountingCursors, Convergence, FileCursor, HostReport, StatisticsBatch,
};
use email_engine_protocol::secret::SecretRef;
use ring::rand::SystemRandom;

use super::{CLUSTER, PATIENCE, Rig, generation, host};
use crate::halves::{FromExecutor, ToExecutor};

impl Rig {
    /// Offers a state and answers until everything that it needs was asked for.
    pub(in crate::executor::tests) fn offer_quietly(&mut self, config: &HostConfig, number: u64) {
        let target = self.target(config, generation(number));
        self.tell(ToExecutor::Offer(self.plan.sign(&target)));
        self.report_where("it is accepted", |report| {
            report.generations.accepted == Some(generation(number))
        });
    }

    /// Offers a state and answers every question until it was applied.
    pub(in crate::executor::tests) fn converge(
        &mut self,
        config: &HostConfig,
        number: u64,
    ) -> HostReport {
        let report = self.offer(config, number);
        assert_eq!(
            report.convergence,
            Convergence::Converged,
            "{:?} {:?}",
            report.generations,
            report.statuses.first()
        );
        report
    }

    /// Offers a state and answers every question until a verdict on it is reported.
    pub(in crate::executor::tests) fn offer(
        &mut self,
        config: &HostConfig,
        number: u64,
    ) -> HostReport {
        let target = self.target(config, generation(number));
        self.offer_target(&target)
    }

    pub(in crate::executor::tests) fn offer_target(&mut self, target: &Target) -> HostReport {
        let signed = self.plan.sign(target);
        self.offer_signed(signed, target.generation)
    }

    pub(in crate::executor::tests) fn offer_signed(
        &mut self,
        signed: Signed<Target>,
        of: Generation,
    ) -> HostReport {
        self.tell(ToExecutor::Offer(signed));
        self.report_where("a verdict on the offer", |report| {
            let done = report.convergence != Convergence::Converging;
            let running = report.generations.running == Some(of) && done;
            let attempt = report.generations.attempted.as_ref();
            running || attempt.is_some_and(|attempt| attempt.generation == of)
        })
    }

    /// Answers questions until a report says what is waited for.
    pub(in crate::executor::tests) fn report_where(
        &mut self,
        why: &str,
        condition: impl Fn(&HostReport) -> bool,
    ) -> HostReport {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self
                .runtime
                .block_on(async { tokio::time::timeout(left, self.events.recv()).await });
            let event = event.unwrap_or_else(|_| panic!("waited in vain: {why}"));
            if let Some(report) = self.answer(event.expect("the executor ended"))
                && condition(&report)
            {
                return report;
            }
        }
    }

    fn answer(&mut self, event: FromExecutor) -> Option<HostReport> {
        match event {
            FromExecutor::BodiesWanted(hashes) => {
                self.bodies_asked += hashes.len();
                for hash in hashes {
                    self.serve(hash);
                }
            }
            FromExecutor::Report(signed) => {
                let report = signed.verify(&self.keys.report_key).unwrap();
                assert_eq!(report.nonce, Nonce([self.session; 16]));
                return Some(report);
            }
            FromExecutor::Retired => self.retired = true,
            FromExecutor::SecretsWanted { secrets, .. } => {
                let to = self.misdirected.take().unwrap_or_else(host);
                let sealed = secrets.iter().map(|secret| self.seal(secret, &to));
                let sealed = sealed.collect();
                self.tell(ToExecutor::Secrets(sealed));
            }
            // Nobody here has coordinators, or asks for certificates: it is a sandbox.
            FromExecutor::FetchWanted { .. }
            | FromExecutor::PostWanted { .. }
            | FromExecutor::ReconnectWanted { .. }
            | FromExecutor::Standing(_) => {}
            FromExecutor::Statistics(signed) => {
                let batch = signed.verify(&self.keys.report_key).unwrap();
                assert_eq!(batch.nonce, Nonce([self.session; 16]));
                self.tell(ToExecutor::StatisticsStored {
                    cursor: batch.stretch.as_ref().map(|stretch| FileCursor {
                        file: stretch.file.clone(),
                        at: stretch.to,
                        mark: stretch.mark,
                    }),
                });
                self.statistics.push(batch);
            }
        }
        None
    }

    fn serve(&self, hash: ContentHash) {
        match self.bodies.get(&hash) {
            Some(bytes) => self.tell(ToExecutor::Body {
                hash,
                bytes: bytes.clone(),
            }),
            None => self.tell(ToExecutor::BodyMissing {
                hash,
                reason: "nobody has it".to_owned(),
            }),
        }
    }

    fn seal(&self, secret: &SecretRef, host: &HostId) -> SealedSecret {
        let random = SystemRandom::new();
        let bytes = &self.secrets[secret];
        let mut entropy = Entropy(&random);
        let to = &self.keys.sealing_key;
        SealedSecret::new(CLUSTER, host, to, secret.clone(), bytes, &mut entropy).unwrap()
    }

    /// What the cluster knows by the batches so far.
    pub(in crate::executor::tests) fn tell_cursors(&self) {
        let mut cursors = AccountingCursors::default();
        for stretch in self
            .statistics
            .iter()
            .filter_map(|one| one.stretch.as_ref())
        {
            cursors.files.retain(|known| known.file != stretch.file);
            cursors.files.push(FileCursor {
                file: stretch.file.clone(),
                at: stretch.to,
                mark: stretch.mark,
            });
        }
        self.tell(ToExecutor::StatisticsCursors(cursors));
    }

    /// Waits until what it counted in this session is what is waited for.
    pub(in crate::executor::tests) fn counted(
        &mut self,
        why: &str,
        condition: impl Fn(&[StatisticsBatch]) -> bool,
    ) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.statistics) {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self
                .runtime
                .block_on(async { tokio::time::timeout(left, self.events.recv()).await });
            let event =
                event.unwrap_or_else(|_| panic!("waited in vain: {why}: {:?}", self.statistics));
            self.answer(event.expect("the executor ended"));
        }
    }

    /// Waits until the executor said that the host is retired.
    pub(in crate::executor::tests) fn wait_retired(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.retired {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self
                .runtime
                .block_on(async { tokio::time::timeout(left, self.events.recv()).await });
            let event = event.expect("waited in vain: the host says that it is retired");
            self.answer(event.expect("the executor ended"));
        }
    }
}
