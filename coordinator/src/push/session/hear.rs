//! What the agent says on the control stream.

use email_engine_protocol::api::MailView;
use email_engine_protocol::crypto::Signed;
use email_engine_protocol::limits;
use email_engine_protocol::observed::{HostReport, Stage, StatisticsBatch};
use email_engine_protocol::wire::RefusalCode;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};

use super::reports::{self, Believed};
use super::statistics;
use super::{End, Session, refusal};
use crate::command::HostBatch;
use crate::push::registry::Told;
use crate::push::{Fleet, intake, metric_names, now};

impl<F: Fleet> Session<F> {
    pub(super) async fn heard(&mut self, message: AgentMessage) -> Result<(), End> {
        match message {
            AgentMessage::Hello(_) => self.broken("a second Hello"),
            AgentMessage::Holding { .. } => self.broken("holding is said in place of Hello"),
            AgentMessage::Report(report) => {
                let keys = self.report_keys();
                let believed = reports::judge(
                    &report,
                    keys.as_ref(),
                    &Believed {
                        cluster: self.cluster,
                        host: &self.host,
                        nonce: self.nonce,
                        after: self.sequence,
                    },
                );
                match believed {
                    Ok(report) => self.reported(&report),
                    Err(error) => {
                        metrics::counter!(metric_names::REPORTS_REFUSED).increment(1);
                        return self.broken(&error.to_string());
                    }
                }
                Ok(())
            }
            AgentMessage::SecretsWanted { secrets, .. } => {
                if secrets.len() > limits::SECRETS_PER_MESSAGE {
                    return self.broken("too many secrets are wanted at once");
                }
                self.fetch_secrets(secrets);
                Ok(())
            }
            AgentMessage::Renew { request } => {
                self.renew(request);
                Ok(())
            }
            AgentMessage::Statistics(batch) => self.counted(&batch),
            AgentMessage::Pong { .. } => Ok(()),
        }
    }

    /// Tells up to where the host's accounting files are counted, as far as this node knows: an agent
    /// that was told too little is told again in place of an answer to its first batch.
    pub(super) async fn say_cursors(&mut self) -> Result<(), End> {
        let cursors = self.push.fleet.view(|state| {
            let known = state.accounting.hosts.get(&self.host);
            known.map(|known| known.cursors()).unwrap_or_default()
        });
        self.say(CoordinatorMessage::StatisticsCursors(cursors))
            .await
    }

    /// Takes a batch of statistics on its way into the log.
    fn counted(&mut self, batch: &Signed<StatisticsBatch>) -> Result<(), End> {
        let keys = self.report_keys();
        let judged = statistics::judge(batch, keys.as_ref(), self.cluster, &self.host, self.nonce);
        let batch = match judged {
            Ok(batch) => batch,
            Err(error) => {
                metrics::counter!(metric_names::REPORTS_REFUSED).increment(1);
                return self.broken(&error.to_string());
            }
        };
        if self.statistics.underway {
            return self.broken("statistics come while others are not answered");
        }
        for words in self.statistics.take(batch.notices, now()) {
            tracing::warn!(host = %self.host, "{words}");
        }
        self.place.note_mail(MailView {
            notices: self.statistics.notices(),
            days: Vec::new(),
        });
        self.statistics.underway = true;
        self.count(HostBatch {
            host: batch.host,
            stretch: batch.stretch,
            gap: batch.gap,
            read_until: batch.read_until,
        });
        Ok(())
    }

    fn reported(&mut self, report: &HostReport) {
        self.sequence = Some(report.sequence);
        if let Some(attempt) = &report.generations.attempted
            && attempt.stage == Stage::Accept
        {
            self.offered = self.offered.max(Some(attempt.generation));
        }
        let (recorded, frozen, retiring) = self.push.fleet.view(|state| {
            let accepted = report.generations.accepted;
            (
                state.outcomes.get(&self.host).cloned(),
                reports::future_of(state, &self.host, accepted),
                reports::confirms_retirement(state, report),
            )
        });
        if frozen.is_some() != self.push.registry.frozen_host(&self.host).is_some() {
            self.push.registry.set_frozen(&self.host, frozen);
        }
        self.seen.count(report, recorded.as_ref());
        self.place.note_told(Told::of(report));
        self.intake()
            .offer(intake::outcome(report), recorded.as_ref());
        self.note_foreign(report);
        self.note_held(report);
        self.note_expired(report);
        self.note_drains(report);
        if retiring && !self.cutting {
            self.cutting = true;
            self.cut_off();
        }
    }

    /// The agent finished its side: after its last report it waits for us to close.
    pub(super) fn finished(&mut self) -> Result<(), End> {
        self.recv = None;
        if self.cutting { Ok(()) } else { Err(None) }
    }

    pub(super) fn broken(&self, reason: &str) -> Result<(), End> {
        tracing::warn!(host = %self.host, remote = %self.connection.remote_address(), reason, "the agent breaks the protocol");
        Err(Some(refusal(RefusalCode::Protocol, reason)))
    }
}
