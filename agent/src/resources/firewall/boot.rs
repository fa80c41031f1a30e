//! What sets the confirmed rules at boot, before there is a network and without the agent: a unit that
//! carries them in its own text, so that rules and what sets them are replaced in one.
//!
//! It comes after `nftables.service`, whose usual file empties everything.

use email_engine_protocol::desired::HostPath;

use super::super::ApplyError;
use super::super::basics::place;
use crate::host::{FileError, Machine, NewFile};

const LIMIT: u64 = 2 * 1024 * 1024;
const MODE: u32 = 0o644;
const LINE: &str = "StandardInputText=";
const HEAD: &str = "\
# Written by Email-Engine; what is changed here is changed back.
[Unit]
Description=Firewall of Email-Engine
DefaultDependencies=no
Wants=network-pre.target
After=local-fs.target nftables.service
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
PartOf=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f -
StandardInput=data
";

pub(super) fn unit() -> HostPath {
    place("/etc/systemd/system/email-engine-firewall.service".to_owned())
}

/// As `systemctl enable` would make it.
fn link() -> HostPath {
    let folder = "/etc/systemd/system/sysinit.target.wants";
    place(format!("{folder}/email-engine-firewall.service"))
}

fn render(text: &str) -> String {
    let mut unit = HEAD.to_owned();
    for line in text.lines() {
        unit.push_str(LINE);
        unit.push_str(line.trim_start());
        unit.push('\n');
    }
    unit.push_str("\n[Install]\nWantedBy=sysinit.target\n");
    unit
}

/// Whether exactly these rules are set at boot.
pub(super) fn keeps(machine: &Machine, text: &str) -> Result<bool, FileError> {
    let path = unit();
    let Some(entry) = machine.files.look(&path)? else {
        return Ok(false);
    };
    let leads = machine.files.read_link(&link())?.as_deref() == Some(path.as_str());
    let is_ours = machine.files.read(&path, LIMIT)? == render(text).as_bytes();
    Ok(leads && is_ours && entry.mode == MODE)
}

/// From now on these are set at boot.
pub(super) fn keep(machine: &Machine, text: &str) -> Result<(), ApplyError> {
    let path = unit();
    let new = NewFile {
        path: &path,
        mode: MODE,
        uid: Some(rustix::process::geteuid().as_raw()),
        gid: None,
    };
    machine.files.replace(&new, render(text).as_bytes(), None)?;
    Ok(machine.files.make_link(&link(), path.as_str())?)
}

/// Nothing is set at boot any more.
pub(super) fn forget(machine: &Machine) -> Result<(), ApplyError> {
    machine.files.remove_file(&link())?;
    machine.files.remove_file(&unit())?;
    Ok(machine.files.sweep(&unit())?)
}
