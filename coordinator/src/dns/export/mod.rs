//! Records in the forms that operators load their zones with.
//!
//! A domain usually lies in a larger zone with records of others. So each form adds: a snippet that a zone
//! file takes in, a source whose names a filter lists, an extension that purges nothing, rows of a table.
//! What is not in a file is not ours to delete.

mod bind;
mod csv;
mod dnscontrol;
mod octodns;

use email_engine_protocol::api::{ExportFile, ExportFormat, ExportView};

use super::wanted::InZones;

/// The records of zones as files of a form.
#[must_use]
pub fn export(format: ExportFormat, records: &InZones) -> ExportView {
    let (files, how) = match format {
        ExportFormat::Bind => (bind::files(&records.zones), bind::HOW),
        ExportFormat::Csv => (csv::files(&records.zones), csv::HOW),
        ExportFormat::Dnscontrol => (dnscontrol::files(&records.zones), dnscontrol::HOW),
        ExportFormat::Octodns => (octodns::files(&records.zones), octodns::HOW),
    };
    let mut notes = vec![how.to_owned()];
    notes.extend(records.elsewhere.iter().map(|wanted| {
        format!(
            "in none of the files, because it belongs into the zone of who takes your DMARC reports: {}",
            wanted.line()
        )
    }));
    ExportView {
        format,
        files,
        notes,
    }
}

fn file(name: String, text: String) -> ExportFile {
    ExportFile { name, text }
}

/// A name as it is written inside of its zone; nothing at the zone's own name.
fn within<'a>(name: &'a str, zone: &str) -> &'a str {
    name.strip_suffix(zone)
        .map_or(name, |rest| rest.trim_end_matches('.'))
}
