//! What a session has done beside its own task: commits, sealing, issuing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use ring::rand::SystemRandom;
use tokio::time::Instant;

use email_engine_protocol::bytes::{ContentHash, VerifyingKey};
use email_engine_protocol::crypto::{Entropy, SealedSecret};
use email_engine_protocol::enroll::RenewedCertificate;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{HostId, VmtaName};
use email_engine_protocol::observed::FileCursor;
use email_engine_protocol::secret::SecretRef;
use email_engine_protocol::wire::RefusalCode;
use email_engine_protocol::wire::v1::CoordinatorMessage;

use super::held::Standing;
use super::{End, Session, refusal};
use crate::command::{
    Command, CutOffHost, EndDrain, HostBatch, RecordExpired, RecordHeldCampaigns, RecordOutcome,
    RenewCertificate, ToldQueue,
};
use crate::pki::issue::Request;
use crate::pki::{Authority, Credential, Term};
use crate::push::intake::Intake;
use crate::push::{Fleet, Push, enroll, metric_names, now, proposal};
use crate::state::{CertificateSubject, Outcome};

/// What came of it.
pub(super) enum Work {
    /// The outcome is in the log, or not; the intake knows.
    Recorded,
    /// The fleet knows of empty queues, or not.
    Drained,
    /// The fleet knows what MailWizz does by itself, or not.
    Foreign,
    /// The fleet knows of campaigns that stand still, or not.
    Held,
    /// The fleet knows of mail that was deleted, or not.
    Expired,
    /// The retired host is cut off, or not.
    CutOff(bool),
    /// A certificate, as it is sent and as it is judged.
    Renewed(Result<(RenewedCertificate, Credential), String>),
    /// Secrets, in messages.
    Secrets(Vec<Vec<SealedSecret>>),
    /// What came of statistics.
    Counted(Counted),
}

/// What came of a batch of statistics.
pub(super) enum Counted {
    /// It is counted, and its file up to there.
    Stored(Option<FileCursor>),
    /// It could not be committed; so far is its file.
    Refused(Option<FileCursor>),
    /// It began where nothing of the kind is to be counted: the agent knows too little.
    Elsewhere,
}

/// Settles a proposal of the host's intake, however it ends. The intake outlives the session: one
/// that ended with a proposal under way would otherwise leave it under way for ever, and nothing of
/// this host would be recorded any more.
struct Settling {
    intake: Arc<Mutex<Intake>>,
    recorded: bool,
}

impl Settling {
    fn new(intake: &Arc<Mutex<Intake>>) -> Self {
        Self {
            intake: Arc::clone(intake),
            recorded: false,
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        let mut intake = self.intake.lock().unwrap_or_else(PoisonError::into_inner);
        intake.settle(self.recorded, Instant::now());
    }
}

impl<F: Fleet> Session<F> {
    pub(super) fn report_keys(&self) -> Option<VerifyingKey> {
        self.push.fleet.view(|state| {
            let keys = state.hosts.get(&self.host)?.keys.as_ref()?;
            Some(keys.report_key)
        })
    }

    pub(super) fn record(&mut self) {
        let Some(outcome) = self.intake().take(Instant::now()) else {
            return;
        };
        let (push, host) = (self.push.clone(), self.host.clone());
        let mut settling = Settling::new(&self.place.intake);
        self.work.spawn(async move {
            settling.recorded = record(&push, host, outcome).await;
            drop(settling);
            Work::Recorded
        });
    }

    pub(super) fn cut_off(&mut self) {
        let (push, host) = (self.push.clone(), self.host.clone());
        self.work.spawn(async move {
            let command = Command::CutOffHost(CutOffHost {
                host: host.clone(),
                confirmed: true,
            });
            let reason = "its wipe was confirmed";
            Work::CutOff(commit(&push, &host, reason, command).await.is_ok())
        });
    }

    pub(super) fn end(&mut self, generation: Generation, vmtas: BTreeSet<VmtaName>) {
        let (push, host) = (self.push.clone(), self.host.clone());
        self.work.spawn(async move {
            let command = Command::EndDrain(EndDrain {
                host: host.clone(),
                generation,
                vmtas,
            });
            let reason = "its queues are empty";
            if let Err(reason) = commit(&push, &host, reason, command).await {
                tracing::info!(%host, reason, "empty queues not recorded");
            }
            Work::Drained
        });
    }

