//! Listeners follow the configuration: what a reload adds is opened, what it drops is closed.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use super::session::Session;
use crate::config::{Config, Listener};
use crate::engine::Engine;

/// Larger networks than this are one listener on all addresses.
const MOST_ADDRESSES: usize = 256;

/// Opens listeners for ever; the first round's faults are the caller's.
pub(crate) async fn serve(engine: Arc<Engine>) -> io::Result<()> {
    let mut open: BTreeMap<SocketAddr, (Listener, JoinHandle<()>)> = BTreeMap::new();
    let mut first = true;
    loop {
        let reloaded = engine.reloaded.notified();
        let wanted = wanted(&engine.config());
        open.retain(|address, (listener, task)| {
            let stays = wanted.get(address) == Some(listener);
            if !stays {
                task.abort();
            }
            stays
        });
        for (address, listener) in wanted {
            if open.contains_key(&address) {
                continue;
            }
            match bind(address) {
                Ok(socket) => {
                    let task = tokio::spawn(accept(Arc::clone(&engine), socket, listener.clone()));
                    open.insert(address, (listener, task));
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

fn wanted(config: &Config) -> BTreeMap<SocketAddr, Listener> {
    let mut all = BTreeMap::new();
    for listener in &config.listeners {
        let hosts: Vec<IpAddr> = listener.network.hosts().take(MOST_ADDRESSES + 1).collect();
        let addresses = if hosts.len() > MOST_ADDRESSES || listener.network.prefix_len() == 0 {
            vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)]
        } else {
            hosts
        };
        for address in addresses {
            let address = SocketAddr::new(address, listener.port);
            all.entry(address).or_insert_with(|| listener.clone());
        }
    }
    all
}

async fn accept(engine: Arc<Engine>, socket: TcpListener, listener: Listener) {
    loop {
        let Ok((stream, client)) = socket.accept().await else {
            continue;
        };
        let Ok(own) = stream.local_addr() else {
            continue;
        };
        let session = Session::new(Arc::clone(&engine), &listener, client.ip(), own.ip());
        tokio::spawn(session.run(stream));
    }
}
