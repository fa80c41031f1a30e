//! From a submission to recipients in queues.

use std::net::IpAddr;
use std::sync::Arc;

use super::state::{Engine, locked};
use crate::accounting::Record;
use crate::clock;
use crate::config::Config;
use crate::spool::{Envelope, NO_VMTA, Recipient, SpoolError, domain_of};

/// A message as a session hands it over.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) orig: String,
    pub(crate) env_id: String,
    pub(crate) job_id: String,
    /// A virtual MTA, a pool, or nothing.
    pub(crate) chosen: Option<String>,
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) body: Vec<u8>,
    pub(crate) src_mta: String,
    pub(crate) user: String,
    pub(crate) suppress_dsn: bool,
    pub(crate) addresses: Option<(IpAddr, IpAddr)>,
}

/// Aliases apply once the virtual MTA is chosen, and before there is a queue; what they lead to is no
/// alias again.
fn forwarded(config: &Config, recipients: Vec<Recipient>) -> Vec<Recipient> {
    let mut all: Vec<Recipient> = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let Some(alias) = config.alias_of(&recipient.address) else {
            all.push(recipient);
            continue;
        };
        for target in &alias.targets {
            if !all.iter().any(|known| known.address == *target) {
                all.push(Recipient {
                    orcpt: recipient.orcpt.clone(),
                    never_notify: recipient.never_notify,
                    ..Recipient::new(target)
                });
            }
        }
    }
    all
}

impl Engine {
    /// Returns once the message is safe; `250` may be said then.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        submission: Submission,
    ) -> Result<u64, SpoolError> {
        let config = self.config();
        let now = clock::now();
        let (vmta, pool) = self.member(&config, submission.chosen.as_deref());
        let mut envelope = Envelope {
            id: self.next_id(),
            orig: submission.orig,
            env_id: submission.env_id,
            job_id: submission.job_id,
            vmta,
            pool,
            size: submission.body.len(),
            queued_at: now,
            src_mta: submission.src_mta,
            user: submission.user,
            suppress_dsn: submission.suppress_dsn,
            recipients: forwarded(&config, submission.recipients),
        };
        for recipient in &mut envelope.recipients {
            recipient.queue = self
                .queue_of(&config, &envelope.vmta, &recipient.address)
                .await;
        }
        tokio::task::block_in_place(|| self.store.accept(&envelope, &submission.body))?;
        self.receipts(&envelope, &submission.body, submission.addresses, now);
        let bytes = envelope.size as u64;
        self.stats()
            .inward
            .add(now, envelope.recipients.len() as u64, bytes);
        let id = envelope.id;
        self.inspect(&mut envelope, &submission.body);
        self.queues().enqueue(&config, &Arc::new(envelope), now);
        self.work.notify_one();
        Ok(id)
    }

    /// Pools are plain round robin, at reception.
    fn member(&self, config: &Config, chosen: Option<&str>) -> (String, String) {
        let Some(chosen) = chosen.filter(|name| !name.is_empty()) else {
            return (NO_VMTA.to_owned(), String::new());
        };
        let key = chosen.to_lowercase();
        let Some(pool) = config
            .pools
            .get(&key)
            .filter(|pool| !pool.members.is_empty())
        else {
            let name = config
                .virtual_mtas
                .get(&key)
                .map_or(chosen, |vmta| &vmta.name);
            return (name.to_owned(), String::new());
        };
        let mut cursors = locked(&self.pool_cursors);
        let cursor = cursors.entry(key).or_default();
        let member = &pool.members[*cursor % pool.members.len()];
        *cursor += 1;
        (member.clone(), pool.name.clone())
    }

    /// The domain of the queue: the recipient's, unless `queue-to` or a rollup says another.
    async fn queue_of(&self, config: &Config, vmta: &str, address: &str) -> String {
        let domain = domain_of(address);
        let settings = config.domain_settings(&domain, vmta);
        let to = settings.text("queue-to");
        if !to.is_empty() {
            return to.to_lowercase();
        }
        if config.rollups.is_empty() || settings.flag("disable-mx-rollup") {
            return domain;
        }
        let rolled = self.resolver().rollup(&config.rollups, &domain).await;
        rolled.unwrap_or(domain)
    }

    fn receipts(&self, envelope: &Envelope, body: &[u8], from: Option<(IpAddr, IpAddr)>, now: i64) {
        let (client, own) = from.map_or_else(Default::default, |(client, own)| {
            (client.to_string(), own.to_string())
        });
        // Where a pool was chosen, its name stands for the virtual MTA.
        let vmta = if envelope.pool.is_empty() {
            envelope.vmta_or_empty()
        } else {
            &envelope.pool
        };
        for recipient in &envelope.recipients {
            let mut record = Record::new("r", now)
                .with("orig", &envelope.orig)
                .with("rcpt", &recipient.address)
                .with("orcpt", &recipient.orcpt)
                .with("srcType", "smtp")
                .with("srcMta", &envelope.src_mta)
                .with("rcvSourceIp", &client)
                .with("rcvDestinationIp", &own)
                .with("vmta", vmta)
                .with("vmtaPool", &envelope.pool)
                .with("jobId", &envelope.job_id)
                .with("envId", &envelope.env_id)
                .with("rcvSmtpUser", &envelope.user);
            record.message = body.to_vec();
            self.account(&record);
        }
    }

    /// Reports on earlier mail are read before they are queued; what was read may end here.
    fn inspect(&self, envelope: &mut Envelope, body: &[u8]) {
        let mut changed = false;
        for index in 0..envelope.recipients.len() {
            if crate::inbound::is_consumed(self, envelope, index, body) {
                envelope.recipients[index].done = true;
                changed = true;
            }
        }
        if changed && let Err(error) = self.store.note(envelope.id, &envelope.recipients) {
            self.log(&error.to_string());
        }
    }
}
