//! All records of an identity.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::api::{DnsPart, DnsVerdict, RotationStage};

use super::answers::{Lacking, One};
use super::{Answers, Datum, Kind, Need, Question, address, dkim, dmarc, each, spf};
use crate::dns::wanted::reverse_name;
use crate::state::Identity;

/// A key, and where it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its selector.
    pub selector: String,
    /// Public half.
    pub public: String,
}

/// Whose records are looked at, and what they must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The address.
    pub address: IpAddr,
    /// The domain.
    pub domain: String,
    /// The name in EHLO.
    pub hostname: String,
    /// Local part of the envelope sender.
    pub local: String,
    /// Who takes its mail, where somebody shall.
    pub exchanger: Option<String>,
    /// The key that signs.
    pub key: Key,
    /// The key that a rotation leads to, until it signs.
    pub next: Option<Key>,
}

/// How far a judgement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// These questions come first.
    Lacking(BTreeSet<Need>),
    /// It is over.
    Done(BTreeMap<DnsPart, DnsVerdict>),
}

impl Subject {
    /// What must be seen of an identity, whose mail somebody takes or nobody.
    #[must_use]
    pub fn of(identity: &Identity, exchanger: Option<&str>) -> Self {
        let spec = &identity.spec;
        let rotation = identity.signing.rotation.as_ref();
        let comes = rotation
            .filter(|one| matches!(one.stage, RotationStage::Publish | RotationStage::Verified));
        Self {
            address: spec.address,
            domain: spec.domain.to_string(),
            hostname: spec.hostname.to_string(),
            local: spec.return_path.as_str().to_owned(),
            exchanger: exchanger.map(str::to_owned),
            key: Key {
                selector: spec.selector.clone(),
                public: identity.dkim_public.clone(),
            },
            next: comes.map(|rotation| Key {
                selector: rotation.other.selector.clone(),
                public: rotation.other.public.clone(),
            }),
        }
    }
}

/// Judges the answers, or names the questions whose answers are lacking.
#[must_use]
pub fn judge(subject: &Subject, answers: &Answers) -> Progress {
    let mut lacking = BTreeSet::new();
    let mut found = BTreeMap::new();
    for part in DnsPart::ALL {
        if part == DnsPart::NextDkim && subject.next.is_none() {
            continue;
        }
        if let Some(verdict) = one(part, subject, answers, &mut lacking) {
            found.insert(part, verdict);
        }
    }
    match lacking.is_empty() {
        true => Progress::Done(found),
        false => Progress::Lacking(lacking),
    }
}

fn one(
    part: DnsPart,
    subject: &Subject,
    answers: &Answers,
    lacking: &mut Lacking,
) -> Option<DnsVerdict> {
    let Subject {
        address,
        domain,
        hostname,
        ..
    } = subject;
    let own = |text: &str| Question::new(text, address::kind_of(*address));
    let key = |key: &Key| format!("{}._domainkey.{domain}", key.selector);
    match part {
        DnsPart::A => names(subject, lacking, |name, lacking| {
            told(answers, &own(name), lacking, |records, _| {
                Some(address::forward(records, name, *address))
            })
        }),
        DnsPart::Spf => names(subject, lacking, |name, lacking| {
            let question = Question::new(name, Kind::Txt);
            told(answers, &question, lacking, |records, lacking| {
                // A bounce has no sender but the name in EHLO (RFC 7208 section 2.4).
                let local = match name == domain {
                    true => subject.local.as_str(),
                    false => "postmaster",
                };
                let who = (name, local, hostname.as_str());
                let judged = spf::judge(records, who, *address, answers, lacking)?;
                Some(match judged {
                    One::Bad(seen, _) if name != domain => One::Bad(seen, None),
                    judged => judged,
                })
            })
        }),
        DnsPart::Mx => {
            let question = Question::new(domain, Kind::Mx);
            let wanted = subject.exchanger.as_deref();
            told(answers, &question, lacking, |records, _| {
                Some(address::exchangers(records, wanted))
            })
        }
        DnsPart::Ptr => {
            let question = Question::new(reverse_name(*address), Kind::Ptr);
            told(answers, &question, lacking, |records, lacking| {
                address::pointer(records, hostname, *address, answers, lacking)
            })
        }
        DnsPart::Dkim | DnsPart::NextDkim => {
            let wanted = match part {
                DnsPart::NextDkim => subject.next.as_ref()?,
                _ => &subject.key,
            };
            let question = Question::new(key(wanted), Kind::Txt);
            told(answers, &question, lacking, |records, _| {
                Some(dkim::judge(records, &wanted.public))
            })
        }
        DnsPart::Dmarc => {
            let question = Question::new(format!("_dmarc.{domain}"), Kind::Txt);
            told(answers, &question, lacking, |records, lacking| {
                dmarc::judge(records, domain, answers, lacking)
            })
        }
    }
}

fn told(
    answers: &Answers,
    question: &Question,
    lacking: &mut Lacking,
    mut judge: impl FnMut(&[Datum], &mut Lacking) -> Option<One>,
) -> Option<DnsVerdict> {
    let told = answers.all(question, lacking)?;
    each(told, lacking, |records, _, lacking| judge(records, lacking))
}

/// What is asked of the domain and of the name in EHLO, where that is another: the worse word counts.
fn names(
    subject: &Subject,
    lacking: &mut Lacking,
    mut judge: impl FnMut(&str, &mut Lacking) -> Option<DnsVerdict>,
) -> Option<DnsVerdict> {
    let first = judge(&subject.domain, lacking);
    if subject.hostname == subject.domain {
        return first;
    }
    let second = judge(&subject.hostname, lacking);
    let (first, second) = (first?, second?);
    let rank = |verdict: &DnsVerdict| match verdict {
        DnsVerdict::Valid { .. } => 0,
        DnsVerdict::Unknown { .. } => 1,
        DnsVerdict::Invalid { .. } => 2,
    };
    Some(match rank(&second) > rank(&first) {
        true => second,
        false => first,
    })
}
