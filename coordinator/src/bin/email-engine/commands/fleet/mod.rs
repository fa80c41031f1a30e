//! `apply` and `plan`: a fleet file becomes the fleet.

pub(crate) mod preview;

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use email_engine_protocol::api::{
    self, ApplyAnswer, Change, ChangeAction, FleetDocument, REMOVALS_MOVED,
};
use email_engine_protocol::bytes::ContentHash;

use self::preview::preview;
use super::Desk;
use crate::client::ClientError;
use crate::exit::{Exit, Failure};
use crate::fleet_file::FleetFile;
use crate::output::{Mood, Output, text};
use crate::prompt::{self, Reply};

/// Looks at what would be removed, when the fleet changes between them.
const LOOKS: usize = 5;

/// Arguments of `apply`.
#[derive(Args, Debug)]
#[command(after_help = "\
No tenant, host or identity is removed that the file merely omits: say --prune for that. What it takes
out is listed, and asked about unless --yes; what came meanwhile is listed again first. The same file
applied again changes nothing.

What is left out of an identity's entry stays as it is. A tenant, a host and the settings are as their
entry says, whole: what is left out there goes back to its default, and is warned of.

Examples:
  email-engine apply -f fleet.toml
  email-engine apply -f fleet.toml --prune          asks before it removes
  generate-fleet | email-engine apply -f -")]
pub(crate) struct Apply {
    /// Fleet file (TOML); `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Also remove what the file omits
    #[arg(long)]
    prune: bool,
    /// Answer yes to the question before removals
    #[arg(long, short)]
    yes: bool,
    /// Only check, and show what would change (exit code 0; see `plan` for 2)
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: leave out what would change on the hosts
    #[arg(long, requires = "dry_run")]
    no_diff: bool,
}

/// Arguments of `plan`.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit code 0 when nothing would change, 2 when something would, 1 when the file is refused.
First what changes in the fleet, field by field; then what that does to the hosts: resources, and
files line by line. Secrets are named by id and version, never shown. `--output json` has the same
under `changes` and `hosts`.

Examples:
  email-engine plan -f fleet.toml
  email-engine plan -f fleet.toml --no-diff         the fields only
  email-engine plan -f fleet.toml --prune || echo 'there is something to do'")]
pub(crate) struct Plan {
    /// Fleet file (TOML); `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Also show what `apply --prune` would remove
    #[arg(long)]
    prune: bool,
    /// Leave out what would change on the hosts
    #[arg(long)]
    no_diff: bool,
}

pub(crate) async fn apply(
    desk: &Desk,
    arguments: &Apply,
    file: &FleetFile,
) -> Result<Exit, Failure> {
    if arguments.prune {
        refuse_nothing(&file.document)?;
    }
    let mut answer = match (arguments.prune, arguments.dry_run) {
        (true, false) => prune(desk, arguments, file).await?,
        (prune, dry_run) => send(desk, file, dry_run, prune).await?,
    };
    leave_out(&mut answer, arguments.no_diff);
    warn(&desk.output, &answer);
    desk.output
        .show(&answer, |output| render(output, &answer, arguments.dry_run))?;
    Ok(Exit::Success)
}

pub(crate) async fn plan(desk: &Desk, arguments: &Plan, file: &FleetFile) -> Result<Exit, Failure> {
    if arguments.prune {
        refuse_nothing(&file.document)?;
    }
    let mut answer = send(desk, file, true, arguments.prune).await?;
    leave_out(&mut answer, arguments.no_diff);
    warn(&desk.output, &answer);
    desk.output
        .show(&answer, |output| render(output, &answer, true))?;
    Ok(verdict(&answer))
}

/// Sends the file; a refusal of one of its fields is shown where that stands.
pub(crate) async fn send(
    desk: &Desk,
    file: &FleetFile,
    dry_run: bool,
    prune: bool,
) -> Result<ApplyAnswer, Failure> {
    let sent = desk.client.apply(&file.document, dry_run, prune).await;
    sent.map_err(|error| pointed(file, error))
}

