//! Files that change together or not at all, with what judges them and brings them into force.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::config::at_most;
use super::names::{self, is_unit};
use super::{
    CommandLine, ConfigError, DrainSpec, HostConfig, HostPath, Policy, Probe, Resource, Spec,
};
use crate::id::ResourceId;
use crate::limits;

/// Files and symbolic links of one product that go live together: swapped, tested, activated, read back and found
/// healthy, or put back as they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionSpec {
    /// Files and links of the same state, in the order in which they are swapped: the one that names
    /// the others last. They are told of and blocked by this resource alone.
    pub members: Vec<ResourceId>,
    /// Judges the files at their live paths, while the product still runs with the old ones.
    pub test: CommandCheck,
    /// Brings the files into force.
    pub activate: CommandCheck,
    /// The service that reads the files. Where it does not run, it is started instead of
    /// `activate`.
    pub unit: Option<String>,
    /// What the product must say of itself after that.
    pub read_back: Vec<Probe>,
    /// What must work after that.
    pub health: Vec<Probe>,
    /// What only a restart brings into force.
    pub restart: RestartSpec,
    /// Raised when an operator wants a refused content to be tried once more.
    pub attempt: u32,
    /// What is lost with the names that a content lacks, where the product can be asked.
    pub drain: Option<DrainSpec>,
}

/// A command whose exit code and words both judge: not every product documents its codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandCheck {
    /// What is run, without a shell. Success is code 0.
    pub command: CommandLine,
    /// Ended and failed after this many seconds, at most
    /// [`STEP_SECONDS`](crate::limits::STEP_SECONDS); after
    /// [`STEP_DEFAULT_SECONDS`](crate::limits::STEP_DEFAULT_SECONDS) when 0.
    pub seconds: u32,
    /// Texts that mean failure, whatever the code.
    pub refused_by: Vec<String>,
    /// Texts of which silence means failure, whatever the code: all of them are said where it was
    /// done.
    pub must_say: Vec<String>,
}

impl CommandCheck {
    /// The texts that it is judged by.
    ///
    /// # Errors
    /// When they are too many.
    pub(super) fn texts(&self) -> Result<impl Iterator<Item = &String>, ConfigError> {
        for (what, texts) in [
            ("number of refusing texts", &self.refused_by),
            ("number of texts that must be said", &self.must_say),
        ] {
            at_most(what, texts.len(), limits::EXPECTATIONS)?;
        }
        Ok(self.refused_by.iter().chain(&self.must_say))
    }
}

/// What only a restart of the product brings into force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartSpec {
    /// Such lines of the content, in order. One that the live content does not have needs a
    /// restart, and so does one that goes.
    pub lines: Vec<String>,
    /// The operator allowed the restart that these lines need.
    pub allowed: bool,
}

impl RestartSpec {
    /// What of these lines differs from those that are in force, for people: lines that come, and
    /// those that go without another of the same directive.
    #[must_use]
    pub fn changed_from(&self, in_force: &[String]) -> Vec<String> {
        let directive = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        let come = self.lines.iter().filter(|line| !in_force.contains(line));
        let stays = |gone: &&String| {
            let mut lines = self.lines.iter();
            lines.any(|line| directive(line) == directive(gone))
        };
        let go = in_force.iter().filter(|gone| !stays(gone));
        let go = go.map(|line| format!("no more {line}"));
        come.cloned().chain(go).collect()
    }
}

impl TransactionSpec {
    /// Everything that is asked once the files are in force.
    pub fn probes(&self) -> impl Iterator<Item = &Probe> {
        self.read_back.iter().chain(&self.health)
    }

    /// Every command that it would run.
    pub fn commands(&self) -> impl Iterator<Item = &CommandLine> {
        let counted = self.drain.iter().map(|drain| &drain.question.command);
        [&self.test.command, &self.activate.command]
            .into_iter()
            .chain(self.probes().filter_map(Probe::command))
            .chain(counted)
    }

    /// Every log that it would read.
    pub fn logs(&self) -> impl Iterator<Item = &HostPath> {
        self.probes().filter_map(Probe::log)
    }

    /// Every unit that it would look at, start or restart.
    pub fn units(&self) -> impl Iterator<Item = &str> {
        let looked_at = self.probes().filter_map(Probe::unit);
        self.unit.as_deref().into_iter().chain(looked_at)
    }
}

