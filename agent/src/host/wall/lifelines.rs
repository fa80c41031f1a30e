//! What a host must not cut off from itself: the way in for people, and names.
//!
//! Who listens on a port cannot be told without rights over every process of the machine, so it is
//! sshd's own configuration that says where sshd would be, and the kernel whether somebody is there.
//! Which connections to it are people's, and not somebody's who tries passwords, logind knows.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::WallError;

/// Larger files than these are not read to their end.
const LIMIT: u64 = 4 * 1024 * 1024;
const ESTABLISHED: &str = "01";
const LISTEN: &str = "0A";

/// What must not be cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifelines {
    /// Where sshd listens for others than this machine.
    pub ssh_ports: BTreeSet<u16>,
    /// Connections of people to it.
    pub sessions: BTreeSet<Session>,
    /// Who is asked for names, this machine left out.
    pub resolvers: BTreeSet<IpAddr>,
}

/// A connection to sshd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    /// Our end.
    pub local: IpAddr,
    /// Our port.
    pub port: u16,
    /// Theirs.
    pub remote: IpAddr,
}

impl Lifelines {
    /// Reads them from the files of a machine.
    ///
    /// # Errors
    /// When the kernel's list of connections cannot be read.
    pub(super) fn of(root: &Path) -> Result<Self, WallError> {
        let four = needed(root, "proc/net/tcp")?;
        let sockets: Vec<Socket> = [four, optional(root, "proc/net/tcp6")]
            .iter()
            .flat_map(|text| text.lines().skip(1).filter_map(Socket::parse))
            .collect();
        let ports = configured(root);
        let is_ssh = |port: u16| ports.contains(&port);
        let heard = sockets
            .iter()
            .filter(|one| one.listens && !one.local.is_loopback() && is_ssh(one.port));
        let ssh_ports: BTreeSet<u16> = heard.map(|one| one.port).collect();
        let people = people(root);
        let is_person = |remote: &IpAddr| people.as_ref().is_none_or(|all| all.contains(remote));
        let sessions = sockets.iter().filter(|one| {
            !one.listens
                && ssh_ports.contains(&one.port)
                && !one.remote.is_loopback()
                && is_person(&one.remote)
        });
        let sessions = sessions.map(|one| Session {
            local: one.local,
            port: one.port,
            remote: one.remote,
        });
        Ok(Self {
            sessions: sessions.collect(),
            ssh_ports,
            resolvers: resolvers(root),
        })
    }
}

/// A line of the kernel's list.
struct Socket {
    local: IpAddr,
    port: u16,
    remote: IpAddr,
    listens: bool,
}

impl Socket {
    /// Nothing for those that neither listen nor are connected.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip(1);
        let (local, port) = end(words.next()?)?;
        let (remote, _) = end(words.next()?)?;
        let state = words.next()?;
        (state == LISTEN || state == ESTABLISHED).then_some(Self {
            local,
            port,
            remote,
            listens: state == LISTEN,
        })
    }
}

/// `0100007F:0016`: words of four bytes in this machine's order, then the port.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let address = if address.len() == 8 {
        IpAddr::V4(Ipv4Addr::from(word(0)?))
    } else {
        let mut bytes = [0; 16];
        for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
            part.copy_from_slice(&word(at)?);
        }
        IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

/// Where sshd may listen by its configuration, and where it does without one.
fn configured(root: &Path) -> BTreeSet<u16> {
    let mut ports = BTreeSet::from([22]);
    let mut texts = vec![optional(root, "etc/ssh/sshd_config")];
    texts.extend(folder(root, "etc/ssh/sshd_config.d"));
    for line in texts.iter().flat_map(|text| text.lines()) {
        let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
        let keyword = words.next().unwrap_or_default().to_ascii_lowercase();
        let value = words.next().unwrap_or_default();
        ports.extend(match keyword.as_str() {
            "port" => value.parse().ok(),
            "listenaddress" => last_port(value),
            _ => None,
        });
    }
    for text in folder(root, "etc/systemd/system/ssh.socket.d") {
        let lines = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("ListenStream="));
        ports.extend(lines.filter_map(|value| value.parse().ok().or_else(|| last_port(value))));
    }
    ports
}

/// Of `192.0.2.1:22` and `[2001:db8::1]:22`; an address of IPv6 alone has none.
fn last_port(value: &str) -> Option<u16> {
    let (host, port) = value.rsplit_once(':')?;
    (host.ends_with(']') || !host.contains(':')).then(|| port.parse().ok())?
}

/// From where people are logged in; nothing where no logind knows.
fn people(root: &Path) -> Option<BTreeSet<IpAddr>> {
    let sessions = "run/systemd/sessions";
    if !root.join(sessions).is_dir() {
        return None;
    }
    let remote = |text: &String| {
        let mut lines = text.lines();
        let host = lines.find_map(|line| line.strip_prefix("REMOTE_HOST="))?;
        host.trim_matches('"').parse::<IpAddr>().ok()
    };
    let texts = folder(root, sessions);
    Some(
        texts
            .iter()
            .filter_map(remote)
            .map(|one| one.to_canonical())
            .collect(),
    )
}

