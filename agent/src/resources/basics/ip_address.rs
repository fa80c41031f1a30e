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
use crate::host::{FileError, Held, Machine, NetworkError, NewFile};

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

/// What is to be done about the addresses of one resource.
struct Sight {
    /// Where missing ones are put.
    interface: String,
    /// What is listed as put there by us.
    known: BTreeSet<Put>,
    /// What shall be listed.
    wanted: BTreeSet<Put>,
    /// Of those, what is not there.
    missing: Vec<IpAddr>,
    /// What another machine has too.
    duplicate: Vec<IpAddr>,
}

fn sight(machine: &mut Machine, spec: &IpAddressSpec) -> Result<Sight, ApplyError> {
    let known = listed(&read(machine, spec.interface.as_deref())?.unwrap_or_default());
    let held = machine.network.addresses()?;
    let interface = match &spec.interface {
        Some(name) => Ok(name.clone()),
        None => machine.network.default_interface(),
    };
    let found = interface.as_deref().ok();
    let ours: Vec<IpAddr> = spec
        .addresses
        .iter()
        .copied()
        .filter(|one| !is_theirs(*one, spec, found, &held, &known))
        .collect();
    let interface = match interface {
        // Nothing has to be put anywhere.
        Err(_) if ours.is_empty() => String::new(),
        other => other?,
    };
    let is_there =
        |one: &&IpAddr| (held.iter()).any(|h| h.interface == interface && h.address == **one);
    let is_double = |one: &&IpAddr| held.iter().any(|h| h.duplicate && h.address == **one);
    Ok(Sight {
        missing: ours.iter().filter(|one| !is_there(one)).copied().collect(),
        duplicate: spec.addresses.iter().filter(is_double).copied().collect(),
        wanted: ours.iter().map(|one| (*one, interface.clone())).collect(),
        known,
        interface,
    })
}

/// Whether somebody else has put an address there, who keeps it and may have no other: it is part of a
/// longer network, or the first of its kind on the interface, from which the machine speaks, or on
/// another interface where none was named.
fn is_theirs(
    address: IpAddr,
    spec: &IpAddressSpec,
    interface: Option<&str>,
    held: &[Held],
    known: &BTreeSet<Put>,
) -> bool {
    let here = |one: &&Held| Some(one.interface.as_str()) == interface;
    let alike = |one: &&Held| one.address.is_ipv4() == address.is_ipv4();
    let mut kind = held.iter().filter(here).filter(alike);
    // The kernel lists those of IPv6 newest first, and what a provider gives is there before ours.
    let first = match address {
        IpAddr::V4(_) => kind.next(),
        IpAddr::V6(_) => kind.next_back(),
    };
    held.iter().filter(|one| one.address == address).any(|one| {
        let is_listed = known.contains(&(address, one.interface.clone()));
        let is_kept = if here(&one) {
            !one.alone || first == Some(one)
        } else {
            spec.interface.is_none()
        };
        !is_listed && is_kept
    })
}

fn differences(machine: &mut Machine, spec: &IpAddressSpec) -> Result<Vec<String>, ApplyError> {
    let sight = sight(machine, spec)?;
    let mut diff = Vec::new();
    if !sight.missing.is_empty() {
        let named = sight.missing.iter().take(NAMED).map(ToString::to_string);
        let named: Vec<String> = named.collect();
        let more = if sight.missing.len() > NAMED {
            ", ..."
        } else {
            ""
        };
        let (count, of) = (sight.missing.len(), spec.addresses.len());
        diff.push(format!(
            "{count} of {of} not on {}: {}{more}",
            sight.interface,
            named.join(", ")
        ));
    }
    let double = sight.duplicate.iter();
    diff.extend(double.map(|one| format!("another machine has {one} too")));
    if !is_kept(machine, spec, &sight.wanted)? {
        diff.push("not put there at boot".to_owned());
    }
    Ok(diff)
}

fn is_kept(
    machine: &Machine,
    spec: &IpAddressSpec,
    wanted: &BTreeSet<Put>,
) -> Result<bool, FileError> {
    let (name, link) = (
        spec.interface.as_deref(),
        boot_link(spec.interface.as_deref()),
    );
    let entry = machine.files.look(&unit_path(name))?;
    let Some(entry) = entry else {
        return Ok(wanted.is_empty());
    };
    let leads = machine.files.read_link(&link)?.as_deref() == Some(unit_path(name).as_str());
    let is_text = read(machine, name)?.as_deref() == Some(&render(wanted));
    Ok(leads && entry.mode == MODE && is_text)
}

