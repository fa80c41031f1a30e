//! Jobs of cron in a role file.
//!
//! ```toml
//! [[cron_job]]
//! name = "report"                     # the file /etc/cron.d/report; a template, so that `each` can name its item
//! each = "tenant"                     # one for each; nothing when absent
//! schedule = "*/15 6-22 * * mon"      # five fields, or @reboot, @hourly, @daily, @weekly, @monthly, @yearly
//! user = "app"                        # as whom it runs
//! command = "/usr/bin/app report --day=$(date +%F) 2>&1"   # one line, for /bin/sh
//! environment = { MAILTO = "ops@example.com", PATH = "/usr/bin:/bin" }   # nothing when absent
//! on_remove = "delete"
//!
//! [[cron_job]]
//! name = "app"
//! template = "app/cron.j2"            # a whole table, as crontab(5) has those of /etc/cron.d
//! on_remove = "delete"
//! ```
//!
//! Each also takes `after` and `notify`. Name, schedule, user, command and the values of the environment are
//! templates. A `%` of `command` is a `%` for the shell: what crontab(5) makes of one is kept off it with a
//! backslash. In a table lines are as crontab(5) reads them, and a `%` there is a line's end. All of it is
//! judged by what cron would read: a table with one line that is none is not taken at all by it, and nobody is
//! told. Jobs come after `package:cron` (or `cronie`) and after the user that they run as, where these are
//! listed, because cron passes over a table with a user that is not there yet; a job whose user comes with a package
//! says `after` that one. It looks for new files itself. Where neither package is listed, the plan and `roles
//! lint` say that nothing may read the jobs.

mod schedule;
mod table;

use std::collections::BTreeMap;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{FileContent, FileSpec, OnRemove};
use email_engine_protocol::id::ResourceId;
use minijinja::Value;
use serde::Deserialize;

use super::build::{Build, headed, named};
use super::error::BundleFault;
use super::role::{Each, RoleFile};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CronJobEntry {
    /// A template.
    name: String,
    each: Option<Each>,
    /// A template.
    schedule: Option<String>,
    /// A template.
    user: Option<String>,
    /// A template.
    command: Option<String>,
    /// Values are templates.
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// Path of a template in the bundle, for a whole table.
    pub(super) template: Option<String>,
    on_remove: OnRemove,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

/// Templates among the texts of these entries, each once.
pub(super) fn texts(entries: &[CronJobEntry]) -> impl Iterator<Item = &str> {
    let mut texts: Vec<&str> = Vec::new();
    for entry in entries {
        let words = [&entry.schedule, &entry.user, &entry.command];
        texts.extend(words.into_iter().flatten().map(String::as_str));
        texts.extend(entry.environment.values().map(String::as_str));
        texts.extend(named(&entry.after).chain(named(&entry.notify)));
        texts.push(&entry.name);
    }
    texts.sort_unstable();
    texts.dedup();
    texts.into_iter()
}

/// The file of a job.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) spec: FileSpec,
    pub(super) hash: ContentHash,
    pub(super) bytes: Vec<u8>,
    pub(super) on_remove: OnRemove,
    pub(super) after: Vec<String>,
    pub(super) notify: Vec<String>,
}

/// The jobs of a role file. What they come after is known by then.
pub(super) fn made(build: &Build<'_>, role: &RoleFile) -> Result<Vec<Job>, BundleFault> {
    let mut made = Vec::new();
    for entry in &role.cron_jobs {
        match entry.each {
            None => made.push(job(build, entry, &build.context(None))?),
            Some(each) => {
                for item in build.values.items(each) {
                    made.push(job(build, entry, &build.context(Some(item)))?);
                }
            }
        }
    }
    Ok(made)
}

/// What runs jobs on a host.
const READERS: [&str; 2] = ["package:cron", "package:cronie"];
/// Jobs that a note names.
const NAMED: usize = 3;

/// What is to be told of jobs that may have nobody who runs them: their files are there all the same, and the
/// host counts as converged.
pub(super) fn unread<'a>(resources: impl Iterator<Item = &'a ResourceId>) -> Option<String> {
    let mut jobs: Vec<&str> = Vec::new();
    for id in resources.map(ResourceId::as_str) {
        if READERS.contains(&id) {
            return None;
        }
        jobs.extend(id.strip_prefix("cron_job:"));
    }
    let more = jobs.len().saturating_sub(NAMED);
    let mut named = jobs
        .iter()
        .take(NAMED)
        .map(|job| format!("cron_job {job}"))
        .collect::<Vec<_>>();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    (!jobs.is_empty()).then(|| {
        format!(
            "{}: the role lists neither package cron nor cronie, and without one nothing runs what is in \
             /etc/cron.d",
            named.join(", ")
        )
    })
}

const NAME: &str = "letters, digits, '-' and '_', at most 64: cron passes over files with any other sign in \
     their names";

fn job(build: &Build<'_>, entry: &CronJobEntry, context: &Value) -> Result<Job, BundleFault> {
    let text = |text: &String| build.templates.text(text, &build.role.path, context);
    let name = text(&entry.name)?;
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !(1..=64).contains(&name.len()) || !name.bytes().all(inner) {
        let name: String = name.chars().take(120).collect();
        return Err(build.fault(&format!("cron_job name is {name:?}, accepted is {NAME}")));
    }
    let (lines, users) = match (
        &entry.template,
        &entry.schedule,
        &entry.user,
        &entry.command,
    ) {
        (Some(template), None, None, None) if entry.environment.is_empty() => {
            let rendered = table::with_ends(&build.templates.file(template, context)?);
            let users = table::users(&rendered).map_err(|reason| BundleFault {
                file: template.clone(),
                line: None,
                reason,
            })?;
            (rendered, users)
        }
        (None, Some(schedule), Some(user), Some(command)) => {
            let mut environment = BTreeMap::new();
            for (key, value) in &entry.environment {
                environment.insert(key.clone(), text(value)?);
            }
            let (schedule, user, command) = (text(schedule)?, text(user)?, text(command)?);
            let lines = table::line(&environment, &schedule, &user, &command);
            let fault = |reason| build.fault(&format!("cron_job {name}: {reason}"));
            (lines.map_err(fault)?, [user].into())
        }
        _ => {
            return Err(build.fault(&format!(
                "cron_job {name} has either schedule, user and command, with an environment or without, or a \
                 template alone"
            )));
        }
    };
    let mut after = build.names(&entry.after, context)?;
    let users = users.iter().map(|user| format!("user:{user}"));
    let packages = READERS.map(str::to_owned);
    let natural = users.chain(packages);
    after.extend(natural.filter(|id| build.has_all(std::slice::from_ref(id))));
    after.sort();
    after.dedup();
    let bytes = headed("#", &lines).into_bytes();
    let (hash, length) = (ContentHash::of(&bytes), bytes.len() as u64);
    let root = || Some("root".to_owned());
    Ok(Job {
        id: format!("cron_job:{name}"),
        spec: FileSpec {
            path: build.path(&format!("/etc/cron.d/{name}"))?,
            content: FileContent::Body { hash, length },
            // Anything more, and cron passes over it.
            mode: 0o644,
            owner: root(),
            group: root(),
            validate: None,
        },
        hash,
        bytes,
        on_remove: entry.on_remove,
        after,
        notify: build.names(&entry.notify, context)?,
    })
}
