//! What a run would do, shown before anything is done. Pure.

use std::fmt::Write as _;

use email_engine_protocol::api::ApplyAnswer;
use email_engine_protocol::id::{ArtifactName, HostId, Role};
use serde::Serialize;

use super::needs::license::Caution;
use super::needs::listed;
use crate::commands::fleet;
use crate::output::{Mood, Output};

/// A file that goes into the cluster, or is only named there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Upload {
    pub(super) name: ArtifactName,
    pub(super) file: String,
    pub(super) bytes: u64,
    /// Hosts keep it from everybody.
    pub(super) confidential: bool,
    /// The cluster has its bytes.
    pub(super) is_there: bool,
    /// The name stands for it.
    pub(super) is_named: bool,
    pub(super) hosts: Vec<HostId>,
}

impl Upload {
    pub(super) const fn is_done(&self) -> bool {
        self.is_there && self.is_named
    }
}

/// A machine that becomes a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entrance {
    pub(super) host: HostId,
    pub(super) role: Role,
    pub(super) address: String,
    /// The words by which it is reached; by hand when absent.
    pub(super) via: Option<Vec<String>>,
}

/// All that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Plan {
    /// What should be known first.
    pub(super) cautions: Vec<Caution>,
    pub(super) uploads: Vec<Upload>,
    pub(super) let_in: Vec<Entrance>,
    pub(super) fleet: ApplyAnswer,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.let_in.is_empty()
            && self.fleet.changes.is_empty()
            && self.uploads.iter().all(Upload::is_done)
    }

    pub(super) fn render(&self, output: &Output) -> String {
        let mut shown = String::new();
        let due: Vec<&Upload> = self.uploads.iter().filter(|one| !one.is_done()).collect();
        if !due.is_empty() {
            shown.push_str("Artifacts:\n");
            for upload in due {
                let _ = writeln!(shown, "  {}", output.line(&uploaded(upload), Mood::Good));
            }
            shown.push('\n');
        }
        if !self.let_in.is_empty() {
            shown.push_str("Hosts to let in:\n");
            for entrance in &self.let_in {
                let _ = writeln!(shown, "  {}", output.line(&entered(entrance), Mood::Good));
            }
            shown.push('\n');
        }
        if !shown.is_empty() && !self.fleet.hosts.is_empty() {
            shown.push_str(
                "Hosts are compared as the cluster is now; what artifacts bring comes on top.\n\n",
            );
        }
        shown.push_str(&fleet::render(output, &self.fleet, true));
        let mut first = String::new();
        for caution in &self.cautions {
            let text = format!("! {caution}");
            let _ = writeln!(first, "{}", output.line(&text, Mood::Bad));
        }
        if !first.is_empty() {
            first.push('\n');
        }
        first + &shown
    }
}

fn uploaded(upload: &Upload) -> String {
    let Upload {
        name, file, bytes, ..
    } = upload;
    let what = if upload.is_there {
        "the cluster has it, and it is named"
    } else {
        "uploaded and named"
    };
    let secret = if upload.confidential {
        ", confidential"
    } else {
        ""
    };
    format!(
        "+ {name}: {file}, {bytes} bytes{secret}: {what}, for {}",
        listed(&upload.hosts)
    )
}

fn entered(entrance: &Entrance) -> String {
    let Entrance {
        host,
        role,
        address,
        via,
    } = entrance;
    let how = match via {
        Some(words) => format!("by: {}", words.join(" ")),
        None => "by hand, with a join token".to_owned(),
    };
    format!("+ {host} ({role}, {address}) {how}")
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::{Change, ChangeAction, HostChange};

    use super::*;
    use crate::output::PLAIN;

    fn host(id: &str) -> HostId {
        HostId::new(id).unwrap()
    }

    fn plan() -> Plan {
        let upload = |name: &str, is_there| Upload {
            name: ArtifactName::new(name).unwrap(),
            file: format!("{name}.bin"),
            bytes: 2048,
            confidential: name.contains("license"),
            is_there,
            is_named: false,
            hosts: vec![host("pmta1")],
        };
        let entrance = |id: &str, via: Option<&str>| Entrance {
            host: host(id),
            role: "powermta".parse().unwrap(),
            address: "192.0.2.20".to_owned(),
            via: via.map(|via| via.split(' ').map(str::to_owned).collect()),
        };
        Plan {
            cautions: vec![Caution {
                about: ArtifactName::new("powermta-license").unwrap(),
                what: "it says units 1".to_owned(),
            }],
            uploads: vec![upload("powermta", true), upload("powermta-license", false)],
            let_in: vec![
                entrance("pmta1", Some("ssh root@192.0.2.20")),
                entrance("pmta2", None),
            ],
            fleet: ApplyAnswer {
                revision: 4,
                changes: vec![Change {
                    action: ChangeAction::Create,
                    kind: "host".to_owned(),
                    name: "pmta1".to_owned(),
                    details: Vec::new(),
                }],
                hosts: vec![HostChange {
                    host: host("pmta1"),
                    resources: Vec::new(),
                    notes: Vec::new(),
                    more: 0,
                    retired: false,
                    error: None,
                }],
                ..ApplyAnswer::default()
            },
        }
    }

    #[test]
    fn a_plan_shows_uploads_hosts_and_what_plan_shows() {
        assert_eq!(
            plan().render(&PLAIN),
            "! powermta-license: it says units 1\n\n\
             Artifacts:\n  \
             + powermta: powermta.bin, 2048 bytes: the cluster has it, and it is named, for pmta1\n  \
             + powermta-license: powermta-license.bin, 2048 bytes, confidential: uploaded and named, for \
             pmta1\n\n\
             Hosts to let in:\n  \
             + pmta1 (powermta, 192.0.2.20) by: ssh root@192.0.2.20\n  \
             + pmta2 (powermta, 192.0.2.20) by hand, with a join token\n\n\
             Hosts are compared as the cluster is now; what artifacts bring comes on top.\n\n    \
             KIND  NAME   DETAILS\n \
             +  host  pmta1\n\n\
             Host pmta1: 0 resources\n\n\
             Would change: 1 to create, 0 to update, 0 to remove (at revision 4)."
        );
    }

    #[test]
    fn a_plan_is_empty_when_nothing_of_the_three_is_due() {
        let mut plan = plan();
        assert!(!plan.is_empty());
        for upload in &mut plan.uploads {
            (upload.is_there, upload.is_named) = (true, true);
        }
        plan.let_in.clear();
        assert!(!plan.is_empty());
        plan.fleet.changes.clear();
        plan.fleet.hosts.clear();
        assert!(plan.is_empty());
        let shown = plan.render(&PLAIN);
        assert!(
            shown.ends_with("units 1\n\nNothing to change (revision 4)."),
            "{shown}"
        );
        plan.uploads[0].is_named = false;
        assert!(!plan.is_empty());
    }
}