pub(super) fn apply(machine: &mut Machine, spec: &IpAddressSpec) -> Result<(), ApplyError> {
    let Sight {
        interface,
        known,
        wanted,
        ..
    } = sight(machine, spec)?;
    let name = spec.interface.as_deref();
    if wanted.is_empty() && machine.files.look(&unit_path(name))?.is_none() {
        return Ok(());
    }
    if known != wanted {
        // Whatever happens from here on, what was or is put there is listed.
        write(machine, name, &known.union(&wanted).cloned().collect())?;
    }
    take(machine, known.difference(&wanted))?;
    let held = machine.network.addresses()?;
    let is_there =
        |one: &IpAddr| (held.iter()).any(|h| h.interface == interface && h.address == *one);
    let all = wanted.iter().map(|(address, _)| *address);
    let missing: Vec<IpAddr> = all.filter(|one| !is_there(one)).collect();
    if !missing.is_empty() {
        machine.network.add(&interface, &missing)?;
    }
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

    fn spec(addresses: impl IntoIterator<Item = u8>) -> IpAddressSpec {
        let address = |last: u8| format!("192.0.2.{last}").parse().unwrap();
        IpAddressSpec {
            interface: None,
            addresses: addresses.into_iter().map(address).collect(),
        }
    }

    fn theirs(interface: &str, last: u8, alone: bool) -> Held {
        Held {
            interface: interface.to_owned(),
            address: format!("192.0.2.{last}").parse().unwrap(),
            alone,
            duplicate: false,
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
        machine.network = Box::new(crate::host::Remembered(vec![theirs("eth0", 200, true)]));
        let wanted = spec(1..=100);
        let finding = observe(&mut machine, &wanted);
        let expected = "100 of 100 not on eth0: 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, \
             192.0.2.5, ...; not put there at boot";
        assert_eq!(finding, Finding::Differs(expected.to_owned()));
        apply(&mut machine, &wanted).unwrap();
        assert_eq!(observe(&mut machine, &wanted), Finding::Right);
        assert_eq!(held(&mut machine).len(), 101);
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
        assert_eq!(held(&mut machine), ["192.0.2.200"]);
        assert!(!unit.exists() && !dir.path().join(&boot_link(None).as_str()[1..]).exists());
    }

    #[test]
    fn what_is_no_longer_wanted_goes_and_what_others_put_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        machine.network = Box::new(crate::host::Remembered(vec![theirs("eth0", 1, false)]));
        apply(&mut machine, &spec([1, 2, 3])).unwrap();
        apply(&mut machine, &spec([3, 4])).unwrap();
        assert_eq!(held(&mut machine), ["192.0.2.1", "192.0.2.3", "192.0.2.4"]);
        remove(&mut machine, None, false).unwrap();
        assert_eq!(held(&mut machine), ["192.0.2.1"]);
        let unit = dir.path().join(&unit_path(None).as_str()[1..]);
        assert!(unit.exists(), "switched off is not taken away");
    }

    #[test]
    fn the_address_that_the_machine_speaks_from_is_never_taken_off() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let provider = vec![theirs("eth0", 1, true), theirs("eth1", 2, true)];
        machine.network = Box::new(crate::host::Remembered(provider));
        // One that somebody put there by hand is not the first: it is ours from now on.
        let by_hand = "192.0.2.4".parse().unwrap();
        machine.network.add("eth0", &[by_hand]).unwrap();
        apply(&mut machine, &spec([1, 2, 3, 4])).unwrap();
        assert_eq!(observe(&mut machine, &spec([1, 2, 3, 4])), Finding::Right);
        let unit = dir.path().join(&unit_path(None).as_str()[1..]);
        let puts = listed(&std::fs::read_to_string(unit).unwrap());
        let puts: Vec<String> = puts.iter().map(|(one, _)| one.to_string()).collect();
        assert_eq!(puts, ["192.0.2.3", "192.0.2.4"]);
        apply(&mut machine, &spec([3])).unwrap();
        remove(&mut machine, None, true).unwrap();
        assert_eq!(held(&mut machine), ["192.0.2.1", "192.0.2.2"]);
    }

    #[test]
    fn where_all_are_there_already_no_default_route_is_asked_for_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let provider = vec![theirs("lo", 1, true), theirs("lo", 2, true)];
        machine.network = Box::new(crate::host::Remembered(provider));
        let wanted = spec([1, 2]);
        assert_eq!(observe(&mut machine, &wanted), Finding::Right);
        apply(&mut machine, &wanted).unwrap();
        assert!(!dir.path().join("etc").exists());
        let finding = observe(&mut machine, &spec([1, 2, 3]));
        let Finding::Unknown(why) = finding else {
            panic!("{finding:?}");
        };
        assert!(why.contains("no default route"), "{why}");
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
