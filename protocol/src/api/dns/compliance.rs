//! What the API says of receivers' rules.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::TenantId;
use crate::mail::DomainName;

/// Whether a rule is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComplianceState {
    /// It is.
    Met,
    /// It is not.
    NotMet,
    /// Nobody knows.
    Unknown,
}

/// One identity against the rules of receivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComplianceView {
    /// Its domain.
    pub domain: DomainName,
    /// Its address.
    pub address: IpAddr,
    /// Whose it is.
    pub tenant: TenantId,
    /// When the receivers' own pages were read for the rules.
    pub as_of: String,
    /// By receiver.
    pub receivers: Vec<ReceiverCompliance>,
}

/// One identity against the rules of one receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverCompliance {
    /// The receiver.
    pub receiver: String,
    /// Of whom it asks it.
    pub applies: String,
    /// Since when.
    pub since: String,
    /// Since when it refuses mail for it.
    pub refuses_since: String,
    /// Where it says so.
    pub source: String,
    /// All rules together.
    pub state: ComplianceState,
    /// Each of them.
    pub rules: Vec<RuleCompliance>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCompliance {
    /// What is asked.
    pub rule: String,
    /// Whether it is met.
    pub state: ComplianceState,
    /// What that rests on.
    pub evidence: String,
    /// What to do where it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<String>,
}
