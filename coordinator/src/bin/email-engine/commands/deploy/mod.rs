//! `deploy`: from a fleet file to a fleet that is what the file says, in ten steps.
//!
//! [`mod@check`] is the first step: it looks at everything and changes nothing; [`needs`] judges which files of
//! operators are there, [`plan`] shows what would be done. Then [`watch`] takes the steps of [`steps`]: it
//! tells the cluster, lets machines in ([`enter`], each reached by the operator's own command) and waits for
//! hosts. [`voice`] is what it says and logs, [`records`] the DNS records as files, [`left`] what a person
//! still has to do, [`needs::license`] what a licence says of itself, [`outcome`] how it ended, [`patience`]
//! outlasts elections. Nothing is kept here that the cluster does not know: a run that was cut off begins
//! with what is left.

mod args;
mod check;
mod enter;
mod left;
mod needs;
mod outcome;
mod patience;
mod plan;
mod records;
mod steps;
mod voice;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::DomainView;
use email_engine_protocol::desired::Spec;
use email_engine_protocol::id::HostId;
use email_engine_protocol::observed::ResourceState;
use tokio::signal::unix::{SignalKind, signal};

use self::check::{Checked, check};
use self::outcome::{Taken, conclude};
use self::patience::patiently;
use self::steps::Step;
use self::voice::Voice;
use self::watch::Run;
use super::{Desk, fleet};
use crate::exit::{Exit, Failure};
use crate::fleet_file::FleetFile;
use crate::output::{Output, to_stderr};
use crate::private_file;
use crate::prompt::{self, Reply};

pub(crate) use self::args::Deploy;

/// Where the keys of identities lie on their hosts.
const KEYS: &str = "/etc/pmta/dkim/";

pub(crate) async fn run(
    desk: &Desk,
    mut arguments: Deploy,
    file: FleetFile,
) -> Result<Exit, Failure> {
    arguments.document = Some(file);
    let mut checked = check(desk, &arguments, arguments.document()).await?;
    fleet::leave_out(&mut checked.plan.fleet, arguments.no_diff);
    fleet::warn(&desk.output, &checked.plan.fleet);
    let plan = &checked.plan;
    if arguments.plan {
        desk.output.show(plan, |output| plan.render(output))?;
        return Ok(if plan.is_empty() {
            Exit::Success
        } else {
            Exit::Found
        });
    }
    agreed(desk, &arguments, &checked)?;
    let voice = Voice::open(&arguments.log_dir, desk.output)
        .map_err(|error| Failure::new(Exit::Failure, error))?;
    voice.record(&format!("email-engine {}", env!("CARGO_PKG_VERSION")));
    // What an earlier run has come to is not the result of this one, however it ends.
    outcome::forget(&voice)?;
    voice.record(&plan.render(&plain(desk)));
    let io = |error| Failure::new(Exit::Failure, error);
    let mut interrupts = signal(SignalKind::interrupt()).map_err(io)?;
    let mut requests = signal(SignalKind::terminate()).map_err(io)?;
    let run = Run {
        desk,
        arguments: &arguments,
        checked: &checked,
        voice: &voice,
        trouble: BTreeMap::new(),
        entered: BTreeSet::new(),
    };
    let ended = tokio::select! {
        ended = take(run) => ended,
        _ = interrupts.recv() => Ok(Exit::Interrupted),
        _ = requests.recv() => Ok(Exit::Interrupted),
    };
    voice.settle();
    match &ended {
        Ok(Exit::Interrupted) => {
            voice.say("interrupted: what was done stays done; say the same again to go on");
        }
        Ok(_) => {}
        Err(failure) => voice.record(&format!("failed: {failure}")),
    }
    ended
}

/// Without colours: standard error and logs spell out what steers a terminal.
const fn plain(desk: &Desk) -> Output {
    Output {
        colour: false,
        ..desk.output
    }
}

/// Shows the plan and asks, unless there is nothing to ask about.
fn agreed(desk: &Desk, arguments: &Deploy, checked: &Checked) -> Result<(), Failure> {
    let plan = &checked.plan;
    let is_asked = !arguments.yes && !plan.is_empty();
    // Nobody can agree to what was not shown, however quiet the rest is.
    if is_asked || !desk.output.quiet {
        to_stderr(&plan.render(&plain(desk)));
    }
    if !is_asked {
        return Ok(());
    }
    match prompt::confirm("Deploy this?", arguments.yes) {
        Reply::Yes => Ok(()),
        Reply::No => Err(Failure::new(
            Exit::Failure,
            "not confirmed: nothing was changed",
        )),
        Reply::Nobody => Err(Failure::new(
            Exit::Failure,
            "there is no terminal to ask on: nothing was changed; say --yes to allow it",
        )),
    }
}

