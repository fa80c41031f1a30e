//! Sending addresses on an interface: there now, and put there again at every boot.
//!
//! What puts them there at boot is a unit of ours that carries the addresses in its own text, so that
//! they come back before the agent does and without it. Its text is also the record of what was put
//! where: it names what shall go until that is gone.

use std::collections::BTreeSet;
use std::net::IpAddr;

use email_engine_protocol::desired::{HostPath, IpAddressSpec};

use super::super::{ApplyError, Finding};
use super::place;
use crate::host::{FileError, Machine, NetworkError, NewFile};

const LIMIT: u64 = 2 * 1024 * 1024;
const MODE: u32 = 0o644;
const UNITS: &str = "/etc/systemd/system";
const LINE: &str = "StandardInputText=address replace ";
/// Missing addresses that are named, so that a hundred do not fill a report.
const NAMED: usize = 5;

/// An address and the interface that it is put on.
type Put = (IpAddr, String);

fn unit(interface: Option<&str>) -> String {
    let name = interface.unwrap_or("default");
    format!("email-engine-addresses-{name}.service")
}

pub(super) fn unit_path(interface: Option<&str>) -> HostPath {
    place(format!("{UNITS}/{}", unit(interface)))
}

/// What has the unit started at boot, as `systemctl enable` would make it.
fn boot_link(interface: Option<&str>) -> HostPath {
    place(format!(
        "{UNITS}/multi-user.target.wants/{}",
        unit(interface)
    ))
}

pub(super) fn observe(machine: &mut Machine, spec: &IpAddressSpec) -> Finding {
    match differences(machine, spec) {
        Ok(diff) if diff.is_empty() => Finding::Right,
        Ok(diff) => Finding::Differs(diff.join("; ")),
        Err(error) => Finding::Unknown(error.to_string()),
    }
}

fn differences(machine: &mut Machine, spec: &IpAddressSpec) -> Result<Vec<String>, ApplyError> {
    let interface = resolved(machine, spec)?;
    let mut diff = Vec::new();
    let held = machine.network.addresses()?;
    let here: BTreeSet<IpAddr> = held
        .iter()
        .filter(|held| held.interface == interface)
        .map(|held| held.address)
        .collect();
    let missing: Vec<&IpAddr> = spec
        .addresses
        .iter()
        .filter(|one| !here.contains(one))
        .collect();
    if !missing.is_empty() {
        let named: Vec<String> = missing
            .iter()
            .take(NAMED)
            .map(ToString::to_string)
            .collect();
        let more = if missing.len() > NAMED { ", ..." } else { "" };
        let (count, of) = (missing.len(), spec.addresses.len());
        diff.push(format!(
            "{count} of {of} not on {interface}: {}{more}",
            named.join(", ")
        ));
    }
    let ours = |address: &IpAddr| spec.addresses.binary_search(address).is_ok();
    for held in held
        .iter()
        .filter(|held| held.duplicate && ours(&held.address))
    {
        diff.push(format!("another machine has {} too", held.address));
    }
    if !is_kept(machine, spec, &interface)? {
        diff.push("not put there at boot".to_owned());
    }
    Ok(diff)
}

fn is_kept(machine: &Machine, spec: &IpAddressSpec, interface: &str) -> Result<bool, FileError> {
    let (name, link) = (
        spec.interface.as_deref(),
        boot_link(spec.interface.as_deref()),
    );
    let mode = machine
        .files
        .look(&unit_path(name))?
        .map(|entry| entry.mode);
    let leads = machine.files.read_link(&link)?.as_deref() == Some(unit_path(name).as_str());
    let wanted = render(&wanted(spec, interface));
    Ok(leads && mode == Some(MODE) && read(machine, name)?.as_deref() == Some(&wanted))
}

fn resolved(machine: &mut Machine, spec: &IpAddressSpec) -> Result<String, NetworkError> {
    match &spec.interface {
        Some(name) => Ok(name.clone()),
        None => machine.network.default_interface(),
    }
}

