//! `pmta lint`: what is wrong with a configuration.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use email_engine_coordinator::powermta;
use email_engine_coordinator::powermta::lint::{Extent, Finding, Options, Report, Severity};
use email_engine_coordinator::powermta::schema;

use super::files;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, text};

/// Arguments of `pmta lint`.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit code 0 when there is nothing but notices, 2 when there are errors or warnings, 1 when the file
cannot be read. `email-engine pmta explain CODE` says what a code means.")]
pub(super) struct Lint {
    /// The configuration, or `-` for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Rules of this version of PowerMTA
    #[arg(long, value_enum, default_value_t, value_name = "VERSION")]
    version: Version,
    /// The file is a part: what is missing in it may stand elsewhere
    #[arg(long)]
    part: bool,
    /// Folder that stands for `/` where files are included
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// The configuration in use: say also what the change to FILE does
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Version {
    /// The rules of 4.5
    #[value(name = "4.5")]
    V4_5,
    /// The rules of 5.0
    #[default]
    #[value(name = "5.0")]
    V5_0,
}

impl From<Version> for schema::Version {
    fn from(version: Version) -> Self {
        match version {
            Version::V4_5 => Self::V4_5,
            Version::V5_0 => Self::V5_0,
        }
    }
}

#[derive(Serialize)]
struct Answer {
    version: String,
    errors: usize,
    warnings: usize,
    notices: usize,
    findings: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    code: String,
    severity: &'static str,
    file: String,
    line: u32,
    column: u32,
    message: String,
    why: &'static str,
    fix: &'static str,
    guide: &'static str,
}

pub(super) fn run(output: &Output, arguments: &Lint) -> Result<Exit, Failure> {
    let read = |path| {
        files::read(path, arguments.root.as_deref())
            .map_err(|error| Failure::new(Exit::Failure, error))
    };
    let sources = read(&arguments.file)?;
    let before = arguments.against.as_deref().map(read).transpose()?;
    let options = Options {
        version: arguments.version.into(),
        extent: if arguments.part {
            Extent::Part
        } else {
            Extent::Whole
        },
        before: before.as_ref(),
    };
    let report = powermta::lint(&sources, &options);
    let answer = answer(&report, options.version);
    output.show(&answer, |output| table(output, &report, &answer))?;
    Ok(if report.is_clean() {
        Exit::Success
    } else {
        Exit::Found
    })
}

fn answer(report: &Report, version: schema::Version) -> Answer {
    Answer {
        version: version.to_string(),
        errors: report.count(Severity::Error),
        warnings: report.count(Severity::Warning),
        notices: report.count(Severity::Notice),
        findings: report.findings.iter().map(found).collect(),
    }
}

fn found(finding: &Finding) -> Found {
    let rule = finding.rule();
    Found {
        code: finding.code.to_string(),
        severity: rule.severity.word(),
        file: finding.at.file.clone(),
        line: finding.at.line,
        column: finding.at.column,
        message: finding.message.clone(),
        why: &rule.why,
        fix: &rule.fix,
        guide: rule.guide,
    }
}

fn table(output: &Output, report: &Report, answer: &Answer) -> String {
    if report.findings.is_empty() {
        return format!("nothing found by the rules of {}", answer.version);
    }
    let mut table = output.table(&["PLACE", "CODE", "SEVERITY", "FOUND", "FIX"]);
    for finding in &report.findings {
        let place = &finding.at;
        let mood = match finding.severity() {
            Severity::Error => Mood::Bad,
            Severity::Warning => Mood::Underway,
            Severity::Notice => Mood::Plain,
        };
        let place = format!("{}:{}:{}", place.file, place.line, place.column);
        table.add_row(vec![
            output.mood(&place, Mood::Plain),
            output.mood(&finding.code, Mood::Plain),
            output.mood(finding.severity().word(), mood),
            output.mood(&finding.message, Mood::Plain),
            output.mood(&finding.rule().fix, Mood::Plain),
        ]);
    }
    format!(
        "{}\n\n{} errors, {} warnings, {} notices by the rules of {}",
        text(&table),
        answer.errors,
        answer.warnings,
        answer.notices,
        answer.version
    )
}
