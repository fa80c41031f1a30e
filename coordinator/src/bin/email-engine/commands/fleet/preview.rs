//! What a change would do to the hosts, as people read it.

use std::fmt::Write;

use email_engine_protocol::api::{ApplyAnswer, ChangeAction, HostChange, ResourceChange, TextDiff};

use super::count;
use crate::output::{Mood, Output};

/// Every host that would change, one after the other; nothing when none would.
pub(crate) fn preview(output: &Output, answer: &ApplyAnswer) -> String {
    let mut shown = String::new();
    for host in &answer.hosts {
        one_host(output, host, &mut shown);
        shown.push('\n');
    }
    if answer.more_hosts > 0 {
        let more = usize::try_from(answer.more_hosts).unwrap_or(usize::MAX);
        let _ = writeln!(shown, "{} more not compared.\n", count(more, "host"));
    }
    shown
}

fn one_host(output: &Output, host: &HostChange, shown: &mut String) {
    let number = host.resources.len() + usize::try_from(host.more).unwrap_or(usize::MAX);
    let _ = match (&host.error, host.retired) {
        (Some(error), _) => {
            let text = format!(
                "Host {}: cannot be planned and would keep what it has: {error}",
                host.host
            );
            writeln!(shown, "{}", output.line(&text, Mood::Bad))
        }
        (None, true) => {
            let text = format!("Host {}: wiped of its secrets and cut off", host.host);
            writeln!(shown, "{}", output.line(&text, Mood::Bad))
        }
        (None, false) => writeln!(shown, "Host {}: {}", host.host, count(number, "resource")),
    };
    for change in &host.resources {
        resource(output, change, shown);
    }
    if host.more > 0 {
        let _ = writeln!(shown, "  and {} more", host.more);
    }
    for note in &host.notes {
        let _ = writeln!(shown, "  {}", output.line(&format!("! {note}"), Mood::Bad));
    }
}

fn resource(output: &Output, change: &ResourceChange, shown: &mut String) {
    let (sign, mood) = match change.action {
        ChangeAction::Create => ('+', Mood::Good),
        ChangeAction::Update => ('~', Mood::Underway),
        ChangeAction::Remove => ('-', Mood::Bad),
    };
    let mut line = format!("{sign} {}", change.id);
    if let Some(diff) = &change.diff {
        let _ = write!(line, "  +{} -{}", diff.added, diff.removed);
    }
    let _ = writeln!(shown, "  {}", output.line(&line, mood));
    // A new thing's owner and mode are what its role says; what changes in an old one is news.
    if change.action == ChangeAction::Update {
        for detail in &change.details {
            let _ = writeln!(shown, "      {detail}");
        }
    }
    if let Some(diff) = &change.diff {
        unified(output, diff, shown);
    }
}

fn unified(output: &Output, diff: &TextDiff, shown: &mut String) {
    for (at, line) in diff.unified.lines().enumerate() {
        let mood = match line.as_bytes().first() {
            // The first two lines name the file.
            _ if at < 2 => Mood::Plain,
            Some(b'+') => Mood::Good,
            Some(b'-') => Mood::Bad,
            Some(b'@') => Mood::Underway,
            _ => Mood::Plain,
        };
        let _ = writeln!(shown, "    {}", output.line(line, mood));
    }
    if diff.cut {
        let _ = writeln!(
            shown,
            "    (the rest is left off: `config render --proposed` shows files whole)"
        );
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::{HostId, ResourceId};

    use super::*;
    use crate::output::PLAIN;

    fn answer() -> ApplyAnswer {
        let resource = |action, id: &str, details: &[&str], unified: &str| ResourceChange {
            action,
            id: ResourceId::new(id).unwrap(),
            details: details.iter().map(ToString::to_string).collect(),
            diff: (!unified.is_empty()).then(|| TextDiff {
                added: 1,
                removed: 1,
                unified: unified.to_owned(),
                cut: false,
            }),
        };
        let host = |id: &str, resources| HostChange {
            host: HostId::new(id).unwrap(),
            resources,
            notes: Vec::new(),
            more: 0,
            retired: false,
            error: None,
        };
        let config = "--- /etc/pmta/config\n+++ /etc/pmta/config\n@@ -4 +4 @@\n-old\n+new\n";
        let key = ["content: secret dkim/a version 1 -> secret dkim/b version 7"];
        let mut broken = host("pmta2", Vec::new());
        broken.error = Some("its release is gone".to_owned());
        broken.notes = vec!["3 lines of /etc/pmta/config are verbatim".to_owned()];
        let mut gone = host("pmta3", Vec::new());
        gone.retired = true;
        ApplyAnswer {
            hosts: vec![
                host(
                    "pmta1",
                    vec![
                        resource(ChangeAction::Update, "file:/etc/pmta/config", &[], config),
                        resource(ChangeAction::Update, "file:/etc/pmta/dkim/a.pem", &key, ""),
                        resource(ChangeAction::Remove, "file:/etc/pmta/dkim/c.pem", &[], ""),
                    ],
                ),
                broken,
                gone,
            ],
            more_hosts: 3,
            ..ApplyAnswer::default()
        }
    }

    #[test]
    fn hosts_follow_each_other_with_their_files_line_by_line() {
        assert_eq!(
            preview(&PLAIN, &answer()),
            "Host pmta1: 3 resources\n  \
               ~ file:/etc/pmta/config  +1 -1\n    \
                 --- /etc/pmta/config\n    \
                 +++ /etc/pmta/config\n    \
                 @@ -4 +4 @@\n    \
                 -old\n    \
                 +new\n  \
               ~ file:/etc/pmta/dkim/a.pem\n      \
                   content: secret dkim/a version 1 -> secret dkim/b version 7\n  \
               - file:/etc/pmta/dkim/c.pem\n\n\
             Host pmta2: cannot be planned and would keep what it has: its release is gone\n  \
               ! 3 lines of /etc/pmta/config are verbatim\n\n\
             Host pmta3: wiped of its secrets and cut off\n\n\
             3 hosts more not compared.\n\n"
        );
    }

    #[test]
    fn colours_are_for_terminals() {
        assert!(!preview(&PLAIN, &answer()).contains('\u{1b}'));
        let coloured = Output {
            colour: true,
            ..PLAIN
        };
        let shown = preview(&coloured, &answer());
        assert!(shown.contains("\u{1b}[32m+new\u{1b}[0m"), "{shown:?}");
        assert!(shown.contains("\u{1b}[31m-old\u{1b}[0m"), "{shown:?}");
    }
}
