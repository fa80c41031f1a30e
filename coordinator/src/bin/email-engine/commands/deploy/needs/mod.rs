//! Which files of operators the hosts ask for, whether each is there, and what a licence says of itself
//! ([`license`]). Pure.

pub(super) mod license;

use std::collections::{BTreeMap, BTreeSet};

use email_engine_coordinator::planner::{Asked, Need};
use email_engine_protocol::api::{ArtifactView, HostSpec};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{ArtifactName, HostId};

/// Label by which a host has a file of its own, or none.
const LABEL: &str = "artifact-";
const NONE: &str = "none";

/// What hosts ask for, beside what there is.
#[derive(Debug)]
pub(super) struct Needs<'a> {
    pub(super) hosts: &'a [HostSpec],
    pub(super) asked: &'a BTreeMap<HostId, Vec<Asked>>,
    /// In the cluster.
    pub(super) artifacts: &'a [ArtifactView],
    /// Given on the command line.
    pub(super) given: &'a BTreeMap<ArtifactName, ContentHash>,
    /// Said to be there already, or to come by hand.
    pub(super) without: &'a BTreeSet<ArtifactName>,
}

/// What came of comparing the two.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What must be put right first.
    pub(super) findings: Vec<String>,
    /// Hosts that will have what is given for a name.
    pub(super) used: BTreeMap<ArtifactName, Vec<HostId>>,
    /// Hosts that go without one, by an operator's word.
    pub(super) missing: BTreeMap<ArtifactName, Vec<HostId>>,
}

/// What stands for a name on a host.
enum Stands {
    /// Something that is there, or is going to be.
    For,
    /// The host's label says that nothing does.
    Nothing,
    /// Nobody has said anything.
    Unsaid,
    /// The host's label names what is nowhere.
    Lost(String),
}

impl Needs<'_> {
    pub(super) fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let mut unsaid: BTreeMap<&ArtifactName, Vec<&HostId>> = BTreeMap::new();
        for host in self.hosts {
            let asked = self.asked.get(&host.id).map_or(&[][..], Vec::as_slice);
            for Asked { name, need } in asked {
                match self.stands(host, name) {
                    Stands::For if !self.gets_given(host, name) => {}
                    Stands::For => {
                        let used = verdict.used.entry(name.clone()).or_default();
                        used.push(host.id.clone());
                    }
                    Stands::Lost(label) => verdict.findings.push(format!(
                        "host {}: its label {LABEL}{name} names {label}, which the cluster does not have \
                         whole: accepted is the SHA-256 of an artifact that is there, or \"{NONE}\"",
                        host.id
                    )),
                    Stands::Unsaid if !self.without.contains(name) => {
                        unsaid.entry(name).or_default().push(&host.id);
                    }
                    Stands::Nothing | Stands::Unsaid if self.must_have(host, need) => {
                        verdict.findings.push(format!(
                            "host {} cannot be planned without artifact {name}: accepted is --artifact \
                             {name}=FILE",
                            host.id
                        ));
                    }
                    Stands::Nothing => {}
                    Stands::Unsaid => {
                        let missing = verdict.missing.entry(name.clone()).or_default();
                        missing.push(host.id.clone());
                    }
                }
            }
        }
        verdict
            .findings
            .extend(unsaid.into_iter().map(|(name, hosts)| {
                format!(
                    "artifact {name} of {} is not there: accepted is --artifact {name}=FILE, or --without \
                 {name} where the machines have it already or get it by hand",
                    listed(&hosts)
                )
            }));
        self.strangers(&mut verdict.findings);
        verdict
    }

    /// Whether a name means on a host what is given for it: its label may mean another file.
    fn gets_given(&self, host: &HostSpec, name: &ArtifactName) -> bool {
        let given = self.given.get(name).map(ToString::to_string);
        let label = host.labels.get(&format!("{LABEL}{name}"));
        label.is_none_or(|label| given.as_ref() == Some(label))
    }

    fn must_have(&self, host: &HostSpec, need: &Need) -> bool {
        match need {
            Need::Always => true,
            Need::Optional => false,
            Need::With(other) => matches!(self.stands(host, other), Stands::For),
        }
    }

    fn stands(&self, host: &HostSpec, name: &ArtifactName) -> Stands {
        if let Some(label) = host.labels.get(&format!("{LABEL}{name}")) {
            if label == NONE {
                return Stands::Nothing;
            }
            let sha256 = label.parse::<ContentHash>().ok();
            let is_there = sha256.is_some_and(|sha256| {
                self.artifacts
                    .iter()
                    .any(|one| one.sha256 == sha256 && one.finished_at.is_some())
                    || self.given.values().any(|given| *given == sha256)
            });
            return if is_there {
                Stands::For
            } else {
                Stands::Lost(label.clone())
            };
        }
        let named = |one: &ArtifactView| one.named.contains(name);
        if self.given.contains_key(name) || self.artifacts.iter().any(named) {
            return Stands::For;
        }
        Stands::Unsaid
    }

    /// Names on the command line that no host asks for: they are misspelt, or the fleet is another.
    fn strangers(&self, findings: &mut Vec<String>) {
        let asked: BTreeSet<&ArtifactName> = self
            .asked
            .values()
            .flatten()
            .map(|asked| &asked.name)
            .collect();
        let known: Vec<String> = asked.iter().map(ToString::to_string).collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        let given = self.given.keys().map(|name| ("--artifact", name));
        let without = self.without.iter().map(|name| ("--without", name));
        for (flag, name) in given.chain(without) {
            if !asked.contains(name) {
                findings.push(format!(
                    "{flag} {name}: no host of the fleet file asks for it; asked for are: {known}"
                ));
            }
        }
    }
}

