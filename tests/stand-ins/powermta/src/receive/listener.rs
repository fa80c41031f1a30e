//! Listeners follow the configuration: what a reload adds is opened, what it drops is closed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use super::session::Session;
use crate::config::Listener;
use crate::engine::Engine;

/// Larger networks than this are one listener on all addresses.
const MOST_ADDRESSES: usize = 256;

/// Opens listeners for ever; the first round's faults are the caller's.
pub(crate) async fn serve(engine: Arc<Engine>) -> io::Result<()> {
    let mut open: BTreeMap<SocketAddr, JoinHandle<()>> = BTreeMap::new();
    let mut first = true;
    loop {
        let reloaded = engine.reloaded.notified();
        let wanted = addresses(&engine.config().listeners);
        open.retain(|address, task| {
            let stays = wanted.contains(address);
            if !stays {
                task.abort();
            }
            stays
        });
        for address in wanted {
            if open.contains_key(&address) {
                continue;
            }
            match bind(address) {
                Ok(socket) => {
                    open.insert(address, tokio::spawn(accept(Arc::clone(&engine), socket)));
                }
                Err(error) if first => {
                    let what = format!("smtp-listener {address}: {error}");
                    return Err(io::Error::new(error.kind(), what));
                }
                Err(error) => engine.log(&format!("smtp-listener {address}: {error}")),
            }
        }
        first = false;
        reloaded.await;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1_024)
}

/// What has to be bound. Beside a listener on all addresses the others of its port need no socket
/// of their own, and could not have one.
fn addresses(listeners: &[Listener]) -> BTreeSet<SocketAddr> {
    let mut all = BTreeSet::new();
    let mut everywhere = BTreeSet::new();
    for listener in listeners {
        let hosts: Vec<IpAddr> = listener.network.hosts().take(MOST_ADDRESSES + 1).collect();
        let unspecified = hosts.iter().any(IpAddr::is_unspecified);
        if hosts.len() > MOST_ADDRESSES || unspecified {
            everywhere.insert(listener.port);
            all.insert(SocketAddr::from((Ipv4Addr::UNSPECIFIED, listener.port)));
        } else {
            all.extend(
                hosts
                    .into_iter()
                    .map(|host| SocketAddr::new(host, listener.port)),
            );
        }
    }
    all.retain(|address| address.ip().is_unspecified() || !everywhere.contains(&address.port()));
    all
}

/// The narrowest listener that the client has reached.
fn reached(listeners: &[Listener], own: SocketAddr) -> Option<&Listener> {
    listeners
        .iter()
        .filter(|listener| {
            let whole = listener.network.addr().is_unspecified();
            listener.port == own.port() && (whole || listener.network.contains(&own.ip()))
        })
        .max_by_key(|listener| {
            // `0.0.0.0` means every address, though it has the length of one.
            let whole = listener.network.addr().is_unspecified();
            if whole {
                0
            } else {
                1 + listener.network.prefix_len()
            }
        })
}

async fn accept(engine: Arc<Engine>, socket: TcpListener) {
    loop {
        let Ok((stream, client)) = socket.accept().await else {
            continue;
        };
        let Ok(own) = stream.local_addr() else {
            continue;
        };
        let config = engine.config();
        let Some(listener) = reached(&config.listeners, own) else {
            continue;
        };
        let session = Session::new(Arc::clone(&engine), listener, client.ip(), own.ip());
        tokio::spawn(session.run(stream));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(network: &str, port: u16, source: &str) -> Listener {
        Listener {
            network: network.parse().unwrap(),
            port,
            source: Some(source.to_owned()),
            immediate_tls: false,
            certificate: None,
        }
    }

    #[test]
    fn an_address_beside_all_addresses_shares_their_socket_and_keeps_its_source() {
        let both = [
            listener("0.0.0.0/32", 25, "any"),
            listener("192.0.2.4/32", 25, "one"),
            listener("192.0.2.4/32", 2_525, "feed"),
        ];
        let bound: Vec<_> = addresses(&both).iter().map(ToString::to_string).collect();
        assert_eq!(bound, ["0.0.0.0:25", "192.0.2.4:2525"]);
        let source = |own: &str| reached(&both, own.parse().unwrap()).unwrap().source.clone();
        assert_eq!(source("192.0.2.4:25").as_deref(), Some("one"));
        assert_eq!(source("192.0.2.5:25").as_deref(), Some("any"));
        assert_eq!(source("192.0.2.4:2525").as_deref(), Some("feed"));
        assert_eq!(reached(&both, "192.0.2.5:2525".parse().unwrap()), None);
    }
}