/// Behind a stub on this machine, whom the stub asks.
fn resolvers(root: &Path) -> BTreeSet<IpAddr> {
    let of = |path: &str| -> BTreeSet<IpAddr> {
        let text = optional(root, path);
        let servers = text.lines().filter_map(|line| {
            let rest = line.trim().strip_prefix("nameserver")?;
            let address = rest.trim().split('%').next()?;
            address.parse::<IpAddr>().ok()
        });
        servers.collect()
    };
    let mut all = of("etc/resolv.conf");
    if all.iter().any(IpAddr::is_loopback) {
        all.extend(of("run/systemd/resolve/resolv.conf"));
    }
    all.retain(|one| !one.is_loopback());
    all
}

fn needed(root: &Path, path: &str) -> Result<String, WallError> {
    read(&root.join(path)).map_err(|error| WallError::Unread {
        path: format!("/{path}"),
        reason: error.to_string(),
    })
}

fn optional(root: &Path, path: &str) -> String {
    read(&root.join(path)).unwrap_or_else(|error| {
        if error.kind() != ErrorKind::NotFound {
            tracing::warn!(path, %error, "not known to the firewall");
        }
        String::new()
    })
}

/// The texts of a folder's files.
fn folder(root: &Path, path: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join(path)) else {
        return Vec::new();
    };
    let texts = entries.filter_map(|entry| read(&entry.ok()?.path()).ok());
    texts.collect()
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n\
        0: 00000000:0016 00000000:0000 0A 00000000:00000000\n\
        1: 0100007F:0035 00000000:0000 0A 00000000:00000000\n\
        2: 050200C0:0016 096433C6:C350 01 00000000:00000000\n\
        3: 050200C0:0016 0A6433C6:C351 01 00000000:00000000\n\
        4: 050200C0:0016 0B6433C6:C352 06 00000000:00000000\n\
        5: 050200C0:0050 096433C6:C353 01 00000000:00000000\n";
    const TCP6: &str = "  sl\n\
        0: 00000000000000000000000000000000:08AE 00000000000000000000000000000000:0000 0A 0\n\
        1: 0000000000000000FFFF0000050200C0:08AE 0000000000000000FFFF0000096433C6:C350 01 0\n";

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn session(port: u16, remote: &str) -> Session {
        Session {
            local: "192.0.2.5".parse().unwrap(),
            port,
            remote: remote.parse().unwrap(),
        }
    }

    #[test]
    fn people_at_sshd_are_known_and_those_who_only_try_are_not_among_them() {
        let dir = machine(&[
            ("proc/net/tcp", TCP),
            ("proc/net/tcp6", TCP6),
            ("etc/ssh/sshd_config", "# Port 80\nPort 2222\n"),
            (
                "run/systemd/sessions/1",
                "UID=0\nREMOTE=1\nREMOTE_HOST=198.51.100.9\n",
            ),
            ("run/systemd/sessions/2", "UID=0\nREMOTE=0\n"),
        ]);
        let found = Lifelines::of(dir.path()).unwrap();
        // Port 2222 is the example of TCP6 in hexadecimal digits: 08AE.
        assert_eq!(found.ssh_ports, BTreeSet::from([22, 2222]));
        let expected = [session(22, "198.51.100.9"), session(2222, "198.51.100.9")];
        assert_eq!(found.sessions, BTreeSet::from(expected));
    }

    #[test]
    fn where_no_logind_is_every_connection_to_sshd_counts_and_where_no_sshd_is_none() {
        let dir = machine(&[("proc/net/tcp", TCP)]);
        let found = Lifelines::of(dir.path()).unwrap();
        let expected = [session(22, "198.51.100.9"), session(22, "198.51.100.10")];
        assert_eq!(found.sessions, BTreeSet::from(expected));
        let silent = TCP.lines().filter(|line| !line.contains("0016 00000000"));
        let silent: Vec<&str> = silent.collect();
        let dir = machine(&[("proc/net/tcp", &silent.join("\n"))]);
        assert_eq!(Lifelines::of(dir.path()).unwrap(), Lifelines::default());
        let dir = machine(&[("etc/resolv.conf", "")]);
        let error = Lifelines::of(dir.path()).unwrap_err().to_string();
        assert!(error.contains("/proc/net/tcp"), "{error}");
    }

    #[test]
    fn ports_and_resolvers_are_read_as_their_programs_write_them() {
        let dir = machine(&[
            (
                "etc/ssh/sshd_config",
                "port=2200\nListenAddress 192.0.2.1:2201\n",
            ),
            (
                "etc/ssh/sshd_config.d/a.conf",
                "ListenAddress [::]:2202\nListenAddress ::\n",
            ),
            (
                "etc/systemd/system/ssh.socket.d/a.conf",
                "[Socket]\nListenStream=2203\nListenStream=[::]:2204\n",
            ),
            (
                "etc/resolv.conf",
                "nameserver 127.0.0.53\nsearch example.com\n",
            ),
            (
                "run/systemd/resolve/resolv.conf",
                "nameserver 192.0.2.53\nnameserver fe80::1%eth0\n",
            ),
        ]);
        let ports = configured(dir.path());
        assert_eq!(ports, BTreeSet::from([22, 2200, 2201, 2202, 2203, 2204]));
        let found: Vec<String> = resolvers(dir.path())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["192.0.2.53", "fe80::1"]);
    }
}
