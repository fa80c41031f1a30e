//! The operator's command line against a cluster.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::{Fleet, binary};

/// Somebody who operates a fleet through one of its nodes.
#[derive(Debug)]
pub struct Operator {
    context: PathBuf,
}

impl Operator {
    /// With the first admin key, and a context file that names one node.
    #[must_use]
    pub fn at(fleet: &Fleet, node: u64) -> Self {
        let context = fleet.dir().join(format!("context-{node}.toml"));
        let mut options = std::fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        write!(
            options.open(&context).unwrap(),
            "cluster = \"{}\"\napi_key = \"{}\"\nca_pem = '''\n{}'''\n[[endpoints]]\nurl = \"{}\"\n",
            "01".repeat(16),
            fleet.admin_key(),
            fleet.ca_pem(),
            fleet.nodes[&node].url()
        )
        .unwrap();
        Self { context }
    }

    /// The context file.
    #[must_use]
    pub fn context(&self) -> &Path {
        &self.context
    }

    /// Runs a command with the context in the environment.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("email-engine"));
        command.env("EMAIL_ENGINE_CONTEXT", &self.context);
        command.args(arguments).output().unwrap()
    }

    /// What a command printed, which ended with this code.
    #[must_use]
    pub fn prints(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command that ended well answered, as JSON.
    #[must_use]
    pub fn answer(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        serde_json::from_str(&self.prints(0, &arguments)).unwrap()
    }
}
