//! `roles lint`: what is wrong with role files, without a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use email_engine_coordinator::planner::builtin_bundle;
use email_engine_coordinator::planner::lint::{Finding, Report, Weight, lint};
use email_engine_protocol::api::FleetDocument;

use super::folder;
use crate::exit::{Exit, Failure};
use crate::fleet_file;
use crate::output::{Mood, Output, or_dash, text};

/// The fleet that role files are tried on when none is named.
const EXAMPLE: &str = include_str!("../../../../../../deploy/examples/sos-holidays.toml");

/// Arguments of `roles lint`.
#[derive(Args, Debug)]
#[command(after_help = "\
The files of FOLDER are laid over the roles that come with this version; an empty file takes one of
those away. Every file is read, and every host of the fleet is planned with them: templates are filled
in, edges looked up. A role that the fleet has no host of is tried on one that is added, and artifacts
are taken to be there.

Exit code 0 when the files would do, 2 when there are errors, 1 when they cannot be read.

Examples:
  email-engine roles lint my-roles
  email-engine roles lint my-roles -f fleet.toml")]
pub(super) struct Lint {
    /// Folder with role files [default: the roles of this version alone]
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Fleet file to try them on [default: an example with a host of each role]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Answer {
    errors: usize,
    warnings: usize,
    findings: Vec<Found>,
    /// Hosts that were planned, with the number of their resources.
    hosts: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct Found {
    file: String,
    line: Option<usize>,
    severity: &'static str,
    message: String,
}

pub(super) fn run(output: &Output, arguments: &Lint) -> Result<Exit, Failure> {
    let mut files = builtin_bundle();
    if let Some(path) = &arguments.folder {
        let own = folder::read(path).map_err(|error| Failure::new(Exit::Failure, error))?;
        files = folder::laid_over(files, own);
    }
    let report = report(&files, arguments.file.as_deref())?;
    let answer = answer(&report);
    output.show(&answer, |output| table(output, &answer))?;
    Ok(if report.is_good() {
        Exit::Success
    } else {
        Exit::Found
    })
}

/// What is wrong with files, tried on a fleet.
pub(super) fn report(
    files: &BTreeMap<String, String>,
    fleet: Option<&Path>,
) -> Result<Report, Failure> {
    let document: FleetDocument = match fleet {
        Some(path) => fleet_file::read(path)?.document,
        None => toml::from_str(EXAMPLE).expect("the example is a fleet file, as its tests show"),
    };
    lint(files, &document).map_err(|rejection| {
        let text = format!("the fleet file is refused: {rejection}");
        Failure::new(Exit::Failure, text)
    })
}

/// The findings of a report, for people.
pub(super) fn table_of(output: &Output, report: &Report) -> String {
    table(output, &answer(report))
}

fn answer(report: &Report) -> Answer {
    let count = |weight: Weight| {
        let of_weight = report.findings.iter().filter(|one| one.weight == weight);
        of_weight.count()
    };
    Answer {
        errors: count(Weight::Error),
        warnings: count(Weight::Warning),
        findings: report.findings.iter().map(found).collect(),
        hosts: report
            .planned
            .iter()
            .map(|(host, resources)| (host.to_string(), *resources))
            .collect(),
    }
}

fn found(finding: &Finding) -> Found {
    Found {
        file: finding.file.clone(),
        line: finding.line,
        severity: match finding.weight {
            Weight::Error => "error",
            Weight::Warning => "warning",
        },
        message: finding.reason.clone(),
    }
}

fn table(output: &Output, answer: &Answer) -> String {
    let hosts: Vec<_> = answer
        .hosts
        .iter()
        .map(|(host, resources)| format!("{host} {resources}"))
        .collect();
    let planned = match hosts.len() {
        0 => "No host was planned with these files.".to_owned(),
        _ => format!("Resources by host: {}.", hosts.join(", ")),
    };
    if answer.findings.is_empty() {
        return format!("Nothing is wrong. {planned}");
    }
    let mut table = output.table(&["FILE", "LINE", "", "WHAT"]);
    for finding in &answer.findings {
        let mood = match finding.severity {
            "error" => Mood::Bad,
            _ => Mood::Underway,
        };
        table.add_row(vec![
            output.mood(&finding.file, Mood::Plain),
            output.mood(&or_dash(finding.line.as_ref()), Mood::Plain),
            output.mood(&finding.severity, mood),
            output.mood(&finding.message, Mood::Plain),
        ]);
    }
    format!("{}\n{planned}", text(&table))
}
