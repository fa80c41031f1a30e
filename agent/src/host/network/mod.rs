//! Addresses of this machine's interfaces, by the kernel's own words (rtnetlink(7)): no program is
//! run for a look, and many addresses change in few messages.

pub(super) mod filter;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use rustix::net;
use rustix::net::netdevice::{index_to_name, name_to_index};
use rustix::net::netlink::SocketAddrNetlink;

/// Longer than any kernel takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// The kernel gives a dump in parts of at most 32 KiB.
const PART: usize = 64 * 1024;
/// Requests in one message: their answers fit into the smallest receive buffer.
const AT_ONCE: usize = 64;
/// A dump that something changed under is asked for again.
const TRIES: u32 = 5;

/// Why the network did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// An answer that is not understood.
    #[error("the kernel's answer about addresses is not understood: {0}")]
    Answer(String),
    /// The kernel cannot be asked.
    #[error("the kernel cannot be asked about addresses: {0}")]
    Asked(Errno),
    /// Nothing says which interface is meant.
    #[error("no default route says which interface is meant; name one")]
    NoDefault,
    /// There is no such interface.
    #[error("interface {name} is not there: {source}")]
    NoInterface {
        /// Its name.
        name: String,
        /// The kernel's answer.
        source: Errno,
    },
    /// The kernel refused an address.
    #[error("cannot {action} {address} on {interface}: {source}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// Which address.
        address: IpAddr,
        /// On which interface.
        interface: String,
        /// The kernel's answer.
        source: Errno,
    },
}

/// An address as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Where it is.
    pub interface: String,
    /// Which it is.
    pub address: IpAddr,
    /// Whether it stands for itself alone (/32, /128), as ours do.
    pub alone: bool,
    /// Whether another machine has it too.
    pub duplicate: bool,
}

/// Addresses of interfaces.
pub trait Network: Send + fmt::Debug {
    /// Every address of this machine.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    fn addresses(&mut self) -> Result<Vec<Held>, NetworkError>;

    /// The interface of the default route.
    ///
    /// # Errors
    /// When there is none.
    fn default_interface(&mut self) -> Result<String, NetworkError>;

    /// Puts addresses on an interface, each for itself alone; those that are there already stay.
    ///
    /// # Errors
    /// When the kernel refuses one; the others are there.
    fn add(&mut self, interface: &str, addresses: &[IpAddr]) -> Result<(), NetworkError>;

    /// Takes addresses off an interface that stand for themselves alone; others stay.
    ///
    /// # Errors
    /// When the kernel refuses; the others are gone.
    fn remove(&mut self, interface: &str, addresses: &[IpAddr]) -> Result<(), NetworkError>;
}

/// The kernel of this machine.
#[derive(Debug, Default)]
pub(super) struct Kernel;

impl Network for Kernel {
    fn addresses(&mut self) -> Result<Vec<Held>, NetworkError> {
        let talk = Talk::begin()?;
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let mut names = BTreeMap::new();
        let mut held = Vec::new();
        for message in talk.dump(&request)? {
            let RouteNetlinkMessage::NewAddress(message) = message else {
                continue;
            };
            let index = message.header.index;
            let name = names.entry(index).or_insert_with(|| {
                // One that is gone meanwhile has no addresses either.
                index_to_name(&talk.socket, index).ok()
            });
            held.extend(name.clone().and_then(|name| held_of(&message, name)));
        }
        Ok(held)
    }

    fn default_interface(&mut self) -> Result<String, NetworkError> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let four = default_of(&read("/proc/net/route"));
        let found = four.or_else(|| default_of_six(&read("/proc/net/ipv6_route")));
        found.ok_or(NetworkError::NoDefault)
    }

    fn add(&mut self, interface: &str, addresses: &[IpAddr]) -> Result<(), NetworkError> {
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        let change = Change {
            action: "put",
            flags,
            fine: Errno::EXIST,
            request: RouteNetlinkMessage::NewAddress,
        };
        change.make(interface, addresses)
    }

    fn remove(&mut self, interface: &str, addresses: &[IpAddr]) -> Result<(), NetworkError> {
        let change = Change {
            action: "take",
            flags: NLM_F_REQUEST | NLM_F_ACK,
            fine: Errno::ADDRNOTAVAIL,
            request: RouteNetlinkMessage::DelAddress,
        };
        change.make(interface, addresses)
    }
}

/// One change of many addresses.
struct Change {
    action: &'static str,
    flags: u16,
    /// The answer that says that it was so already.
    fine: Errno,
    request: fn(AddressMessage) -> RouteNetlinkMessage,
}

impl Change {
    fn make(&self, interface: &str, addresses: &[IpAddr]) -> Result<(), NetworkError> {
        let talk = Talk::begin()?;
        let index =
            name_to_index(&talk.socket, interface).map_err(|source| NetworkError::NoInterface {
                name: interface.to_owned(),
                source,
            })?;
        let mut refused = Ok(());
        for part in addresses.chunks(AT_ONCE) {
            let requests = part.iter().map(|one| (self.request)(message(index, *one)));
            for (at, answer) in talk.tell(requests, self.flags)? {
                let source = Errno::from_raw_os_error(answer);
                let Some(address) = part.get(at).filter(|_| source != self.fine) else {
                    continue;
                };
                refused = Err(NetworkError::Refused {
                    action: self.action,
                    address: *address,
                    interface: interface.to_owned(),
                    source,
                });
            }
        }
        refused
    }
}

