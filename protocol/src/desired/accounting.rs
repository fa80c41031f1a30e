//! Which accounting files of PowerMTA the agent reads, and whose records they hold.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::config::bound;
use super::{ConfigError, HostPath};
use crate::id::{ListId, ReceiverGroup, TenantId, VmtaName};
use crate::limits;
use crate::mail::DomainName;
use crate::url::ServiceUrl;

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
    /// Applications that are told of bounces and complaints, in order of tenant, at most
    /// [`ACCOUNTING_POSTS`](crate::limits::ACCOUNTING_POSTS).
    pub posts: Vec<AccountingPost>,
    /// Lists of bad senders, by what replies call them, in order; at most
    /// [`LIST_NAMES`](crate::limits::LIST_NAMES) names of
    /// [`LIST_NAME_CHARS`](crate::limits::LIST_NAME_CHARS).
    pub lists: Vec<ListNames>,
}

/// A list of bad senders, by the names under which receivers' replies speak of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListNames {
    /// The list.
    pub list: ListId,
    /// Names of its zones, and addresses of its pages, in lower case.
    pub names: Vec<String>,
}

/// A tenant's application that is told of what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountingPost {
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it answers; its webhook lies below.
    pub url: ServiceUrl,
    /// The accounting file that it is told of.
    pub path: HostPath,
    /// Identities of the tenant here, what drains included, in order.
    pub identities: Vec<IpAddr>,
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

/// What is larger than an agent reads.
pub(super) fn check(spec: &AccountingSpec) -> Result<(), ConfigError> {
    let names: usize = spec.receivers.iter().map(|one| one.names.len()).sum();
    let posted: usize = spec.posts.iter().map(|post| post.identities.len()).sum();
    let lists: usize = spec.lists.iter().map(|one| one.names.len()).sum();
    let list_names = spec.lists.iter().flat_map(|one| &one.names);
    let longest = list_names.map(String::len).max().unwrap_or_default();
    let vmtas = spec.identities.len() + spec.rejecting.len();
    for (what, number, limit) in [
        (
            "number of accounting files",
            spec.files.len(),
            limits::ACCOUNTING_FILES,
        ),
        (
            "number of groups of receivers",
            spec.receivers.len(),
            limits::RECEIVER_GROUPS,
        ),
        (
            "number of names of receivers",
            names,
            limits::RECEIVER_DOMAINS,
        ),
        ("number of virtual MTAs", vmtas, limits::RESOURCES_PER_HOST),
        (
            "number of webhooks",
            spec.posts.len(),
            limits::ACCOUNTING_POSTS,
        ),
        (
            "number of identities of webhooks",
            posted,
            limits::RESOURCES_PER_HOST,
        ),
        ("number of names of lists", lists, limits::LIST_NAMES),
        (
            "length of a name of a list",
            longest,
            limits::LIST_NAME_CHARS,
        ),
    ] {
        bound(what, number as u64, limit as u64)?;
    }
    Ok(())
}
