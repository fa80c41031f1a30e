//! Which accounting files of PowerMTA the agent reads, and whose records they hold.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::HostPath;
use crate::id::{ReceiverGroup, VmtaName};
use crate::mail::DomainName;

/// What is read on a host that sends. Nothing of it is changed on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountingSpec {
    /// The files, at most [`ACCOUNTING_FILES`](crate::limits::ACCOUNTING_FILES).
    pub files: Vec<AccountingFile>,
    /// Whose records they are, in order of virtual MTA.
    pub identities: Vec<AccountedIdentity>,
    /// Virtual MTAs that discard what unknown senders hand in, in order.
    pub rejecting: Vec<String>,
    /// Whose mailboxes a domain's are, in order of name; at most
    /// [`RECEIVER_GROUPS`](crate::limits::RECEIVER_GROUPS) and
    /// [`RECEIVER_DOMAINS`](crate::limits::RECEIVER_DOMAINS). What is in none is
    /// [`ReceiverGroup::other`].
    pub receivers: Vec<Receiver>,
}

/// A group of receivers, by the names under which records know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Its name.
    pub group: ReceiverGroup,
    /// Domains of its mailboxes, and names of the queues that they share, in lower case and in order.
    pub names: Vec<String>,
}

/// One accounting file, which is many: `acct.csv` stands for `acct-YYYY-MM-DD-NNNN.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountingFile {
    /// As the product's configuration names it.
    pub path: HostPath,
    /// Types of records that are counted from it; others are some other file's.
    pub records: Vec<RecordKind>,
}

/// A sending identity, by the names under which records know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountedIdentity {
    /// Of deliveries, bounces and deferrals.
    pub vmta: VmtaName,
    /// Of complaints.
    pub address: IpAddr,
    /// Of bounces that come back: the domain of the envelope sender.
    pub domain: DomainName,
}

/// Type of an accounting record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// `b`: refused for good, here and now.
    Bounced,
    /// `f`: a complaint from a feedback loop.
    Complaint,
    /// `t`: put off.
    Deferred,
    /// `d`: delivered.
    Delivered,
    /// `rb`: a bounce that came back later as mail.
    Returned,
}
