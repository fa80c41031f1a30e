//! The receivers' rules as data.

use serde::Deserialize;

/// The shipped file.
const SHIPPED: &str = include_str!("../../../../deploy/receivers/bulk-senders.toml");

/// All rules, and as of when.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// When the sources were read.
    pub as_of: String,
    /// By receiver.
    pub receivers: Vec<Receiver>,
}

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// Of whom it asks it.
    pub applies: String,
    /// Since when it asks.
    pub since: String,
    /// Since when it refuses mail for it.
    pub refuses_since: String,
    /// Where it says so.
    pub source: String,
    /// What it asks.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it rests on.
    pub rests_on: RestsOn,
    /// For people.
    pub text: String,
    /// The least that is enough: bits of a key.
    #[serde(default)]
    pub least: Option<u32>,
    /// What it must stay below, in ten-thousandths.
    #[serde(default)]
    pub most: Option<u32>,
}

/// What a rule rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestsOn {
    /// The domains of From, envelope and signature.
    Alignment,
    /// What recipients report.
    Complaints,
    /// The key in DNS.
    Dkim,
    /// Its length.
    DkimBits,
    /// The policy in DNS.
    Dmarc,
    /// The name's address.
    Forward,
    /// Headers of marketing mail.
    OneClick,
    /// The address's name.
    Reverse,
    /// The record in DNS.
    Spf,
    /// How mail is sent.
    Tls,
}

/// The shipped rules.
///
/// # Panics
/// Never: a test reads them.
#[must_use]
pub fn rules() -> Rules {
    toml::from_str(SHIPPED).expect("the shipped rules are read by a test")
}
