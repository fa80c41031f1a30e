//! How a run ended: for programs, for people, and as an exit code.

use std::collections::BTreeMap;
use std::path::Path;

use email_engine_protocol::api::DomainView;
use email_engine_protocol::id::HostId;
use serde::Serialize;

use super::left::{self, Known, Left};
use super::records;
use super::steps::Step;
use super::watch::Run;
use crate::exit::{Exit, Failure};
use crate::private_file;

const ANSWER: &str = "result.json";

/// How a run ended, for programs.
#[derive(Serialize)]
struct Outcome {
    /// Whether it changed anything.
    changed: bool,
    steps: Vec<Taken>,
    hosts: Vec<Host>,
    left: Vec<Left>,
    log: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Taken {
    pub(super) number: usize,
    pub(super) step: Step,
    /// What was done; nothing when there was nothing to do.
    pub(super) done: Option<String>,
}

#[derive(Serialize)]
struct Host {
    host: HostId,
    /// Whether a machine became it in this run.
    let_in: bool,
    /// Why it is not what it shall be.
    trouble: Option<String>,
    log: String,
}

/// Says how it ended and what is left.
pub(super) async fn conclude(
    run: &Run<'_>,
    steps: Vec<Taken>,
    domains: &[DomainView],
) -> Result<Exit, Failure> {
    let mut notes = BTreeMap::new();
    for host in run.all_hosts() {
        let planned = run.desk.client.config(&host, true).await?;
        if !planned.notes.is_empty() {
            notes.insert(host, planned.notes);
        }
    }
    let shown = |path: &Path| path.display().to_string();
    let trouble = run.trouble.iter().map(|(host, trouble)| {
        let log = shown(&run.voice.host_log(host));
        (host.clone(), format!("{} (log: {log})", trouble.why))
    });
    let left = Known {
        trouble: &trouble.collect(),
        missing: &run.checked.missing,
        notes: &notes,
        domains,
        records: &shown(&run.voice.file(records::TEXT)),
    }
    .left();
    let changed = !run.checked.plan.is_empty();
    let hosts = run.checked.hosts.iter().map(|host| Host {
        host: host.id.clone(),
        let_in: run.entered.contains(&host.id),
        trouble: run.trouble.get(&host.id).map(|one| one.why.clone()),
        log: shown(&run.voice.host_log(&host.id)),
    });
    let outcome = Outcome {
        changed,
        steps,
        hosts: hosts.collect(),
        log: shown(&run.voice.run_log()),
        left,
    };
    let json = serde_json::to_vec_pretty(&outcome).map_err(|error| {
        let text = format!("the result cannot be written: {error}");
        Failure::new(Exit::Failure, text)
    })?;
    private_file::write(&run.voice.file(ANSWER), &json)?;
    let said = conclusion(run, changed);
    let text = format!("{}\n\n{said}", left::render(&outcome.left));
    run.voice.record(&text);
    run.desk.output.show(&outcome, |_| text)?;
    Ok(run.exit())
}

fn conclusion(run: &Run<'_>, changed: bool) -> String {
    let (all, bad) = (run.checked.hosts.len(), run.trouble.len());
    match (bad, changed) {
        (0, false) => "Nothing was changed: the fleet is what the file says.".to_owned(),
        (0, true) => format!("Deployed: all {all} hosts are what they shall be."),
        (bad, _) => format!(
            "{bad} of {all} hosts are not what they shall be; say the same again to go on with them."
        ),
    }
}
