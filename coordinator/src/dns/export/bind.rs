//! Snippets of zone files. Names are whole and each line has its TTL, so that neither `$ORIGIN` nor `$TTL` of
//! the file around it matters, or is changed by it.

use std::collections::BTreeMap;

use email_engine_protocol::api::ExportFile;
use email_engine_protocol::mail::DomainName;

use super::file;
use crate::dns::wanted::Wanted;

pub(super) const HOW: &str = "take each file into the file of its zone, `$INCLUDE /path/to/example.com.include`, and \
     raise the zone's serial; all other records of the zone stay as they are";

pub(super) fn files(zones: &BTreeMap<DomainName, Vec<Wanted>>) -> Vec<ExportFile> {
    let one = |(zone, records): (&DomainName, &Vec<Wanted>)| {
        let mut text =
            format!("; Sending domains in {zone}. To be included by the zone's own file.\n");
        for record in records {
            text.push_str(&record.line());
            text.push('\n');
        }
        file(format!("{zone}.include"), text)
    };
    zones.iter().map(one).collect()
}
