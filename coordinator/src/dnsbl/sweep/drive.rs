//! The IO around the [`engine`](super::engine): sockets, clock, randomness, streams.

use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures::future::select_all;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};

use super::engine::{Engine, Output, Place};
use super::pace::{Micros, micros};
use super::{Errand, Findings, Manner};
use crate::dnsbl::registry::Registry;

/// Largest packet that is read; what is longer is cut, and then no answer.
const PACKET: usize = 4_096;
/// Packets that are read of one socket before others have their turn.
const AT_ONCE: usize = 64;
/// Questions that go out before it is looked what came in.
const BURST: usize = 64;
/// Random bytes that are drawn at once.
const DRAWN: usize = 4_096;

/// Why no list can be asked.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// There is no socket for it.
    #[error("no socket towards the resolver {resolver}: {source}")]
    Socket {
        /// Which resolver.
        resolver: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system has no randomness.
    #[error("the system gives no random bytes")]
    Randomness,
}

/// Carries errands out through one resolver. Findings come in the order of the errands.
///
/// # Errors
/// When the resolver cannot even be asked; whatever it answers or does not is a finding.
pub async fn drive(
    registry: &Registry,
    errands: Vec<Errand<'_>>,
    resolver: SocketAddr,
    manner: Manner,
) -> Result<Vec<Findings>, DriveError> {
    let sockets = open(resolver, manner.sockets)
        .await
        .map_err(|source| DriveError::Socket { resolver, source })?;
    let mut driver = Driver {
        engine: Engine::new(registry, errands, manner),
        sockets,
        began: Instant::now(),
        resolver,
        patience: manner.longest_wait,
        streams: JoinSet::new(),
        held: None,
        random: Random::new()?,
    };
    driver.run().await?;
    Ok(driver.engine.findings())
}

/// Sockets with ports of the kernel's choice. They are connected: what comes from elsewhere never gets
/// here, and a port that nobody listens on is an error instead of silence.
async fn open(resolver: SocketAddr, count: u16) -> io::Result<Vec<UdpSocket>> {
    let any: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut sockets = Vec::with_capacity(usize::from(count.max(1)));
    for _ in 0..count.max(1) {
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(resolver).await?;
        sockets.push(socket);
    }
    Ok(sockets)
}

struct Driver<'a> {
    engine: Engine<'a>,
    sockets: Vec<UdpSocket>,
    began: Instant,
    resolver: SocketAddr,
    patience: Duration,
    streams: JoinSet<(Place, Option<Vec<u8>>)>,
    /// A packet that its socket would not take yet.
    held: Option<Output>,
    random: Random,
}

impl Driver<'_> {
    async fn run(&mut self) -> Result<(), DriveError> {
        while !self.engine.is_done() {
            let sent = self.send()?;
            let heard = self.receive();
            let now = self.now();
            self.engine.tick(now);
            if sent || heard {
                // Others of this thread have their turn, and sockets are looked at anew.
                tokio::task::yield_now().await;
            } else if !self.engine.is_done() {
                self.wait(now).await;
            }
        }
        Ok(())
    }

    fn now(&self) -> Micros {
        micros(self.began.elapsed())
    }

    /// Sends what may go now; false when nothing may.
    fn send(&mut self) -> Result<bool, DriveError> {
        self.random.fill()?;
        let now = self.now();
        while let Some(Output { place, bytes }) = self.engine.next_stream(now) {
            let (resolver, patience) = (self.resolver, self.patience);
            self.streams.spawn(async move {
                let answer = timeout(patience, stream(resolver, &bytes)).await;
                (place, answer.ok().and_then(Result::ok))
            });
        }
        for at in 0..BURST {
            let now = self.now();
            let random = &mut self.random;
            let next = self.held.take();
            let next = next.or_else(|| self.engine.next(now, &mut || random.byte()));
            let Some(output) = next else {
                return Ok(at > 0);
            };
            let socket = &self.sockets[usize::from(output.place.0)];
            match socket.try_send(&output.bytes) {
                // So says also a socket that was not looked at yet: what it did not take is not lost.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.held = Some(output);
                    return Ok(at > 0);
                }
                // A refused port is silence: it is asked again in its time.
                Err(_) | Ok(_) => {}
            }
        }
        Ok(true)
    }

    /// Takes what came; false when nothing did.
    fn receive(&mut self) -> bool {
        let mut packet = [0; PACKET];
        let mut heard = false;
        let now = self.now();
        for (at, socket) in (0..).zip(&self.sockets) {
            for _ in 0..AT_ONCE {
                match socket.try_recv(&mut packet) {
                    Ok(length) => {
                        heard = true;
                        self.engine.received(at, &packet[..length], now);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The port was refused: the same as silence, sooner.
                    Err(_) => break,
                }
            }
        }
        while let Some(done) = self.streams.try_join_next() {
            heard = true;
            if let Ok((place, answer)) = done {
                self.engine.streamed(place, answer.as_deref(), now);
            }
        }
        heard
    }

    /// Until something comes or is due. What is due but may not go yet is looked at again soon.
    async fn wait(&mut self, now: Micros) {
        const SOON: Micros = 1_000;
        let at = self
            .engine
            .wakes_at()
            .map_or(Micros::MAX, |at| at.max(now + SOON));
        let at = Duration::from_micros(at.min(now + micros(self.patience)));
        let readable = self
            .sockets
            .iter()
            .map(|socket| Box::pin(socket.readable()));
        let held = self.held.as_ref();
        let full = held.map(|held| &self.sockets[usize::from(held.place.0)]);
        let has_room = async {
            match full {
                Some(socket) => drop(socket.writable().await),
                None => pending().await,
            }
        };
        tokio::select! {
            _ = select_all(readable) => {}
            () = has_room => {}
            Some(done) = self.streams.join_next() => {
                if let Ok((place, answer)) = done {
                    let now = micros(self.began.elapsed());
                    self.engine.streamed(place, answer.as_deref(), now);
                }
            }
            () = sleep_until(TokioInstant::from_std(self.began + at)) => {}
        }
    }
}

/// Asks over TCP: RFC 1035 section 4.2.2, two bytes of length before each message.
async fn stream(resolver: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    let length = u16::try_from(question.len()).unwrap_or(u16::MAX);
    stream
        .write_all(&[&length.to_be_bytes()[..], question].concat())
        .await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Random bytes of the system, drawn in advance.
struct Random {
    source: SystemRandom,
    drawn: Vec<u8>,
}

impl Random {
    fn new() -> Result<Self, DriveError> {
        let source = SystemRandom::new();
        let drawn = Vec::new();
        let mut random = Self { source, drawn };
        random.fill()?;
        Ok(random)
    }

    /// Draws as many as a burst of questions takes at most, when fewer are left: a name has 253 letters.
    fn fill(&mut self) -> Result<(), DriveError> {
        const NEEDED: usize = BURST * 48;
        if self.drawn.len() < NEEDED {
            let mut fresh = vec![0; NEEDED + DRAWN];
            self.source
                .fill(&mut fresh)
                .map_err(|_| DriveError::Randomness)?;
            self.drawn = fresh;
        }
        Ok(())
    }

    fn byte(&mut self) -> u8 {
        // Ids that are drawn twice may use up what a burst has: then it draws again.
        if self.drawn.is_empty() && self.fill().is_err() {
            return 0;
        }
        self.drawn.pop().unwrap_or_default()
    }
}
