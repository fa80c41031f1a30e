//! `email-engine deploy`: a fleet from one file, by one command, on machines that nobody prepared.
//!
//! A machine is a folder here, reached by a command that runs what it is told below that folder; in the place
//! of the bootstrap it starts a real agent in a sandbox, by the token that comes on standard input.

mod by_hand;
mod cut_off;
mod refusals;
mod whole;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use email_engine_tests::{Fleet, Operator, binary, samples};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What is run in the place of a machine. Arguments: its folder, then the words of the command.
const MACHINE: &str = r#"#!/bin/bash
set -euo pipefail
root=$PWD/$1
shift
mkdir -p "$root"
echo "$*" >> "$root/commands"
if [ -n "$(env | grep EMAIL_ENGINE_ || true)" ]; then echo leak >> "$root/commands"; fi
case $1 in
    */email-engine-bootstrap) ;;
    *)
        for word; do
            shift
            case $word in
                /var/lib/*) word=$root$word ;;
                of=/var/lib/*) word=of=$root${word#of=} ;;
            esac
            set -- "$@" "$word"
        done
        "$@" | sed "s|$root||g"
        exit
        ;;
esac
test -x "$root$1" || { echo "$1 is not there" >&2; exit 127; }
if [ -e "$root/refuses" ]; then
    echo "REFUSED  os: nobody knows this one" >&2
    exit 5
fi
umask 077
cat > "$root/token"
if [ ! -e "$root/pid" ]; then
    EMAIL_ENGINE_AGENT_SANDBOX_ROOT=$root/root EMAIL_ENGINE_AGENT_DATA_DIR=$root/agent \
        EMAIL_ENGINE_AGENT_AUDIT_INTERVAL_SECONDS=2 EMAIL_ENGINE_AGENT_RECONNECT_MAX_SECONDS=1 \
        EMAIL_ENGINE_JOIN_TOKEN=$(cat "$root/token") \
        setsid AGENT run < /dev/null >> "$root/log" 2>&1 &
    echo $! > "$root/pid"
fi
echo "waiting  to be let in"
until grep -qs 'session begins' "$root/log"; do
    # A token that was taken away meanwhile ends an agent.
    kill -0 "$(cat "$root/pid")" || { rm "$root/pid"; echo "its agent ended" >&2; exit 3; }
    sleep 0.05
done
if [ -e "$root/ends" ]; then
    echo "what it says is lost" >&2
    exit "$(cat "$root/ends")"
fi
echo "done     let in"
"#;

/// Machines that nobody prepared, as folders; what runs on them ends with this.
struct Machines {
    folder: PathBuf,
}

impl Machines {
    /// With programs to be brought to them, which they do not run.
    fn new(operator: &Operator) -> Self {
        let folder = operator.folder().to_owned();
        let machines = Self { folder };
        fs::create_dir_all(machines.folder.join("machines")).unwrap();
        fs::create_dir_all(machines.folder.join("programs")).unwrap();
        for name in ["email-engine-bootstrap", "email-engine-agent"] {
            let bytes: Vec<u8> = name.bytes().cycle().take(700_001).collect();
            fs::write(machines.folder.join("programs").join(name), bytes).unwrap();
        }
        let script = machines.folder.join("machine");
        let agent = binary("email-engine-agent").display().to_string();
        fs::write(
            &script,
            MACHINE.replace("AGENT run", &format!("{agent} run")),
        )
        .unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        machines
    }

    /// The folder of one.
    fn of(&self, host: &str) -> PathBuf {
        self.folder.join("machines").join(host)
    }

    /// What was run on one.
    fn commands(&self, host: &str) -> String {
        fs::read_to_string(self.of(host).join("commands")).unwrap_or_default()
    }

    /// Arguments by which they are reached.
    const VIA: [&'static str; 4] = [
        "--via",
        "./machine machines/{host}",
        "--programs",
        "programs",
    ];
}

impl Drop for Machines {
    fn drop(&mut self) {
        for machine in fs::read_dir(self.folder.join("machines"))
            .into_iter()
            .flatten()
        {
            let Ok(pid) = fs::read_to_string(machine.unwrap().path().join("pid")) else {
                continue;
            };
            let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// One whose time is over, which is told and forbids nothing.
const LICENSE: &str = "product: PowerMTA\nexpires: 2020-01-31\n";

/// A cluster, its operator with a fleet file of three hosts, and bare machines for them.
async fn ground(identities: usize) -> (Fleet, Operator, Machines) {
    let fleet = Fleet::single().await;
    let operator = Operator::of(&fleet);
    let _ = operator.file("fleet.toml", &samples::fleet(identities));
    fs::write(operator.folder().join("license"), LICENSE).unwrap();
    fs::write(operator.folder().join("pmta.deb"), vec![7; 300_000]).unwrap();
    let machines = Machines::new(&operator);
    (fleet, operator, machines)
}

/// A command line that deploys the fleet file.
fn deploy<'a>(further: &[&'a str]) -> Vec<&'a str> {
    let common = [
        "deploy",
        "-f",
        "fleet.toml",
        "--log-dir",
        "log",
        "--artifact",
        "powermta=pmta.deb",
        "--artifact",
        "powermta-license=license",
        // Of its role a host needs none of the two.
        "--without",
        "api-bundle",
        "--without",
        "grafana",
    ];
    [&common[..], further].concat()
}

/// What operators did, as the cluster remembers it.
async fn changes_of_operators(fleet: &Fleet) -> Vec<Value> {
    let audit = fleet.api().get("/audit?limit=1000").await.ok();
    let lines = audit.as_array().unwrap().iter();
    let of_keys = lines.filter(|line| line["actor"].as_str().unwrap().starts_with("key"));
    of_keys.cloned().collect()
}

/// Every file below a folder, with its text.
fn texts(folder: &Path) -> String {
    let listed = Command::new("grep")
        .args(["-r", "", "."])
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8_lossy(&listed.stdout).into_owned()
}
