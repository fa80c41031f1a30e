//! How large a machine should be, and how much room must be free.

use email_engine_protocol::id::Role;

use super::finding::{Check, Finding};
use crate::facts::{Machine, Measured};
use crate::request::Part;

const MIB: u64 = 1024 * 1024;
/// What the installation itself takes, with room to breathe.
const FREE: u64 = 512 * MIB;
/// A machine sold with 8 GB shows a little less.
const TOLERANCE_PERCENT: u64 = 90;
const GB: u64 = 1_000_000_000;

struct Size {
    cpus: u64,
    memory_gb: u64,
    disk_gb: u64,
}

const fn wanted(part: Part, role: Option<Role>) -> Size {
    match (part, role) {
        (Part::Agent, Some(Role::Powermta)) => Size {
            cpus: 8,
            memory_gb: 16,
            disk_gb: 500,
        },
        (Part::Agent, Some(Role::Api | Role::Mailwizz)) => Size {
            cpus: 4,
            memory_gb: 8,
            disk_gb: 100,
        },
        (Part::Agent, Some(Role::Own(_)) | None) | (Part::Coordinator, _) => Size {
            cpus: 2,
            memory_gb: 4,
            disk_gb: 20,
        },
    }
}

pub(super) fn judge(
    part: Part,
    role: Option<Role>,
    machine: &Machine,
    findings: &mut Vec<Finding>,
) {
    let size = wanted(part, role);
    match machine.cpus {
        Ok(cpus) if cpus < size.cpus => findings.push(Finding::warning(
            Check::Cpus,
            format!("{cpus} processors, {} are advised", size.cpus),
        )),
        Ok(_) => {}
        Err(ref reason) => unknown(Check::Cpus, reason, findings),
    }
    bytes(Check::Memory, &machine.memory, size.memory_gb, findings);
    bytes(Check::Disk, &machine.disk, size.disk_gb, findings);
    for (folder, free) in &machine.free {
        match free {
            Ok(free) if *free < FREE => findings.push(Finding::refusal(
                Check::Disk,
                format!(
                    "{} has {} MiB free, {} are needed",
                    folder.display(),
                    free / MIB,
                    FREE / MIB
                ),
            )),
            Ok(_) => {}
            Err(reason) => unknown(Check::Disk, reason, findings),
        }
    }
}

fn bytes(check: Check, found: &Measured<u64>, wanted_gb: u64, findings: &mut Vec<Finding>) {
    match found {
        Ok(found) if *found < wanted_gb * GB / 100 * TOLERANCE_PERCENT => {
            let text = format!("{} GB, {wanted_gb} are advised", found / GB);
            findings.push(Finding::warning(check, text));
        }
        Ok(_) => {}
        Err(reason) => unknown(check, reason, findings),
    }
}

fn unknown(check: Check, reason: &str, findings: &mut Vec<Finding>) {
    findings.push(Finding::warning(check, format!("unknown: {reason}")));
}
