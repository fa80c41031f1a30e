//! Random hosts: what is rendered is read back as what it was rendered from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use email_engine_protocol::api::{IpStatus, Purpose};
use email_engine_protocol::id::{TenantId, VmtaName};
use email_engine_protocol::mail::{DomainName, LocalPart, MailAddress};
use proptest::prelude::*;

use super::super::lint::Outline;
use super::super::model::{Configuration, Egress, Leaver, TenantRoute};
use super::super::providers::Catalogue;
use super::super::schema::{Scope, Version};
use super::super::syntax::{Limits, Sources};
use super::render;
use crate::planner::builtin_bundle;

fn status() -> impl Strategy<Value = IpStatus> {
    prop::sample::select(vec![
        IpStatus::Active,
        IpStatus::Quarantine,
        IpStatus::Resting,
        IpStatus::Retiring,
        IpStatus::Standby,
        IpStatus::Warming,
    ])
}

/// An identity of one of three tenants; number and names go together, so that none is there twice.
fn egress() -> impl Strategy<Value = Egress> {
    let tenant = prop::sample::select(vec!["acme", "b", "zoo-9"]);
    (1_u8..255, tenant, status(), 1_u32..500_000, any::<bool>()).prop_map(
        |(number, tenant, status, daily_quota, six)| {
            let address: IpAddr = if six {
                format!("2001:db8::{number:x}").parse().unwrap()
            } else {
                Ipv4Addr::new(192, 0, 2, number).into()
            };
            let name = format!("{}{number}", if six { "s" } else { "v" });
            Egress {
                address,
                hostname: DomainName::new(format!("{name}.mail.example.com")).unwrap(),
                domain: DomainName::new(format!("{name}.example.org")).unwrap(),
                tenant: TenantId::new(tenant).unwrap(),
                vmta: VmtaName::new(name.clone()).unwrap(),
                sender: LocalPart::new("news").unwrap(),
                return_path: LocalPart::new("bounce").unwrap(),
                selector: format!("k{number}"),
                key_path: format!("/etc/pmta/dkim/{name}.pem"),
                purpose: Purpose::Newsletter,
                status,
                daily_quota,
                is_answered: six,
            }
        },
    )
}

fn configurations() -> impl Strategy<Value = Configuration> {
    let all = prop::collection::vec(egress(), 0..8);
    (all, any::<[bool; 5]>(), 0_usize..4).prop_map(|(all, with, gone)| {
        let [named, told, new, sealed, known] = with;
        let all: BTreeMap<IpAddr, Egress> = all.into_iter().map(|e| (e.address, e)).collect();
        let mailbox = MailAddress::new("inbox@example.net").unwrap();
        let tenants: BTreeSet<&TenantId> = all.values().map(|e| &e.tenant).collect();
        let submitters = |at| BTreeSet::from([Ipv4Addr::new(198, 51, 100, at).into()]);
        let tenants: BTreeMap<TenantId, TenantRoute> = (1..)
            .zip(tenants)
            .map(|(at, id)| {
                (
                    id.clone(),
                    TenantRoute {
                        submitters: submitters(at),
                    },
                )
            })
            .collect();
        let mut identities = all;
        let leavers: Vec<IpAddr> = identities.keys().take(gone).copied().collect();
        let leaving = leavers
            .iter()
            .filter_map(|address| identities.remove(address));
        let leaving = leaving.map(|egress| {
            let egress = Egress {
                status: IpStatus::Retiring,
                ..egress
            };
            let has_address = told;
            (
                egress.vmta.clone(),
                Leaver {
                    egress,
                    has_address,
                },
            )
        });
        let catalogue = if known {
            Catalogue::load(&builtin_bundle()).unwrap()
        } else {
            Catalogue::default()
        };
        Configuration {
            admin_address: Ipv4Addr::new(203, 0, 113, 20),
            host_name: named.then(|| DomainName::new("mta1.example.net").unwrap()),
            postmaster: told.then(|| MailAddress::new("postmaster@example.net").unwrap()),
            management_port: 1983,
            accounting_max_size: "50M".to_owned(),
            version: if new { Version::V5_0 } else { Version::V4_5 },
            certificate: sealed.then(|| "/etc/pmta/tls/smtp.pem".to_owned()),
            catalogue: catalogue.into(),
            extra: None,
            mailboxes: tenants
                .keys()
                .map(|id| (id.clone(), mailbox.clone()))
                .collect(),
            tenants,
            leaving: leaving.collect(),
            identities,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_rendered_is_read_back_as_what_it_came_from(configuration in configurations()) {
        let text = render(&configuration);
        let sources = Sources::single("config", &text);
        let parsed = sources.parse(Limits::default());
        prop_assert_eq!(&parsed[0].errors, &[]);
        prop_assert_eq!(&parsed[0].document.to_string(), &text);
        let outline = Outline::of(&sources, &parsed);
        let leaving = configuration.leaving.values().map(|leaver| &leaver.egress);
        let all: Vec<&Egress> = configuration.identities.values().chain(leaving).collect();
        let senders: BTreeMap<&str, Vec<String>> = outline
            .sections(Scope::VirtualMta)
            .filter(|(_, block)| !block.name.starts_with("fleet-"))
            .filter(|(_, block)| block.last("smtp-source-host").is_some())
            .map(|(_, block)| {
                let said = |keyword| block.all(keyword).map(|e| e.value.to_owned());
                (block.name, said("smtp-source-host").chain(said("domain-key")).collect())
            })
            .collect();
        let wanted: BTreeMap<&str, Vec<String>> = all
            .iter()
            .map(|e| {
                let host = format!("{} {}", e.address, e.hostname);
                let key = format!("{},{},{}", e.selector, e.domain, e.key_path);
                (e.vmta.as_str(), vec![host, key])
            })
            .collect();
        prop_assert_eq!(senders, wanted, "of\n{}", text);
        // Each receiver and each shared queue has its section.
        let named: BTreeSet<&str> = outline
            .sections(Scope::Domain)
            .filter(|(_, block)| block.parent == 0)
            .map(|(_, block)| block.name)
            .collect();
        for provider in configuration.catalogue.special() {
            let own = format!("${}", provider.name);
            prop_assert!(named.contains(own.as_str()), "{own} in\n{text}");
            for rollup in &provider.rollups {
                prop_assert!(named.contains(rollup.queue.as_str()), "{} in\n{text}", rollup.queue);
            }
        }
    }
}
