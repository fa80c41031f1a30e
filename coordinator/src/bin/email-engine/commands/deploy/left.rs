//! What a run leaves for a person. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use email_engine_protocol::api::DomainView;
use email_engine_protocol::id::{ArtifactName, HostId};
use serde::Serialize;

use super::needs::license::Caution;
use super::needs::listed;
use super::records;

/// Most lines that are shown of one kind; the document has them all.
const SHOWN: usize = 20;

/// What something that is left is about, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// A host that is not what it shall be.
    Host,
    /// A file that nobody has given, or that may not do.
    Artifact,
    /// What the role of a host leaves to a person, in its own words.
    Role,
    /// The name of an address, at its provider.
    ReverseName,
    /// Records in the zones of domains.
    Records,
}

impl Kind {
    const fn title(self) -> &'static str {
        match self {
            Self::Host => "Hosts that are not what they shall be",
            Self::Artifact => "Artifacts that are not there, or may not do",
            Self::Role => "What roles leave to you",
            Self::ReverseName => "Names of addresses (PTR), at their providers",
            Self::Records => "DNS records",
        }
    }
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Left {
    pub(super) kind: Kind,
    /// A host, an artifact or an address.
    pub(super) about: String,
    /// What is so, and what to do.
    pub(super) what: String,
}

/// What there is to know at the end.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// Hosts that did not get through, and why.
    pub(super) trouble: &'a BTreeMap<HostId, String>,
    /// Names that hosts go without.
    pub(super) missing: &'a BTreeMap<ArtifactName, Vec<HostId>>,
    /// What should be known of files that were given.
    pub(super) cautions: &'a [Caution],
    /// What the plan of each host says.
    pub(super) notes: &'a BTreeMap<HostId, Vec<String>>,
    pub(super) domains: &'a [DomainView],
    /// Where the records were written to.
    pub(super) records: &'a str,
}

impl Known<'_> {
    pub(super) fn left(&self) -> Vec<Left> {
        let mut left = Vec::new();
        let mut add = |kind, about: String, what: String| left.push(Left { kind, about, what });
        for (host, why) in self.trouble {
            let word = word_for(host, why).unwrap_or_default();
            add(Kind::Host, host.to_string(), format!("{why}{word}"));
        }
        for (name, hosts) in self.missing {
            let what = format!(
                "{} goes without; `email-engine artifact put FILE --use {name}` brings it",
                listed(hosts)
            );
            add(Kind::Artifact, name.to_string(), what);
        }
        for caution in self.cautions {
            add(
                Kind::Artifact,
                caution.about.to_string(),
                caution.what.clone(),
            );
        }
        // The same words of many hosts are read once.
        let mut by_note: BTreeMap<&String, Vec<&HostId>> = BTreeMap::new();
        for (host, notes) in self.notes {
            for note in notes {
                by_note.entry(note).or_default().push(host);
            }
        }
        for (note, hosts) in by_note {
            add(Kind::Role, listed(&hosts), note.clone());
        }
        for (address, name) in records::reverse_names(self.domains) {
            add(Kind::ReverseName, address, name);
        }
        let records = self.domains.iter().map(|view| view.records.len());
        let count: usize = records.sum();
        if count > 0 {
            let zones: BTreeSet<String> = self
                .domains
                .iter()
                .map(|view| view.ip.zone.to_string())
                .collect();
            let zones: Vec<String> = zones.into_iter().collect();
            let what = format!("publish the {count} of {}", self.records);
            add(Kind::Records, listed(&zones), what);
        }
        left.sort();
        left
    }
}

/// The command by which a person says the word that a host waits for.
fn word_for(host: &HostId, why: &str) -> Option<String> {
    let verb = ["allow-restart", "allow-removal"]
        .into_iter()
        .find(|verb| {
            // What the agent says of the one names no command.
            let said = verb.replace("allow-restart", "allow a restart");
            why.contains(&said)
        })?;
    Some(format!(
        "; the word for it: `email-engine hosts {verb} {host}`"
    ))
}

