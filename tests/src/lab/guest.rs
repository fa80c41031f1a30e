//! One real host: systemd is its first process, and its root is its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::cgroups::Cgroups;
use super::wire::{self, Wire};
use crate::{DEADLINE, Daemon, wait_for};

/// Arguments: doors of the control groups in one word, then the guest. It ends with 133 when the
/// guest wants to be rebooted, and is started again, as firmware would.
const POWER: &str = r#"
for door in $1; do echo $$ > "$door"; done
shift
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
code=133
while [ $code = 133 ]; do
    "$@" &
    echo $! > "$GUEST_PID.new"
    mv "$GUEST_PID.new" "$GUEST_PID"
    code=0
    wait $! || code=$?
done
exit $code
"#;

/// What [`Guest::write_door`] writes.
const DOOR: &str = r#"#!/bin/sh
set -eu
nspawn=$(cat 'PID_FILE')
first=$(cut -d " " -f 1 "/proc/$nspawn/task/$nspawn/children")
exec nsenter --target="$first" --mount --uts --ipc --net --pid --root --wd -- \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"
"#;

/// A host that is on. Only within [`crate::mail::alone`], so that its mounts and processes go with the
/// scenario however that ends.
#[derive(Debug)]
pub struct Guest {
    root: PathBuf,
    pid_file: PathBuf,
    /// Ended before the groups are removed and the folder goes.
    power: Daemon,
    wire: Wire,
    _cgroups: Cgroups,
    _folder: TempDir,
}

impl Guest {
    /// Boots a host from this base, with these addresses on its wire and this name server.
    pub async fn boot(name: &str, base: &Path, addresses: &[&str], name_server: &str) -> Self {
        let guest = Self::switch_on(name, base, addresses, name_server, |_| ());
        guest.is_up("it was switched on").await;
        guest
    }

    /// Begins [`Self::boot`]; [`Self::is_up`] ends it, so that several can be on their way. `prepare` puts
    /// files into the root before anything runs in it.
    pub(super) fn switch_on(
        name: &str,
        base: &Path,
        addresses: &[&str],
        name_server: &str,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let at = |part: &str| folder.path().join(part);
        let root = at("root");
        for part in ["upper", "work", "root"] {
            fs::create_dir(at(part)).unwrap();
        }
        fs::set_permissions(
            at("upper"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            base.display(),
            at("upper").display(),
            at("work").display()
        );
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(&root);
        succeeded(mount.output().unwrap());
        fs::write(root.join("etc/hostname"), format!("{name}\n")).unwrap();
        let resolver = format!("nameserver {name_server}\n");
        fs::write(root.join("etc/resolv.conf"), resolver).unwrap();
        prepare(&root);

        let wire = Wire::plug(addresses);
        // The folder's name is nobody else's; process ids are, in here.
        let own = folder.path().file_name().unwrap().to_string_lossy();
        let cgroups = Cgroups::new(&format!("email-engine-lab{own}"));
        let pid_file = at("pid");
        let mut power = Command::new("sh");
        power
            .args(["-c", POWER, "sh", &cgroups.doors()])
            .args([
                "systemd-nspawn",
                "--quiet",
                "--boot",
                "--register=no",
                "--keep-unit",
            ])
            .args(["--link-journal=no", "--resolv-conf=off", "--timezone=off"])
            .args(["--console=pipe", "--kill-signal=SIGRTMIN+3"])
            .args([
                "--capability=CAP_NET_ADMIN,CAP_BPF,CAP_PERFMON",
                "--machine",
                name,
            ])
            // What a unit may reach is for the kernel to enforce, as on any machine.
            .arg("--system-call-filter=bpf")
            .arg(format!("--directory={}", root.display()))
            .arg(format!(
                "--network-namespace-path={}",
                wire.namespace().display()
            ))
            .env("GUEST_PID", &pid_file);
        Self {
            power: Daemon::start(&format!("guest {name}"), power, &at("console")),
            root,
            pid_file,
            wire,
            _cgroups: cgroups,
            _folder: folder,
        }
    }

    /// Cuts it off from everybody else.
    pub fn unplug(&self) {
        succeeded(self.wire.set(false));
    }

    /// Ends what [`Self::unplug`] began.
    pub fn plug(&self) {
        succeeded(self.wire.set(true));
    }

    /// Brings what is sent to these addresses to its door; whether it has them is its own affair.
    pub fn route(&self, addresses: &[&str]) {
        for address in addresses {
            succeeded(wire::route(address));
        }
    }

    /// Its root, for files that are put in and looked at.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Runs a program in it; a bad end fails the scenario.
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.try_run(words).unwrap();
        let output = succeeded(output);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a program in it.
    ///
    /// # Errors
    /// While it is not up.
    pub fn try_run(&self, words: &[&str]) -> Result<Output, String> {
        let target = self.first_process()?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={target}"))
            .args([
                "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--",
            ])
            .args([
                "env",
                "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG=C.UTF-8",
            ])
            .args(words);
        command.output().map_err(|error| error.to_string())
    }

    /// Writes a program that runs its arguments in the guest, with its own standard input: a way in as
    /// operators have one.
    pub fn write_door(&self, path: &Path) {
        let script = DOOR.replace("PID_FILE", &self.pid_file.display().to_string());
        fs::write(path, script).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Restarts it as its owner does, and waits until it is another boot.
    pub async fn reboot(&self) {
        let before = self.first_process().unwrap();
        // It may go before it answers.
        drop(self.try_run(&["systemctl", "reboot"]));
        wait_for("the guest has begun another boot", async || {
            match self.first_process() {
                Ok(process) if process != before => Ok(()),
                other => Err(other),
            }
        })
        .await;
        self.is_up("it was rebooted").await;
    }

    pub(super) async fn is_up(&self, why: &str) {
        wait_for(&format!("the guest is up, because {why}"), async || {
            let output = self.try_run(&["systemctl", "is-system-running"])?;
            match String::from_utf8_lossy(&output.stdout).trim() {
                "running" | "degraded" => Ok(()),
                other => Err(format!("{other} {}", self.power.log_tail())),
            }
        })
        .await;
    }

    /// The guest's systemd, as its starter's only child.
    fn first_process(&self) -> Result<u32, String> {
        let read = |path: &Path| fs::read_to_string(path).map_err(|error| error.to_string());
        let nspawn = read(&self.pid_file)?.trim().to_owned();
        let children = read(Path::new(&format!("/proc/{nspawn}/task/{nspawn}/children")))?;
        let first = children.split_whitespace().next().ok_or("not begun yet")?;
        first.parse().map_err(|_| children.clone())
    }
}

impl Drop for Guest {
    /// As a power cut: its groups can only be removed when nobody is in them.
    fn drop(&mut self) {
        let first = self
            .first_process()
            .ok()
            .and_then(|id| i32::try_from(id).ok());
        if let Some(first) = first.and_then(Pid::from_raw) {
            let _ = kill_process(first, Signal::KILL);
            let cut = Instant::now();
            while self.power.is_running() && cut.elapsed() < DEADLINE {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{output:?}");
    output
}
