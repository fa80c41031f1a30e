//! What is told of a customer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{AlertKind, Phase, Purpose};
use email_engine_protocol::id::{HostId, TenantId};
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::words::phase_word;
use crate::alerts::rules::{Line, Words};
use crate::fleet::selection::purpose_word;
use crate::state::{HeldCampaign, HeldCampaigns};

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
    /// Campaigns stand still.
    CampaignsHeld {
        /// On which host.
        host: HostId,
        /// Since when.
        since: Timestamp,
        /// The first of them, each with the servers that it has.
        named: Vec<Line>,
        /// How many more.
        more: u32,
        /// Who comes in the place of their servers.
        outlook: Vec<Line>,
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

    /// Campaigns began to stand still.
    #[must_use]
    pub fn held(
        host: &HostId,
        since: Timestamp,
        campaigns: &[&HeldCampaign],
        more: u32,
        outlook: Vec<Line>,
    ) -> Self {
        let named = campaigns.iter().take(NAMED);
        let named = named.map(|one| Line::new(format!("{} has {}", one.label(), one.servers)));
        let left = campaigns.len().saturating_sub(NAMED);
        Self::CampaignsHeld {
            host: host.clone(),
            since,
            named: named.collect(),
            more: more.saturating_add(u32::try_from(left).unwrap_or(u32::MAX)),
            outlook,
        }
    }

    pub(super) const fn kind(&self) -> AlertKind {
        match self {
            Self::CampaignsHeld { .. } => AlertKind::CampaignsHeld,
            Self::Advanced { .. } => AlertKind::WarmupAdvanced,
            Self::BreakerOpen { .. } => AlertKind::BreakerOpen,
        }
    }

    pub(super) fn cause(&self) -> Line {
        match self {
            Self::Advanced { day, .. } => day.to_string().into(),
            Self::BreakerOpen { .. } => Line::default(),
            Self::CampaignsHeld { host, since, .. } => HeldCampaigns::cause(host, *since),
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
            OfTenant::CampaignsHeld {
                host,
                named,
                more,
                outlook,
                ..
            } => {
                let all = named.len() + *more as usize;
                let title = match all {
                    1 => format!("{tenant}: 1 campaign stands still on {host}"),
                    _ => format!("{tenant}: {all} campaigns stand still on {host}"),
                };
                let shown = !named.is_empty();
                Words::new(title)
                    .each(named.iter().map(ToString::to_string))
                    .maybe((shown && *more > 0).then(|| format!("and {more} more")))
                    .maybe((!shown).then(|| "beside those that were told of before".to_owned()))
                    .each(outlook.iter().map(ToString::to_string))
                    .line(
                        "They go on by themselves when one of their servers takes mail again, or another \
                         that is given to them in MailWizz.",
                    )
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
