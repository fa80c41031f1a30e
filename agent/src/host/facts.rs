//! Facts: what the machine is, measured.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::IpAddr;

use email_engine_protocol::limits;
use email_engine_protocol::observed::{Disk, Facts, Mode};
use sysinfo::{Disks, Networks, System};

const UNKNOWN: &str = "unknown";

/// Measures the machine.
///
/// # Errors
/// What could not be measured.
pub(super) fn measure(mode: Mode, agent_version: &str) -> Result<Facts, String> {
    let mut system = System::new().map_err(|error| format!("system: {error}"))?;
    system.refresh_memory();
    let disks = Disks::new_with_refreshed_list().map_err(|error| format!("disks: {error}"))?;
    let networks =
        Networks::new_with_refreshed_list().map_err(|error| format!("networks: {error}"))?;
    let addresses: BTreeSet<IpAddr> = networks
        .values()
        .flat_map(|network| network.ip_networks())
        .map(|network| network.addr)
        .filter(|address| !address.is_loopback())
        .collect();
    let mut addresses: Vec<IpAddr> = addresses.into_iter().collect();
    let addresses_left_out = bound(&mut addresses, limits::ADDRESSES_PER_REPORT);
    let (disks, disks_left_out) = largest(file_systems(&disks));
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    Ok(Facts {
        hostname: cut(System::host_name().unwrap_or_else(|_| UNKNOWN.to_owned())),
        os: cut(System::long_os_version().unwrap_or_else(|_| UNKNOWN.to_owned())),
        kernel: cut(System::kernel_version().unwrap_or_else(|_| UNKNOWN.to_owned())),
        architecture: cut(System::cpu_arch()),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        memory_bytes: system.total_memory(),
        disks,
        addresses,
        agent_version: cut(agent_version.to_owned()),
        mode,
        disks_left_out,
        addresses_left_out,
    })
}

/// Bind mounts show a file system again: the shortest mount point of each stands for it.
fn file_systems(disks: &Disks) -> Vec<Disk> {
    let mut found: BTreeMap<OsString, Disk> = BTreeMap::new();
    for disk in disks {
        let entry = Disk {
            mount_point: disk.mount_point().to_string_lossy().into_owned(),
            total_bytes: disk.total_space(),
            available_bytes: disk.available_space(),
        };
        match found.entry(disk.name().to_owned()) {
            Entry::Occupied(mut known) => {
                let rank = |disk: &Disk| (disk.mount_point.len(), disk.mount_point.clone());
                if rank(&entry) < rank(known.get()) {
                    known.insert(entry);
                }
            }
            Entry::Vacant(place) => {
                place.insert(entry);
            }
        }
    }
    found.into_values().collect()
}

/// The largest file systems, in order of their mount points, and how many others there are.
fn largest(mut disks: Vec<Disk>) -> (Vec<Disk>, u32) {
    disks.sort_by(|one, two| {
        let by_size = two.total_bytes.cmp(&one.total_bytes);
        by_size.then_with(|| one.mount_point.cmp(&two.mount_point))
    });
    let left_out = bound(&mut disks, limits::DISKS_PER_REPORT);
    disks.sort_by(|one, two| one.mount_point.cmp(&two.mount_point));
    for disk in &mut disks {
        disk.mount_point = cut(std::mem::take(&mut disk.mount_point));
    }
    (disks, left_out)
}

/// Cuts a list, and says how many are left out.
fn bound<T>(list: &mut Vec<T>, most: usize) -> u32 {
    let left_out = list.len().saturating_sub(most);
    list.truncate(most);
    u32::try_from(left_out).unwrap_or(u32::MAX)
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::FACT_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_measured() {
        let facts = measure(Mode::Sandbox, "0.1.0").unwrap();
        assert!(facts.cpus > 0 && facts.memory_bytes > 0);
        assert!(!facts.kernel.is_empty());
        assert!(facts.addresses.iter().all(|address| !address.is_loopback()));
    }

    #[test]
    fn of_many_file_systems_the_largest_are_listed_whatever_their_order() {
        let disk = |number: usize| Disk {
            mount_point: format!("/{}{number:05}", "m".repeat(4000)),
            total_bytes: (number % 100) as u64,
            available_bytes: 0,
        };
        let disks: Vec<Disk> = (0..3000).map(disk).collect();
        let backwards: Vec<Disk> = disks.iter().rev().cloned().collect();
        let (shown, left_out) = largest(disks);
        assert_eq!((shown.len(), left_out), (64, 2936));
        assert!(shown.iter().all(|disk| disk.total_bytes >= 97));
        assert!(shown.iter().all(|disk| disk.mount_point.len() == 255));
        assert_eq!(largest(backwards).0, shown);
    }
}
