//! What the agent says on the control stream.

use email_engine_protocol::limits;
use email_engine_protocol::observed::{HostReport, Stage};
use email_engine_protocol::wire::RefusalCode;
use email_engine_protocol::wire::v1::AgentMessage;

use super::reports::{self, Believed};
use super::{End, Session, refusal};
use crate::push::registry::Told;
use crate::push::{Fleet, intake, metric_names};

impl<F: Fleet> Session<F> {
    pub(super) fn heard(&mut self, message: AgentMessage) -> Result<(), End> {
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
            // Nothing of this version stores them; the agent keeps them until somebody does.
            AgentMessage::Statistics(_) => {
                tracing::debug!(host = %self.host, "statistics are not taken yet");
                Ok(())
            }
            AgentMessage::Pong { .. } => Ok(()),
        }
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