    pub(super) fn record_foreign(&mut self, command: Command) {
        let (push, host) = (self.push.clone(), self.host.clone());
        self.work.spawn(async move {
            let reason = "as its MailWizz has them";
            if let Err(reason) = commit(&push, &host, reason, command).await {
                tracing::info!(%host, reason, "what MailWizz does by itself is not recorded");
            }
            Work::Foreign
        });
    }

    pub(super) fn record_held(&mut self, standing: Standing) {
        let (push, host) = (self.push.clone(), self.host.clone());
        self.work.spawn(async move {
            let Standing { campaigns, more } = standing;
            let command = Command::RecordHeldCampaigns(RecordHeldCampaigns {
                host: host.clone(),
                campaigns,
                more,
            });
            let reason = "as its MailWizz has them";
            if let Err(reason) = commit(&push, &host, reason, command).await {
                tracing::info!(%host, reason, "campaigns that stand still not recorded");
            }
            Work::Held
        });
    }

    pub(super) fn record_expired(&mut self, queues: Vec<ToldQueue>) {
        let (push, host) = (self.push.clone(), self.host.clone());
        self.work.spawn(async move {
            let command = Command::RecordExpired(RecordExpired {
                host: host.clone(),
                queues,
            });
            let reason = "it waited for too long";
            if let Err(reason) = commit(&push, &host, reason, command).await {
                tracing::info!(%host, reason, "mail that was deleted is not recorded");
            }
            Work::Expired
        });
    }

    pub(super) fn count(&mut self, batch: HostBatch) {
        let (push, host) = (self.push.clone(), self.host.clone());
        let end = batch.stretch.as_ref();
        let end = end.map(|stretch| (stretch.file.clone(), stretch.to, stretch.mark));
        self.work.spawn(async move {
            let is_recorded = push.counting.count(batch).await;
            let cursor = push.fleet.view(|state| {
                let known = state.accounting.hosts.get(&host)?;
                known.cursor(&end.as_ref()?.0)
            });
            // Whoever brought it into the log: the cursor and what it counts are one.
            let is_there = end.is_none_or(|(_, to, mark)| {
                let ends = |cursor: &FileCursor| cursor.at == to && cursor.mark == mark;
                cursor.as_ref().is_some_and(ends)
            });
            Work::Counted(match (is_recorded, is_there) {
                (true, true) => Counted::Stored(cursor),
                (true, false) => Counted::Elsewhere,
                (false, _) => Counted::Refused(cursor),
            })
        });
    }

    pub(super) fn fetch_secrets(&mut self, wanted: Vec<SecretRef>) {
        let (content, vault) = (self.content.clone(), self.push.vault.clone());
        let host = self.host.clone();
        self.work.spawn_blocking(move || {
            Work::Secrets(content.secrets(&vault, &wanted).unwrap_or_else(|error| {
                tracing::error!(%host, %error, "secrets not sent");
                Vec::new()
            }))
        });
    }

    pub(super) fn renew(&mut self, request: Vec<u8>) {
        let refused = if self.renewing {
            Some("a renewal is under way already".to_owned())
        } else {
            None
        };
        self.renewing = true;
        let (push, host) = (self.push.clone(), self.host.clone());
        let (shown, current) = (self.credential.spki, self.spki);
        self.work.spawn(async move {
            Work::Renewed(match refused {
                Some(reason) => Err(reason),
                None => renew(&push, &host, &request, shown, current).await,
            })
        });
    }

