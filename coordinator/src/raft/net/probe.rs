//! Peers for tests: one that says what it likes, byte for byte, and one that says nothing.

use std::net::UdpSocket;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use email_engine_protocol::id::NodeId;

use super::frame::{self, FrameReader};
use super::message::{Request, Response};
use super::server::Server;
use super::{peers, tls};
use crate::pki::{NodeIdentity, node_dns_name};

/// One connection to a node's Raft end point.
pub(in crate::raft) struct Probe {
    connection: quinn::Connection,
    /// Closes the connection when it goes.
    _endpoint: quinn::Endpoint,
}

/// A stream that was opened by a probe.
pub(in crate::raft) struct Line {
    to: quinn::SendStream,
    from: FrameReader,
}

impl Probe {
    /// Dials a node under an identity.
    pub(in crate::raft) async fn dial(identity: &NodeIdentity, node: u64, address: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint =
            quinn::Endpoint::new(quinn::EndpointConfig::default(), None, socket, runtime).unwrap();
        let config = tls::client(identity).unwrap();
        let name = node_dns_name(identity.cluster, NodeId(node));
        let address = address.parse().unwrap();
        let dialling = endpoint.connect_with(config, address, &name).unwrap();
        Self {
            connection: dialling.await.unwrap(),
            _endpoint: endpoint,
        }
    }

    /// Opens a stream.
    pub(in crate::raft) async fn line(&self) -> Line {
        let (to, from) = self.connection.open_bi().await.unwrap();
        let from = FrameReader::new(from);
        Line { to, from }
    }

    /// Asks one question.
    pub(in crate::raft) async fn ask(&self, request: &Request) -> Result<Response, String> {
        let mut line = self.line().await;
        line.say(request).await;
        line.hear().await
    }

    /// Waits until the node ends the connection, and gives its reason.
    pub(in crate::raft) async fn ended(&self) -> String {
        self.connection.closed().await.to_string()
    }
}

impl Line {
    /// Sends a message.
    pub(in crate::raft) async fn say<T: Serialize>(&mut self, message: &T) {
        frame::write(&mut self.to, message).await.unwrap();
    }

    /// Sends bytes as they are. The node may have stopped reading.
    pub(in crate::raft) async fn send(&mut self, bytes: impl Into<Bytes>) {
        let _ = self.to.write_chunk(bytes.into()).await;
    }

    /// Says that nothing more comes.
    pub(in crate::raft) fn finish(&mut self) {
        let _ = self.to.finish();
    }

    /// The node's answer, or how the stream ended.
    pub(in crate::raft) async fn hear(&mut self) -> Result<Response, String> {
        let answer = peers::answer(&mut self.from).await;
        answer.map_err(|error| error.to_string())
    }
}

/// A node that lets everybody in, hears everything and never answers, as one whose disk stands still.
pub(in crate::raft) struct Mute {
    heard: mpsc::UnboundedReceiver<Request>,
    _server: Server,
}

impl Mute {
    /// Listens under an identity.
    pub(in crate::raft) fn listen(socket: UdpSocket, identity: &NodeIdentity) -> Self {
        let server = Server::open(socket, identity).unwrap();
        let endpoint = server.endpoint();
        let (hears, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                if let Ok(connection) = incoming.await {
                    tokio::spawn(listen(connection, hears.clone()));
                }
            }
        });
        Self {
            heard,
            _server: server,
        }
    }

    /// The next entries that it is to take, by their first one's number; none is a heartbeat.
    pub(in crate::raft) async fn entries(&mut self) -> Option<u64> {
        loop {
            if let Request::Append(append) = self.heard.recv().await.unwrap() {
                return append.entries.first().map(|entry| entry.log_id.index);
            }
        }
    }
}

async fn listen(connection: quinn::Connection, hears: mpsc::UnboundedSender<Request>) {
    while let Ok((to, from)) = connection.accept_bi().await {
        let hears = hears.clone();
        tokio::spawn(async move {
            let mut from = FrameReader::new(from);
            while let Ok(Some(request)) = from.next().await {
                let _ = hears.send(request);
            }
            // The other side sees no end of its stream either.
            std::future::pending::<()>().await;
            drop(to);
        });
    }
}
