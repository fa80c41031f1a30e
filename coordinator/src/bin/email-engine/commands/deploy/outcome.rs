//! How a run ended: for programs, for people, and as an exit code.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use email_engine_protocol::api::DomainView;
use email_engine_protocol::id::HostId;
use serde::Serialize;

use super::left::{self, Known, Left};
use super::patience::{may_pass, patiently};
use super::records;
use super::steps::Step;
use super::voice::Voice;
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

/// Takes the result of an earlier run away.
pub(super) fn forget(voice: &Voice) -> Result<(), Failure> {
    let path = voice.file(ANSWER);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let text = format!("cannot remove {}: {error}", path.display());
            Err(Failure::new(Exit::Failure, text))
        }
        _ => Ok(()),
    }
}

/// What is planned of each host says to people. What is not known of one is said of that one.
async fn notes(run: &Run<'_>) -> BTreeMap<HostId, Vec<String>> {
    let mut notes = BTreeMap::new();
    let mut is_gone = false;
    for host in run.all_hosts() {
        let ask = async || run.desk.client.config(&host, true).await;
        let planned = match is_gone {
            false => patiently(run.voice, ask).await,
            // It was waited for once.
            true => ask().await,
        };
        let said = match planned {
            Ok(planned) => planned.notes,
            Err(error) => {
                is_gone = may_pass(&error);
                let why = Failure::from(error);
                vec![format!("what its role leaves to you is not known: {why}")]
            }
        };
        if !said.is_empty() {
            notes.insert(host, said);
        }
    }
    notes
}

/// Says how it ended and what is left.
pub(super) async fn conclude(
    run: &mut Run<'_>,
    steps: Vec<Taken>,
    domains: &[DomainView],
) -> Result<Exit, Failure> {
    // Whether or not the cluster answers now, what is known is told.
    if let Err(failure) = run.look_again(false).await {
        run.voice
            .say(&format!("hosts were not looked at once more: {failure}"));
    }
    let notes = notes(run).await;
    let shown = |path: &Path| path.display().to_string();
    let trouble = run.trouble.iter().map(|(host, trouble)| {
        let log = shown(&run.voice.host_log(host));
        (host.clone(), format!("{} (log: {log})", trouble.why))
    });
    let left = Known {
        trouble: &trouble.collect(),
        missing: &run.checked.missing,
        cautions: &run.checked.plan.cautions,
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
