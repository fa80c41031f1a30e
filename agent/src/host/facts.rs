//! Facts: what the machine is, measured.

use std::collections::BTreeSet;
use std::net::IpAddr;

use email_engine_protocol::observed::{Disk, Facts, Mode};
use sysinfo::{Disks, Networks, System};

const UNKNOWN: &str = "unknown";
/// Disks and addresses that are reported at most.
const BOUND: usize = 1024;

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
        .iter()
        .flat_map(|(_, network)| network.ip_networks())
        .map(|network| network.addr)
        .filter(|address| !address.is_loopback())
        .take(BOUND)
        .collect();
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    Ok(Facts {
        hostname: System::host_name().unwrap_or_else(|_| UNKNOWN.to_owned()),
        os: System::long_os_version().unwrap_or_else(|_| UNKNOWN.to_owned()),
        kernel: System::kernel_version().unwrap_or_else(|_| UNKNOWN.to_owned()),
        architecture: System::cpu_arch(),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        memory_bytes: system.total_memory(),
        disks: file_systems(&disks),
        addresses: addresses.into_iter().collect(),
        agent_version: agent_version.to_owned(),
        mode,
    })
}

/// Bind mounts show a file system again: the shortest mount point of each stands for it.
fn file_systems(disks: &Disks) -> Vec<Disk> {
    let mut found: Vec<(String, Disk)> = Vec::new();
    for disk in disks.iter().take(BOUND) {
        let name = disk.name().to_string_lossy().into_owned();
        let entry = Disk {
            mount_point: disk.mount_point().to_string_lossy().into_owned(),
            total_bytes: disk.total_space(),
            available_bytes: disk.available_space(),
        };
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, kept)) if entry.mount_point.len() < kept.mount_point.len() => *kept = entry,
            Some(_) => {}
            None => found.push((name, entry)),
        }
    }
    found.into_iter().map(|(_, disk)| disk).collect()
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
}