/// Checks the transactions of a state whose ids are in order and unique.
pub(super) fn check(config: &HostConfig) -> Result<(), ConfigError> {
    let mut taken: BTreeSet<&ResourceId> = BTreeSet::new();
    for resource in &config.resources {
        let Spec::Transaction(spec) = &resource.spec else {
            continue;
        };
        let refuse = |reason: String| {
            Err(ConfigError::Transaction {
                resource: resource.id.clone(),
                reason,
            })
        };
        if spec.members.is_empty() {
            return refuse("it has no members, at least one is needed".to_owned());
        }
        for id in &spec.members {
            let found = config.resources.binary_search_by(|known| known.id.cmp(id));
            let Ok(at) = found else {
                return Err(ConfigError::UnknownEdge {
                    from: resource.id.clone(),
                    to: id.clone(),
                });
            };
            if let Some(reason) = no_member(&config.resources[at]) {
                return refuse(format!("member {id} {reason}"));
            }
            if !taken.insert(id) {
                return refuse(format!("member {id} is listed before, once is accepted"));
            }
        }
        check_bounds(resource, spec)?;
    }
    Ok(())
}

/// Why a resource cannot be one of several that change together.
fn no_member(resource: &Resource) -> Option<&'static str> {
    match &resource.spec {
        Spec::File(file) if file.validate.is_some() => {
            Some("has a validator of its own, the transaction's test is accepted")
        }
        Spec::File(_) | Spec::Symlink(_) if !resource.notify.is_empty() => {
            Some("notifies somebody itself, the transaction's notify is accepted")
        }
        Spec::File(_) | Spec::Symlink(_) if resource.policy != Policy::Enforce => {
            Some("has a policy of its own, enforce is accepted")
        }
        Spec::File(_) | Spec::Symlink(_) => None,
        _ => Some("is neither a file nor a symbolic link"),
    }
}

fn check_bounds(resource: &Resource, spec: &TransactionSpec) -> Result<(), ConfigError> {
    for unit in spec.units() {
        names::check(resource, "unit", unit, is_unit(unit), names::UNIT)?;
    }
    let probes = spec.read_back.len() + spec.health.len();
    at_most("number of probes", probes, limits::PROBES)?;
    let lines = spec.restart.lines.len();
    at_most("number of restart lines", lines, limits::RESTART_LINES)?;
    let mut texts: Vec<&String> = spec.restart.lines.iter().collect();
    for check in [&spec.test, &spec.activate] {
        texts.extend(check.texts()?);
    }
    for probe in spec.probes() {
        texts.extend(probe.texts(resource)?);
    }
    if let Some(drain) = &spec.drain {
        texts.extend(check_drain(drain)?);
    }
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    at_most(
        "length of a text of a transaction",
        longest,
        limits::EXPECTED_BYTES,
    )
}

/// The texts of a drain, when there are not too many.
fn check_drain(drain: &DrainSpec) -> Result<impl Iterator<Item = &String>, ConfigError> {
    let lists = [&drain.holds, &drain.leaving, &drain.given_up];
    for list in lists {
        at_most(
            "number of names that hold something",
            list.len(),
            limits::RESOURCES_PER_HOST,
        )?;
    }
    let question = &drain.question;
    let places = [
        &question.list,
        &question.name,
        &question.belongs,
        &question.count,
    ];
    Ok(lists.into_iter().flatten().chain(places))
}

#[cfg(test)]
mod tests {
    use super::super::{Disposition, FileContent, FileSpec, OnRemove};
    use super::*;
    use crate::bytes::ContentHash;
    use crate::id::{ClusterId, HostId, Role};

    fn resource(id: &str, spec: Spec) -> Resource {
        Resource {
            id: ResourceId::new(id).unwrap(),
            spec,
            on_remove: OnRemove::Delete,
            policy: Policy::Enforce,
            after: Vec::new(),
            notify: Vec::new(),
        }
    }

    fn file(path: &str) -> Resource {
        let content = FileContent::Body {
            hash: ContentHash([1; 32]),
            length: 1,
        };
        let spec = FileSpec {
            path: HostPath::new(path).unwrap(),
            content,
            mode: 0o640,
            owner: None,
            group: None,
            validate: None,
        };
        resource(&format!("file:{path}"), Spec::File(spec))
    }

