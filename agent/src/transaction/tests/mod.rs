//! Transactions on a sandbox, and on real programs.

mod barred;
mod bed;
mod crashes;
mod drains;
mod held;
mod pages;
mod product;
mod starts;
mod suspended;

use email_engine_protocol::desired::{
    CommandCheck, CommandLine, CountSpec, HostConfig, HostPath, OnRemove, Policy, Resource,
    RestartSpec, Spec, TransactionSpec,
};
use email_engine_protocol::id::ResourceId;

fn command(word: &str) -> CommandCheck {
    CommandCheck {
        command: CommandLine {
            program: HostPath::new("/usr/sbin/product").unwrap(),
            arguments: vec![word.to_owned()],
        },
        seconds: 20,
        refused_by: Vec::new(),
        must_say: Vec::new(),
    }
}

fn shell(script: &str) -> CommandLine {
    CommandLine {
        program: HostPath::new("/bin/sh").unwrap(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
    }
}

/// A script that is believed unless it says that something is an error.
fn check(script: &str) -> CommandCheck {
    CommandCheck {
        command: shell(script),
        seconds: 20,
        refused_by: vec!["rror".to_owned()],
        must_say: Vec::new(),
    }
}

/// How much is left under a name, without anything that would tell.
pub(super) fn question() -> CountSpec {
    CountSpec {
        command: CommandLine {
            program: HostPath::new("/usr/sbin/product").unwrap(),
            arguments: Vec::new(),
        },
        seconds: 1,
        list: String::new(),
        name: String::new(),
        belongs: String::new(),
        count: String::new(),
        absent_is_none: false,
    }
}

/// A transaction over files at these paths.
pub(crate) fn pair(paths: &[&str]) -> Resource {
    let member = |path: &&str| ResourceId::new(format!("file:{path}")).unwrap();
    Resource {
        id: ResourceId::new("transaction:pair").unwrap(),
        spec: Spec::Transaction(TransactionSpec {
            members: paths.iter().map(member).collect(),
            test: command("test"),
            activate: command("reload"),
            unit: Some("product.service".to_owned()),
            read_back: Vec::new(),
            health: Vec::new(),
            restart: RestartSpec::default(),
            attempt: 0,
            drain: None,
        }),
        on_remove: OnRemove::Leave,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

/// The transaction of a state.
pub(crate) fn transaction(config: &HostConfig) -> &TransactionSpec {
    let mut specs = config.resources.iter().filter_map(|one| match &one.spec {
        Spec::Transaction(spec) => Some(spec),
        _ => None,
    });
    specs.next_back().unwrap()
}