    pub(super) async fn worked(&mut self, work: Work) -> Result<(), End> {
        match work {
            Work::Recorded => Ok(()),
            Work::Drained => {
                self.ending = false;
                Ok(())
            }
            Work::Foreign => {
                self.tellings.foreign.underway = false;
                Ok(())
            }
            Work::Held => {
                self.tellings.held.underway = false;
                Ok(())
            }
            Work::Expired => {
                self.tellings.expired.underway = false;
                self.end_drains();
                Ok(())
            }
            Work::Counted(counted) => {
                self.statistics.underway = false;
                match counted {
                    Counted::Elsewhere => self.say_cursors().await,
                    Counted::Refused(cursor) => {
                        self.say(CoordinatorMessage::StatisticsRefused { cursor })
                            .await
                    }
                    Counted::Stored(cursor) => {
                        self.say(CoordinatorMessage::StatisticsStored { cursor })
                            .await
                    }
                }
            }
            Work::CutOff(true) => {
                let reason = "this host is retired and cut off";
                Err(Some(refusal(RefusalCode::Revoked, reason)))
            }
            Work::CutOff(false) => {
                // The agent comes back and confirms again.
                self.cutting = false;
                if self.recv.is_none() {
                    Err(None)
                } else {
                    Ok(())
                }
            }
            Work::Renewed(Ok((certificate, credential))) => {
                self.renewing = false;
                self.spki = credential.spki;
                self.place.note_renewed(Arc::new(credential));
                self.say(CoordinatorMessage::Renewed(certificate)).await
            }
            Work::Renewed(Err(reason)) => {
                self.renewing = false;
                tracing::warn!(host = %self.host, reason, "renewal refused");
                self.say(CoordinatorMessage::RenewRefused { reason }).await
            }
            Work::Secrets(messages) => {
                for secrets in messages {
                    self.say(CoordinatorMessage::Secrets(secrets)).await?;
                }
                Ok(())
            }
        }
    }
}

async fn record<F: Fleet>(push: &Push<F>, host: HostId, outcome: Outcome) -> bool {
    let command = Command::RecordOutcome(RecordOutcome {
        host: host.clone(),
        outcome,
    });
    let recorded = commit(push, &host, "its outcome changed", command).await;
    match recorded {
        Ok(()) => {
            metrics::counter!(metric_names::OUTCOMES_RECORDED).increment(1);
            true
        }
        Err(reason) => {
            tracing::info!(%host, reason, "outcome not recorded");
            false
        }
    }
}

async fn commit<F: Fleet>(
    push: &Push<F>,
    host: &HostId,
    reason: &str,
    command: Command,
) -> Result<(), String> {
    let proposal = proposal(&push.fleet, format!("host {host}"), reason, command);
    match push.fleet.propose(proposal).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(rejection)) => Err(rejection.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Issues the next certificate. `shown` is the key of this connection, `current` the newest that
/// this session was given.
async fn renew<F: Fleet>(
    push: &Push<F>,
    host: &HostId,
    request: &[u8],
    shown: ContentHash,
    current: ContentHash,
) -> Result<(RenewedCertificate, Credential), String> {
    let request = Request::parse(request).map_err(|error| error.to_string())?;
    if request.spki() == shown {
        return Err("a renewal must bring a new key".to_owned());
    }
    let (record, too_often) = push.fleet.view(|state| {
        let too_often = enroll::renews_too_often(state, host, now());
        (state.cluster.clone(), too_often)
    });
    if too_often {
        return Err(enroll::TOO_OFTEN.to_owned());
    }
    let record = record.ok_or("the cluster does not exist yet")?;
    let authority = Authority::load(&record, &push.vault).map_err(|error| error.to_string())?;
    let term = Term::fresh(now(), push.certificate_life, &Entropy(&SystemRandom::new()));
    let command = Command::RenewCertificate(RenewCertificate {
        subject: CertificateSubject::Host(host.clone()),
        current_spki: current,
        spki: request.spki(),
        serial: term.serial,
        not_after: term.not_after,
    });
    commit(push, host, "renews at half life", command).await?;
    let term =
        enroll::current_term(push, host, &request).ok_or("the key was replaced meanwhile")?;
    let issued = authority
        .issue_host(&request, host, term)
        .map_err(|error| error.to_string())?;
    tracing::info!(%host, serial = %issued.serial, "certificate renewed");
    let leaf = issued.chain[0].as_slice().into();
    let credential = Credential::read(record.id, &leaf).map_err(|error| error.to_string())?;
    let renewed = RenewedCertificate {
        chain: issued.chain,
        serial: issued.serial,
        not_after: issued.not_after,
    };
    Ok((renewed, credential))
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::observed::{Convergence, StatusCounts};
    use email_engine_protocol::time::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_session_that_ends_while_it_proposes_does_not_silence_its_host() {
        let intake = Arc::new(Mutex::new(Intake::default()));
        let outcome = Outcome {
            accepted: None,
            running: None,
            last_good: None,
            attempted: None,
            convergence: Convergence::Converging,
            counts: StatusCounts::default(),
            changed_at: Timestamp(1),
        };
        let now = Instant::now();
        intake.lock().unwrap().offer(outcome.clone(), None);
        assert_eq!(intake.lock().unwrap().take(now), Some(outcome));
        assert_eq!(intake.lock().unwrap().due(now), None, "one at a time");
        let settling = Settling::new(&intake);
        let proposing = tokio::spawn(async move {
            let _settling = settling;
            std::future::pending::<()>().await;
        });
        proposing.abort();
        assert!(proposing.await.unwrap_err().is_cancelled());
        assert!(intake.lock().unwrap().due(now).is_some());
    }
}
