//! Measures the machine. Looks, and touches nothing.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use email_engine_protocol::bytes::ContentHash;
use rustix::fs::{Access, StatVfs, access, statvfs};

use super::{accounts, child, files, members, os, systemd};
use crate::facts::{Bundle, Installed, Machine, Measured, Port, Program};
use crate::layout::{AGENT, COORDINATOR, Layout, PROGRAMS};
use crate::request::Part;

/// Programs that a bundle may hold.
const BUNDLED: [&str; 3] = [AGENT, COORDINATOR, "email-engine"];
const WRITTEN: [&str; 3] = ["/etc", PROGRAMS, "/var/lib"];

/// The programs beside the bootstrap, as far as a part needs them.
#[must_use]
pub fn bundle(part: Part) -> Bundle {
    let folder = std::env::current_exe();
    let folder = folder.map(|path| path.parent().map(Path::to_owned).unwrap_or_default());
    let needed = BUNDLED.into_iter().filter(|name| match part {
        Part::Agent => *name == AGENT,
        Part::Coordinator => *name != AGENT,
    });
    needed
        .map(|name| {
            let program = match &folder {
                Ok(folder) => program(folder.join(name)),
                Err(error) => Err(error.to_string()),
            };
            (name, program)
        })
        .collect()
}

fn program(path: PathBuf) -> Measured<Program> {
    match fs::read(&path) {
        Ok(bytes) => Ok(Program {
            hash: ContentHash::of(&bytes),
            path,
        }),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// What is there of a layout.
#[must_use]
pub fn installed(part: Part, layout: &Layout, bundle: &Bundle) -> Installed {
    let users = accounts::users();
    let paths = layout.paths().into_iter();
    let units = layout.units.iter();
    Installed {
        paths: paths
            .filter_map(|path| Some((path.to_owned(), files::look(path, &users)?)))
            .collect(),
        units: units
            .filter_map(|unit| Some(((*unit).to_owned(), systemd::show(unit).ok()?.state)))
            .collect(),
        users: users.into_iter().map(|user| user.name).collect(),
        membership: members::membership(part, bundle),
    }
}

/// The machine as it came.
#[must_use]
pub fn machine(layout: &Layout) -> Machine {
    let room = |path: &str| statvfs(path).map_err(|error| format!("{path}: {error}"));
    let bytes = |count: fn(&StatVfs) -> u64| {
        move |found: StatVfs| count(&found).saturating_mul(found.f_frsize)
    };
    let free = ["/var", "/usr/local"];
    let cpus = std::thread::available_parallelism();
    Machine {
        os: fs::read_to_string("/etc/os-release")
            .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
            .map(|text| os::parse(&text))
            .map_err(|error| format!("/etc/os-release: {error}")),
        is_root: rustix::process::geteuid().is_root(),
        has_systemd: Path::new("/run/systemd/system").is_dir(),
        cpus: cpus
            .map(|count| count.get() as u64)
            .map_err(|error| error.to_string()),
        memory: Ok(memory()),
        disk: room("/var").map(bytes(|found| found.f_blocks)),
        free: free
            .map(|path| (path.into(), room(path).map(bytes(|found| found.f_bavail))))
            .into(),
        clock_synchronised: clock(),
        ports_taken: layout
            .ports
            .iter()
            .filter_map(|port| Some((*port, taken(*port)?)))
            .collect(),
        unwritable: unwritable(),
    }
}

fn memory() -> u64 {
    let found = rustix::system::sysinfo();
    (found.totalram as u64).saturating_mul(u64::from(found.mem_unit))
}

/// The kernel's own word for it, by the service manager's command: the call that asks the kernel is in
/// no library that this house uses.
fn clock() -> Measured<bool> {
    let mut command = child::program("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]);
    let said = child::run(&mut command).map_err(|error| error.to_string())?;
    match String::from_utf8_lossy(&said).trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => Err(format!("timedatectl says {other:?}")),
    }
}

fn taken(port: Port) -> Option<String> {
    let everywhere: [SocketAddr; 2] = match port {
        Port::Tcp(port) | Port::Udp(port) => [
            (Ipv4Addr::UNSPECIFIED, port).into(),
            (Ipv6Addr::UNSPECIFIED, port).into(),
        ],
    };
    // Nodes listen on all addresses of version 4.
    let bound = match port {
        Port::Tcp(_) => TcpListener::bind(everywhere[0]).map(drop),
        Port::Udp(_) => UdpSocket::bind(everywhere[0]).map(drop),
    };
    bound.err().map(|error| error.to_string())
}

fn unwritable() -> BTreeMap<PathBuf, String> {
    let folders = WRITTEN.iter().filter_map(|path| {
        let refused = access(*path, Access::WRITE_OK | Access::EXEC_OK).err()?;
        Some((PathBuf::from(path), refused.to_string()))
    });
    folders.collect()
}

/// The address that this machine speaks to others from: no packet leaves it for that.
#[must_use]
pub fn advertised() -> Option<String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address of documentation: it is everybody's way out, and nobody's.
    socket.connect(("192.0.2.1", 9)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then(|| own.to_string())
}
