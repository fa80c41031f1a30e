//! What stands in the way of a promotion.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::ListId;

use super::budget::Spent;
use crate::alerts::rules::Line;

/// Why nobody is promoted now. Ordered as it is looked at. Part of the log: append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obstacle {
    /// An operator lets nobody be promoted.
    Frozen,
    /// The tenant's breaker is open.
    Breaker,
    /// The list names too many at once.
    Braked(ListId),
    /// A domain list names a domain of the tenant's.
    Domain {
        /// Which.
        name: Line,
        /// On which list.
        list: ListId,
    },
    /// A budget is spent.
    Spent(Spent),
    /// Nobody of the tenant's is on the bench or in reserve.
    Nobody,
    /// Those who are cannot be promoted.
    Unfit(BTreeMap<IpAddr, Line>),
}

impl Obstacle {
    /// Most that are named of those that do not fit.
    pub const NAMED: usize = 16;

    /// Whether people know as much when they know of the other.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Spent(one), Self::Spent(other)) => one.is_tenants() == other.is_tenants(),
            (Self::Unfit(_), Self::Unfit(_)) | (Self::Domain { .. }, Self::Domain { .. }) => true,
            (one, other) => one == other,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frozen => f.write_str("promotions are frozen by an operator"),
            Self::Breaker => f.write_str("the tenant's breaker is open"),
            Self::Braked(list) => write!(f, "{list} names too many at once"),
            Self::Domain { name, list } => {
                write!(
                    f,
                    "its domain {name} is on {list}, another address would carry it on"
                )
            }
            Self::Spent(spent) => spent.fmt(f),
            Self::Nobody => f.write_str("nobody is on the bench or in reserve"),
            Self::Unfit(unfit) => {
                for (at, (address, why)) in unfit.iter().enumerate() {
                    let separator = if at == 0 { "" } else { "; " };
                    write!(f, "{separator}{address}: {why}")?;
                }
                Ok(())
            }
        }
    }
}
