//! What is told of a customer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{AlertKind, Phase, Purpose};
use email_engine_protocol::id::TenantId;

use crate::alerts::rules::words::phase_word;
use crate::alerts::rules::{Line, Words};
use crate::fleet::selection::purpose_word;

/// Identities that are named; the others are counted.
const NAMED: usize = 20;

/// Something of a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantEvent {
    /// Which one.
    pub tenant: TenantId,
    /// What.
    pub what: OfTenant,
}

/// What is told of a customer. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfTenant {
    /// Identities reached their next phase. A whole pool does so in one minute, and is one alert.
    Advanced {
        /// On which day, in days since 1970-01-01.
        day: u32,
        /// How many.
        count: u32,
        /// The first of them, and where they are.
        named: BTreeMap<IpAddr, Phase>,
    },
    /// The breaker is open.
    BreakerOpen {
        /// Why.
        reason: Line,
        /// Mail for these purposes is paused.
        paused: Vec<Purpose>,
    },
}

impl OfTenant {
    /// One identity reached its next phase.
    #[must_use]
    pub fn advanced(day: u32, address: IpAddr, phase: Phase) -> Self {
        let named = [(address, phase)].into();
        let count = 1;
        Self::Advanced { day, count, named }
    }

    pub(super) const fn kind(&self) -> AlertKind {
        match self {
            Self::Advanced { .. } => AlertKind::WarmupAdvanced,
            Self::BreakerOpen { .. } => AlertKind::BreakerOpen,
        }
    }

    pub(super) fn cause(&self) -> Line {
        match self {
            Self::Advanced { day, .. } => day.to_string().into(),
            Self::BreakerOpen { .. } => Line::default(),
        }
    }

    pub(super) fn fold(&mut self, newer: Self) {
        match (&mut *self, newer) {
            (
                Self::Advanced { count, named, .. },
                Self::Advanced {
                    count: more,
                    named: others,
                    ..
                },
            ) => {
                *count = count.saturating_add(more);
                let room = NAMED.saturating_sub(named.len());
                named.extend(others.into_iter().take(room));
            }
            (own, newer) => *own = newer,
        }
    }
}

impl TenantEvent {
    pub(super) fn words(&self) -> Words {
        let tenant = &self.tenant;
        match &self.what {
            OfTenant::Advanced { count, named, .. } => {
                let one = |(address, phase): (&IpAddr, &Phase)| {
                    format!("{address}: now {}", phase_word(*phase))
                };
                let more = (*count as usize).saturating_sub(named.len());
                let title = match count {
                    1 => format!("{tenant}: 1 identity reached its next phase"),
                    _ => format!("{tenant}: {count} identities reached their next phase"),
                };
                Words::new(title)
                    .each(named.iter().map(one))
                    .maybe((more > 0).then(|| format!("and {more} more")))
            }
            OfTenant::BreakerOpen { reason, paused } => {
                let paused: Vec<_> = paused
                    .iter()
                    .map(|purpose| purpose_word(*purpose))
                    .collect();
                let words =
                    Words::new(format!("{tenant}: the breaker is open")).line(reason.to_string());
                let words = match paused.is_empty() {
                    true => words,
                    false => words.line(format!("Paused: {}.", paused.join(", "))),
                };
                words.line(format!(
                    "Action required: nothing is promoted until `email-engine breaker release --tenant {tenant} --why ...`."
                ))
            }
        }
    }
}
