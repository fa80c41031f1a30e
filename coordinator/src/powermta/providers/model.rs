//! What a catalogue holds.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::schema::value::{Actions, parse_actions};

/// Name of the provider that stands for all receivers.
pub const EVERYONE: &str = "everyone";

/// The product's own categories of bounces. `MailWizz` goes by these names.
pub const CATEGORIES: [&str; 17] = [
    "bad-configuration",
    "bad-connection",
    "bad-domain",
    "bad-mailbox",
    "content-related",
    "inactive-mailbox",
    "invalid-sender",
    "message-expired",
    "no-answer-from-host",
    "other",
    "policy-related",
    "protocol-errors",
    "quota-issues",
    "relaying-issues",
    "routing-errors",
    "spam-related",
    "virus-related",
];

/// All that is known of receivers. The empty one is rendered as nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Receivers, in order of name.
    pub providers: Vec<Provider>,
    /// Categories of bounces, in the order in which they are tried.
    pub categories: Vec<Category>,
    /// Directives outside of sections that an operator's base sets.
    pub global: BTreeMap<String, String>,
    /// Spools of an operator's base; the product's own place, when there is none.
    pub spools: Vec<Spool>,
}

/// One receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Provider {
    /// The file that it comes from.
    #[serde(skip)]
    pub file: String,
    /// Name of its macro and of its list of replies.
    pub name: String,
    /// As people call it.
    pub title: String,
    /// When somebody last compared this with what it says; `YYYY-MM-DD`.
    pub checked: String,
    /// Where what is said here can be read, by short names that rules refer to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, String>,
    /// Domains of its mailboxes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Directives of its `<domain>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Queues that its MX hosts share.
    #[serde(default, rename = "rollup", skip_serializing_if = "Vec::is_empty")]
    pub rollups: Vec<Rollup>,
    /// Rules for what it replies, in the order in which they are tried.
    #[serde(default, rename = "reply", skip_serializing_if = "Vec::is_empty")]
    pub replies: Vec<Reply>,
}

/// One queue for all domains with the same MX hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rollup {
    /// Name of the queue; ends in `.rollup`.
    pub queue: String,
    /// The MX hosts. All of them must be the best ones that a domain names.
    pub mx: Vec<String>,
    /// Where the queue delivers to, as `smtp-hosts` takes it; needed when an MX is a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<String>,
    /// Rolled up by the address of the MX.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_ip: bool,
}

/// A rule for a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reply {
    /// Its name, which no other rule has.
    pub id: String,
    /// What such a reply means.
    pub meaning: String,
    /// What is done.
    pub action: Action,
    /// The expression: as PCRE reads it, whatever the case of letters.
    pub pattern: String,
    /// Short name of the source.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Replies that the rule must take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
    /// Replies that look alike and that the rule must not take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<String>,
}

/// What is done on a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: the queue's own retries are right. Not written; says that no rule may take it.
    Leave,
    /// The product's actions, as it writes them.
    Take(String),
}

/// A category of bounces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Category {
    /// The file that it comes from.
    #[serde(skip)]
    pub file: String,
    /// One of [`CATEGORIES`].
    pub name: String,
    /// Expressions over `STATUS;DIAGNOSTIC`. The empty one takes everything.
    pub patterns: Vec<String>,
    /// Bounces that it must take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
}

/// A folder in which mail waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Spool {
    /// The folder.
    pub path: String,
    /// Directives of the section.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl Provider {
    /// Whether it stands for all receivers.
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        self.name == EVERYONE
    }

    /// Name of its list of replies.
    #[must_use]
    pub fn list(&self) -> String {
        format!("replies-{}", self.name.replace('_', "-"))
    }
}

impl Action {
    /// The actions, when there are some and they are known.
    pub(super) fn parsed(&self) -> Option<Actions> {
        match self {
            Self::Leave => None,
            Self::Take(text) => parse_actions(text),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leave => "leave",
            Self::Take(text) => text,
        })
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "leave" => Self::Leave,
            _ => Self::Take(text),
        })
    }
}

impl Catalogue {
    /// The provider that stands for all receivers.
    #[must_use]
    pub fn everyone(&self) -> Option<&Provider> {
        self.providers
            .iter()
            .find(|provider| provider.is_everyone())
    }

    /// The other providers.
    pub fn special(&self) -> impl Iterator<Item = &Provider> {
        self.providers
            .iter()
            .filter(|provider| !provider.is_everyone())
    }

    /// The rules of a provider in the order in which they are written: its own, then everyone's.
    pub fn rules<'c>(&'c self, provider: &'c Provider) -> impl Iterator<Item = &'c Reply> {
        let shared = self.everyone().filter(|_| !provider.is_everyone());
        let own = provider.replies.iter();
        own.chain(shared.into_iter().flat_map(|everyone| &everyone.replies))
            .filter(|rule| rule.action != Action::Leave)
    }
}
