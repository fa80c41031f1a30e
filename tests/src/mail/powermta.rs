//! The stand-in of PowerMTA on a host whose agent lives in a sandbox: the product's own places are the
//! sandbox's, so that it reads byte for byte what the agent wrote.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tokio::net::TcpStream;

use super::names;
use crate::{Daemon, binary, wait_for};

/// A row of an accounting file, by the names of its header.
pub type Row = BTreeMap<String, String>;

/// Arguments: the sandbox's root, the name server, then what to run. In a mount namespace of its own,
/// where `/etc` can be written to without being changed.
const ROOM: &str = r#"
set -e
root=$1 server=$2
shift 2
for folder in /var/log /var/spool /run; do mount -t tmpfs none "$folder"; done
mkdir /run/upper /run/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work overlay /etc
for folder in etc/pmta var/log/pmta var/spool/pmta run/pmta; do
    mkdir -p "$root/$folder" "/$folder"
    mount --bind "$root/$folder" "/$folder"
done
rm -f /etc/resolv.conf
echo "nameserver $server" > /etc/resolv.conf
exec "$@"
"#;

/// The product on one host.
#[derive(Debug)]
pub struct PowerMta {
    root: PathBuf,
    log: PathBuf,
    submission: SocketAddr,
    daemon: Option<Daemon>,
}

/// A command in the rooms of a host.
pub(super) fn in_room(root: &Path, program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", ROOM, "sh"])
        .arg(root)
        .arg(names::ADDRESS)
        .arg(program);
    command
}

impl PowerMta {
    /// Nothing is started.
    pub(super) fn new(root: &Path, log: &Path, submission: SocketAddr) -> Self {
        Self {
            root: root.to_owned(),
            log: log.to_owned(),
            submission,
            daemon: None,
        }
    }

    /// Starts it and waits until it takes connections and commands.
    pub async fn start(&mut self) {
        let command = in_room(&self.root, &binary("pmtad"));
        self.daemon = Some(Daemon::start("pmtad", command, &self.log));
        let control = self.root.join("run/pmta/control");
        let daemon = self.daemon.as_mut().unwrap();
        wait_for("pmtad takes connections and commands", async || {
            assert!(daemon.is_running(), "pmtad ended: {}", daemon.log_tail());
            drop(TcpStream::connect(self.submission).await?);
            fs::metadata(&control)
        })
        .await;
    }

    /// Runs `pmta` with these words.
    #[must_use]
    pub fn pmta(&self, words: &[&str]) -> Output {
        let mut command = in_room(&self.root, &binary("pmta"));
        command.args(words).output().unwrap()
    }

    /// The `data` of what `pmta --json` says.
    #[must_use]
    pub fn json(&self, words: &[&str]) -> Value {
        let output = self.pmta(&[&["--json"], words].concat());
        assert!(output.status.success(), "{words:?}: {output:?}");
        let mut whole: Value = serde_json::from_slice(&output.stdout).unwrap();
        whole["data"].take()
    }

    /// Tests the configuration on disk and takes it, as the steps of the host's role do.
    pub fn take_over(&self) {
        for words in [&["test", "config"][..], &["reload"]] {
            let output = self.pmta(words);
            assert!(output.status.success(), "{words:?}: {output:?}");
        }
    }

    /// Text of the configuration on disk.
    #[must_use]
    pub fn configuration(&self) -> String {
        fs::read_to_string(self.root.join("etc/pmta/config")).unwrap()
    }

    /// Recipients that wait under a virtual MTA.
    #[must_use]
    pub fn queued(&self, vmta: &str) -> u64 {
        let data = self.json(&["show", "vmtas"]);
        let all = data["vmta"].as_array().unwrap();
        let own = all.iter().find(|one| one["name"] == vmta);
        own.map_or(0, |own| own["rcp"].as_u64().unwrap())
    }

    /// Rows of one type in the files of an accounting name (`acct` or `feedback`).
    #[must_use]
    pub fn rows(&self, name: &str, kind: &str) -> Vec<Row> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.root.join("var/log/pmta"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let file = path.file_name().unwrap().to_string_lossy();
                file.starts_with(&format!("{name}-")) && file.ends_with(".csv")
            })
            .collect();
        paths.sort();
        let mut rows = Vec::new();
        for path in paths {
            let mut reader = csv::Reader::from_path(path).unwrap();
            // A row may be half written while it is read; it is read again.
            rows.extend(reader.deserialize::<Row>().map_while(Result::ok));
        }
        rows.retain(|row| row["type"] == kind);
        rows
    }

    /// Rows of a type, once there are so many.
    pub async fn rows_when(&self, name: &str, kind: &str, count: usize) -> Vec<Row> {
        let why = format!("{name} has {count} rows of type {kind}");
        wait_for(&why, async || {
            let rows = self.rows(name, kind);
            if rows.len() >= count {
                Ok(rows)
            } else {
                Err(rows)
            }
        })
        .await
    }
}
