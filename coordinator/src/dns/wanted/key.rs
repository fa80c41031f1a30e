//! Records of DKIM keys.

use email_engine_protocol::api::DomainRecord;
use email_engine_protocol::mail::DomainName;

use super::{Data, Part, Wanted};
use crate::fleet::rotation::published;
use crate::state::Identity;

/// The DKIM records of an identity: of the key that it signs with, and while that is changed of the other.
#[must_use]
pub fn keys(identity: &Identity) -> Vec<Wanted> {
    let all = published(identity).into_iter();
    all.map(|one| Wanted {
        until: one.until,
        ..key(&identity.spec.domain, one.selector, one.key)
    })
    .collect()
}

/// The same in presentation form.
#[must_use]
pub fn dkim_records(identity: &Identity) -> Vec<DomainRecord> {
    keys(identity).iter().map(Wanted::record).collect()
}

/// The record of a key; without one it says that there was one which is not good any more (RFC 6376,
/// section 3.6.1).
pub(super) fn key(domain: &DomainName, selector: &str, public: Option<&str>) -> Wanted {
    let name = format!("{selector}._domainkey.{domain}");
    let text = format!("v=DKIM1; k=rsa; p={}", public.unwrap_or_default());
    Wanted::new(name, Part::Dkim, Data::Txt(text))
}

/// The same in presentation form.
#[must_use]
pub fn dkim_record(domain: &DomainName, selector: &str, public: Option<&str>) -> DomainRecord {
    key(domain, selector, public).record()
}