fn wanted(spec: &IpAddressSpec, interface: &str) -> BTreeSet<Put> {
    let put = |address: &IpAddr| (*address, interface.to_owned());
    spec.addresses.iter().map(put).collect()
}

pub(super) fn apply(machine: &mut Machine, spec: &IpAddressSpec) -> Result<(), ApplyError> {
    let interface = resolved(machine, spec)?;
    let name = spec.interface.as_deref();
    let wanted = wanted(spec, &interface);
    let known = listed(&read(machine, name)?.unwrap_or_default());
    if known != wanted {
        // Whatever happens from here on, what was or is put there is listed.
        write(machine, name, &known.union(&wanted).cloned().collect())?;
    }
    take(machine, known.difference(&wanted))?;
    let held = machine.network.addresses()?;
    let is_there = |address: &IpAddr| {
        let same =
            |held: &crate::host::Held| held.interface == interface && held.address == *address;
        held.iter().any(same)
    };
    let missing: Vec<IpAddr> = spec
        .addresses
        .iter()
        .copied()
        .filter(|one| !is_there(one))
        .collect();
    machine.network.add(&interface, &missing)?;
    write(machine, name, &wanted)?;
    let target = unit_path(name);
    Ok(machine.files.make_link(&boot_link(name), target.as_str())?)
}

/// Takes off what was put there. The unit stays when it shall only be switched off.
pub(super) fn remove(
    machine: &mut Machine,
    interface: Option<&str>,
    delete: bool,
) -> Result<(), ApplyError> {
    let known = listed(&read(machine, interface)?.unwrap_or_default());
    match take(machine, known.iter()) {
        // With the interface they are gone as well.
        Err(ApplyError::Network(NetworkError::NoInterface { .. })) => {}
        other => other?,
    }
    machine.files.remove_file(&boot_link(interface))?;
    if delete {
        machine.files.remove_file(&unit_path(interface))?;
        machine.files.sweep(&unit_path(interface))?;
    }
    Ok(())
}

fn take<'a>(machine: &mut Machine, puts: impl Iterator<Item = &'a Put>) -> Result<(), ApplyError> {
    let mut by_interface: std::collections::BTreeMap<&str, Vec<IpAddr>> = Default::default();
    for (address, interface) in puts {
        by_interface.entry(interface).or_default().push(*address);
    }
    for (interface, addresses) in by_interface {
        machine.network.remove(interface, &addresses)?;
    }
    Ok(())
}

