//! What a trial shows once it is up: the fleet as it stands, and what to try next.

use std::path::Path;

use email_engine_protocol::api::StatusView;
use email_engine_protocol::id::Role;

use super::TrialError;
use super::place::Place;
use crate::commands::status;
use crate::output::Output;

const LEGEND: &str = "\
simulated: packages, services and commands, of which a sandbox starts none
unknown: files that are right as far as a sandbox can tell, which has no users to own them";

/// Shows the table, and commands that work as they stand.
pub(super) fn show(
    status: &StatusView,
    place: &Place,
    ending: bool,
    output: Output,
) -> Result<(), TrialError> {
    output
        .show(status, |output| {
            format!("\n{}\n\n{LEGEND}\n", status::render(output, status))
        })
        .map_err(|error| TrialError::io("show the fleet")(std::io::Error::other(error)))?;
    if !ending {
        output.note(&suggestions(status, place));
    }
    Ok(())
}

fn suggestions(status: &StatusView, place: &Place) -> String {
    let program =
        std::env::current_exe().map_or_else(|_| "email-engine".to_owned(), |path| quoted(&path));
    let admin = quoted(&place.admin());
    let mut lines = vec![
        "It stays up until Ctrl-C; start it again from the same folder to go on.".to_owned(),
        String::new(),
        "To try, in another terminal:".to_owned(),
        format!("  export EMAIL_ENGINE_CONTEXT={admin}"),
        format!("  {program} status --watch"),
    ];
    let mta = status
        .hosts
        .iter()
        .find(|host| host.spec.role == Role::Powermta)
        .or_else(|| status.hosts.first());
    if let Some(host) = mta {
        let id = &host.spec.id;
        let root = place.host_root(id);
        lines.push(format!("  {program} config render --host {id}"));
        lines.push("An edited or deleted file comes back:".to_owned());
        let file = root.join("etc/pmta/config");
        if file.exists() {
            let file = quoted(&file);
            lines.push(format!("  echo broken > {file}; sleep 1; head -3 {file}"));
        } else {
            lines.push(format!("  find {} -type f", quoted(&root)));
        }
    }
    if let Some(leader) = status.cluster.leader
        && let Some(config) = place.config_of(leader)
    {
        lines.push(format!(
            "Without the leader (node {leader}) hosts keep what they have; an agent that was connected \
             to it finds another node within 15 s:"
        ));
        lines.push(format!("  pkill -KILL -f {}", quoted(&config)));
        lines.push(format!("  {program} cluster status"));
    }
    lines.push(format!("Logs: {}", place.root().join("logs").display()));
    lines.join("\n")
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_when_a_shell_would_misread_them() {
        assert_eq!(quoted(Path::new("/tmp/trial-1")), "/tmp/trial-1");
        assert_eq!(quoted(Path::new("/tmp/my trial")), "'/tmp/my trial'");
        assert_eq!(quoted(Path::new("/tmp/o'brien")), "'/tmp/o'\\''brien'");
    }
}
