//! `set-dns-zone` and `remove-dns-zone`.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::ZoneMode;
use email_engine_protocol::limits;
use email_engine_protocol::mail::DomainName;

use crate::command::Rejection;
use crate::command::RejectionCode::Invalid;
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{DnsZone, FleetState, SealedAtRest};

/// Most zones.
const ZONES: usize = 10_000;
/// Longest name of a key.
const KEY_NAME_BYTES: usize = 253;

/// See [`Command::SetDnsZone`](crate::command::Command::SetDnsZone).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDnsZone {
    /// Which.
    pub zone: DomainName,
    /// Whether it is changed.
    pub mode: ZoneMode,
    /// Its primary server.
    pub server: SocketAddr,
    /// Name of the TSIG key, in lower case.
    pub key_name: String,
    /// The key, sealed; none keeps the one that it has.
    pub key: Option<SealedAtRest>,
}

/// See [`Command::RemoveDnsZone`](crate::command::Command::RemoveDnsZone).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveDnsZone {
    /// Which.
    pub zone: DomainName,
}

impl Verb for SetDnsZone {
    fn name(&self) -> &'static str {
        "set-dns-zone"
    }

    fn object(&self) -> String {
        let with = match self.key {
            Some(_) => ", with a new key",
            None => "",
        };
        let (zone, mode, server) = (&self.zone, self.mode.as_str(), self.server);
        format!("zone {zone}: {mode}, at {server}{with}")
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let before = state.dns_zones.declared.get(&self.zone).cloned();
        if before.is_none() {
            at_most("zones", state.dns_zones.declared.len() + 1, ZONES)?;
        }
        if self.server.port() == 0 || self.server.ip().is_unspecified() {
            let accepted = "address and port of the zone's primary server, such as 192.0.2.53:53";
            return Err(refuse(Invalid, "server", &self.server, accepted));
        }
        key_name(&self.key_name)?;
        // A key of another name is another key.
        let known = before.as_ref();
        let kept = known.filter(|zone| zone.key_name == self.key_name);
        let kept = kept.map(|zone| zone.key.clone());
        let Some(key) = self.key.clone().or(kept) else {
            let accepted = format!(
                "the key {:?} in base64: this zone has none of that name yet",
                self.key_name
            );
            return Err(refuse(Invalid, "key", &"none", accepted));
        };
        let sealed = key.ciphertext.len() + key.wrapped_key.len();
        at_most("key", sealed, limits::SECRET_BYTES)?;
        let row = DnsZone {
            mode: self.mode,
            server: self.server,
            key_name: self.key_name.clone(),
            key,
            last: None,
        };
        let is_same = known.is_some_and(|zone| {
            (zone.mode, zone.server, &zone.key_name, &zone.key)
                == (row.mode, row.server, &row.key_name, &row.key)
        });
        if is_same && self.key.is_none() && known.is_some_and(|zone| zone.last.is_none()) {
            return Ok(Change::NONE);
        }
        let declared = &mut state.dns_zones.declared;
        declared.insert(self.zone.clone(), Arc::new(row));
        Ok(Change::DONE)
    }
}

impl Verb for RemoveDnsZone {
    fn name(&self) -> &'static str {
        "remove-dns-zone"
    }

    fn object(&self) -> String {
        format!("zone {}", self.zone)
    }

    /// What the fleet made there stays, and is nobody's any more.
    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let zones = &mut state.dns_zones;
        if zones.declared.remove(&self.zone).is_none() {
            return Err(not_found("zone", &self.zone, "zone"));
        }
        for name in zones.inventory(&self.zone).into_keys() {
            zones.made.remove(&(self.zone.clone(), name));
        }
        Ok(Change::DONE)
    }
}

/// Names of keys are no domains: they may be one label, and have underscores.
fn key_name(name: &str) -> Result<(), Rejection> {
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && bytes.all(good)
    };
    if name.len() <= KEY_NAME_BYTES && name.split('.').all(is_label) {
        return Ok(());
    }
    let accepted = "labels of lower-case letters, digits, '-' and '_', such as ee-key.example.com";
    Err(refuse(Invalid, "key_name", &name, accepted))
}