fn read(machine: &Machine, interface: Option<&str>) -> Result<Option<String>, FileError> {
    let path = unit_path(interface);
    match machine.files.look(&path)? {
        None => Ok(None),
        Some(_) => {
            let bytes = machine.files.read(&path, LIMIT)?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
    }
}

fn write(
    machine: &Machine,
    interface: Option<&str>,
    puts: &BTreeSet<Put>,
) -> Result<(), FileError> {
    let path = unit_path(interface);
    let new = NewFile {
        path: &path,
        mode: MODE,
        uid: Some(rustix::process::geteuid().as_raw()),
        gid: None,
    };
    machine.files.replace(&new, render(puts).as_bytes(), None)
}

/// One program reads all of them from its own unit. `replace` does nothing where one is there.
fn render(puts: &BTreeSet<Put>) -> String {
    let mut text = String::from(
        "# Written by Email-Engine; what is changed here is changed back.\n\
         [Unit]\n\
         Description=Sending addresses of Email-Engine\n\
         Wants=network-online.target\n\
         After=network.target network-online.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart=ip -force -batch -\n\
         StandardInput=data\n",
    );
    for (address, interface) in puts {
        let rest = match address {
            IpAddr::V4(_) => format!("/32 dev {interface}"),
            IpAddr::V6(_) => format!("/128 dev {interface} nodad preferred_lft 0"),
        };
        text.push_str(&format!("{LINE}{address}{rest}\n"));
    }
    text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    text
}

/// What a text of ours puts where; lines that are none of ours are nothing of ours.
fn listed(text: &str) -> BTreeSet<Put> {
    let put = |line: &str| {
        let mut words = line.strip_prefix(LINE)?.split(' ');
        let (address, _) = words.next()?.split_once('/')?;
        let interface = words.nth(1)?;
        Some((address.parse().ok()?, interface.to_owned()))
    };
    text.lines().filter_map(put).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Held;

    fn spec(addresses: impl IntoIterator<Item = u8>) -> IpAddressSpec {
        let address = |last: u8| format!("192.0.2.{last}").parse().unwrap();
        IpAddressSpec {
            interface: None,
            addresses: addresses.into_iter().map(address).collect(),
        }
    }

    fn held(machine: &mut Machine) -> Vec<String> {
        let held = machine.network.addresses().unwrap();
        held.iter().map(|one| one.address.to_string()).collect()
    }

    #[test]
    fn a_hundred_come_at_once_drift_is_seen_and_they_go_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let wanted = spec(1..=100);
        let finding = observe(&mut machine, &wanted);
        let expected = "100 of 100 not on eth0: 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, \
             192.0.2.5, ...; not put there at boot";
        assert_eq!(finding, Finding::Differs(expected.to_owned()));
        apply(&mut machine, &wanted).unwrap();
        assert_eq!(observe(&mut machine, &wanted), Finding::Right);
        assert_eq!(held(&mut machine).len(), 100);
        let gone = "192.0.2.7".parse().unwrap();
        machine.network.remove("eth0", &[gone]).unwrap();
        let finding = observe(&mut machine, &wanted);
        let expected = "1 of 100 not on eth0: 192.0.2.7".to_owned();
        assert_eq!(finding, Finding::Differs(expected));
        apply(&mut machine, &wanted).unwrap();
        let unit = dir.path().join(&unit_path(None).as_str()[1..]);
        std::fs::write(&unit, "[Service]\nExecStart=/bin/false\n").unwrap();
        let expected = Finding::Differs("not put there at boot".to_owned());
        assert_eq!(observe(&mut machine, &wanted), expected);
        apply(&mut machine, &wanted).unwrap();
        remove(&mut machine, None, true).unwrap();
        assert_eq!(held(&mut machine), [""; 0]);
        assert!(!unit.exists() && !dir.path().join(&boot_link(None).as_str()[1..]).exists());
    }

    #[test]
    fn what_is_no_longer_wanted_goes_and_what_others_put_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let theirs = Box::new(crate::host::Remembered(vec![Held {
            interface: "eth0".to_owned(),
            address: "192.0.2.1".parse().unwrap(),
            alone: false,
            duplicate: false,
        }]));
        machine.network = theirs;
        apply(&mut machine, &spec([1, 2, 3])).unwrap();
        apply(&mut machine, &spec([3, 4])).unwrap();
        assert_eq!(held(&mut machine), ["192.0.2.1", "192.0.2.3", "192.0.2.4"]);
        remove(&mut machine, None, false).unwrap();
        assert_eq!(held(&mut machine), ["192.0.2.1"]);
        let unit = dir.path().join(&unit_path(None).as_str()[1..]);
        assert!(unit.exists(), "switched off is not taken away");
    }

    #[test]
    fn a_text_of_ours_says_what_it_puts_where_and_a_strange_one_nothing() {
        let put = |address: &str| (address.parse().unwrap(), "eth0".to_owned());
        let puts = BTreeSet::from([put("192.0.2.1"), put("2001:db8::1")]);
        assert_eq!(listed(&render(&puts)), puts);
        for odd in ["", "x", "StandardInputText=address replace 192.0.2.1", LINE] {
            assert!(listed(odd).is_empty(), "{odd}");
        }
    }
}
