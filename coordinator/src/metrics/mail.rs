//! What was counted of mail, by identity.

use std::collections::BTreeMap;
use std::net::IpAddr;

use metrics::{counter, gauge};

use email_engine_protocol::api::Purpose;
use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::observed::Counts;
use email_engine_protocol::time::Timestamp;

use super::list::{BOUNCE_RATE, EMAILS_SENT, TENANT_EMAILS_SENT};
use super::{IDENTITY_SERIES, figure};
use crate::planner::word;
use crate::raft::{SpanCounts, StoreError};
use crate::state::{FleetState, Span, Subject};

/// Who sends: as many identities as get series, and the tenants of all.
#[derive(Debug)]
pub struct Sending {
    identities: Vec<Identity>,
    /// When the fleet has more identities than that.
    tenants: Vec<TenantId>,
    today: u32,
}

#[derive(Debug)]
struct Identity {
    address: IpAddr,
    domain: DomainName,
    tenant: TenantId,
    purpose: Purpose,
}

/// Whose counts a look reads. They lie on the disk, and the state is not held meanwhile.
#[must_use]
pub fn sending(state: &FleetState, now: Timestamp) -> Sending {
    let is_small = state.identities.len() <= IDENTITY_SERIES;
    let identities = state.identities.values().take(IDENTITY_SERIES);
    let identities = identities.map(|identity| Identity {
        address: identity.spec.address,
        domain: identity.spec.domain.clone(),
        tenant: identity.spec.tenant.clone(),
        purpose: identity.spec.purpose,
    });
    let tenants = state.tenants.keys().take(IDENTITY_SERIES).cloned();
    Sending {
        identities: identities.collect(),
        tenants: if is_small {
            Vec::new()
        } else {
            tenants.collect()
        },
        today: Span::day_of(now),
    }
}

/// Reads and shows their counts. Blocks on the disk.
///
/// # Errors
/// When a row cannot be read; what was read before is shown.
pub fn observe_sending(
    sending: &Sending,
    read: impl Fn(&Subject, &[Span]) -> Result<SpanCounts, StoreError>,
) -> Result<(), StoreError> {
    let today = Span::Day(sending.today);
    let mut by_purpose: BTreeMap<(&TenantId, Purpose), u64> = BTreeMap::new();
    for identity in &sending.identities {
        let subject = Subject::Identity(identity.tenant.clone(), identity.address);
        identity.show_results(&total(&read(&subject, &[Span::Whole])?));
        let counts = total(&read(&subject, &[today])?);
        identity.show_bounces(&counts);
        let sum = by_purpose
            .entry((&identity.tenant, identity.purpose))
            .or_default();
        *sum = sum.saturating_add(counts.sent);
    }
    if sending.tenants.is_empty() {
        for ((tenant, purpose), sent) in by_purpose {
            show_tenant(tenant, &word(&purpose), sent);
        }
    }
    for tenant in &sending.tenants {
        let counts = total(&read(&Subject::Tenant(tenant.clone()), &[today])?);
        show_tenant(tenant, "all", counts.sent);
    }
    Ok(())
}

fn total(found: &SpanCounts) -> Counts {
    let mut total = Counts::NONE;
    for counts in found.iter().flat_map(|(_, groups)| groups.values()) {
        total.add(counts);
    }
    total
}

fn show_tenant(tenant: &TenantId, kind: &str, sent: u64) {
    gauge!(TENANT_EMAILS_SENT, "tenant" => tenant.to_string(), "campaign_type" => kind.to_owned())
        .set(figure(sent));
}

impl Identity {
    fn show_results(&self, counts: &Counts) {
        for (status, count) in [
            ("delivered", counts.delivered),
            ("bounced", counts.sent.saturating_sub(counts.delivered)),
            ("deferred", counts.deferred),
            ("complained", counts.complaints),
        ] {
            let counter = counter!(
                EMAILS_SENT,
                "ip" => self.address.to_string(),
                "domain" => self.domain.to_string(),
                "tenant" => self.tenant.to_string(),
                "status" => status
            );
            counter.absolute(count);
        }
    }

    /// Nothing sent has no share.
    fn show_bounces(&self, counts: &Counts) {
        if counts.sent == 0 {
            return;
        }
        // What came back later as mail is a hard bounce of what was delivered before.
        let refused = counts.bounced.saturating_sub(counts.returned);
        let failed = counts.sent.saturating_sub(counts.delivered);
        for (kind, count) in [
            ("hard", counts.bounced),
            ("soft", failed.saturating_sub(refused)),
        ] {
            let share = figure(count) / figure(counts.sent);
            gauge!(
                BOUNCE_RATE,
                "ip" => self.address.to_string(),
                "domain" => self.domain.to_string(),
                "type" => kind
            )
            .set(share);
        }
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::ReceiverGroup;

    use super::*;

    fn identity() -> Identity {
        Identity {
            address: "198.51.100.1".parse().unwrap(),
            domain: DomainName::new("mail1.example.com").unwrap(),
            tenant: TenantId::new("client-1").unwrap(),
            purpose: Purpose::Newsletter,
        }
    }

    fn counts(sent: u64) -> Counts {
        Counts {
            sent,
            delivered: sent * 9 / 10,
            bounced: sent / 20,
            deferred: 3,
            complaints: 1,
            returned: sent / 100,
            ..Counts::NONE
        }
    }

    fn answer(span: Span) -> SpanCounts {
        let counts = counts(if span == Span::Whole { 1_000 } else { 100 });
        vec![(span, [(ReceiverGroup::other(), counts)].into())]
    }

    #[test]
    fn totals_only_grow_and_shares_are_of_the_day() {
        let sending = Sending {
            identities: vec![identity()],
            tenants: Vec::new(),
            today: 20_000,
        };
        let text = crate::metrics::look(|| {
            observe_sending(&sending, |_, spans| Ok(answer(spans[0]))).unwrap();
        });
        let own = r#"ip="198.51.100.1",domain="mail1.example.com""#;
        for line in [
            format!(
                r#"email_engine_emails_sent_total{{{own},tenant="client-1",status="delivered"}} 900"#
            ),
            format!(
                r#"email_engine_emails_sent_total{{{own},tenant="client-1",status="bounced"}} 100"#
            ),
            format!(r#"email_engine_bounce_rate{{{own},type="hard"}} 0.05"#),
            format!(r#"email_engine_bounce_rate{{{own},type="soft"}} 0.06"#),
            r#"email_engine_tenant_emails_sent{tenant="client-1",campaign_type="newsletter"} 100"#
                .to_owned(),
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
    }

    #[test]
    fn tenants_of_a_large_fleet_are_told_whole() {
        let sending = Sending {
            identities: vec![identity()],
            tenants: vec![TenantId::new("client-1").unwrap()],
            today: 20_000,
        };
        let text = crate::metrics::look(|| {
            observe_sending(&sending, |_, spans| Ok(answer(spans[0]))).unwrap();
        });
        let line = r#"email_engine_tenant_emails_sent{tenant="client-1",campaign_type="all"} 100"#;
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("newsletter"), "{text}");
    }
}