/// For people, by kind.
pub(super) fn render(left: &[Left]) -> String {
    if left.is_empty() {
        return "Nothing is left to do.".to_owned();
    }
    let mut shown = "Left for you:".to_owned();
    let kinds: BTreeSet<Kind> = left.iter().map(|one| one.kind).collect();
    for kind in kinds {
        let of_kind: Vec<&Left> = left.iter().filter(|one| one.kind == kind).collect();
        let _ = write!(shown, "\n  {}", kind.title());
        for Left { about, what, .. } in of_kind.iter().take(SHOWN) {
            let arrow = match kind {
                Kind::ReverseName => " ->",
                _ => ":",
            };
            let _ = write!(shown, "\n    {about}{arrow} {what}");
        }
        let more = of_kind.len().saturating_sub(SHOWN);
        if more > 0 {
            let _ = write!(shown, "\n    and {more} more: see --output json");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::records::tests::domain;
    use super::*;

    fn host(id: &str) -> HostId {
        HostId::new(id).unwrap()
    }

    #[test]
    fn all_that_is_left_is_told_by_kind_and_each_word_of_a_role_once() {
        let trouble = [(host("pmta2"), "not let in: no route".to_owned())].into();
        let license = ArtifactName::new("powermta-license").unwrap();
        let cautions = [Caution {
            about: license.clone(),
            what: "it says units 1".to_owned(),
        }];
        let missing = [(license, vec![host("pmta1")])].into();
        let wizard = || vec!["the wizard waits".to_owned()];
        let notes = [(host("mw1"), wizard()), (host("mw2"), wizard())].into();
        let domains = [domain(10, "ab"), domain(2, "ab")];
        let left = Known {
            trouble: &trouble,
            missing: &missing,
            cautions: &cautions,
            notes: &notes,
            domains: &domains,
            records: "log/dns-records.txt",
        }
        .left();
        assert_eq!(
            render(&left),
            "Left for you:\n  \
             Hosts that are not what they shall be\n    \
             pmta2: not let in: no route\n  \
             Artifacts that are not there, or may not do\n    \
             powermta-license: it says units 1\n    \
             powermta-license: pmta1 goes without; `email-engine artifact put FILE --use powermta-license` \
             brings it\n  \
             What roles leave to you\n    \
             mw1, mw2: the wizard waits\n  \
             Names of addresses (PTR), at their providers\n    \
             192.0.2.10 -> mail10.example.com\n    \
             192.0.2.2 -> mail2.example.com\n  \
             DNS records\n    \
             mail10.example.com, mail2.example.com: publish the 6 of log/dns-records.txt"
        );
    }

    #[test]
    fn a_host_that_waits_for_a_word_is_told_with_the_command_for_it() {
        let told = |why: &str| word_for(&host("pmta1"), why).unwrap_or_default();
        let restart = told("waits for an operator to allow a restart, it runs: only a restart");
        assert!(restart.ends_with("`email-engine hosts allow-restart pmta1`"));
        let removal = told("removes 12, and nobody allowed it (email-engine hosts allow-removal)");
        assert!(removal.ends_with("`email-engine hosts allow-removal pmta1`"));
        assert_eq!(told("package nginx: no such package"), "");
    }

    #[test]
    fn a_long_list_is_cut_for_people_and_nothing_left_is_said() {
        let domains: Vec<DomainView> = (1..=25).map(|number| domain(number, "ab")).collect();
        let known = Known {
            trouble: &BTreeMap::new(),
            missing: &BTreeMap::new(),
            cautions: &[],
            notes: &BTreeMap::new(),
            domains: &domains,
            records: "x",
        };
        let left = known.left();
        assert_eq!(left.len(), 26);
        let shown = render(&left);
        assert!(shown.contains("and 5 more: see --output json"), "{shown}");
        assert_eq!(
            render(
                &Known {
                    domains: &[],
                    ..known
                }
                .left()
            ),
            "Nothing is left to do."
        );
    }
}
