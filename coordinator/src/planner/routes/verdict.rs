//! Judges what of a rendered configuration an operator brought in: rules of receivers, which may be for
//! another version of the product than the host has, and lines that nobody knows. The rest is ours, and
//! the tests judge it.

use email_engine_protocol::id::HostId;

use super::super::error::{BundleFault, PlanError};
use super::super::role::EXTRA;
use crate::powermta::lint::{Code, Finding, Options, Severity, VERBATIM_BEGIN, lint, reach};
use crate::powermta::providers::BASE_PATH;
use crate::powermta::schema::Version;
use crate::powermta::syntax::Sources;
use crate::powermta::{CONFIG_PATH, Configuration};

/// Findings about a line that is for another version.
const OF_A_VERSION: [&str; 4] = ["PM105", "PM106", "PM107", "PM108"];
/// Findings by which an operator's own lines are refused: somebody else's name, and an open relay.
const REFUSED: [&str; 3] = ["PM204", "PM306", "PM510"];
/// Findings that are told of one host.
const TOLD: usize = 20;

/// What must be said of a configuration, whose text this is. Where an operator's own lines can harm
/// nobody and the version is the newest, nothing is read: a text may be large.
///
/// # Errors
/// When it must not go to the host.
pub(in super::super) fn judge(
    host: &HostId,
    configuration: &Configuration,
    text: &str,
) -> Result<Vec<String>, PlanError> {
    let mut flags = configuration.flags();
    if configuration.extra.is_none() && configuration.version == Version::default() {
        return Ok(flags);
    }
    let sources = Sources::single(CONFIG_PATH, text);
    let options = Options {
        version: configuration.version,
        ..Options::default()
    };
    let findings = lint(&sources, &options).findings;
    if let Some(finding) = findings.iter().find(|found| is_of(found, &OF_A_VERSION)) {
        return Err(other_version(host, configuration, text, finding));
    }
    if configuration.extra.is_none() {
        return Ok(flags);
    }
    let reached = reach(&sources);
    if let Some((line, what)) = reached.clashes.first() {
        return Err(refused(text, *line, what.clone()));
    }
    if let Some(found) = findings.iter().find(|found| is_of(found, &REFUSED)) {
        let what = format!("{} ({})", found.message, found.code);
        return Err(refused(text, found.at.line, what));
    }
    for source in &reached.relays {
        flags.push(format!(
            "source {source} of {EXTRA} may relay: the fleet does not know whose it is"
        ));
    }
    let errors = findings
        .iter()
        .filter(|found| found.severity() == Severity::Error);
    flags.extend(errors.take(TOLD).map(ToString::to_string));
    Ok(flags)
}

fn is_of(finding: &Finding, codes: &[&str]) -> bool {
    codes
        .iter()
        .any(|code| Code::parse(code) == Some(finding.code))
}

/// The operator's own lines by their numbers in the file that they come from.
fn refused(text: &str, line: u32, reason: String) -> PlanError {
    let line = usize::try_from(line).unwrap_or_default();
    let marked = text
        .lines()
        .position(|line| line.starts_with(VERBATIM_BEGIN));
    let line = marked.and_then(|before| line.checked_sub(before + 1));
    PlanError::Bundle(BundleFault {
        file: EXTRA.to_owned(),
        line,
        reason,
    })
}

fn other_version(
    host: &HostId,
    configuration: &Configuration,
    text: &str,
    finding: &Finding,
) -> PlanError {
    let at = usize::try_from(finding.at.line).unwrap_or_default();
    let line = text.lines().nth(at.saturating_sub(1)).unwrap_or_default();
    let line = line.trim();
    let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
    let catalogue = &configuration.catalogue;
    let is_said = |value_of: Option<&String>| value_of.is_some_and(|said| said == value);
    let mut providers = catalogue.providers.iter();
    let provider = providers.find(|provider| is_said(provider.settings.get(keyword)));
    let of_base = || is_said(catalogue.global.get(keyword)).then(|| BASE_PATH.to_owned());
    PlanError::OtherVersion {
        host: host.clone(),
        version: configuration.version,
        line: line.to_owned(),
        file: provider
            .map(|provider| provider.file.clone())
            .or_else(of_base),
        reason: finding.message.clone(),
        code: finding.code,
    }
}
