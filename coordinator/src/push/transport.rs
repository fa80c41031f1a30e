//! Transport settings of the agents' end point, and the codes that its connections close with.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{IdleTimeout, ServerConfig, TransportConfig, VarInt};

use email_engine_protocol::wire::RefusalCode;

use crate::pki::NodeIdentity;
use crate::pki::verify::{self, TlsError};

/// Everything was said.
pub(super) const DONE: VarInt = VarInt::from_u32(0);
/// The other side took too long.
pub(super) const SILENT: VarInt = VarInt::from_u32(2);
/// Not let in.
pub(super) const DENIED: VarInt = VarInt::from_u32(3);
/// The node stops.
pub(super) const STOPPING: VarInt = VarInt::from_u32(4);

/// Silence after which a connection is given up.
const IDLE_MILLIS: u32 = 60_000;
/// Half-open connections that quinn keeps before it drops new ones unseen.
const MAX_INCOMING: usize = 4096;
/// Streams that one agent may have open: control and a few bodies.
const STREAMS: u32 = 16;

/// The code that goes with a refusal.
pub(super) const fn code_of(refusal: RefusalCode) -> VarInt {
    VarInt::from_u32(match refusal {
        RefusalCode::Protocol => 1,
        RefusalCode::Version => 16,
        RefusalCode::Identity => 17,
        RefusalCode::Revoked => 18,
        RefusalCode::WrongMode => 19,
        RefusalCode::NoLeader => 20,
        RefusalCode::Superseded => 21,
        RefusalCode::Busy => 22,
        RefusalCode::Holding => 23,
    })
}

/// The configuration of new connections under this certificate.
pub(super) fn server_config(identity: &NodeIdentity) -> Result<ServerConfig, TlsError> {
    let crypto = QuicServerConfig::try_from(verify::agent_endpoint(identity)?)
        .expect("ring has the cipher suite that QUIC begins with");
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport()))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(16 * 1024)
        .incoming_buffer_size_total(16 * 1024 * 1024);
    Ok(config)
}

/// Small windows bound what 10,000 agents can make a node keep.
fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(64 * 1024))
        .receive_window(VarInt::from_u32(256 * 1024))
        .send_window(256 * 1024)
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .crypto_buffer_size(16 * 1024)
        .mtu_discovery_config(None)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MILLIS))))
        .keep_alive_interval(Some(Duration::from_secs(20)));
    transport
}