    fn command(word: &str) -> CommandCheck {
        CommandCheck {
            command: CommandLine {
                program: HostPath::new("/usr/sbin/pmta").unwrap(),
                arguments: vec![word.to_owned()],
            },
            seconds: 60,
            refused_by: Vec::new(),
            must_say: Vec::new(),
        }
    }

    fn transaction(members: &[&str]) -> TransactionSpec {
        TransactionSpec {
            members: members
                .iter()
                .map(|id| ResourceId::new(*id).unwrap())
                .collect(),
            test: command("test"),
            activate: command("reload"),
            unit: Some("pmta.service".to_owned()),
            read_back: Vec::new(),
            health: Vec::new(),
            restart: RestartSpec::default(),
            attempt: 0,
            drain: None,
        }
    }

    fn checked(files: Vec<Resource>, spec: TransactionSpec) -> Result<(), String> {
        let mut resources = files;
        resources.push(resource("transaction:pmta", Spec::Transaction(spec)));
        let config = HostConfig {
            cluster: ClusterId([1; 16]),
            host: HostId::new("pmta1").unwrap(),
            role: Role::Powermta,
            disposition: Disposition::Active,
            resources,
            large_removal: false,
            accounting: None,
        };
        config.check().map_err(|error| error.to_string())
    }

    #[test]
    fn members_are_plain_files_of_the_same_state_and_each_is_one_once() {
        let files = || vec![file("/a"), file("/b")];
        assert_eq!(
            checked(files(), transaction(&["file:/a", "file:/b"])),
            Ok(())
        );
        let mut told = file("/a");
        told.notify.push(ResourceId::new("file:/b").unwrap());
        let mut held = file("/a");
        held.policy = Policy::Hold;
        let mut judged = file("/a");
        if let Spec::File(spec) = &mut judged.spec {
            spec.validate = Some(command("test").command);
        }
        for (files, members, why) in [
            (files(), vec![], "at least one"),
            (files(), vec!["file:/c"], "which is not listed"),
            (files(), vec!["file:/a", "file:/a"], "once is accepted"),
            (files(), vec!["transaction:pmta"], "is neither a file nor"),
            (vec![told, file("/b")], vec!["file:/a"], "notifies"),
            (vec![held], vec!["file:/a"], "policy"),
            (vec![judged], vec!["file:/a"], "validator"),
        ] {
            let error = checked(files, transaction(&members)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn what_is_too_long_or_no_unit_is_refused() {
        let with = |change: fn(&mut TransactionSpec)| {
            let mut spec = transaction(&["file:/a"]);
            change(&mut spec);
            checked(vec![file("/a")], spec).unwrap_err()
        };
        let path = with(|spec| spec.unit = Some("/etc/pmta/evil.service".to_owned()));
        assert!(path.contains("not its path"), "{path}");
        let probed = with(|spec| {
            let unit = "no unit".to_owned();
            spec.health.push(Probe::Running { unit, seconds: 1 });
        });
        assert!(probed.contains("no unit"), "{probed}");
        let noisy = with(|spec| {
            let log = HostPath::new("/var/log/pmta/pmta.log").unwrap();
            let errors = vec![String::new(); 1_000];
            spec.health.push(Probe::Quiet { log, errors });
        });
        assert!(noisy.contains("number of errors is 1000"), "{noisy}");
        let many = with(|spec| spec.restart.lines = vec![String::new(); 1_000]);
        assert!(many.contains("restart lines is 1000"), "{many}");
        let long = with(|spec| spec.test.refused_by.push("x".repeat(10_000)));
        assert!(long.contains("is 10000, at most"), "{long}");
    }

    #[test]
    fn lines_that_come_and_lines_that_go_are_told_and_a_changed_one_once() {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let told = |now: &[&str], then: &[&str]| {
            let spec = RestartSpec {
                lines: lines(now),
                allowed: false,
            };
            let then: Vec<String> = lines(then);
            spec.changed_from(&then)
        };
        assert_eq!(told(&["a 1", "b"], &["a 1", "b"]), Vec::<String>::new());
        assert_eq!(told(&["a 2", "b"], &["a 1"]), ["a 2", "b"]);
        assert_eq!(told(&["a 1"], &["a 1", "<b>"]), ["no more <b>"]);
    }
}