/// An address that stands for itself alone and for ever. One of IPv6 is nobody's first choice
/// for a connection that names none, and is usable at once.
fn message(index: u32, address: IpAddr) -> AddressMessage {
    let mut made = AddressMessage::default();
    made.header.index = index;
    made.attributes.push(AddressAttribute::Local(address));
    made.attributes.push(AddressAttribute::Address(address));
    match address {
        IpAddr::V4(_) => {
            made.header.family = AddressFamily::Inet;
            made.header.prefix_len = 32;
        }
        IpAddr::V6(_) => {
            made.header.family = AddressFamily::Inet6;
            made.header.prefix_len = 128;
            made.header.flags = AddressHeaderFlags::Nodad;
            let mut life = CacheInfo::default();
            life.ifa_preferred = 0;
            life.ifa_valid = u32::MAX;
            made.attributes.push(AddressAttribute::CacheInfo(life));
        }
    }
    made
}

/// The near end of an address, in this order: `Local` is it, `Address` the far one of some links.
fn held_of(message: &AddressMessage, interface: String) -> Option<Held> {
    let attributes = || message.attributes.iter();
    let local = attributes().find_map(|one| match one {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let listed = attributes().find_map(|one| match one {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    let address = local.or(listed)?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let failed = AddressFlags::Dadfailed;
    let duplicate = attributes()
        .any(|one| matches!(one, AddressAttribute::Flags(flags) if flags.contains(failed)));
    Some(Held {
        interface,
        address,
        alone: message.header.prefix_len == whole,
        duplicate,
    })
}

/// The interface of the cheapest default route in `/proc/net/route`.
fn default_of(text: &str) -> Option<String> {
    let routes = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let up = u32::from_str_radix(fields.get(3)?, 16).ok()? & 1 == 1;
        let all = fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000");
        let metric: u32 = fields.get(6)?.parse().ok()?;
        (up && all).then(|| (metric, (*fields[0]).to_owned()))
    });
    routes
        .min_by_key(|(metric, _)| *metric)
        .map(|found| found.1)
}

/// The same in `/proc/net/ipv6_route`, where `lo` has one that refuses everything.
fn default_of_six(text: &str) -> Option<String> {
    let zeros = "0".repeat(32);
    let routes = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let all = fields.first() == Some(&zeros.as_str()) && fields.get(1) == Some(&"00");
        let metric = u32::from_str_radix(fields.get(5)?, 16).ok()?;
        let up = u32::from_str_radix(fields.get(8)?, 16).ok()? & 1 == 1;
        let name = fields.get(9).filter(|name| **name != "lo")?;
        (up && all).then(|| (metric, (*name).to_owned()))
    });
    routes
        .min_by_key(|(metric, _)| *metric)
        .map(|found| found.1)
}

/// A conversation with the kernel.
struct Talk {
    socket: OwnedFd,
}

type Message = NetlinkMessage<RouteNetlinkMessage>;

impl Talk {
    fn begin() -> Result<Self, NetworkError> {
        let begin = || {
            let socket = net::socket_with(
                net::AddressFamily::NETLINK,
                net::SocketType::RAW,
                net::SocketFlags::CLOEXEC,
                // NETLINK_ROUTE is the first of its family, and has no name in rustix.
                None,
            )?;
            net::sockopt::set_socket_timeout(&socket, net::sockopt::Timeout::Recv, Some(PATIENCE))?;
            // To the kernel, and from nobody else.
            net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
            Ok(Self { socket })
        };
        begin().map_err(NetworkError::Asked)
    }

    fn send(&self, requests: &[Message]) -> Result<(), NetworkError> {
        let mut bytes = vec![0; requests.iter().map(Message::buffer_len).sum()];
        let mut rest = &mut bytes[..];
        for request in requests {
            let (own, others) = rest.split_at_mut(request.buffer_len());
            request.serialize(own);
            rest = others;
        }
        let sent = net::send(&self.socket, &bytes, net::SendFlags::empty());
        sent.map(drop).map_err(NetworkError::Asked)
    }

