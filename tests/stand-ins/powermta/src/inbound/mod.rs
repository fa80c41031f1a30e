//! Mail that reports on earlier mail: asynchronous bounces and complaints.

mod bounce;
mod feedback;
mod report;

use crate::clock;
use crate::config::Processor;
use crate::engine::{Engine, Submission};
use crate::spool::{Envelope, Recipient};

/// Reads a message for one recipient; says whether it ends here instead of being delivered.
pub(crate) fn is_consumed(engine: &Engine, envelope: &Envelope, index: usize, body: &[u8]) -> bool {
    let config = engine.config();
    let address = &envelope.recipients[index].address;
    let (bounces, complaints) = engine.processors;
    let wanted =
        |processor: &&Processor| processor.addresses.iter().any(|own| own.matches(address));
    if let Some(processor) = config
        .bounce_processor
        .as_ref()
        .filter(|_| bounces)
        .filter(wanted)
    {
        let records = bounce::records(engine, envelope, address, body, clock::now());
        engine.stats().bounces_processed += u64::from(!records.is_empty());
        let matched = !records.is_empty();
        records.iter().for_each(|record| engine.account(record));
        if matched || !complaints || config.feedback_processor.as_ref().filter(wanted).is_none() {
            return ends(engine, processor, matched, envelope, body);
        }
    }
    let feedback = config
        .feedback_processor
        .as_ref()
        .filter(|_| complaints)
        .filter(wanted);
    if let Some(processor) = feedback {
        let records = feedback::records(envelope, address, body, clock::now());
        engine.stats().feedback_processed += u64::from(!records.is_empty());
        let matched = !records.is_empty();
        records.iter().for_each(|record| engine.account(record));
        return ends(engine, processor, matched, envelope, body);
    }
    false
}

fn ends(
    engine: &Engine,
    processor: &Processor,
    matched: bool,
    envelope: &Envelope,
    body: &[u8],
) -> bool {
    let settings = &processor.settings;
    if matched {
        return !settings.flag("deliver-matched-email").unwrap_or(false);
    }
    for address in &processor.forward_unmatched {
        engine.forward(envelope, address, body);
    }
    !processor.forward_unmatched.is_empty()
        || !settings.flag("deliver-unmatched-email").unwrap_or(true)
}

impl Engine {
    /// A copy to another address, under the same sender; without the processors' eyes on it.
    fn forward(&self, envelope: &Envelope, address: &str, body: &[u8]) {
        let submission = Submission {
            orig: envelope.orig.clone(),
            env_id: String::new(),
            job_id: String::new(),
            chosen: None,
            recipients: vec![Recipient::new(address)],
            body: body.to_vec(),
            src_mta: envelope.src_mta.clone(),
            user: String::new(),
            suppress_dsn: true,
            addresses: None,
        };
        if let Some(engine) = self.own.upgrade() {
            tokio::spawn(async move {
                if let Err(error) = engine.submit(submission).await {
                    engine.log(&error.to_string());
                }
            });
        }
    }
}
