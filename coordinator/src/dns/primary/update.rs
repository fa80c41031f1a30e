//! The change itself, as one message or not at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::rdata::{A, AAAA, MX, PTR, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};

use super::read::record_type;
use crate::dns::ask::{AskConfig, ExchangeError, exchange_signed};
use crate::dns::publish::{Condition, Op, Stands, ZonePlan};
use crate::dns::wanted::TTL_SECONDS;
use crate::seal::{SealError, Vault};
use crate::state::DnsZone;

/// How far the clocks of both sides may be apart, in seconds.
const FUDGE_SECONDS: u16 = 300;

/// Why a zone was not changed, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The zone is another one by now.
    #[error("the zone changed since it was read: nothing was changed")]
    Changed,
    /// The key cannot sign.
    #[error("the TSIG key {name} cannot be used: {what}")]
    Key {
        /// Its name.
        name: String,
        /// Why.
        what: String,
    },
    /// A record cannot be written.
    #[error("{record} cannot be written: {what}")]
    Record {
        /// The record.
        record: String,
        /// Why.
        what: String,
    },
    /// The server refuses.
    #[error("{server} refuses the change: {code}")]
    Refused {
        /// The server.
        server: SocketAddr,
        /// Its code.
        code: String,
    },
    /// The key does not open.
    #[error("the TSIG key {name} cannot be read")]
    Sealed {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: SealError,
    },
    /// No answer, or none that is signed with the key: it may have been done.
    #[error("{server} {source}; whether the change was made is not known")]
    Unclear {
        /// The server.
        server: SocketAddr,
        /// What happened.
        #[source]
        source: ExchangeError,
    },
}

/// Changes zones. Keys are opened for the time of one change. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    vault: Arc<Vault>,
    patience: Duration,
}

impl Writer {
    /// With what opens keys of zones.
    #[must_use]
    pub const fn new(vault: Arc<Vault>) -> Self {
        Self {
            vault,
            patience: AskConfig::PATIENCE,
        }
    }

    /// Carries a plan out, if its conditions hold: all of it or nothing. `now` is the time in seconds, for the
    /// signature.
    ///
    /// # Errors
    /// When the zone is another one by now, the server refuses, or nobody knows.
    pub async fn update(
        &self,
        zone: &DnsZone,
        plan: &ZonePlan,
        now: u64,
    ) -> Result<(), UpdateError> {
        let server = zone.server;
        let signer = self.signer(zone)?;
        let message = message(plan)?;
        let answer = exchange_signed(server, message, &signer, now, self.patience).await;
        let answer = answer.map_err(|source| UpdateError::Unclear { server, source })?;
        match answer.metadata.response_code {
            ResponseCode::NoError => Ok(()),
            ResponseCode::NXRRSet
            | ResponseCode::YXRRSet
            | ResponseCode::NXDomain
            | ResponseCode::YXDomain => Err(UpdateError::Changed),
            code => Err(UpdateError::Refused {
                server,
                code: code.to_string(),
            }),
        }
    }

    fn signer(&self, zone: &DnsZone) -> Result<TSigner, UpdateError> {
        let name = || zone.key_name.clone();
        let opened = self.vault.open_secret(&zone.key);
        let secret = opened.map_err(|source| UpdateError::Sealed {
            name: name(),
            source,
        })?;
        let refused = |what: String| UpdateError::Key { name: name(), what };
        let owner = Name::from_ascii(&zone.key_name).map_err(|error| refused(error.to_string()))?;
        let (key, algorithm) = (secret.bytes.clone(), TsigAlgorithm::HmacSha256);
        TSigner::new(key, algorithm, owner, FUDGE_SECONDS)
            .map_err(|error| refused(error.to_string()))
    }
}

/// Conditions and changes in their sections (RFC 2136 sections 2.4 and 2.5).
fn message(plan: &ZonePlan) -> Result<Message, UpdateError> {
    let zone = name(plan.zone.as_str())?;
    let mut message = Message::query();
    message.metadata.message_type = MessageType::Query;
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(zone, RecordType::SOA));
    for condition in &plan.conditions {
        for record in condition_records(condition)? {
            message.add_answer(record);
        }
    }
    for op in &plan.ops {
        let (owner, stands) = op.record();
        let (owner, data) = (name(owner)?, rdata(stands)?);
        message.add_authority(match op {
            Op::Add(..) => Record::from_rdata(owner, TTL_SECONDS, data),
            Op::Remove(..) => classed(Record::from_rdata(owner, 0, data), DNSClass::NONE),
        });
    }
    Ok(message)
}

/// A set that must be exactly so, or must not be.
fn condition_records(condition: &Condition) -> Result<Vec<Record>, UpdateError> {
    let owner = name(&condition.name)?;
    if condition.stands.is_empty() {
        let absent = Record::update0(owner, 0, record_type(condition.kind));
        return Ok(vec![classed(absent, DNSClass::NONE)]);
    }
    let all = condition.stands.iter();
    all.map(|stands| Ok(Record::from_rdata(owner.clone(), 0, rdata(stands)?)))
        .collect()
}

fn classed(mut record: Record, class: DNSClass) -> Record {
    record.dns_class = class;
    record
}

fn name(text: &str) -> Result<Name, UpdateError> {
    let written = Name::from_ascii(format!("{}.", text.trim_end_matches('.')));
    written.map_err(|error| UpdateError::Record {
        record: text.to_owned(),
        what: error.to_string(),
    })
}

fn rdata(stands: &Stands) -> Result<RData, UpdateError> {
    Ok(match stands {
        Stands::A(address) => RData::A(A(*address)),
        Stands::Aaaa(address) => RData::AAAA(AAAA(*address)),
        Stands::Mx(preference, exchanger) => RData::MX(MX::new(*preference, name(exchanger)?)),
        Stands::Ptr(target) => RData::PTR(PTR(name(target)?)),
        Stands::Txt(parts) => {
            RData::TXT(TXT::from_bytes(parts.iter().map(Vec::as_slice).collect()))
        }
    })
}
