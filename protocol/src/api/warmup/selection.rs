//! Which identity sends next, and which ones a whole campaign.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::api::{IpSpec, Purpose, Rotation};
use crate::id::{PoolName, VmtaName};
use crate::mail::{DomainName, MailAddress};
use crate::time::Timestamp;

/// Body of `POST /api/v1/tenants/{tenant}/select`, or its parameters with `GET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectRequest {
    /// What is to be sent.
    pub purpose: Purpose,
    /// How it is chosen; as the tenant says when absent.
    #[serde(default)]
    pub mode: Option<Rotation>,
    /// Mails of a whole campaign; one identity for one mail when absent.
    #[serde(default)]
    pub volume: Option<u64>,
}

/// The identity that sends the next mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionView {
    /// Its address.
    pub ip: IpAddr,
    /// Its domain.
    pub domain: DomainName,
    /// The visible sender.
    pub sender_email: MailAddress,
    /// Its name.
    pub sender_name: String,
    /// Its virtual MTA.
    pub vmta: VmtaName,
    /// Its pool.
    pub pool: PoolName,
}

impl SelectionView {
    /// What is told of an identity.
    #[must_use]
    pub fn of(spec: &IpSpec) -> Self {
        Self {
            ip: spec.address,
            domain: spec.domain.clone(),
            sender_email: spec.sender_address(),
            sender_name: spec.display_name.clone(),
            vmta: spec.vmta.clone(),
            pool: spec.pool.clone(),
        }
    }
}

/// The identities that send a campaign together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverView {
    /// Mails that were asked for.
    pub volume: u64,
    /// Who sends how many of them.
    pub parts: Vec<PartView>,
    /// Mails that nobody may send today.
    pub missing: u64,
    /// When quota returns, if any is missing.
    pub returns: Option<Timestamp>,
    /// Days after today, at today's quotas, until those have been sent as well.
    pub more_days: u64,
}

/// One identity's part of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartView {
    /// Who.
    #[serde(flatten)]
    pub identity: SelectionView,
    /// How many mails.
    pub mails: u64,
}