    /// The messages of one packet from the kernel.
    fn hear(&self) -> Result<Vec<Message>, NetworkError> {
        let mut bytes = vec![0; PART];
        let (_, length) = net::recv(&self.socket, &mut bytes[..], net::RecvFlags::TRUNC)
            .map_err(NetworkError::Asked)?;
        let mut rest = bytes
            .get(..length)
            .ok_or_else(|| NetworkError::Answer(format!("it has {length} bytes")))?;
        let mut heard = Vec::new();
        while !rest.is_empty() {
            let message = Message::deserialize(rest)
                .map_err(|error| NetworkError::Answer(error.to_string()))?;
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(16)..).unwrap_or_default();
            heard.push(message);
        }
        Ok(heard)
    }

    /// Everything that answers a question.
    fn dump(
        &self,
        question: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetworkError> {
        for number in 1..=TRIES {
            self.send(&[request(
                question.clone(),
                number,
                NLM_F_REQUEST | NLM_F_DUMP,
            )])?;
            let (mut answer, mut torn, mut ended) = (Vec::new(), false, false);
            while !ended {
                for message in self.hear()? {
                    torn |= message.header.flags & NLM_F_DUMP_INTR != 0;
                    match message.payload {
                        NetlinkPayload::InnerMessage(inner) => answer.push(inner),
                        NetlinkPayload::Done(_) => ended = true,
                        NetlinkPayload::Error(error) => {
                            let code = -error.raw_code();
                            return Err(NetworkError::Asked(Errno::from_raw_os_error(code)));
                        }
                        _ => {}
                    }
                }
            }
            if !torn {
                return Ok(answer);
            }
        }
        Err(NetworkError::Answer(
            "addresses change all the time".to_owned(),
        ))
    }

    /// Has requests answered: the places of those that were refused, with the error's number.
    fn tell(
        &self,
        requests: impl Iterator<Item = RouteNetlinkMessage>,
        flags: u16,
    ) -> Result<Vec<(usize, i32)>, NetworkError> {
        let numbered = (0..).zip(requests);
        let all: Vec<Message> = numbered.map(|(at, one)| request(one, at, flags)).collect();
        self.send(&all)?;
        let (mut refused, mut answers) = (Vec::new(), 0);
        while answers < all.len() {
            for message in self.hear()? {
                if let NetlinkPayload::Error(error) = message.payload {
                    answers += 1;
                    let code = -error.raw_code();
                    if code != 0 {
                        refused.push((message.header.sequence_number as usize, code));
                    }
                }
            }
        }
        Ok(refused)
    }
}

fn request(inner: RouteNetlinkMessage, number: u32, flags: u16) -> Message {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = number;
    let mut message = Message::new(header, NetlinkPayload::InnerMessage(inner));
    message.finalize();
    message
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A network that is only remembered. The default route is by `eth0`, unless others alone are there.
    #[derive(Debug, Default)]
    pub(crate) struct Remembered(pub(crate) Vec<Held>);

    impl Network for Remembered {
        fn addresses(&mut self) -> Result<Vec<Held>, NetworkError> {
            Ok(self.0.clone())
        }

        fn default_interface(&mut self) -> Result<String, NetworkError> {
            let is_there = |held: &Held| held.interface == "eth0";
            if self.0.is_empty() || self.0.iter().any(is_there) {
                Ok("eth0".to_owned())
            } else {
                Err(NetworkError::NoDefault)
            }
        }

        fn add(&mut self, interface: &str, addresses: &[IpAddr]) -> Result<(), NetworkError> {
            self.0.extend(addresses.iter().map(|address| Held {
                interface: interface.to_owned(),
                address: *address,
                alone: true,
                duplicate: false,
            }));
            Ok(())
        }

        fn remove(&mut self, interface: &str, addresses: &[IpAddr]) -> Result<(), NetworkError> {
            self.0.retain(|held| {
                let named = held.interface == interface && addresses.contains(&held.address);
                !(named && held.alone)
            });
            Ok(())
        }
    }

    #[test]
    fn the_kernel_tells_the_addresses_of_this_machine_and_refuses_what_is_not_there() {
        let mut kernel = Kernel;
        let held = kernel.addresses().unwrap();
        let own = held.iter().find(|held| held.address.is_loopback());
        let own = own.expect("every machine has a loopback address");
        assert_eq!((own.interface.as_str(), own.duplicate), ("lo", false));
        assert_eq!(own.alone, own.address.is_ipv6());
        let error = kernel.add("no-such-if", &["192.0.2.1".parse().unwrap()]);
        assert!(
            matches!(&error, Err(NetworkError::NoInterface { name, .. }) if name == "no-such-if"),
            "{error:?}"
        );
    }

    #[test]
    fn the_cheapest_default_route_names_the_interface() {
        let head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
        let text = format!(
            "{head}eth1 00000000 010200C0 0003 0 0 200 00000000 0 0 0\n\
             eth0 00000000 010200C0 0003 0 0 100 00000000 0 0 0\n\
             eth2 00000000 010200C0 0002 0 0 0 00000000 0 0 0\n\
             eth3 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
        );
        assert_eq!(default_of(&text).as_deref(), Some("eth0"));
        for none in [head, "", "eth0\n", "eth0 00000000 x y z\n"] {
            assert_eq!(default_of(none), None, "{none:?}");
        }
        let zeros = "0".repeat(32);
        let text = format!(
            "{zeros} 00 {zeros} 00 {zeros} 00000400 1 0 00000003 eth0\n\
             {zeros} 00 {zeros} 00 {zeros} ffffffff 1 0 00200200 lo\n"
        );
        assert_eq!(default_of_six(&text).as_deref(), Some("eth0"));
        assert_eq!(default_of_six("x y\n"), None);
    }
}
