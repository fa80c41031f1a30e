//! What is told of a list that names addresses.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::AlertKind;
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::{Line, Words};

/// Something of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEvent {
    /// Which one, such as `zen.spamhaus.org`.
    pub list: Line,
    /// What.
    pub what: OfList,
}

/// What is told of a list. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfList {
    /// It names so many at once that it is more likely wrong than right.
    MassBrake {
        /// How many addresses.
        addresses: u32,
        /// Within how many hours.
        hours: u32,
    },
    /// What it says is not known.
    Unknown {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: Line,
    },
    /// It gives an answer whose meaning is not known.
    NewCode {
        /// The answer.
        code: Line,
        /// For whom: an address or a name.
        about: Line,
    },
}

impl OfList {
    pub(super) const fn kind(&self) -> AlertKind {
        match self {
            Self::MassBrake { .. } => AlertKind::MassBrake,
            Self::Unknown { .. } => AlertKind::ZoneUnknown,
            Self::NewCode { .. } => AlertKind::NewCode,
        }
    }

    pub(super) fn cause(&self) -> Line {
        match self {
            Self::NewCode { code, .. } => code.clone(),
            Self::MassBrake { .. } | Self::Unknown { .. } => Line::default(),
        }
    }
}

impl ListEvent {
    pub(super) fn words(&self) -> Words {
        let list = &self.list;
        match &self.what {
            OfList::MassBrake { addresses, hours } => {
                Words::new(format!("{list}: names {addresses} addresses within {hours} hours"))
                    .line("Nothing is taken out and nothing is promoted because of it.")
                    .line(format!("Action required: is the list right, or gone mad? `email-engine listings` shows what it says. It counts again when it takes that back, or by `email-engine failover believe {list} --why ...`."))
            }
            OfList::Unknown { since, why } => {
                Words::new(format!("{list}: what it says is not known since {since}"))
                    .line(why.to_string())
                    .line("Nothing counts as clean on it meanwhile, and nothing as listed.")
            }
            OfList::NewCode { code, about } => {
                Words::new(format!("{list}: gives an answer that is not known, {code}"))
                    .line(format!("Asked for {about}. It counts as unknown until its meaning is entered."))
            }
        }
    }
}
