//! A resolver that stands before the real server and spoils what some lists say, each in its own way.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// How a list goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lie {
    /// It answers everything with this.
    Answers(Ipv4Addr),
    /// With no data, and no error.
    Nothing,
    /// With an error of DNS: 2 is SERVFAIL, 3 NXDOMAIN, 5 REFUSED.
    Error(u8),
    /// Never.
    Silence,
}

#[derive(Clone, Debug, Default)]
struct Lies {
    by_zone: BTreeMap<String, Lie>,
    /// Test points are answered as they should be.
    spares_points: bool,
}

pub(super) struct Liar {
    address: SocketAddr,
    lies: Arc<Mutex<Lies>>,
    task: JoinHandle<()>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Liar {
    /// Stands before a server, and is honest at first.
    pub(super) async fn before(server: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let lies = Arc::new(Mutex::new(Lies::default()));
        let task = tokio::spawn(serve(socket, server.parse().unwrap(), Arc::clone(&lies)));
        Self {
            address,
            lies,
            task,
        }
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on these zones go wrong, and no others.
    pub(super) fn tell(&self, lies: &[(&str, Lie)], spares_points: bool) {
        let by_zone = lies.iter().map(|(zone, lie)| ((*zone).to_owned(), *lie));
        *self.lies.lock().unwrap() = Lies {
            by_zone: by_zone.collect(),
            spares_points,
        };
    }
}

async fn serve(socket: UdpSocket, server: SocketAddr, lies: Arc<Mutex<Lies>>) {
    let socket = Arc::new(socket);
    let mut packet = [0; 512];
    while let Ok((length, client)) = socket.recv_from(&mut packet).await {
        let question = packet[..length].to_vec();
        let lie = lies.lock().unwrap().about(&question);
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            let answer = match lie {
                Some(lie) => lie.answer(&question),
                None => asked(server, &question).await,
            };
            if let Some(answer) = answer {
                let _ = socket.send_to(&answer, client).await;
            }
        });
    }
}

async fn asked(server: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.ok()?;
    socket.send_to(question, server).await.ok()?;
    let mut packet = vec![0; 4_096];
    let length = socket.recv(&mut packet).await.ok()?;
    packet.truncate(length);
    Some(packet)
}

impl Lies {
    fn about(&self, question: &[u8]) -> Option<Lie> {
        let name = name(question)?;
        let is_point = ["2.0.0.127.", "1.0.0.127.", "invalid.", "dbltest.com."];
        if self.spares_points && is_point.iter().any(|point| name.starts_with(point)) {
            return None;
        }
        let found = self.by_zone.iter().find(|(zone, _)| name.ends_with(*zone));
        found.map(|(_, lie)| *lie)
    }
}

/// RFC 1035: 12 bytes of header, then the labels of the name.
fn name(question: &[u8]) -> Option<String> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*question.get(at)?);
        if length == 0 {
            return Some(labels.join("."));
        }
        let label = question.get(at + 1..=at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + length;
    }
}

impl Lie {
    fn answer(self, question: &[u8]) -> Option<Vec<u8>> {
        // What was asked, as an answer: with its name as it was written.
        let mut answer = question.to_vec();
        answer[2] |= 0x80;
        answer[3] = 0x80;
        match self {
            Self::Silence => return None,
            Self::Nothing => {}
            Self::Error(code) => answer[3] |= code,
            Self::Answers(address) => {
                let end = 12 + name(question)?.len() + 2 + 4;
                answer.truncate(end);
                // One answer, and nothing behind it: a pointer to the name, type A, class IN, an hour, 4 bytes.
                answer[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4]);
                answer.extend(address.octets());
            }
        }
        Some(answer)
    }
}
