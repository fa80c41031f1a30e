//! `record-dns`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{Check, DnsPart, DnsVerdict, Statement, Verdict};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use super::PER_COMMAND;
use crate::command::Rejection;
use crate::command::RejectionCode::Invalid;
use crate::command::refuse::{TEXT_CHARS, at_most, cut, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::lifecycle::FRESH_MILLIS;
use crate::state::{DnsLook, FleetState, Life};

/// Longest text of a look, in characters.
const SEEN_CHARS: usize = 500;
/// Warnings of one record.
const WARNINGS: usize = 8;
/// Longest text to publish.
const REPLACE_CHARS: usize = 1_000;
/// Longest name of who looked.
const ACTOR_CHARS: usize = 120;

/// See [`Command::RecordDns`](crate::command::Command::RecordDns). It says what was looked for, so that it is
/// nobody's when that is another by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordDns {
    /// What was seen, by identity.
    pub seen: BTreeMap<IpAddr, SeenDns>,
}

/// What was seen of one identity's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenDns {
    /// The domain.
    pub domain: DomainName,
    /// The name in EHLO.
    pub hostname: DomainName,
    /// The selector that signs.
    pub selector: String,
    /// Hash of all that was wanted.
    pub wanted: ContentHash,
    /// When the look began: whoever asked later asked for another one.
    pub begun_at: Timestamp,
    /// What was seen.
    pub found: BTreeMap<DnsPart, DnsVerdict>,
}

impl Verb for RecordDns {
    fn name(&self) -> &'static str {
        "record-dns"
    }

    fn object(&self) -> String {
        let bad = self.seen.iter().filter(|(_, seen)| {
            let mut all = seen.found.values();
            all.any(|one| matches!(one, DnsVerdict::Invalid { .. }))
        });
        let bad: Vec<String> = bad.map(|(address, _)| address.to_string()).collect();
        match bad.len() {
            0 => format!("dns of {} ips", self.seen.len()),
            many => format!(
                "dns of {} ips, {many} with something invalid: {}",
                self.seen.len(),
                bad.join(", ")
            ),
        }
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("seen", self.seen.len(), PER_COMMAND)?;
        for (address, seen) in &self.seen {
            check(*address, seen)?;
        }
        let (by, now) = (cut(&turn.proposal.actor, ACTOR_CHARS), turn.now());
        let mut changed = false;
        for (address, seen) in &self.seen {
            let Some(identity) = state.identities.get(address) else {
                continue;
            };
            let spec = &identity.spec;
            let is_same = spec.domain == seen.domain
                && spec.hostname == seen.hostname
                && spec.selector == seen.selector;
            if !is_same {
                continue;
            }
            let mut row = (**identity).clone();
            // A clock that is ahead makes nothing younger than the fleet.
            let at = seen.begun_at.min(now);
            state_checks(&mut row.life, &seen.found, (&by, at, now));
            state.identities.insert(*address, Arc::new(row));
            let before = state.dns_looks.last.get(address);
            let same =
                before.filter(|before| before.wanted == seen.wanted && before.found == seen.found);
            let look = DnsLook {
                at,
                by: by.clone(),
                since: same.map_or(at, |before| before.since),
                domain: seen.domain.clone(),
                wanted: seen.wanted,
                found: seen.found.clone(),
            };
            state.dns_looks.last.insert(*address, Arc::new(look));
            changed = true;
        }
        for (address, seen) in &self.seen {
            let asked = &mut state.dns_looks.asked;
            if asked
                .get(address)
                .is_some_and(|asked_at| seen.begun_at >= *asked_at)
            {
                asked.remove(address);
            }
        }
        Ok(match changed {
            true => Change::DONE,
            false => Change::NONE,
        })
    }
}

/// What preflight asks is said by the look. Two words stand against it: that it could not see takes nothing
/// from what was seen, and what an operator said holds for its day.
fn state_checks(
    life: &mut Life,
    found: &BTreeMap<DnsPart, DnsVerdict>,
    (by, at, now): (&str, Timestamp, Timestamp),
) {
    for (part, verdict) in found {
        let check = match part {
            DnsPart::A => Check::A,
            DnsPart::Ptr => Check::Ptr,
            DnsPart::Spf => Check::Spf,
            DnsPart::Dkim => Check::Dkim,
            DnsPart::Dmarc => Check::Dmarc,
            DnsPart::Mx | DnsPart::NextDkim => continue,
        };
        let before = life.checks.get(&check);
        let fresh = before.filter(|said| now.since(said.at) <= FRESH_MILLIS);
        let is_blind = matches!(verdict, DnsVerdict::Unknown { .. });
        let stands = fresh.is_some_and(|said| {
            let by_operator = said.by.starts_with("key ");
            let says_something = !matches!(said.verdict, Verdict::Unknown { .. });
            says_something && (by_operator || is_blind)
        });
        if stands {
            continue;
        }
        let verdict = match verdict {
            DnsVerdict::Valid { .. } => Verdict::Valid,
            DnsVerdict::Invalid { seen, .. } => Verdict::Invalid {
                what: cut(seen, TEXT_CHARS),
            },
            DnsVerdict::Unknown { why } => Verdict::Unknown {
                why: cut(why, TEXT_CHARS),
            },
        };
        let by = by.to_owned();
        let said = Statement { verdict, by, at };
        life.checks.insert(check, said);
    }
}

fn check(address: IpAddr, seen: &SeenDns) -> Result<(), Rejection> {
    let field = format!("seen.{address}");
    let fits = |text: &str, most: usize| {
        !text.is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control)
    };
    let good = |verdict: &DnsVerdict| match verdict {
        DnsVerdict::Valid { warnings } => {
            warnings.len() <= WARNINGS && warnings.iter().all(|one| fits(one, SEEN_CHARS))
        }
        DnsVerdict::Invalid { seen, replace } => {
            let replace = replace.as_ref();
            fits(seen, SEEN_CHARS) && replace.is_none_or(|text| fits(text, REPLACE_CHARS))
        }
        DnsVerdict::Unknown { why } => fits(why, SEEN_CHARS),
    };
    if seen.found.values().all(good) {
        return Ok(());
    }
    let accepted = format!(
        "texts of 1 to {SEEN_CHARS} characters without control characters, {WARNINGS} warnings at most"
    );
    Err(refuse(Invalid, field, &seen.domain, accepted))
}
