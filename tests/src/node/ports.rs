//! Ports that stay a node's own while it is down.
//!
//! What the system gives away by itself it gives to the next who asks: a client of another scenario, which runs
//! at the same time, sits on the port of a node that is about to come back. Those below that range are given to
//! nobody; here each is one process's, by a lock on a file that is called after it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below what Linux gives away by itself (`net.ipv4.ip_local_port_range`), and above what services have.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
/// Tried by this process already.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// One port of the loopback address, for as long as this lives.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    /// Locked.
    _claim: File,
}

impl Port {
    /// Claims one at which nobody listens.
    ///
    /// # Panics
    /// When there is none.
    pub(super) fn claim() -> Self {
        let folder = std::env::temp_dir().join("email-engine-test-ports");
        fs::create_dir_all(&folder).unwrap();
        // Processes that begin together begin elsewhere, and none claims a number twice: a node that is gone
        // stays on record under it.
        let begin = std::process::id().wrapping_mul(37);
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let offset = begin.wrapping_add(step) % u32::from(COUNT);
            let number = FIRST + u16::try_from(offset).unwrap();
            let claim = File::create(folder.join(number.to_string())).unwrap();
            if claim.try_lock().is_ok() && is_free(number) {
                let _claim = claim;
                return Self { number, _claim };
            }
        }
        panic!("no port from {FIRST} on is free");
    }

    /// Where it is.
    pub(super) fn endpoint(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.number)
    }
}

fn is_free(number: u16) -> bool {
    let place = (Ipv4Addr::LOCALHOST, number);
    UdpSocket::bind(place).is_ok() && TcpListener::bind(place).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_one_holders_for_as_long_as_it_is_held() {
        let ports: Vec<Port> = (0..20).map(|_| Port::claim()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(|port| port.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 20);
        let taken = UdpSocket::bind(ports[0].endpoint()).unwrap();
        assert!(!is_free(ports[0].number));
        drop(taken);
        assert!(is_free(ports[0].number));
    }
}
