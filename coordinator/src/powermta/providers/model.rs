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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// How sure the limits are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Confidence>,
    /// Where what is said here can be read, by short names that rules refer to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, String>,
    /// Domains of its mailboxes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Directives of its `<domain>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Why its MX hosts share no queue, where they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_rollup: Option<String>,
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
    /// The file that it comes from.
    #[serde(skip)]
    pub file: String,
    /// Its name, which no other rule has.
    pub id: String,
    /// What such a reply means.
    pub meaning: String,
    /// How sure the meaning is; what is not stated has a neutral action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
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

/// How sure something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Our own choice, on the careful side of what is known.
    Chosen,
    /// The receiver said so, of a system that it has replaced since.
    Historic,
    /// Others have seen it and agree on the meaning.
    Reported,
    /// The receiver says so, on its pages or in the reply's own words.
    Stated,
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

    /// Whether all hosts of a queue lie below one of its domains.
    pub(super) fn receives_at(&self, rollup: &Rollup) -> bool {
        let below = |mx: &String, domain: &String| {
            let rest = mx.strip_suffix(domain.trim_start_matches("[*.]").trim_start_matches("*."));
            rest.is_some_and(|rest| rest.ends_with('.'))
        };
        let own = |mx| self.domains.iter().any(|domain| below(mx, domain));
        rollup.mx.iter().all(own) && !self.is_everyone()
    }

    /// Says of it and of its rules where they come from.
    pub(super) fn name_file(&mut self, file: &str) {
        file.clone_into(&mut self.file);
        for reply in &mut self.replies {
            file.clone_into(&mut reply.file);
        }
    }

    /// Name of its list of replies.
    #[must_use]
    pub fn list(&self) -> String {
        format!("replies-{}", self.name.replace('_', "-"))
    }
}

impl Rollup {
    /// An MX that is a pattern, when nothing says where such a queue delivers to.
    #[must_use]
    pub fn dangling(&self) -> Option<&str> {
        let routed = self.hosts.is_some() || self.by_ip;
        let pattern = self.mx.iter().find(|mx| mx.contains('*'));
        pattern.filter(|_| !routed).map(String::as_str)
    }

    /// Whether the same MX may lead to this queue and to the other.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let covers = |pattern: &str, host: &str| match pattern.strip_prefix('*') {
            Some(end) => host.trim_start_matches('*').ends_with(end),
            None => pattern == host,
        };
        let meet = |a: &str, b: &str| covers(a, b) || covers(b, a);
        let mut own = self.mx.iter();
        self.queue == other.queue || own.any(|a| other.mx.iter().any(|b| meet(a, b)))
    }
}

impl Action {
    /// Whether it does no harm when the reply means something else: the queue is slowed down at most.
    #[must_use]
    pub fn is_neutral(&self) -> bool {
        match self {
            Self::Leave => true,
            Self::Take(text) => text == "mode=backoff",
        }
    }

    /// The actions, when there are some and they are known.
    #[must_use]
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

    /// The rules of a provider in the order in which they are written: its own, then everyone's, but
    /// for expressions that it has itself.
    pub fn rules<'c>(&'c self, provider: &'c Provider) -> impl Iterator<Item = &'c Reply> {
        let shared = self.everyone().filter(|_| !provider.is_everyone());
        let own = provider.replies.iter();
        let said = |rule: &&Reply| {
            provider
                .replies
                .iter()
                .any(|own| own.pattern == rule.pattern)
        };
        let behind = shared.into_iter().flat_map(|everyone| &everyone.replies);
        own.chain(behind.filter(move |rule| !said(rule)))
            .filter(|rule| rule.action != Action::Leave)
    }
}