/// Takes the steps, one after the other.
async fn take(mut run: Run<'_>) -> Result<Exit, Failure> {
    let mut steps = Steps {
        voice: run.voice,
        taken: Vec::new(),
    };
    steps.begin(Step::Check);
    steps.end(Step::Check, "all is there".to_owned());
    steps.begin(Step::Prepare);
    let done = run.prepare().await?;
    steps.end(Step::Prepare, done);
    for step in [Step::MailwizzLetIn, Step::PowermtaLetIn] {
        steps.begin(step);
        let before = run.trouble.len();
        let came = run.let_in(step).await?;
        steps.end(step, names(&came, run.trouble.len() - before));
    }
    for step in [Step::MailwizzRole, Step::PowermtaRole] {
        steps.begin(step);
        let before = run.trouble.len();
        let right = run.converge(run.hosts(step)).await?;
        steps.end(step, names(&right, run.trouble.len() - before));
    }
    steps.begin(Step::DkimKeys);
    let done = keys(&run).await?;
    steps.end(Step::DkimKeys, done);
    steps.begin(Step::OtherHosts);
    let before = run.trouble.len();
    run.let_in(Step::OtherHosts).await?;
    let right = run.converge(run.hosts(Step::OtherHosts)).await?;
    steps.end(Step::OtherHosts, names(&right, run.trouble.len() - before));
    steps.begin(Step::Databases);
    run.look_again(true).await?;
    // What came in later may have changed what those before shall be.
    let right = run.converge(run.all_hosts()).await?;
    let done = databases(&run, &right).await?;
    steps.end(Step::Databases, done);
    steps.begin(Step::Records);
    let domains = domains(&run).await?;
    let done = written(&run, &domains)?;
    steps.end(Step::Records, done);
    conclude(&mut run, steps.taken, &domains).await
}

/// Steps as they are told.
struct Steps<'a> {
    voice: &'a Voice,
    taken: Vec<Taken>,
}

impl Steps<'_> {
    fn begin(&self, step: Step) {
        let (number, title) = (step.number(), step.title());
        let text = format!("step {number} of {}: {title}", Step::COUNT);
        self.voice.say(&text);
    }

    fn end(&mut self, step: Step, done: String) {
        let done = (!done.is_empty()).then_some(done);
        self.voice.say(&match &done {
            Some(done) => format!("  done: {done}"),
            None => "  nothing to do".to_owned(),
        });
        let number = step.number();
        self.taken.push(Taken { number, step, done });
    }
}

/// Hosts that got through a step, and how many did not.
fn names(hosts: &[HostId], failed: usize) -> String {
    let mut names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    if failed > 0 {
        names.push(format!("and {failed} not, see below"));
    }
    names.join(", ")
}

/// Identities whose hosts the file names.
async fn domains(run: &Run<'_>) -> Result<Vec<DomainView>, Failure> {
    let ask = async || run.desk.client.domains().await;
    let mut domains = patiently(run.voice, ask).await?;
    let hosts: BTreeSet<&HostId> = run.checked.hosts.iter().map(|host| &host.id).collect();
    let file = &run.arguments.document().document;
    domains.retain(|view| {
        let mut ips = file.ips.iter();
        hosts.contains(&view.ip.host) || ips.any(|ip| ip.address == view.ip.address)
    });
    Ok(domains)
}

/// Public keys are known to the cluster, and private ones in what their hosts have converged on.
async fn keys(run: &Run<'_>) -> Result<String, Failure> {
    let domains = domains(run).await?;
    let lacking: Vec<String> = records::without_key(&domains).into_iter().collect();
    if !lacking.is_empty() {
        let text = format!("no public key is known of {}", needs::listed(&lacking));
        return Err(Failure::new(Exit::Failure, text));
    }
    let mut done = Vec::new();
    for host in run.hosts(Step::PowermtaRole) {
        let config = run.config(&host).await?;
        let files = config.files.iter();
        let count = files.filter(|file| file.path.starts_with(KEYS)).count();
        if count > 0 {
            done.push(format!("{count} on {host}"));
        }
    }
    if !domains.is_empty() {
        done.insert(0, format!("{} public keys known", domains.len()));
    }
    Ok(done.join(", "))
}

/// Databases of hosts that are what they shall be.
async fn databases(run: &Run<'_>, right: &[HostId]) -> Result<String, Failure> {
    let mut done = Vec::new();
    let status = run.status().await?;
    for host in right {
        let config = run.config(host).await?;
        let made = config.resources.iter();
        let mut made: Vec<String> = made
            .filter(|resource| matches!(resource.spec, Spec::Database(_)))
            .map(|resource| resource.id.to_string())
            .collect();
        if made.is_empty() {
            continue;
        }
        let view = steps::view(&status, host);
        let trouble = view.map_or(&[][..], |view| view.trouble.as_slice());
        for status in trouble {
            let not = match &status.state {
                ResourceState::Simulated => "simulated",
                ResourceState::Unknown(_) => "not known",
                _ => continue,
            };
            let id = status.id.to_string();
            if let Some(name) = made.iter_mut().find(|name| **name == id) {
                *name = format!("{id} ({not})");
            }
        }
        done.push(format!("{host}: {}", made.join(" ")));
    }
    Ok(done.join(", "))
}

/// Writes the records where they differ from what is there.
fn written(run: &Run<'_>, domains: &[DomainView]) -> Result<String, Failure> {
    if domains.is_empty() {
        return Ok(String::new());
    }
    let table = records::table(domains).map_err(|error| Failure::new(Exit::Failure, error))?;
    let mut done = Vec::new();
    for (name, text) in [
        (records::TABLE, table),
        (records::TEXT, records::text(domains)),
    ] {
        let path = run.voice.file(name);
        let same = std::fs::read(&path).is_ok_and(|there| there == text.as_bytes());
        if !same {
            private_file::write(&path, text.as_bytes())?;
        }
        done.push(path.display().to_string());
    }
    Ok(done.join(", "))
}