/// Most hosts that one finding names.
const NAMED: usize = 5;

pub(super) fn listed<T: ToString>(hosts: &[T]) -> String {
    let mut names: Vec<String> = hosts.iter().take(NAMED).map(ToString::to_string).collect();
    if hosts.len() > NAMED {
        names.push(format!("{} more", hosts.len() - NAMED));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::time::Timestamp;

    use super::*;

    fn name(text: &str) -> ArtifactName {
        ArtifactName::new(text).unwrap()
    }

    fn host(id: &str, labels: &[(&str, &str)]) -> HostSpec {
        let labels = labels.iter();
        HostSpec {
            id: HostId::new(id).unwrap(),
            role: "powermta".parse().unwrap(),
            tenant: None,
            addresses: Vec::new(),
            labels: labels
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn artifact(sha256: u8, named: &[&str]) -> ArtifactView {
        ArtifactView {
            sha256: ContentHash([sha256; 32]),
            name: "file".to_owned(),
            length: 1,
            secret: false,
            pieces: 1,
            missing: Vec::new(),
            begun_at: Timestamp(1),
            finished_at: Some(Timestamp(2)),
            named: named.iter().map(|text| name(text)).collect(),
            hosts: Vec::new(),
        }
    }

    struct Case {
        hosts: Vec<HostSpec>,
        needs: Vec<(&'static str, Need)>,
        artifacts: Vec<ArtifactView>,
        given: Vec<&'static str>,
        without: Vec<&'static str>,
    }

    impl Case {
        fn of(hosts: Vec<HostSpec>) -> Self {
            Self {
                hosts,
                needs: vec![
                    ("powermta", Need::Optional),
                    ("powermta-license", Need::Optional),
                ],
                artifacts: Vec::new(),
                given: Vec::new(),
                without: Vec::new(),
            }
        }

        fn judge(&self) -> Verdict {
            let needs = self.needs.iter();
            let needs: Vec<Asked> = needs
                .map(|(text, need)| Asked {
                    name: name(text),
                    need: need.clone(),
                })
                .collect();
            let asked = self.hosts.iter();
            let asked = asked.map(|host| (host.id.clone(), needs.clone())).collect();
            let given = self.given.iter();
            let given = given.map(|text| (name(text), ContentHash([9; 32])));
            Needs {
                hosts: &self.hosts,
                asked: &asked,
                artifacts: &self.artifacts,
                given: &given.collect(),
                without: &self.without.iter().map(|text| name(text)).collect(),
            }
            .judge()
        }
    }

    #[test]
    fn all_that_is_missing_is_told_at_once_with_its_hosts_and_both_ways_out() {
        let case = Case::of(vec![host("pmta1", &[]), host("pmta2", &[])]);
        assert_eq!(
            case.judge().findings,
            [
                "artifact powermta of pmta1, pmta2 is not there: accepted is --artifact powermta=FILE, or \
                 --without powermta where the machines have it already or get it by hand",
                "artifact powermta-license of pmta1, pmta2 is not there: accepted is --artifact \
                 powermta-license=FILE, or --without powermta-license where the machines have it already \
                 or get it by hand",
            ]
        );
    }

    #[test]
    fn what_is_given_named_or_gone_without_is_no_finding() {
        let mut case = Case::of(vec![
            host("pmta1", &[]),
            host("pmta2", &[("artifact-powermta-license", "none")]),
        ]);
        case.given = vec!["powermta"];
        case.without = vec!["powermta-license"];
        let verdict = case.judge();
        assert_eq!(verdict.findings, Vec::<String>::new());
        assert_eq!(verdict.used[&name("powermta")].len(), 2);
        let without: Vec<_> = verdict.missing[&name("powermta-license")].clone();
        assert_eq!(without, [HostId::new("pmta1").unwrap()]);

        case.given.clear();
        case.without.clear();
        case.artifacts = vec![artifact(1, &["powermta", "powermta-license"])];
        let verdict = case.judge();
        assert_eq!(
            (verdict.findings, verdict.missing),
            (Vec::new(), BTreeMap::new())
        );
    }

    #[test]
    fn a_label_names_what_is_there_or_is_a_finding() {
        let own = ContentHash([3; 32]).to_string();
        let mut case = Case::of(vec![host("pmta1", &[("artifact-powermta", &own)])]);
        case.given = vec!["powermta-license"];
        let findings = case.judge().findings;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(
            findings[0].starts_with("host pmta1: its label artifact-powermta names"),
            "{findings:?}"
        );
        case.artifacts = vec![artifact(3, &[])];
        assert_eq!(case.judge().findings, Vec::<String>::new());
        case.artifacts[0].finished_at = None;
        assert_eq!(case.judge().findings.len(), 1, "half an upload is none");
    }

    #[test]
    fn nobody_goes_without_what_it_cannot_be_planned_without() {
        let mut case = Case::of(vec![host("relay1", &[])]);
        case.needs = vec![
            ("banner", Need::Always),
            ("beside", Need::With(name("bundle"))),
            ("bundle", Need::Optional),
        ];
        case.without = vec!["banner", "beside", "bundle"];
        let findings = case.judge().findings;
        assert_eq!(
            findings,
            [
                "host relay1 cannot be planned without artifact banner: accepted is --artifact banner=FILE"
            ]
        );
        case.given = vec!["bundle"];
        assert_eq!(
            case.judge().findings.len(),
            2,
            "now it needs beside as well"
        );
    }

    #[test]
    fn a_name_that_nobody_asks_for_is_a_finding_with_those_that_are() {
        let mut case = Case::of(vec![host("pmta1", &[])]);
        case.given = vec!["powermta", "powermta-licence"];
        case.without = vec!["powermta-license", "mailwiz"];
        assert_eq!(
            case.judge().findings,
            [
                "--artifact powermta-licence: no host of the fleet file asks for it; asked for are: \
                 powermta, powermta-license",
                "--without mailwiz: no host of the fleet file asks for it; asked for are: powermta, \
                 powermta-license",
            ]
        );
    }
}
