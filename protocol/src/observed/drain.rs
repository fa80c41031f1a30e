//! What is left under a name that is to go.

use serde::{Deserialize, Serialize};

use super::Observed;

/// How far a name of a [`DrainSpec`](crate::desired::DrainSpec) is that is leaving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainStatus {
    /// The name.
    pub name: String,
    /// What it holds, and since when that is so.
    pub messages: Observed<u64>,
    /// It held nothing at two looks in a row, both of them while the content was in force in which
    /// it takes nothing new.
    pub is_over: bool,
}
