//! A made-up machine for the scripts of `deploy/`: a PATH that holds nothing but what the scripts
//! themselves use, and programs that only write down how they were called.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::source::root;

/// What the scripts use of a bare machine.
const TOOLS: [&str; 20] = [
    "bash", "basename", "cat", "chmod", "cksum", "cp", "cut", "dirname", "env", "find", "flock",
    "grep", "head", "mkdir", "mktemp", "mv", "rm", "sed", "sort", "tee",
];

/// A folder that is the whole PATH of a script, and an empty one that it is called in.
pub(crate) struct Machine {
    path: TempDir,
    place: TempDir,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let path = TempDir::new().unwrap();
        for tool in TOOLS {
            let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            let real = found.iter().find(|file| file.exists()).expect(tool);
            symlink(real, path.path().join(tool)).unwrap();
        }
        let machine = Self {
            path,
            place: TempDir::new().unwrap(),
            environment: Vec::new(),
        };
        machine.command("id", "echo 0");
        machine
    }

    /// Puts a program on the PATH: a shell script.
    pub(crate) fn command(&self, name: &str, body: &str) {
        let file = self.path.path().join(name);
        let text = format!("#!{}/bash\n{body}\n", self.path.path().display());
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Puts a program there that notes its arguments under its name first.
    pub(crate) fn noting(&self, name: &str, body: &str) {
        let log = self.path.path().join("calls.log");
        let note = format!("echo \"{name} $*\" >>'{}'", log.display());
        self.command(name, &format!("{note}\n{body}"));
    }

    pub(crate) fn with_apt(self, body: &str) -> Self {
        self.noting("apt-get", body);
        self
    }

    pub(crate) fn with(mut self, variable: &'static str, value: impl Into<PathBuf>) -> Self {
        self.environment.push((variable, value.into()));
        self
    }

    /// Folder of the programs.
    pub(crate) fn path(&self) -> &Path {
        self.path.path()
    }

    /// Where scripts are called.
    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }

    /// How noting programs were called, in order, one line each.
    pub(crate) fn calls(&self) -> String {
        fs::read_to_string(self.path.path().join("calls.log")).unwrap_or_default()
    }

    /// Runs a script of the repository, and nothing but it and what is on the PATH.
    pub(crate) fn run(&self, script: &str, arguments: &[&str]) -> Output {
        Command::new(self.path.path().join("bash"))
            .arg(root().join(script))
            .args(arguments)
            .current_dir(self.place())
            .env_clear()
            .env("PATH", self.path.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap()
    }
}

/// What a script said beside its answer.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
