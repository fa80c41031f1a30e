//! A machine for one agent: the rooms of its product, the product's programs, and a service manager that
//! knows this one service. Files are real and commands run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::powermta::in_room;
use crate::{binary, wait_for};

/// Arguments: `pmta`, `pmtad`, then what to run. Everything is in the mount namespace that it is run in,
/// and ends with the test. Users of the test's own namespace are few, so the group has root's number.
///
/// The program `pmta` notes what it is told before it does it, and waits as long as the folder
/// `/run/pmta/hold-NAME` is there, where it leaves its number; so does the service manager.
const MACHINE: &str = r#"
set -e
for folder in bin sbin; do
    mkdir "/run/$folder" "/run/$folder-work"
    mount -t overlay overlay "/usr/$folder" \
        -o "lowerdir=/usr/$folder,upperdir=/run/$folder,workdir=/run/$folder-work"
done
cat > /usr/sbin/pmta << END
#!/bin/sh
pmta=$1
END
cat >> /usr/sbin/pmta << 'END'
name=
for word; do
    case $word in -*) continue ;; esac
    name=${name:+$name-}$word
    case $name in *-*) break ;; esac
done
echo "$*" >> /run/pmta/told
while true > "/run/pmta/hold-$name/$$"; do sleep 0.01; done 2> /dev/null
exec "$pmta" "$@"
END
chmod 755 /usr/sbin/pmta
ln -s "$2" /usr/sbin/pmtad
shift 2
echo 'pmta:x:0:' >> /etc/group
rm -f /usr/bin/systemctl
cat > /usr/bin/systemctl << 'END'
#!/bin/sh
while true > "/run/pmta/hold-systemctl-$1/$$"; do sleep 0.01; done 2> /dev/null
file=/run/pmta/pid
runs() {
    id=$(cat "$file" 2> /dev/null) || return 1
    [ -e "/proc/$id" ] && ! grep -q '^State:.Z' "/proc/$id/status"
}
case $1 in
show)
    activity=inactive
    if runs; then activity=active; fi
    printf 'LoadState=loaded\nActiveState=%s\nUnitFileState=enabled\n' "$activity" ;;
start | restart | stop)
    if runs; then kill -9 "$(cat "$file")"; fi
    while runs; do :; done
    rm -f "$file" /run/pmta/control
    [ "$1" = stop ] && exit 0
    setsid /usr/sbin/pmtad < /dev/null > /var/log/pmta/out 2>&1 &
    echo $! > "$file"
    while runs && ! [ -S /run/pmta/control ]; do sleep 0.01; done ;;
esac
END
chmod 755 /usr/bin/systemctl
exec "$@"
"#;

/// A command that runs an agent on a machine whose product lives in this folder.
pub(super) fn machine(root: &Path) -> Command {
    let mut command = in_room(root, Path::new("sh"));
    command
        .args(["-c", MACHINE, "sh"])
        .arg(binary("pmta"))
        .arg(binary("pmtad"))
        .arg(binary("email-engine-agent"));
    command
}

/// The programs of such a machine: what they are told, and where they are held.
///
/// A command has the name of its first two words without options, such as `test-config`, `reload`,
/// `show-queues` or `systemctl-show`.
#[derive(Debug)]
pub struct Machine {
    run: PathBuf,
}

/// A command that waits.
#[derive(Debug)]
pub struct Waiting {
    process: Pid,
}

impl Machine {
    pub(super) fn at(root: &Path) -> Self {
        let run = root.join("run/pmta");
        Self { run }
    }

    /// Command lines of `pmta` so far, oldest first.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let text = fs::read_to_string(self.run.join("told")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often `pmta` was told these words.
    #[must_use]
    pub fn times(&self, words: &str) -> usize {
        let told = self.told();
        told.iter().filter(|line| *line == words).count()
    }

    /// Whoever begins a command of this name from now on waits.
    pub fn hold(&self, name: &str) {
        fs::create_dir(self.held(name)).unwrap();
    }

    /// Waits until a command of this name waits.
    pub async fn waiting(&self, name: &str) -> Waiting {
        let why = format!("{name} is held");
        let id = wait_for(&why, async || {
            let mut held = fs::read_dir(self.held(name)).unwrap();
            held.next().ok_or("nobody began it")
        })
        .await;
        let id = id.unwrap().file_name().into_string().unwrap();
        Waiting {
            process: Pid::from_raw(id.parse().unwrap()).unwrap(),
        }
    }

    /// Lets them go on.
    pub fn release(&self, name: &str) {
        // In one step: whoever waits comes back to its place all the time.
        let gone = self.run.join("released");
        fs::rename(self.held(name), &gone).unwrap();
        fs::remove_dir_all(gone).unwrap();
    }

    /// Kills the product itself.
    pub fn kill_product(&self) {
        let id = fs::read_to_string(self.run.join("pid")).unwrap();
        let process = Pid::from_raw(id.trim().parse().unwrap()).unwrap();
        kill_process(process, Signal::KILL).unwrap();
    }

    fn held(&self, name: &str) -> PathBuf {
        self.run.join(format!("hold-{name}"))
    }
}

impl Waiting {
    /// Kills it: it never does what it was told.
    pub fn kill(self) {
        kill_process(self.process, Signal::KILL).unwrap();
    }
}
