//! Connections to the API: never more than this process can hold, and none that says nothing for ever.
//!
//! When all places are taken, a new connection gets the place of one that has been silent: of those
//! from the address that has the most, the one that has been silent for longest. Whoever opens
//! connections without end so closes its own, and everybody else is still served.

use std::collections::BTreeMap;
use std::future::{Future as _, Ready, ready};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// At once.
    pub(super) connections: usize,
    /// Without a byte in either direction.
    pub(super) idle: Duration,
}

/// The places of a listener. A cheap clone.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Listener>);

#[derive(Debug)]
struct Listener {
    bounds: Bounds,
    began: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    places: BTreeMap<u64, Place>,
}

#[derive(Debug)]
struct Place {
    from: IpAddr,
    spoke: Arc<AtomicU64>,
    /// Dropped with the place, which ends the connection that waits for it.
    _taken: oneshot::Sender<()>,
}

impl Places {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Listener {
            bounds,
            began: Instant::now(),
            open: Mutex::default(),
        }))
    }

    fn take(&self, stream: TcpStream) -> Placed {
        // An answer whose body follows its head is not to wait for the client's acknowledgement of the head,
        // which comes after 40 ms as a rule (RFC 1122 section 4.2.3.2). A socket that refuses is at its end,
        // and the first read tells.
        let _ = stream.set_nodelay(true);
        let from = stream.peer_addr().map_or(UNKNOWN, |peer| group(peer.ip()));
        let (taken, is_taken) = oneshot::channel();
        let spoke = Arc::new(AtomicU64::new(self.0.now()));
        let mut open = self.0.open();
        let id = open.next;
        open.next += 1;
        let place = Place {
            from,
            spoke: Arc::clone(&spoke),
            _taken: taken,
        };
        open.places.insert(id, place);
        if open.places.len() > self.0.bounds.connections
            && let Some(silent) = open.most_dispensable()
        {
            open.places.remove(&silent);
            tracing::debug!(%from, "too many connections to the API: a silent one is closed");
        }
        drop(open);
        Placed {
            stream,
            id,
            listener: Arc::clone(&self.0),
            spoke,
            is_taken: Some(is_taken),
            silence: Box::pin(tokio::time::sleep(self.0.bounds.idle)),
        }
    }
}

impl Open {
    fn most_dispensable(&self) -> Option<u64> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for place in self.places.values() {
            *counts.entry(place.from).or_default() += 1;
        }
        let most = counts.values().max()?;
        let of_the_greediest = self
            .places
            .iter()
            .filter(|(_, place)| counts.get(&place.from) == Some(most));
        of_the_greediest
            .min_by_key(|(id, place)| (place.spoke.load(Ordering::Relaxed), **id))
            .map(|(id, _)| *id)
    }
}

const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// One customer of a provider has 2^64 addresses of version 6: they count as one.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl Listener {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl<S> Accept<TcpStream, S> for Places {
    type Stream = Placed;
    type Service = S;
    type Future = Ready<io::Result<(Placed, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(Ok((self.take(stream), service)))
    }
}

/// A connection in its place, TLS handshake and all.
#[derive(Debug)]
pub(super) struct Placed {
    stream: TcpStream,
    id: u64,
    listener: Arc<Listener>,
    spoke: Arc<AtomicU64>,
    /// Until its place was given to another.
    is_taken: Option<oneshot::Receiver<()>>,
    silence: Pin<Box<Sleep>>,
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.listener.open().places.remove(&self.id);
    }
}

impl Placed {
    /// Whether the connection has to end.
    fn is_over(&mut self, cx: &mut Context<'_>) -> Result<(), io::Error> {
        if let Some(is_taken) = &mut self.is_taken
            && Pin::new(is_taken).poll(cx).is_ready()
        {
            self.is_taken = None;
        }
        if self.is_taken.is_none() {
            let reason = "others need the place of this connection";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason));
        }
        while self.silence.as_mut().poll(cx).is_ready() {
            let spoke = Duration::from_millis(self.spoke.load(Ordering::Relaxed));
            let until = self.listener.began + spoke + self.listener.bounds.idle;
            if until <= Instant::now() {
                let reason = "nothing was said for too long";
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
            }
            self.silence.as_mut().reset(until);
        }
        Ok(())
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.spoke.store(self.listener.now(), Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_over(cx)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            let length = buffer.filled().len() - before;
            self.note(&Poll::Ready(Ok(length)));
        }
        read
    }
}

impl AsyncWrite for Placed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_over(cx)?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_over(cx)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_over(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    struct Bed {
        listener: TcpListener,
        places: Places,
    }

    impl Bed {
        async fn new(connections: usize, idle: Duration) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let places = Places::new(Bounds { connections, idle });
            Self { listener, places }
        }

        /// A connection from this address of the loopback, in its place.
        async fn connect(&self, from: u8) -> (TcpStream, Placed) {
            let socket = TcpSocket::new_v4().unwrap();
            let from = SocketAddr::from(([127, 0, 0, from], 0));
            socket.bind(from).unwrap();
            let at = self.listener.local_addr().unwrap();
            let (client, accepted) = tokio::join!(socket.connect(at), self.listener.accept());
            (client.unwrap(), self.places.take(accepted.unwrap().0))
        }
    }

    async fn end(placed: &mut Placed) -> io::ErrorKind {
        placed.read_u8().await.unwrap_err().kind()
    }

    #[tokio::test]
    async fn who_opens_without_end_loses_its_own_and_nobody_elses() {
        let bed = Bed::new(3, Duration::from_secs(600)).await;
        let (_quiet, mut quiet) = bed.connect(9).await;
        let mut greedy = Vec::new();
        for _ in 0..5 {
            greedy.push(bed.connect(2).await);
        }
        assert_eq!(bed.places.0.open().places.len(), 3);
        for (_, placed) in &mut greedy[..3] {
            assert_eq!(end(placed).await, io::ErrorKind::ConnectionAborted);
        }
        // The most silent one of all is not the greedy address's: it stays.
        assert!(futures::poll!(std::pin::pin!(quiet.read_u8())).is_pending());
        drop(greedy);
        assert_eq!(bed.places.0.open().places.len(), 1);
    }

    #[tokio::test]
    async fn an_answer_in_two_parts_does_not_wait_between_them() {
        let bed = Bed::new(3, Duration::from_secs(600)).await;
        let (_client, placed) = bed.connect(2).await;
        assert!(placed.stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn silence_ends_a_connection_and_a_word_prolongs_it() {
        let idle = Duration::from_millis(200);
        let bed = Bed::new(3, idle).await;
        let (mut client, mut placed) = bed.connect(2).await;
        let began = Instant::now();
        let mut spoke = began;
        while began.elapsed() < idle * 3 {
            spoke = Instant::now();
            client.write_u8(7).await.unwrap();
            assert_eq!(placed.read_u8().await.unwrap(), 7);
        }
        assert_eq!(end(&mut placed).await, io::ErrorKind::TimedOut);
        // Words are dated to the millisecond.
        assert!(spoke.elapsed() + Duration::from_millis(1) >= idle);
    }

    #[test]
    fn a_network_of_version_6_is_one_address() {
        let group = |text: &str| group(text.parse().unwrap());
        assert_eq!(group("2001:db8::1"), group("2001:db8::ffff:0:2"));
        assert_ne!(group("2001:db8::1"), group("2001:db8:0:1::1"));
        assert_eq!(group("::ffff:192.0.2.1"), group("192.0.2.1"));
        assert_ne!(group("192.0.2.1"), group("192.0.2.2"));
    }
}
