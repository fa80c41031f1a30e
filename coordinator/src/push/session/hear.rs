//! What the agent says on the control stream.

use email_engine_protocol::crypto::Signed;
use email_engine_protocol::limits;
use email_engine_protocol::observed::{HostReport, Stage, StatisticsBatch};
use email_engine_protocol::wire::RefusalCode;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};

use super::reports::{self, Believed};
use super::statistics;
use super::{End, Session, refusal};
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
            AgentMessage::Statistics(batch) => self.counted(&batch).await,
            AgentMessage::Pong { .. } => Ok(()),
        }
    }

    /// Takes a batch of statistics into this node's memory, and says up to where its file is known.
    async fn counted(&mut self, batch: &Signed<StatisticsBatch>) -> Result<(), End> {
        let keys = self.report_keys();
        let judged = statistics::judge(batch, keys.as_ref(), self.cluster, &self.host, self.nonce);
        let batch = match judged {
            Ok(batch) => batch,
            Err(error) => {
                metrics::counter!(metric_names::REPORTS_REFUSED).increment(1);
                return self.broken(&error.to_string());
            }
        };
        let file = batch.file.clone();
        let cursor = self.statistics.take(batch);
        for words in self.statistics.news(now()) {
            tracing::warn!(host = %self.host, "{words}");
        }
        self.place.note_mail(self.statistics.mail());
        self.say(CoordinatorMessage::StatisticsStored { file, cursor })
            .await
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
        self.place.note_told(Told::of(report));
        self.intake()
            .offer(intake::outcome(report), recorded.as_ref());
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
