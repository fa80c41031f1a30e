//! What must be put right before anything is changed, and what should be known. Pure.
//!
//! Everything is judged at once: who has five things to mend reads of all five.

mod finding;
mod os;
mod size;
#[cfg(test)]
mod tests;

use email_engine_protocol::id::Role;
use email_engine_protocol::join::Admission;
use email_engine_protocol::time::Timestamp;

use crate::facts::{Facts, MailTrouble, Member, Membership};
use crate::layout::{AGENT, COORDINATOR, Layout};
use crate::plan::History;
use crate::request::{Entry, Part, Request, Ticket};

pub use finding::{Check, Finding, Severity};

/// Judges everything.
#[must_use]
pub fn preflight(
    request: &Request,
    layout: &Layout,
    facts: &Facts,
    history: &History,
    now: Timestamp,
) -> Vec<Finding> {
    let membership = facts.installed.membership.as_ref().ok();
    let member = membership.and_then(|membership| membership.enrolled.as_ref());
    // Whom it still can prove to be: without that, it needs what a machine needs that never was let in.
    let proven = member.filter(|_| membership.is_some_and(Membership::is_in));
    let mut findings = Vec::new();
    os::judge(
        request.part,
        role(request, member),
        &facts.machine.os,
        &mut findings,
    );
    machine(facts, &mut findings);
    size::judge(
        request.part,
        role(request, member),
        &facts.machine,
        &mut findings,
    );
    ports(layout, facts, &mut findings);
    programs(request.part, facts, &mut findings);
    if let Err(reason) = &facts.installed.membership {
        findings.push(Finding::refusal(
            Check::Installation,
            format!("what is installed here cannot be read: {reason}"),
        ));
    }
    entry(request, member, history, &mut findings);
    identity(request, member, proven, now, &mut findings);
    reach(request, proven, facts, &mut findings);
    mail(facts, &mut findings);
    advertised(request, member, &mut findings);
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// The role of a host: what it is already, or what its token makes it.
fn role(request: &Request, member: Option<&Member>) -> Option<Role> {
    member
        .and_then(|member| member.role)
        .or(match &request.entry {
            Entry::Join(ticket) => match ticket.admission {
                Admission::Host { role, .. } => Some(role),
                Admission::Node => None,
            },
            Entry::Already | Entry::Init => None,
        })
}

fn machine(facts: &Facts, findings: &mut Vec<Finding>) {
    let machine = &facts.machine;
    if !machine.is_root {
        findings.push(Finding::refusal(
            Check::Root,
            "this must run as root: it makes users, units and files of the system",
        ));
    }
    if !machine.has_systemd {
        findings.push(Finding::refusal(
            Check::Systemd,
            "systemd is not the first process of this machine: there is nobody to keep the services",
        ));
    }
    match &machine.clock_synchronised {
        Ok(true) => {}
        Ok(false) => findings.push(Finding::warning(
            Check::Clock,
            "nobody keeps the clock: certificates and quotas need the time; install chrony or \
             enable systemd-timesyncd",
        )),
        Err(reason) => findings.push(Finding::warning(
            Check::Clock,
            format!("whether somebody keeps the clock is unknown: {reason}"),
        )),
    }
    for (folder, reason) in &machine.unwritable {
        findings.push(Finding::refusal(
            Check::Writable,
            format!("{} cannot be written to: {reason}", folder.display()),
        ));
    }
}

/// A port is taken when somebody else has it; our own services have theirs.
fn ports(layout: &Layout, facts: &Facts, findings: &mut Vec<Finding>) {
    let is_ours = layout.units.iter().any(|unit| {
        let state = facts.installed.units.get(*unit);
        state.is_some_and(|state| state.is_active)
    });
    if is_ours {
        return;
    }
    for (port, reason) in &facts.machine.ports_taken {
        findings.push(Finding::refusal(
            Check::Port,
            format!("port {port} cannot be listened on: {reason}"),
        ));
    }
}

fn programs(part: Part, facts: &Facts, findings: &mut Vec<Finding>) {
    let name = match part {
        Part::Agent => AGENT,
        Part::Coordinator => COORDINATOR,
    };
    match facts.bundle.get(name) {
        Some(Ok(_)) => {}
        Some(Err(reason)) => findings.push(Finding::refusal(
            Check::Program,
            format!("program {name} must lie beside the bootstrap: {reason}"),
        )),
        None => findings.push(Finding::refusal(
            Check::Program,
            format!("program {name} must lie beside the bootstrap"),
        )),
    }
}

fn entry(
    request: &Request,
    member: Option<&Member>,
    history: &History,
    findings: &mut Vec<Finding>,
) {
    let ticket = match (&request.entry, member) {
        (Entry::Already, None) => {
            let ways = match request.part {
                Part::Agent => "--join-file FILE",
                Part::Coordinator => "--init or --join-file FILE",
            };
            findings.push(Finding::refusal(
                Check::Token,
                format!("this machine is in no cluster yet: say how it gets in, by {ways}"),
            ));
            return;
        }
        (Entry::Init, Some(member)) if !founding_was_cut_off(history) => {
            findings.push(Finding::note(
                Check::Installation,
                format!(
                    "this is node {} of cluster {} already",
                    member.name, member.cluster
                ),
            ));
            return;
        }
        (Entry::Already | Entry::Init, _) => return,
        (Entry::Join(ticket), _) => ticket,
    };
    admission(request.part, ticket, findings);
    if let Some(member) = member {
        same_member(ticket, member, findings);
    }
}

/// What a machine is let in by that cannot prove to be in.
fn identity(
    request: &Request,
    member: Option<&Member>,
    proven: Option<&Member>,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) {
    if proven.is_some() {
        return;
    }
    match (&request.entry, member) {
        (Entry::Join(ticket), _) if ticket.expires_at <= now => findings.push(Finding::refusal(
            Check::Token,
            format!(
                "the join token ended at {}, and it is {now} here: make another one",
                ticket.expires_at
            ),
        )),
        (Entry::Already, Some(member)) => findings.push(Finding::warning(
            Check::Installation,
            format!(
                "this machine is host {} and has lost its identity, so it speaks with no coordinator: make a \
                 token with `email-engine token create --host {} --replace`, and give it by --join-file FILE",
                member.name, member.name
            ),
        )),
        _ => {}
    }
}

/// The keys of a cluster that was founded in a run that was cut off were never shown.
fn founding_was_cut_off(history: &History) -> bool {
    history.pending.contains(&crate::plan::Step::Found)
}

fn admission(part: Part, ticket: &Ticket, findings: &mut Vec<Finding>) {
    let problem = match (part, &ticket.admission) {
        (Part::Agent, Admission::Node) => {
            "the join token admits a coordinator node, not a host: make one with `email-engine \
             token create --host HOST`, or run `email-engine-bootstrap coordinator`"
                .to_owned()
        }
        (Part::Coordinator, Admission::Host { host, .. }) => format!(
            "the join token admits host {host}, not a coordinator node: make one with \
             `email-engine cluster add`, or run `email-engine-bootstrap agent`"
        ),
        _ => return,
    };
    findings.push(Finding::refusal(Check::Token, problem));
}

/// A machine serves one cluster, as one host, for the whole life of its installation.
fn same_member(ticket: &Ticket, member: &Member, findings: &mut Vec<Finding>) {
    let other_host = match &ticket.admission {
        Admission::Host { host, .. } => (host.to_string() != member.name).then(|| host.to_string()),
        Admission::Node => None,
    };
    if ticket.cluster != member.cluster {
        findings.push(Finding::refusal(
            Check::Installation,
            format!(
                "this machine belongs to cluster {} as {}, and the join token is of cluster {}: \
                 retire it there and run --uninstall first",
                member.cluster, member.name, ticket.cluster
            ),
        ));
    } else if let Some(other) = other_host {
        findings.push(Finding::refusal(
            Check::Installation,
            format!(
                "this machine is host {}, and the join token is for host {other}: retire it and \
                 run --uninstall first",
                member.name
            ),
        ));
    }
}

/// One coordinator that answers is enough; a machine that is in already has other ways to be told.
fn reach(request: &Request, member: Option<&Member>, facts: &Facts, findings: &mut Vec<Finding>) {
    if !matches!(request.entry, Entry::Join(_)) || facts.reach.is_empty() {
        return;
    }
    let somebody = facts.reach.iter().any(|(_, answer)| answer.is_ok());
    for (endpoint, answer) in &facts.reach {
        let Err(reason) = answer else { continue };
        let text = format!("coordinator {endpoint} cannot be reached by UDP: {reason}");
        findings.push(if somebody || member.is_some() {
            Finding::warning(Check::Reach, text)
        } else {
            Finding::refusal(Check::Reach, text)
        });
    }
}

/// What is sent out of the machine is its work; whose names its addresses have is asked elsewhere, once it is
/// known which they are.
fn mail(facts: &Facts, findings: &mut Vec<Finding>) {
    let Some((server, Err(trouble))) = &facts.mail else {
        return;
    };
    let text = match trouble {
        MailTrouble::Shut(reason) => format!(
            "no mail leaves this machine: {server} does not greet it ({reason}); many providers keep TCP port \
             25 shut until they are asked, --mail-probe names another server to call"
        ),
        MailTrouble::Unknown(reason) => format!(
            "whether mail leaves this machine is unknown: {server} cannot be called ({reason}); --mail-probe \
             names another server to call, or none"
        ),
    };
    findings.push(Finding::warning(Check::Mail, text));
}

fn advertised(request: &Request, member: Option<&Member>, findings: &mut Vec<Finding>) {
    if request.part == Part::Coordinator && member.is_none() && request.advertise.is_none() {
        findings.push(Finding::refusal(
            Check::Advertise,
            "under which name or address others reach this node is unknown: say it by --advertise \
             HOST",
        ));
    }
}
