//! What an operator must know of a host's new state beside its lines.

use email_engine_protocol::desired::RestartSpec;

use crate::planner::{Planned, restart_wanted};
use crate::powermta::lint::{Code, Options};
use crate::powermta::syntax::Sources;
use crate::powermta::{self, CONFIG_PATH};

use super::resources::text;

/// Findings about a change that a reload does not bring into force, or that costs queued mail.
const OF_A_CHANGE: [&str; 2] = ["PM109", "PM110"];
/// Notes of one host.
const NOTES: usize = 50;

pub(super) fn of(old: Option<&Planned>, new: &Planned) -> Vec<String> {
    let mut notes = new.flags.clone();
    if let (Some(before), Some(after)) = (old.and_then(configuration), configuration(new))
        && before != after
    {
        notes.extend(changes(before, after));
    }
    notes.extend(old.and_then(|old| waits(old, new)));
    notes.truncate(NOTES);
    notes
}

/// What waits on the host for an operator's word.
pub(super) fn waits(old: &Planned, new: &Planned) -> Option<String> {
    let wanted = RestartSpec {
        lines: restart_wanted(&new.config),
        allowed: false,
    };
    let lines = wanted.changed_from(&restart_wanted(&old.config));
    let host = &new.config.host;
    (!lines.is_empty()).then(|| {
        format!(
            "the host keeps its configuration until `email-engine hosts allow-restart {host}`: \
             only a restart brings into force: {}",
            lines.join("; ")
        )
    })
}

/// The text of a host's PowerMTA configuration.
fn configuration(planned: &Planned) -> Option<&str> {
    let id = format!("file:{CONFIG_PATH}");
    let mut resources = planned.config.resources.iter();
    let file = resources.find(|resource| resource.id.as_str() == id)?;
    std::str::from_utf8(text(file, planned)?).ok()
}

fn changes(before: &str, after: &str) -> Vec<String> {
    let wanted = OF_A_CHANGE.map(Code::parse);
    let before = Sources::single(CONFIG_PATH, before);
    let options = Options {
        before: Some(&before),
        ..Options::default()
    };
    let report = powermta::lint(&Sources::single(CONFIG_PATH, after), &options);
    let found = report.findings.into_iter();
    found
        .filter(|finding| wanted.contains(&Some(finding.code)))
        .map(|finding| format!("{} ({})", finding.message, finding.code))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_a_reload_does_not_bring_into_force_is_noted() {
        let noted = changes("http-mgmt-port 8080\n", "http-mgmt-port 8081\n");
        let [note] = &noted[..] else {
            panic!("{noted:?}");
        };
        assert!(
            note.contains("from `8080` to `8081`: only with a restart") && note.contains("(PM109)"),
            "{note}"
        );
        assert!(changes("http-mgmt-port 8080\n", "http-mgmt-port 8080\n").is_empty());
        let processor = "<bounce-processor>\n</bounce-processor>\n";
        for (before, after, word) in [("", processor, "first"), (processor, "", "last")] {
            let noted = changes(before, after).concat();
            assert!(
                noted.contains(&format!("the {word} `<bounce-processor>`")),
                "{noted}"
            );
        }
    }
}
