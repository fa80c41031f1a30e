//! One identity against all rules.

use std::collections::BTreeMap;

use email_engine_protocol::api::{
    ComplianceState, ComplianceView, DnsPart, DnsVerdict, Purpose, ReceiverCompliance,
    RuleCompliance,
};

use super::{Receiver, RestsOn, Rule, Rules};
use crate::dns::due::lines;
use crate::dns::wanted::Wanted;
use crate::state::{DnsLook, Identity};

/// Holds an identity against rules. `look` is a look at what is wanted now.
#[must_use]
pub fn compliance(
    rules: &Rules,
    identity: &Identity,
    wanted: &[Wanted],
    look: Option<&DnsLook>,
) -> ComplianceView {
    let known = Known {
        identity,
        wanted,
        found: look.map(|look| &look.found),
    };
    let receivers = rules.receivers.iter().map(|one| receiver(one, &known));
    ComplianceView {
        domain: identity.spec.domain.clone(),
        address: identity.spec.address,
        tenant: identity.spec.tenant.clone(),
        as_of: rules.as_of.clone(),
        receivers: receivers.collect(),
    }
}

fn receiver(receiver: &Receiver, known: &Known<'_>) -> ReceiverCompliance {
    let rules: Vec<RuleCompliance> = receiver
        .rules
        .iter()
        .map(|rule| known.judge(rule))
        .collect();
    let has = |state| rules.iter().any(|rule| rule.state == state);
    // One that is broken is enough; what nobody knows leaves it open.
    let state = if has(ComplianceState::NotMet) {
        ComplianceState::NotMet
    } else if has(ComplianceState::Unknown) {
        ComplianceState::Unknown
    } else {
        ComplianceState::Met
    };
    ReceiverCompliance {
        receiver: receiver.name.clone(),
        applies: receiver.applies.clone(),
        since: receiver.since.clone(),
        refuses_since: receiver.refuses_since.clone(),
        source: receiver.source.clone(),
        state,
        rules,
    }
}

/// What is known of an identity.
struct Known<'a> {
    identity: &'a Identity,
    wanted: &'a [Wanted],
    found: Option<&'a BTreeMap<DnsPart, DnsVerdict>>,
}

/// A state, what it rests on, and what to do.
type Found = (ComplianceState, String, Vec<String>);

impl Known<'_> {
    fn judge(&self, rule: &Rule) -> RuleCompliance {
        let (state, evidence, fix) = match rule.rests_on {
            RestsOn::Spf => self.seen(DnsPart::Spf),
            RestsOn::Dkim => self.seen(DnsPart::Dkim),
            RestsOn::Dmarc => self.seen(DnsPart::Dmarc),
            RestsOn::Forward => self.seen(DnsPart::A),
            RestsOn::Reverse => self.seen(DnsPart::Ptr),
            RestsOn::DkimBits => self.bits(rule.least.unwrap_or_default()),
            RestsOn::Alignment => self.alignment(),
            RestsOn::Complaints => self.complaints(rule.most.unwrap_or_default()),
            RestsOn::OneClick => self.one_click(),
            RestsOn::Tls => known(
                "its host's configuration says `use-starttls yes`: TLS wherever the receiver offers it",
            ),
        };
        RuleCompliance {
            rule: rule.text.clone(),
            state,
            evidence,
            fix,
        }
    }

    fn seen(&self, part: DnsPart) -> Found {
        let name = part.as_str();
        let ask = format!(
            "email-engine dns check --domain {}",
            self.identity.spec.domain
        );
        let Some(verdict) = self.found.and_then(|found| found.get(&part)) else {
            return open("nobody has looked at what is wanted now", vec![ask]);
        };
        match verdict {
            DnsVerdict::Valid { warnings } if warnings.is_empty() => known(&format!(
                "{name} was seen valid on every server of its zone"
            )),
            DnsVerdict::Valid { warnings } => known(&format!(
                "{name} was seen valid on every server of its zone; {}",
                warnings.join("; ")
            )),
            DnsVerdict::Invalid { seen, .. } => {
                let domain = self.identity.spec.domain.as_str();
                let lines = lines(self.wanted, part, domain, verdict);
                let fix = lines.into_iter().map(|line| format!("publish: {line}"));
                (ComplianceState::NotMet, seen.clone(), fix.collect())
            }
            DnsVerdict::Unknown { why } => open(why, vec![ask]),
        }
    }

    fn bits(&self, least: u32) -> Found {
        let Some(bits) = rsa_bits(&self.identity.dkim_public) else {
            return open("its public key is not one of RSA's", Vec::new());
        };
        let evidence = format!("its key has {bits} bits");
        if bits >= least {
            return known(&evidence);
        }
        let rotate = format!("email-engine dkim rotate {}", self.identity.spec.address);
        (ComplianceState::NotMet, evidence, vec![rotate])
    }

    /// It follows from what an identity is: one domain for all three.
    fn alignment(&self) -> Found {
        let spec = &self.identity.spec;
        known(&format!(
            "From {}, envelope {}, d={}: the same domain, also for adkim=s and aspf=s",
            spec.sender_address(),
            spec.return_address(),
            spec.domain
        ))
    }

    fn complaints(&self, most: u32) -> Found {
        let enrol =
            "look at the receiver's own pages; enrol its feedback loop where it has one".to_owned();
        let Some(rate) = &self.identity.warmup.rates.complaints else {
            return open(
                "no feedback loop is enrolled: complaints are not measured",
                vec![enrol],
            );
        };
        let evidence = format!(
            "{} complaints of {} delivered, over all receivers with a feedback loop",
            rate.events, rate.of
        );
        if !rate.measured {
            return open(&format!("{evidence}: too few to judge"), vec![enrol]);
        }
        if rate.is_above(most.saturating_sub(1)) {
            let fix = "mail fewer people, and only those who asked for it; `email-engine stats` shows where";
            return (ComplianceState::NotMet, evidence, vec![fix.to_owned()]);
        }
        known(&evidence)
    }

    fn one_click(&self) -> Found {
        match self.identity.spec.purpose {
            Purpose::Marketing | Purpose::Newsletter => open(
                "no message was looked at",
                vec![
                    "send one to a mailbox of yours: List-Unsubscribe with https and List-Unsubscribe-Post must be \
                     there, and in h= of its DKIM signature"
                        .to_owned(),
                ],
            ),
            Purpose::Autoresponder | Purpose::Notification | Purpose::Transactional => {
                known("its purpose is not marketing")
            }
        }
    }
}

fn known(evidence: &str) -> Found {
    (ComplianceState::Met, evidence.to_owned(), Vec::new())
}

fn open(why: &str, fix: Vec<String>) -> Found {
    (ComplianceState::Unknown, why.to_owned(), fix)
}

/// Bits of the modulus of an RSA key, as DNS has it: base64 of a SubjectPublicKeyInfo.
fn rsa_bits(public: &str) -> Option<u32> {
    use x509_parser::prelude::FromDer as _;
    use x509_parser::public_key::PublicKey;
    let der = data_encoding::BASE64.decode(public.as_bytes()).ok()?;
    let (_, info) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&der).ok()?;
    match info.parsed().ok()? {
        PublicKey::RSA(key) => u32::try_from(key.key_size()).ok(),
        _ => None,
    }
}