fn pointed(file: &FleetFile, error: ClientError) -> Failure {
    match &error {
        ClientError::Refused { problem } => match &problem.field {
            Some(field) => {
                let said = file.point_at(field, &error.to_string());
                Failure::new(Exit::Failure, said)
            }
            None => error.into(),
        },
        _ => error.into(),
    }
}

/// Applies a file and takes out what it omits: what was listed, and nothing that came in the meantime.
async fn prune(desk: &Desk, arguments: &Apply, file: &FleetFile) -> Result<ApplyAnswer, Failure> {
    let mut looks = 0;
    loop {
        looks += 1;
        let agreed = permit_removals(desk, arguments, file).await?;
        match desk.client.prune(&file.document, &agreed).await {
            Err(ClientError::Refused { problem })
                if problem.code == REMOVALS_MOVED && looks < LOOKS =>
            {
                desk.output
                    .note("The fleet has changed meanwhile, and with it what would be removed:");
            }
            sent => return sent.map_err(|error| pointed(file, error)),
        }
    }
}

/// A generator that failed writes nothing, and pruning to nothing would end a fleet.
fn refuse_nothing(document: &FleetDocument) -> Result<(), Failure> {
    if document.tenants.is_empty() && document.hosts.is_empty() && document.ips.is_empty() {
        return Err(Failure::new(
            Exit::Failure,
            "the file names no tenant, host or identity, and --prune would remove the whole fleet: \
             nothing was changed; to end a fleet, remove its parts by name",
        ));
    }
    Ok(())
}

pub(crate) fn leave_out(answer: &mut ApplyAnswer, hosts: bool) {
    if hosts {
        answer.hosts.clear();
        answer.more_hosts = 0;
    }
}

fn verdict(answer: &ApplyAnswer) -> Exit {
    if answer.changes.is_empty() {
        Exit::Success
    } else {
        Exit::Found
    }
}

/// Lists what would go and asks; refuses where nobody can be asked. Gives what was agreed to.
async fn permit_removals(
    desk: &Desk,
    arguments: &Apply,
    file: &FleetFile,
) -> Result<ContentHash, Failure> {
    let answer = send(desk, file, true, true).await?;
    let agreed = api::removals(&file.document, &answer.changes);
    let pruned = api::pruned(&file.document, &answer.changes);
    if pruned.is_empty() {
        return Ok(agreed);
    }
    for Change {
        kind, name, action, ..
    } in &pruned
    {
        desk.output.note(&match action {
            ChangeAction::Remove => format!("will remove {kind} {name}"),
            ChangeAction::Create | ChangeAction::Update => {
                format!("will lay {kind} {name} to rest: it is the last of its purpose")
            }
        });
    }
    let question = format!("Prune {}?", count(pruned.len(), "object"));
    // Where the file came from standard input, nobody is left there to answer.
    match prompt::confirm(&question, arguments.yes) {
        Reply::Yes => Ok(agreed),
        Reply::No => Err(Failure::new(
            Exit::Failure,
            "not confirmed: nothing was changed",
        )),
        Reply::Nobody => Err(Failure::new(
            Exit::Failure,
            format!(
                "--prune would take out {} and there is no terminal to ask on: nothing was changed; \
                 say --yes to allow it",
                count(pruned.len(), "object")
            ),
        )),
    }
}

/// Says what a change does that whoever asks may not have in mind, and what of it nobody checked.
pub(crate) fn warn(output: &Output, answer: &ApplyAnswer) {
    for warning in &answer.warnings {
        output.note(&format!("warning: {warning}"));
    }
}

/// Shows what a change would do to the hosts; [`Exit::Found`] when that is something.
pub(crate) fn on_hosts(output: &Output, answer: &ApplyAnswer) -> Result<Exit, Failure> {
    warn(output, answer);
    let changes = !answer.hosts.is_empty() || answer.more_hosts > 0;
    output.show(answer, |output| match changes {
        true => preview(output, answer).trim_end().to_owned(),
        false => "Nothing to change on any host.".to_owned(),
    })?;
    Ok(if changes { Exit::Found } else { Exit::Success })
}

