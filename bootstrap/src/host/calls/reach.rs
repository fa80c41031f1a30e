//! Whether a coordinator answers by UDP.
//!
//! A QUIC server answers a packet of a version that nobody speaks with the versions that it does
//! (RFC 9000 section 6). So a firewall in between shows without a handshake, a key or a trace in the
//! cluster. Whether it is the right server, only enrolment tells.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use email_engine_protocol::join::Endpoint;

use crate::facts::Measured;

/// From the versions that are set aside to make servers say theirs (RFC 9000 section 15).
const NOBODYS_VERSION: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];
/// Shorter ones need not be answered.
const LENGTH: usize = 1200;
const CONNECTION: [u8; 8] = *b"eebootst";
const PATIENCE: Duration = Duration::from_secs(3);
/// A datagram may get lost.
const AGAIN: Duration = Duration::from_millis(400);

/// Calls all of them at once.
#[must_use]
pub fn reach(endpoints: &[Endpoint]) -> Vec<(Endpoint, Measured<()>)> {
    thread::scope(|scope| {
        let calls: Vec<_> = endpoints
            .iter()
            .map(|endpoint| (endpoint, scope.spawn(|| call(endpoint))))
            .collect();
        calls
            .into_iter()
            .map(|(endpoint, call)| {
                let answer = call.join();
                let answer = answer.unwrap_or_else(|_| Err("the call broke off".to_owned()));
                (endpoint.clone(), answer)
            })
            .collect()
    })
}

fn call(endpoint: &str) -> Measured<()> {
    let addresses = endpoint
        .to_socket_addrs()
        .map_err(|error| format!("its name does not resolve: {error}"))?;
    let mut last = "its name has no address".to_owned();
    for address in addresses {
        match call_at(address) {
            Ok(()) => return Ok(()),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

fn call_at(address: SocketAddr) -> io::Result<()> {
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(AGAIN))?;
    let begun = Instant::now();
    let mut answer = [0; 1500];
    let mut refused = None;
    while begun.elapsed() < PATIENCE {
        socket.send(&question())?;
        match socket.recv(&mut answer) {
            Ok(length) if is_answer(&answer[..length]) => return Ok(()),
            Ok(_) => {}
            Err(error) if is_silence(&error) => {}
            // Nobody listens there now, which may change while it starts.
            Err(error) => {
                refused = Some(error);
                thread::sleep(AGAIN);
            }
        }
    }
    let silence = || {
        let text = format!("no answer within {} s", PATIENCE.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    };
    Err(refused.unwrap_or_else(silence))
}

fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn question() -> Vec<u8> {
    let id_length = CONNECTION.len() as u8;
    let mut packet = vec![0xc0];
    packet.extend(NOBODYS_VERSION);
    // Where to, then where from.
    for _ in 0..2 {
        packet.push(id_length);
        packet.extend(CONNECTION);
    }
    packet.resize(LENGTH, 0);
    packet
}

/// A version negotiation packet: long header, version 0, and our connection id as its goal.
fn is_answer(packet: &[u8]) -> bool {
    let head = [&[0, 0, 0, 0, CONNECTION.len() as u8], CONNECTION.as_slice()].concat();
    packet.first().is_some_and(|first| first & 0x80 != 0) && packet[1..].starts_with(&head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_says_its_versions_is_reached_and_others_are_not() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let answers = thread::spawn(move || {
            let mut packet = [0; 1500];
            let (length, from) = server.recv_from(&mut packet).unwrap();
            assert_eq!(length, LENGTH);
            // Noise is no answer.
            server.send_to(b"\x80 hello", from).unwrap();
            let (_, from) = server.recv_from(&mut packet).unwrap();
            let mut answer = vec![0x80, 0, 0, 0, 0];
            answer.extend(&packet[14..23]);
            answer.extend(&packet[5..14]);
            answer.extend([0, 0, 0, 1]);
            server.send_to(&answer, from).unwrap();
        });
        assert_eq!(call(&address.to_string()), Ok(()));
        answers.join().unwrap();
        assert!(call("nobody.invalid:7443").is_err());
    }
}
