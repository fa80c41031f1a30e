//! What a host is given, as lines that a reader compares.

use email_engine_coordinator::planner::Planned;
use email_engine_protocol::desired::{
    CommandCheck, CommandLine, DatabaseAuth, DatabaseSpec, DiscardSpec, FileContent,
    HealthCheckSpec, HttpQuestion, Listing, Probe, Question, Resource, Spec, SqlRowSpec,
    SqlScriptSpec, SqlValue, SuspensionSpec, TransactionSpec,
};

/// What a suspension runs and asks, line by line.
fn halted(spec: &SuspensionSpec) -> String {
    let words = |command: &CommandLine| command.arguments.join(" ");
    let asked = |question: &Question| {
        format!(
            "{} has at {} {:?}",
            words(&question.command),
            question.list,
            question.sought
        )
    };
    let mut lines = vec![String::new()];
    for bar in &spec.bars {
        lines.push(format!("bar {} to {:?}", bar.address, bar.ports));
    }
    for halt in &spec.halts {
        lines.push(format!("set {}", words(&halt.set.command)));
        lines.push(format!("unset {}", words(&halt.unset.command)));
        lines.push(format!("is set: {}", asked(&halt.is_set)));
        lines.push(format!(
            "theirs: {}",
            halt.theirs.as_ref().map_or_else(String::new, asked)
        ));
    }
    lines.join("\n    ")
}

/// What a row holds, line by line.
fn rowed(row: &SqlRowSpec) -> String {
    let mut lines = vec![String::new()];
    for (part, cells) in [
        ("key", &row.keys),
        ("keeps", &row.values),
        ("at first", &row.initial),
        ("at last", &row.deactivate),
    ] {
        for cell in cells {
            let value = match &cell.value {
                SqlValue::Text(text) => format!("{text:?}"),
                value => value.to_string(),
            };
            lines.push(format!("{part} {} = {value}", cell.column));
        }
    }
    lines.join("\n    ")
}

/// What a script asks and does, line by line.
fn scripted(script: &SqlScriptSpec) -> String {
    let mut lines = vec![String::new()];
    lines.push(format!("reads {}", script.reads.join(" ")));
    lines.push(format!("writes {}", script.writes.join(" ")));
    let mut said = |what: &str, text: &str| {
        lines.push(format!("{what} {}", text.replace('\n', "\n        ")));
    };
    for table in &script.keeps {
        said(&format!("keeps {}", table.name), &table.columns);
    }
    for given in &script.given {
        said(&format!("@{} =", given.name), &given.value);
    }
    said("wanted", &script.wanted);
    for statement in &script.statements {
        said("runs", statement);
    }
    if let Some(told) = &script.told {
        said("tells", told);
    }
    lines.join("\n    ")
}

/// What is asked, and what is run then.
fn discarded(spec: &DiscardSpec) -> String {
    let listed = |what: &str, listing: &Listing| {
        format!(
            "\n    {what} {} of {}",
            words(&listing.command),
            listing.list
        )
    };
    let mut told = format!(" since {}", spec.since);
    told.push_str(&listed("any", &spec.is_any));
    told.push_str(&listed("all", &spec.all));
    told.push_str(&format!("\n    then {}", words(&spec.discard.command)));
    told
}

fn words(command: &CommandLine) -> String {
    format!("{} {:?}", command.program, command.arguments)
}

/// What is asked, and what is right.
fn probe(probe: &Probe) -> String {
    match probe {
        Probe::Answer {
            command, expect, ..
        } => {
            let expected: Vec<String> = expect
                .iter()
                .map(|one| format!("{} {:?}", one.pointer, one.holds))
                .collect();
            format!("{} holds {}", words(command), expected.join(", "))
        }
        Probe::Greeting {
            address, begins, ..
        } => format!("{address} greets with {begins:?}"),
        Probe::Running { unit, .. } => format!("{unit} runs"),
        Probe::Quiet { log, errors } => format!("{log} stays without {errors:?}"),
        Probe::Connect { address, .. } => format!("{address} takes connections"),
        Probe::Http {
            question,
            steady_seconds,
            ..
        } => {
            let HttpQuestion {
                address,
                tls,
                host,
                path,
                least_status,
                most_status,
                contains,
            } = question;
            format!(
                "{address} tls={tls} as {host:?} {path} answers {least_status} to {most_status} with {contains:?} \
                 for {steady_seconds} s"
            )
        }
        Probe::Command { check } => {
            let CommandCheck {
                command, must_say, ..
            } = check;
            format!("{} says {must_say:?}", words(command))
        }
    }
}

/// What is asked again and again, line by line.
fn asked(spec: &HealthCheckSpec) -> String {
    let (seconds, attempts) = (spec.interval_seconds, spec.attempts);
    let mut lines = vec![format!(
        " every {seconds} s x {attempts}, restarts {:?}",
        spec.restart
    )];
    lines.extend(spec.probes.iter().map(probe));
    lines.join("\n    ")
}

