//! Makes what a role file has thrown away: one for each identity at which mail waited for too long.

use std::collections::BTreeSet;

use email_engine_protocol::api::IpStatus;
use email_engine_protocol::desired::{DiscardSpec, Listing};
use serde::Deserialize;

use super::super::build::Build;
use super::super::error::BundleFault;
use super::super::role::CheckEntry;
use super::suspension::Making;

/// What waits and shall never leave: written down, then thrown away.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::planner) struct DiscardEntry {
    /// A template, so that it can name its identity.
    name: String,
    /// Whether anything is there.
    is_any: ListingEntry,
    /// All that is there.
    all: ListingEntry,
    /// As many entries are not surely all.
    most: u32,
    discard: CheckEntry,
}

/// A command that answers in JSON, with a list in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListingEntry {
    program: String,
    /// Templates.
    #[serde(default)]
    arguments: Vec<String>,
    timeout_seconds: u32,
    /// A JSON pointer.
    list: String,
}

/// Templates among the texts of these entries, each once.
pub(in crate::planner) fn texts(entries: &[DiscardEntry]) -> impl Iterator<Item = &str> {
    let mut texts: BTreeSet<&str> = BTreeSet::new();
    for entry in entries {
        texts.insert(&entry.name);
        let listed = [&entry.is_any.arguments, &entry.all.arguments];
        let all = listed.into_iter().chain([&entry.discard.arguments]);
        texts.extend(all.flatten().map(String::as_str));
    }
    texts.into_iter()
}

/// Those of a host, by name. An identity that left and drains in quarantine still is one of them.
pub(in crate::planner) fn specs(
    build: &Build<'_>,
) -> Result<Vec<(String, DiscardSpec)>, BundleFault> {
    let mut made = Vec::new();
    for entry in &build.role.discards {
        for item in build.values.identities.iter().chain(&build.values.leaving) {
            // Where it may send again, what is in its queue may go.
            let out = item.status == Some(IpStatus::Quarantine);
            let Some(since) = item.expired_at.filter(|_| out) else {
                continue;
            };
            let making = Making::of(build, item);
            let listing = |entry: &ListingEntry| {
                Ok(Listing {
                    command: making.command(&entry.program, &entry.arguments)?,
                    seconds: entry.timeout_seconds,
                    list: entry.list.clone(),
                })
            };
            let spec = DiscardSpec {
                since,
                is_any: listing(&entry.is_any)?,
                all: listing(&entry.all)?,
                most: entry.most,
                discard: making.check(&entry.discard)?,
            };
            made.push((making.text(&entry.name)?, spec));
        }
    }
    Ok(made)
}
