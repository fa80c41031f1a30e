//! The three addresses of a node: bound early, told to others, the same again after a restart.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use serde::{Deserialize, Serialize};

use email_engine_protocol::join::Endpoint;

use crate::config::{Advertise, ConfigError, NodeConfig, advertised};

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} ({protocol}): {source}; set `{key}` to an address and port that \
         is free"
)]
pub struct ListenError {
    /// Which key says so.
    pub key: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// UDP or TCP.
    pub protocol: &'static str,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Where a node listens, as it tells in `endpoints.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Agents (UDP).
    pub agent: SocketAddr,
    /// The other nodes (UDP).
    pub raft: SocketAddr,
    /// HTTPS (TCP).
    pub api: SocketAddr,
    /// The process that listens.
    pub pid: u32,
}

/// End points as the cluster is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The other nodes.
    pub raft: Endpoint,
    /// Agents.
    pub agent: Endpoint,
    /// HTTPS.
    pub api: Endpoint,
}

impl Published {
    /// What others are told.
    ///
    /// # Errors
    /// When a listener is on all addresses and nothing is advertised for it.
    pub fn advertised(&self, told: &Advertise) -> Result<Endpoints, ConfigError> {
        Ok(Endpoints {
            raft: advertised("raft", told.raft.as_ref(), self.raft)?,
            agent: advertised("agent", told.agent.as_ref(), self.agent)?,
            api: advertised("api", told.api.as_ref(), self.api)?,
        })
    }
}

/// Sockets that are bound before any room starts, so that a taken port is the first thing to be told.
#[derive(Debug)]
pub struct Bound {
    /// Of Raft.
    pub raft: UdpSocket,
    /// Of the API.
    pub api: TcpListener,
    /// Held until the agents' end point binds it itself.
    pub agent: UdpSocket,
}

impl Bound {
    /// Binds all three. Port 0 takes the port of the last time, when it is still free.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn open(config: &NodeConfig, last: Option<Published>) -> Result<Self, ListenError> {
        let raft = udp(
            "raft_listen",
            config.raft_listen,
            last.map(|last| last.raft),
        )?;
        let agent = udp(
            "agent_listen",
            config.agent_listen,
            last.map(|last| last.agent),
        )?;
        let api = tcp("api_listen", config.api_listen, last.map(|last| last.api))?;
        Ok(Self { raft, api, agent })
    }

    /// Where the agents' end point will be.
    ///
    /// # Errors
    /// When the system does not know its own socket.
    pub fn agent_address(&self) -> Result<SocketAddr, ListenError> {
        address("agent_listen", "UDP", self.agent.local_addr())
    }

    /// Where all three are.
    ///
    /// # Errors
    /// When the system does not know its own sockets.
    pub fn published(&self) -> Result<Published, ListenError> {
        Ok(Published {
            agent: self.agent_address()?,
            raft: address("raft_listen", "UDP", self.raft.local_addr())?,
            api: address("api_listen", "TCP", self.api.local_addr())?,
            pid: std::process::id(),
        })
    }
}

fn address(
    key: &'static str,
    protocol: &'static str,
    found: io::Result<SocketAddr>,
) -> Result<SocketAddr, ListenError> {
    found.map_err(|source| ListenError {
        key,
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        protocol,
        source,
    })
}

fn udp(
    key: &'static str,
    wanted: SocketAddr,
    last: Option<SocketAddr>,
) -> Result<UdpSocket, ListenError> {
    let again = again(wanted, last).and_then(|address| UdpSocket::bind(address).ok());
    again
        .map_or_else(|| UdpSocket::bind(wanted), Ok)
        .map_err(|source| ListenError {
            key,
            address: wanted,
            protocol: "UDP",
            source,
        })
}

fn tcp(
    key: &'static str,
    wanted: SocketAddr,
    last: Option<SocketAddr>,
) -> Result<TcpListener, ListenError> {
    let again = again(wanted, last).and_then(|address| TcpListener::bind(address).ok());
    again
        .map_or_else(|| TcpListener::bind(wanted), Ok)
        .map_err(|source| ListenError {
            key,
            address: wanted,
            protocol: "TCP",
            source,
        })
}

/// The address of the last time, where the configuration leaves the port open.
fn again(wanted: SocketAddr, last: Option<SocketAddr>) -> Option<SocketAddr> {
    last.filter(|last| wanted.port() == 0 && last.ip() == wanted.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anywhere() -> NodeConfig {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        NodeConfig {
            agent_listen: free,
            raft_listen: free,
            api_listen: free,
            ..NodeConfig::default()
        }
    }

    #[test]
    fn a_taken_port_is_named_with_the_key_to_change() {
        let first = Bound::open(&anywhere(), None).unwrap();
        let taken = first.published().unwrap();
        let config = NodeConfig {
            api_listen: taken.api,
            ..anywhere()
        };
        let error = Bound::open(&config, None).unwrap_err().to_string();
        assert!(error.contains(&taken.api.to_string()), "{error}");
        assert!(error.contains("`api_listen`"), "{error}");
    }

    #[test]
    fn an_open_port_is_the_same_again_after_a_restart() {
        let first = Bound::open(&anywhere(), None).unwrap().published().unwrap();
        let second = Bound::open(&anywhere(), Some(first))
            .unwrap()
            .published()
            .unwrap();
        assert_eq!(first, second);
    }
}