/// What a transaction does, line by line.
fn told(spec: &TransactionSpec) -> String {
    let members: Vec<String> = spec.members.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        String::new(),
        format!("members {}", members.join(" ")),
        format!(
            "test {} refused by {:?}",
            words(&spec.test.command),
            spec.test.refused_by
        ),
        format!(
            "activate {} refused by {:?} must say {:?}",
            words(&spec.activate.command),
            spec.activate.refused_by,
            spec.activate.must_say
        ),
        format!("unit {:?}", spec.unit),
    ];
    lines.extend(
        spec.read_back
            .iter()
            .map(|one| format!("read back {}", probe(one))),
    );
    lines.extend(
        spec.health
            .iter()
            .map(|one| format!("health {}", probe(one))),
    );
    lines.push(format!(
        "restart {:?} allowed={}",
        spec.restart.lines, spec.restart.allowed
    ));
    if let Some(drain) = &spec.drain {
        let question = &drain.question;
        lines.push(format!(
            "drain {:?} of {:?} given up {:?}",
            drain.leaving, drain.holds, drain.given_up
        ));
        lines.push(format!(
            "    by {} at {} {} {} {}",
            words(&question.command),
            question.list,
            question.name,
            question.belongs,
            question.count
        ));
    }
    lines.join("\n    ")
}

/// What a host is given, resource by resource.
pub(crate) fn listing(planned: &Planned) -> String {
    let ids = |ids: &[email_engine_protocol::id::ResourceId]| {
        ids.iter().map(|id| format!(" {id}")).collect::<String>()
    };
    let line = |resource: &Resource| {
        let what = match &resource.spec {
            Spec::File(file) => {
                let content = match &file.content {
                    FileContent::Artifact(artifact) => format!("artifact {}", artifact.sha256),
                    FileContent::Body { .. } => "text".to_owned(),
                    FileContent::Secret(secret) => format!("secret {}", secret.id),
                    FileContent::Variable { name, secret } => {
                        format!("{name}= secret {}", secret.id)
                    }
                };
                let (owner, group) = (file.owner.as_deref(), file.group.as_deref());
                format!(
                    " {:04o} {}:{} {content}",
                    file.mode,
                    owner.unwrap(),
                    group.unwrap()
                )
            }
            Spec::Directory(dir) => {
                let (owner, group) = (dir.owner.as_deref(), dir.group.as_deref());
                format!(" {:04o} {}:{}", dir.mode, owner.unwrap(), group.unwrap())
            }
            Spec::Step(step) => format!(" {} {:?}", step.command.program, step.command.arguments),
            Spec::Suspension(spec) => halted(spec),
            Spec::Discard(spec) => discarded(spec),
            Spec::Transaction(spec) => told(spec),
            Spec::HealthCheck(spec) => asked(spec),
            Spec::Package(_) | Spec::Service(_) | Spec::Group(_) => String::new(),
            Spec::Firewall(spec) => format!("\n  {}\n ", spec.lines().join("\n  ")),
            Spec::Archive(spec) => format!(" artifact {}", spec.artifact.sha256),
            Spec::PackageRepository(spec) => {
                let uris: Vec<&str> = spec.uris().collect();
                format!(" {} enabled={}", uris.join(" "), spec.enabled)
            }
            Spec::VendorPackage(spec) => {
                let artifact = spec.artifact.as_ref();
                let artifact = artifact.map(|artifact| artifact.sha256.to_string());
                let (down, verify) = (spec.downgrade, spec.verify);
                format!(" artifact {artifact:?} downgrade={down} verify={verify}")
            }
            Spec::Certificate(spec) => format!(" {} {:?}", spec.domains.join(" "), spec.source),
            Spec::Symlink(link) => format!(" -> {}", link.target),
            Spec::User(user) => format!(" {:?}", user.all_groups().collect::<Vec<_>>()),
            Spec::Sysctl(setting) => format!(" {}", setting.value),
            Spec::Database(spec) => {
                let DatabaseSpec {
                    charset,
                    collation,
                    user,
                    auth,
                    ..
                } = spec;
                let auth = match auth {
                    DatabaseAuth::Password(secret) => format!("secret {}", secret.id),
                    DatabaseAuth::Peer => "peer".to_owned(),
                };
                format!(" {charset} {collation} {user} by {auth}")
            }
            Spec::SqlRow(row) => rowed(row),
            Spec::SqlScript(script) => scripted(script),
            Spec::IpAddress(spec) => format!(" {:?} {:?}", spec.interface, spec.addresses),
        };
        let removal = format!("{:?}", resource.on_remove).to_lowercase();
        let mut lines = format!("{}{what} on_remove={removal}\n", resource.id);
        if !resource.after.is_empty() {
            lines.push_str(&format!("    after{}\n", ids(&resource.after)));
        }
        if !resource.notify.is_empty() {
            lines.push_str(&format!("    notify{}\n", ids(&resource.notify)));
        }
        lines
    };
    planned.config.resources.iter().map(line).collect()
}
