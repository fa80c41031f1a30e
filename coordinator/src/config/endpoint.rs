//! End points as others reach them.

use std::net::{SocketAddr, ToSocketAddrs as _};

use email_engine_protocol::join::Endpoint;

use super::ConfigError;

pub(super) fn is_endpoint(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

/// Where others reach an address that is listened on: what the operator says, or the address itself.
/// An address that stands for all of a machine's cannot be told to anybody.
///
/// # Errors
/// When nothing is advertised for a listener on all addresses.
pub fn advertised(
    key: &str,
    told: Option<&Endpoint>,
    bound: SocketAddr,
) -> Result<Endpoint, ConfigError> {
    match told {
        Some(endpoint) => Ok(endpoint.clone()),
        None if bound.ip().is_unspecified() => Err(ConfigError::Value {
            key: format!("advertise.{key}"),
            value: String::new(),
            accepted: format!(
                "HOST:PORT under which others reach {bound}: the node listens on all addresses and \
                 cannot know which one that is"
            ),
        }),
        None => Ok(bound.to_string()),
    }
}

/// Resolves an end point once, for dialling.
///
/// # Errors
/// When the name does not resolve.
pub fn resolve(endpoint: &str) -> std::io::Result<SocketAddr> {
    endpoint.to_socket_addrs()?.next().ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::NotFound,
            format!("{endpoint} has no address"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_must_be_advertised() {
        let all = SocketAddr::from(([0, 0, 0, 0], 7443));
        let error = advertised("agent", None, all).unwrap_err().to_string();
        assert!(error.contains("advertise.agent"), "{error}");
        let own = "192.0.2.1:7443".to_owned();
        assert_eq!(advertised("agent", Some(&own), all).unwrap(), own);
        let loopback = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(advertised("agent", None, loopback).unwrap(), "127.0.0.1:9");
    }
}
