//! The operator's command line against a cluster.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::{Fleet, NodeProcess, binary, wait_for};

/// Somebody who operates a fleet, in a folder of their own and without a terminal.
#[derive(Debug)]
pub struct Operator {
    folder: PathBuf,
    context: PathBuf,
}

impl Operator {
    /// With the first admin key and the addresses of all nodes.
    #[must_use]
    pub fn of(fleet: &Fleet) -> Self {
        let urls = fleet.nodes.values().map(NodeProcess::url).collect();
        Self::with(fleet, "admin", urls, fleet.admin_key())
    }

    /// With the first admin key and the address of one node.
    #[must_use]
    pub fn at(fleet: &Fleet, node: u64) -> Self {
        let urls = vec![fleet.nodes[&node].url()];
        Self::with(fleet, &format!("node-{node}"), urls, fleet.admin_key())
    }

    /// With another key.
    #[must_use]
    pub fn with_key(fleet: &Fleet, name: &str, key: &str) -> Self {
        let urls = fleet.nodes.values().map(NodeProcess::url).collect();
        Self::with(fleet, name, urls, key)
    }

    fn with(fleet: &Fleet, name: &str, urls: Vec<String>, key: &str) -> Self {
        let folder = fleet.dir().join("operator");
        Self::of_cluster(folder, name, fleet.ca_pem(), urls, key)
    }

    /// Of a cluster that this test did not start by itself, in this folder.
    #[must_use]
    pub fn of_cluster(
        folder: PathBuf,
        name: &str,
        ca_pem: &str,
        urls: Vec<String>,
        key: &str,
    ) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let context = folder.join(format!("{name}.toml"));
        let mut options = std::fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&context).unwrap();
        write!(
            file,
            "cluster = \"{}\"\napi_key = \"{key}\"\nca_pem = '''\n{}'''\n",
            "01".repeat(16),
            ca_pem
        )
        .unwrap();
        for url in urls {
            write!(file, "[[endpoints]]\nurl = \"{url}\"\n").unwrap();
        }
        Self { folder, context }
    }

    /// Where commands run, and what they write lands.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The context file.
    #[must_use]
    pub fn context(&self) -> &Path {
        &self.context
    }

    /// Writes a fleet file into the folder and gives its name.
    #[must_use]
    pub fn file<'a>(&self, name: &'a str, document: &Value) -> &'a str {
        let text = toml::to_string(document).unwrap();
        std::fs::write(self.folder.join(name), text).unwrap();
        name
    }

    /// A command with the context in the environment.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("email-engine"));
        command
            .env("EMAIL_ENGINE_CONTEXT", &self.context)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .args(arguments);
        command
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that ended with this code answered (standard output).
    #[must_use]
    #[track_caller]
    pub fn prints(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.ends(code, arguments);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until all of these words are in what is shown of a host.
    pub async fn is_shown(&self, host: &str, words: &[&str]) {
        wait_for(&format!("{host} is shown with {words:?}"), async || {
            let shown = self.prints(0, &["hosts", "show", host]);
            if words.iter().all(|word| shown.contains(word)) {
                Ok(())
            } else {
                Err(shown)
            }
        })
        .await;
    }

    /// What a command that ended with this code noted beside its answer (standard error).
    #[must_use]
    #[track_caller]
    pub fn notes(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.ends(code, arguments);
        String::from_utf8(output.stderr).unwrap()
    }

    /// What a command that ended well answered, as JSON.
    #[must_use]
    #[track_caller]
    pub fn answer(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        serde_json::from_str(&self.prints(0, &arguments)).unwrap()
    }

    /// Rows of the table that a command answered, cell by cell, without the head. Cells are two spaces
    /// or more apart.
    #[must_use]
    #[track_caller]
    pub fn rows(&self, arguments: &[&str]) -> Vec<Vec<String>> {
        let cells = |line: &str| -> Vec<String> {
            let cells = line.trim().split("  ").map(str::trim);
            let cells = cells.filter(|cell| !cell.is_empty());
            cells.map(str::to_owned).collect()
        };
        let table = self.prints(0, arguments);
        table.lines().skip(1).map(cells).collect()
    }

    #[track_caller]
    fn ends(&self, code: i32, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        let ended = output.status.code();
        assert_eq!(ended, Some(code), "{arguments:?}: {output:?}");
        output
    }
}
