//! What holds a plan: too much at once, and keys with which mail was signed lately.

use std::collections::BTreeSet;

use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use super::record::Stands;
use crate::dns::wanted::holds;
use crate::fleet::rotation::published;
use crate::state::FleetState;

/// Records below which no share is taken of them.
const FEW: usize = 10;
/// Hundredths of what was made that may go, or may be missing, at once.
const SHARE: usize = 30;

/// Why a plan is not carried out unless an operator forces it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Guard {
    /// The zone lost much.
    #[error(
        "the server does not show {missing} of the {made} records that the fleet made: is it the right server, \
         and has it its whole zone?"
    )]
    Missing {
        /// What is not there.
        missing: usize,
        /// What should be.
        made: usize,
    },
    /// Much would go.
    #[error(
        "{gone} of the {made} records that the fleet made would go or change, more than {SHARE} %"
    )]
    Share {
        /// What would go.
        gone: usize,
        /// What there is.
        made: usize,
    },
}

impl Guard {
    /// Judges a plan by what it would take away and by what is missing already.
    #[must_use]
    pub const fn of(gone: usize, missing: usize, made: usize) -> Option<Self> {
        let is_all = made > 0 && missing == made;
        if is_all || is_much(missing, made) {
            return Some(Self::Missing { missing, made });
        }
        if is_much(gone, made) {
            return Some(Self::Share { gone, made });
        }
        None
    }
}

const fn is_much(part: usize, made: usize) -> bool {
    made >= FEW && part * 100 > made * SHARE
}

/// The record of a key: its name, and the key in it.
pub type KeyRecord = (String, String);

/// Keys with which mail was signed that may still be judged: of who signs, of what drains, of what is gone for
/// less than its days. It is told from the rows of who has them and not from what is wanted, so that a wish
/// which is wrong takes no key away. A key that was given up by emergency is not among them.
#[must_use]
pub fn living_keys(state: &FleetState, zone: &DomainName, now: Timestamp) -> BTreeSet<KeyRecord> {
    let name = |selector: &str, domain: &DomainName| format!("{selector}._domainkey.{domain}");
    let living = state.identities.values().map(|identity| &**identity);
    let leaving = state.leaving.values().map(|leaving| &leaving.identity);
    let mut keys = BTreeSet::new();
    for identity in living.chain(leaving) {
        let domain = &identity.spec.domain;
        if !holds(zone, domain.as_str()) {
            continue;
        }
        for one in published(identity) {
            keys.extend(
                one.key
                    .map(|key| (name(one.selector, domain), key.to_owned())),
            );
        }
    }
    let departed = state.departed.iter().filter(|((until, _), _)| *until > now);
    let departed = departed.filter(|(_, departed)| holds(zone, departed.spec.domain.as_str()));
    keys.extend(departed.map(|(_, departed)| {
        let spec = &departed.spec;
        (
            name(&spec.selector, &spec.domain),
            departed.dkim_public.clone(),
        )
    }));
    keys
}

/// The key in a record, if it is the record of one that is not withdrawn.
pub(super) fn key_in(name: &str, stands: &Stands) -> Option<String> {
    if !name.contains("._domainkey.") {
        return None;
    }
    let text = stands.whole()?;
    let mut tags = text.split(';');
    let key = tags.find_map(|tag| tag.trim().strip_prefix("p="))?;
    (!key.trim().is_empty()).then(|| key.trim().to_owned())
}
