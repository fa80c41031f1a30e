//! `hosts`: the managed machines and where they stand.

use std::fmt::Write as _;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{HostView, MailDay, RestartView};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::HostId;
use email_engine_protocol::observed::{
    Convergence, Facts, ResourceState, ResourceStatus, StatusCounts,
};

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, or_dash, text, word};
use crate::prompt::{self, Reply};

/// Arguments of `hosts`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  email-engine hosts
  email-engine hosts show pmta1
  email-engine hosts allow-restart pmta1   shows the lines that need one, then asks
  email-engine hosts retire pmta1       wipes its secrets, waits for the proof, cuts it off")]
pub(crate) struct Hosts {
    #[command(subcommand)]
    command: Option<HostsCommand>,
}

#[derive(Debug, Subcommand)]
enum HostsCommand {
    /// List all hosts (the default)
    List,
    /// Wipe a host's secrets, have it confirmed, cut the host off
    Retire {
        /// Its name
        host: HostId,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Allow a host to lose much of what it has, or data, with its next state (`apply --prune` allows
    /// it by itself)
    AllowRemoval {
        /// Its name
        host: HostId,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Allow a restart of a host's product, for the lines that need one: they are shown first, and
    /// the word is for them alone
    AllowRestart {
        /// Its name
        host: HostId,
        /// Only for the lines of this digest, which an earlier look has shown
        #[arg(long, value_name = "DIGEST")]
        lines: Option<ContentHash>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Try a content that a host refused once more, although it is the same
    Retry {
        /// Its name
        host: HostId,
    },
    /// Revoke the certificate of a host's agent; its session ends at once
    Revoke {
        /// Its name
        host: HostId,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Show one host
    Show {
        /// Its name
        host: HostId,
    },
}

pub(crate) async fn run(desk: &Desk, arguments: Hosts) -> Result<Exit, Failure> {
    match arguments.command.unwrap_or(HostsCommand::List) {
        HostsCommand::List => {
            let hosts = desk.client.hosts().await?;
            desk.output.show(&hosts, |output| table(output, &hosts))?;
        }
        HostsCommand::Show { host } => {
            let host = desk.client.host(&host).await?;
            desk.output.show(&host, |_| details(&host))?;
        }
        HostsCommand::Retire { host, yes } => {
            permitted(
                &format!("Retire {host}? Its secrets are wiped and it is cut off."),
                yes,
            )?;
            let answer = desk.client.retire(&host).await?;
            desk.output.show(&answer, |_| {
                format!("Host {host} is retiring: see `email-engine hosts show {host}`.")
            })?;
        }
        HostsCommand::AllowRemoval { host, yes } => {
            permitted(&format!("Let {host} remove much of what it has?"), yes)?;
            let answer = desk.client.allow_removal(&host).await?;
            desk.output.show(&answer, |_| {
                format!("{host} may remove what its next state no longer names.")
            })?;
        }
        HostsCommand::AllowRestart { host, lines, yes } => {
            let looked_at = desk.client.restart(&host).await?;
            desk.output.note(&restart_lines(&looked_at));
            permitted(&format!("Let the product on {host} be restarted?"), yes)?;
            let digest = lines.unwrap_or(looked_at.digest);
            let answer = desk.client.allow_restart(&host, digest).await?;
            desk.output.show(&answer, |_| {
                format!(
                    "{host} may restart its product, if a change of these lines waits for that: the \
                     word ends when the host has converged on what is planned from now on."
                )
            })?;
        }
        HostsCommand::Retry { host } => {
            let view = desk.client.host(&host).await?;
            let answer = desk.client.retry(&host).await?;
            desk.output.show(&answer, |_| {
                let again = match refuses(&view) {
                    true => "tries once more what it refused",
                    false => "is known to refuse nothing; if it does, it tries that once more",
                };
                format!("{host} {again}: see `email-engine hosts show {host}`.")
            })?;
        }
        HostsCommand::Revoke { host, yes } => {
            permitted(&format!("Revoke the certificate of {host}?"), yes)?;
            let answer = desk.client.revoke_certificate(&host).await?;
            desk.output.show(&answer, |_| {
                format!(
                    "The certificate of {host} is revoked; a new agent needs a token \
                     (email-engine token create --replace)."
                )
            })?;
        }
    }
    Ok(Exit::Success)
}

/// Whether a host says of anything that it is not as it shall be.
fn refuses(host: &HostView) -> bool {
    host.convergence != Convergence::Converged || host.running != host.target
}

/// What an operator is asked to allow a restart for.
fn restart_lines(view: &RestartView) -> String {
    let mut shown = format!(
        "Only a restart of the product on {} brings a change of these lines into force:",
        view.host
    );
    for line in &view.lines {
        shown.push_str("\n  ");
        shown.push_str(line);
    }
    if view.allowed {
        shown.push_str("\nA restart for them is allowed already.");
    }
    format!("{shown}\ndigest {}", view.digest)
}

/// One day's mail; complaints only where there were any.
fn sent(day: &MailDay) -> String {
    let date = day.day.to_string();
    let date = date.split_once('T').map_or(&date[..], |(date, _)| date);
    let mut said = format!(
        "{date}: {} sent, {} delivered, {} bounced hard, {} deferred",
        day.sent, day.delivered, day.bounced, day.deferred
    );
    if day.complaints > 0 {
        let _ = write!(said, ", {} complaints", day.complaints);
    }
    said
}

pub(super) fn permitted(question: &str, yes: bool) -> Result<(), Failure> {
    let refused = |text| Err(Failure::new(Exit::Failure, text));
    match prompt::confirm(question, yes) {
        Reply::Yes => Ok(()),
        Reply::No => refused("not confirmed: nothing was changed"),
        Reply::Nobody => refused(
            "this cannot be taken back and there is no terminal to ask on: nothing was changed; \
             say --yes to allow it",
        ),
    }
}

pub(crate) fn table(output: &Output, hosts: &[HostView]) -> String {
    let mut table = output.table(&[
        "HOST",
        "ROLE",
        "TENANT",
        "GENERATION",
        "RESOURCES",
        "NODE",
        "STATE",
    ]);
    for host in hosts {
        let (state, mood) = state(host);
        let plain = |text: String| output.mood(&text, Mood::Plain);
        table.add_row(vec![
            plain(host.spec.id.to_string()),
            plain(host.spec.role.to_string()),
            plain(or_dash(host.spec.tenant.as_ref())),
            plain(generation(host)),
            plain(resources(&host.counts)),
            plain(or_dash(host.connected)),
            output.mood(&state, mood),
        ]);
    }
    text(&table)
}

/// The generation that runs, and the one that shall, while they differ.
pub(crate) fn generation(host: &HostView) -> String {
    match (host.running, host.target) {
        (running, None) => or_dash(running),
        (Some(running), Some(target)) if running == target => running.to_string(),
        (running, Some(target)) => format!("{} -> {target}", or_dash(running)),
    }
}

/// What was found right, and what was not by its reason.
pub(crate) fn resources(counts: &StatusCounts) -> String {
    if counts.total() == 0 {
        return "-".to_owned();
    }
    let mut parts = vec![format!("{}/{}", counts.satisfied(), counts.total())];
    for (number, what) in [
        (counts.simulated, "simulated"),
        (counts.unknown, "unknown"),
        (counts.drifted, "drifted"),
        (counts.failed, "failed"),
        (counts.blocked, "blocked"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    parts.join(", ")
}

/// One word for where a host stands, with the reason when it is stuck.
pub(crate) fn state(host: &HostView) -> (String, Mood) {
    if host.lifecycle != "enrolled" {
        return (host.lifecycle.clone(), Mood::Plain);
    }
    let word = word(&host.convergence);
    if host.plan_error.is_some() {
        return (format!("{word}, cannot be planned"), Mood::Bad);
    }
    if host.connected.is_none() && host.running.is_none() {
        return ("enrolled, not heard yet".to_owned(), Mood::Underway);
    }
    if host.connected.is_none() {
        // A node that does not answer may have its agent.
        let agent = if host.unheard.is_empty() {
            "silent"
        } else {
            "unknown"
        };
        return (format!("{word}, {agent}"), Mood::Bad);
    }
    let behind = host.target.is_some() && host.running != host.target;
    match host.convergence {
        Convergence::Degraded => {
            let reason = host
                .attempted
                .as_ref()
                .map(|attempt| format!(": {}", attempt.reason));
            (format!("{word}{}", reason.unwrap_or_default()), Mood::Bad)
        }
        Convergence::Converged if behind => ("converging".to_owned(), Mood::Underway),
        Convergence::Converged => (word, Mood::Good),
        Convergence::Converging | Convergence::Idle => (word, Mood::Underway),
    }
}

fn details(host: &HostView) -> String {
    let spec = &host.spec;
    let addresses: Vec<_> = spec.addresses.iter().map(ToString::to_string).collect();
    let labels: Vec<_> = spec
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut lines = vec![
        ("Host", spec.id.to_string()),
        ("Role", spec.role.to_string()),
        ("Tenant", or_dash(spec.tenant.as_ref())),
        ("Addresses", addresses.join(", ")),
        ("Lifecycle", host.lifecycle.clone()),
        ("State", state(host).0),
        ("Running", or_dash(host.running)),
        ("Target", or_dash(host.target)),
        ("Resources", resources(&host.counts)),
        ("Agent at node", or_dash(host.connected)),
        ("Changed", or_dash(host.changed_at)),
    ];
    if !labels.is_empty() {
        lines.push(("Labels", labels.join(", ")));
    }
    if let Some(away) = &host.turned_away {
        lines.push(("Turned away", format!("at {}: {}", away.at, away.reason)));
    }
    if let Some(error) = &host.plan_error {
        lines.push(("Not planned", error.clone()));
    }
    if let Some(facts) = &host.facts {
        lines.push(("Machine", machine(facts)));
    }
    for status in &host.trouble {
        lines.push(("Not right", trouble(status)));
    }
    let notices = host.mail.notices.words();
    for words in notices.into_iter().chain(host.uncounted.words()) {
        lines.push(("Mail", words));
    }
    for day in &host.mail.days {
        lines.push(("Sent", sent(day)));
    }
    if let Some(attempt) = &host.attempted {
        let stage = word(&attempt.stage);
        lines.push((
            "Last failure",
            format!("{} at {stage}: {}", attempt.generation, attempt.reason),
        ));
    }
    lines
        .iter()
        .map(|(name, value)| format!("{name:<14} {value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn machine(facts: &Facts) -> String {
    format!(
        "{}: {}, {}, kernel {}, {} CPUs, {} MiB, agent {}",
        facts.hostname,
        facts.os,
        facts.architecture,
        facts.kernel,
        facts.cpus,
        facts.memory_bytes >> 20,
        facts.agent_version
    )
}

fn trouble(status: &ResourceStatus) -> String {
    let (word, reason) = match &status.state {
        ResourceState::Blocked(reason) => ("is blocked", reason.as_str()),
        ResourceState::Drifted(reason) => ("differs", reason.as_str()),
        ResourceState::Failed(reason) => ("failed", reason.as_str()),
        ResourceState::Unknown(reason) => ("is unknown", reason.as_str()),
        ResourceState::Converged | ResourceState::Simulated | ResourceState::Told(_) => {
            ("is right", "")
        }
    };
    format!("{} {word}: {reason}", status.id)
}

#[cfg(test)]
pub(crate) mod tests {
    use email_engine_protocol::api::{HostSpec, MailView, UncountedView};
    use email_engine_protocol::generation::Generation;
    use email_engine_protocol::id::{NodeId, Role};
    use email_engine_protocol::observed::MailNotice;
    use email_engine_protocol::time::Timestamp;

    use super::*;
    use crate::output::PLAIN;

    pub(crate) fn host(id: &str) -> HostView {
        let generation = Generation {
            epoch: 1,
            number: 4,
        };
        HostView {
            spec: HostSpec {
                id: HostId::new(id).unwrap(),
                role: Role::Powermta,
                tenant: None,
                addresses: vec!["192.0.2.1".parse().unwrap()],
                labels: std::collections::BTreeMap::default(),
            },
            lifecycle: "enrolled".to_owned(),
            target: Some(generation),
            running: Some(generation),
            convergence: Convergence::Converged,
            counts: StatusCounts {
                converged: 14,
                simulated: 3,
                ..StatusCounts::default()
            },
            trouble: Vec::new(),
            facts: None,
            attempted: None,
            plan_error: None,
            connected: Some(NodeId(2)),
            turned_away: None,
            unheard: Vec::new(),
            changed_at: None,
            mail: MailView::default(),
            uncounted: UncountedView::default(),
        }
    }

    #[test]
    fn hosts_stand_in_columns() {
        let mut behind = host("pmta2");
        behind.running = None;
        behind.convergence = Convergence::Idle;
        behind.counts = StatusCounts::default();
        assert_eq!(
            table(&PLAIN, &[host("pmta1"), behind]),
            " HOST   ROLE      TENANT  GENERATION  RESOURCES           NODE  STATE\n \
             pmta1  powermta  -       1.4         17/17, 3 simulated  2     converged\n \
             pmta2  powermta  -       - -> 1.4    -                   2     idle"
        );
    }

    #[test]
    fn a_host_that_runs_an_older_target_is_not_called_converged() {
        let mut host = host("pmta1");
        host.target = Some(Generation {
            epoch: 1,
            number: 5,
        });
        assert_eq!(state(&host).0, "converging");
    }

    #[test]
    fn a_host_that_cannot_be_planned_says_so_and_why() {
        let mut host = host("pmta1");
        host.plan_error = Some("its template is broken".to_owned());
        assert_eq!(state(&host).0, "converged, cannot be planned");
        assert!(details(&host).ends_with("Not planned    its template is broken"));
    }

    #[test]
    fn what_is_not_right_is_named_with_its_reason_and_a_young_host_does_not_alarm() {
        let mut host = host("pmta1");
        host.trouble = vec![ResourceStatus {
            id: email_engine_protocol::id::ResourceId::new("file:/etc/pmta/config").unwrap(),
            kind: email_engine_protocol::desired::ResourceKind::File,
            state: ResourceState::Drifted("contested".to_owned()),
        }];
        let shown = details(&host);
        assert!(
            shown.ends_with("Not right      file:/etc/pmta/config differs: contested"),
            "{shown}"
        );
        (host.connected, host.running) = (None, None);
        assert_eq!(state(&host).0, "enrolled, not heard yet");
    }

    #[test]
    fn what_its_accounting_files_say_is_shown() {
        let mut host = host("pmta1");
        let at = Timestamp(1_795_240_800_000);
        host.mail.notices.unknown_senders = Some(MailNotice {
            count: 1,
            since: at,
            last: at,
            of: "example.net".to_owned(),
            most: Vec::new(),
        });
        host.mail.days = vec![MailDay {
            sent: 12,
            delivered: 10,
            ..MailDay::none(Timestamp(1_795_219_200_000))
        }];
        let shown = details(&host);
        assert!(
            shown.ends_with(
                "Mail           1 message from an unknown sender was discarded since \
                 2026-11-21T06:00:00.000Z, last from example.net\n\
                 Sent           2026-11-21: 12 sent, 10 delivered, 0 bounced hard, 0 deferred"
            ),
            "{shown}"
        );
    }

    #[test]
    fn a_host_whose_agent_is_gone_says_so() {
        let mut host = host("pmta1");
        host.connected = None;
        assert_eq!(state(&host), ("converged, silent".to_owned(), Mood::Bad));
        host.unheard.push(NodeId(3));
        assert_eq!(state(&host), ("converged, unknown".to_owned(), Mood::Bad));
    }
}
