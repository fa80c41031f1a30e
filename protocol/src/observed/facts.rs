//! Facts: measured properties of a host that nobody sets.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Whether an agent's root is a real machine or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The machine itself.
    Real,
    /// A folder: files are real, packages, services and commands are simulated.
    Sandbox,
}

/// What an agent measured about its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The machine's own name.
    pub hostname: String,
    /// Operating system with version, such as `Debian GNU/Linux 12`.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// CPU architecture, such as `x86_64`.
    pub architecture: String,
    /// Logical processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Mounted file systems, in order of their mount points: the largest, at most
    /// [`DISKS_PER_REPORT`](crate::limits::DISKS_PER_REPORT).
    pub disks: Vec<Disk>,
    /// Addresses on its interfaces, loopback left out, in order, at most
    /// [`ADDRESSES_PER_REPORT`](crate::limits::ADDRESSES_PER_REPORT).
    pub addresses: Vec<IpAddr>,
    /// Version of the agent.
    pub agent_version: String,
    /// Sandbox or real.
    pub mode: Mode,
    /// File systems that are not in `disks`, because it is bounded.
    pub disks_left_out: u32,
    /// Addresses that are not in `addresses`, because it is bounded.
    pub addresses_left_out: u32,
}

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Where it is mounted.
    pub mount_point: String,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// Bytes that the agent could still write.
    pub available_bytes: u64,
}