pub(crate) fn render(output: &Output, answer: &ApplyAnswer, dry_run: bool) -> String {
    let mut shown = String::new();
    if !answer.changes.is_empty() {
        let mut table = output.table(&["", "KIND", "NAME", "DETAILS"]);
        for change in &answer.changes {
            let (sign, mood) = match change.action {
                ChangeAction::Create => ("+", Mood::Good),
                ChangeAction::Update => ("~", Mood::Underway),
                ChangeAction::Remove => ("-", Mood::Bad),
            };
            table.add_row(vec![
                output.mood(&sign, mood),
                output.mood(&change.kind, Mood::Plain),
                output.mood(&change.name, Mood::Plain),
                output.mood(&change.details.join("\n"), Mood::Plain),
            ]);
        }
        shown = text(&table);
        shown.push_str("\n\n");
    }
    shown.push_str(&preview(output, answer));
    let _ = write!(shown, "{}", summary(answer, dry_run));
    shown
}

fn summary(answer: &ApplyAnswer, dry_run: bool) -> String {
    if answer.changes.is_empty() && answer.applied {
        // The answer to an earlier attempt got lost on its way.
        return format!("Applied (revision {}).", answer.revision);
    }
    if answer.changes.is_empty() {
        return format!("Nothing to change (revision {}).", answer.revision);
    }
    let number = |action| {
        let matching = answer
            .changes
            .iter()
            .filter(|change| change.action == action);
        matching.count()
    };
    let counts = format!(
        "{} to create, {} to update, {} to remove",
        number(ChangeAction::Create),
        number(ChangeAction::Update),
        number(ChangeAction::Remove)
    );
    if dry_run || !answer.applied {
        format!("Would change: {counts} (at revision {}).", answer.revision)
    } else {
        let done = counts.replace(" to create", " created");
        let done = done.replace(" to update", " updated");
        let done = done.replace(" to remove", " removed");
        format!("Applied: {done} (revision {}).", answer.revision)
    }
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;
    use crate::client::testbed::Authority;
    use crate::output::PLAIN;

    fn answer(changes: Vec<Change>) -> ApplyAnswer {
        ApplyAnswer {
            applied: false,
            revision: 12,
            changes,
            ..ApplyAnswer::default()
        }
    }

    fn change(action: ChangeAction, name: &str, details: &[&str]) -> Change {
        Change {
            action,
            kind: "ip".to_owned(),
            name: name.to_owned(),
            details: details.iter().map(|&detail| detail.to_owned()).collect(),
        }
    }

    #[test]
    fn a_plan_shows_each_change_and_counts_them() {
        let answer = answer(vec![
            change(ChangeAction::Create, "192.0.2.1", &[]),
            change(
                ChangeAction::Update,
                "192.0.2.2",
                &["status: standby -> warming", "phase: week_1 -> week_2"],
            ),
            change(ChangeAction::Remove, "192.0.2.3", &[]),
        ]);
        assert_eq!(
            render(&PLAIN, &answer, true),
            "    KIND  NAME       DETAILS\n \
             +  ip    192.0.2.1\n \
             ~  ip    192.0.2.2  status: standby -> warming\n                     \
             phase: week_1 -> week_2\n \
             -  ip    192.0.2.3\n\n\
             Would change: 1 to create, 1 to update, 1 to remove (at revision 12)."
        );
        assert_eq!(verdict(&answer), Exit::Found);
    }

    #[test]
    fn nothing_to_change_is_said_and_exits_0() {
        let answer = answer(Vec::new());
        assert_eq!(
            render(&PLAIN, &answer, true),
            "Nothing to change (revision 12)."
        );
        assert_eq!(verdict(&answer), Exit::Success);
    }

    #[test]
    fn what_was_done_is_told_in_the_past() {
        let mut answer = answer(vec![change(ChangeAction::Create, "192.0.2.1", &[])]);
        answer.applied = true;
        assert_eq!(
            summary(&answer, false),
            "Applied: 1 created, 0 updated, 0 removed (revision 12)."
        );
    }

    #[test]
    fn what_is_pruned_is_picked_out_of_a_plan() {
        let changes = [
            change(ChangeAction::Create, "192.0.2.1", &[]),
            change(
                ChangeAction::Update,
                "192.0.2.2",
                &["planned_daily: 1 -> 2"],
            ),
            change(ChangeAction::Remove, "192.0.2.3", &[]),
            change(
                ChangeAction::Update,
                "192.0.2.4",
                &["status: active -> resting"],
            ),
        ];
        let text =
            "[[ips]]\naddress = \"192.0.2.2\"\ndomain = \"a.example.com\"\ntenant = \"one\"\n";
        let document: FleetDocument = toml::from_str(text).unwrap();
        let names: Vec<_> = api::pruned(&document, &changes)
            .into_iter()
            .map(|change| change.name.as_str())
            .collect();
        assert_eq!(names, ["192.0.2.3", "192.0.2.4"]);
        let agreed = ContentHash::of(b"remove ip 192.0.2.3\nrest ip 192.0.2.4\n");
        assert_eq!(api::removals(&document, &changes), agreed);
    }

    const PLANNED: &str = r#"{"applied":false,"revision":7,"warnings":[],"changes":[
        {"action":"remove","kind":"ip","name":"192.0.2.3","details":[]}]}"#;

    #[tokio::test]
    async fn a_plan_that_would_change_something_exits_2_and_asks_for_a_dry_run() {
        let authority = Authority::new(1);
        let node = authority.node(|_| PLANNED.into_response());
        let arguments = Plan {
            file: "-".into(),
            prune: true,
            no_diff: false,
        };
        let desk = authority.desk(&node);
        let nothing = FleetDocument::default().into();
        let refused = plan(&desk, &arguments, &nothing).await.unwrap_err();
        assert!(refused.to_string().contains("the whole fleet"), "{refused}");
        let document =
            toml::from_str::<FleetDocument>("[[tenants]]\nid = \"red\"\nname = \"Red\"\n").unwrap();
        let exit = plan(&desk, &arguments, &document.into()).await.unwrap();
        assert_eq!(exit as u8, 2);
        assert_eq!(
            node.asked()[0].target,
            "/api/v1/fleet?dry_run=true&prune=true"
        );
    }

    #[tokio::test]
    async fn a_prune_that_nobody_confirms_changes_nothing() {
        let authority = Authority::new(1);
        let node = authority.node(|_| PLANNED.into_response());
        let mut arguments = Apply {
            file: "-".into(),
            prune: true,
            yes: false,
            dry_run: false,
            no_diff: false,
        };
        let desk = authority.desk(&node);
        let text = "[[tenants]]\nid = \"one\"\nname = \"One\"\n";
        let document = crate::fleet_file::parse("fleet.toml", text).unwrap();
        // Tests have no terminal on both ends, so nobody is there to ask.
        if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            let failure = apply(&desk, &arguments, &document.clone().into())
                .await
                .unwrap_err();
            assert!(failure.to_string().contains("say --yes"), "{failure}");
            let targets: Vec<_> = node.asked().into_iter().map(|a| a.target).collect();
            assert_eq!(targets, ["/api/v1/fleet?dry_run=true&prune=true"]);
        }
        arguments.yes = true;
        apply(&desk, &arguments, &document.clone().into())
            .await
            .unwrap();
        let last = node.asked().pop().unwrap();
        let agreed = ContentHash::of(b"remove ip 192.0.2.3\n");
        let expected = format!("/api/v1/fleet?dry_run=false&prune=true&removing={agreed}");
        assert_eq!(last.target, expected);
        // Nothing at all is not what anybody wants to prune to, whatever is said.
        let asked = node.asked().len();
        let nothing = FleetDocument::default();
        let refused = apply(&desk, &arguments, &nothing.clone().into())
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("the whole fleet"), "{refused}");
        assert_eq!(node.asked().len(), asked);
    }
}
