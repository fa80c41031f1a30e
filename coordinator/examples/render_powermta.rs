//! Measures how long the configuration of a PowerMTA host takes to render, and to be linted.
//!
//! `cargo run --release --example render_powermta IDENTITIES [FOLDER]` prints medians in
//! microseconds, one figure a line; with a folder it leaves the data (`data.json`) and the text
//! (`config`) there, for `tests/benches/b10-render` to render the same with another engine.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use email_engine_coordinator::planner::builtin_bundle;
use email_engine_coordinator::powermta::lint::Options;
use email_engine_coordinator::powermta::providers::Catalogue;
use email_engine_coordinator::powermta::schema::Version;
use email_engine_coordinator::powermta::syntax::{Limits, Sources, parse};
use email_engine_coordinator::powermta::{
    Configuration, Egress, TenantRoute, hourly_cap, lint, render,
};
use email_engine_protocol::api::{IpStatus, Purpose};
use email_engine_protocol::id::{TenantId, VmtaName};
use email_engine_protocol::mail::{DomainName, LocalPart, MailAddress};

type Outcome<T> = Result<T, Box<dyn Error>>;

const RUNS: usize = 9;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let count: u32 = arguments.next().as_deref().unwrap_or("10000").parse()?;
    let configuration = configuration(count)?;
    let text = render(&configuration);
    let mut renders = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        let again = render(&configuration);
        renders.push(started.elapsed().as_micros());
        assert_eq!(again, text, "the same model gives the same bytes");
    }
    println!("bytes {}", text.len());
    println!("render {}", median(renders));
    let parses = timed(|| assert!(parse("config", &text, Limits::default()).errors.is_empty()));
    println!("parse {parses}");
    let sources = Sources::single("config", &text);
    let lints = timed(|| assert!(lint(&sources, &Options::default()).findings.is_empty()));
    println!("lint {lints}");
    if let Some(folder) = arguments.next() {
        std::fs::write(format!("{folder}/config"), &text)?;
        std::fs::write(
            format!("{folder}/data.json"),
            serde_json::to_vec(&data(&configuration))?,
        )?;
    }
    Ok(())
}

fn timed(mut run: impl FnMut()) -> u128 {
    let mut times = Vec::new();
    for _ in 0..3 {
        let started = Instant::now();
        run();
        times.push(started.elapsed().as_micros());
    }
    median(times)
}

fn median(mut times: Vec<u128>) -> u128 {
    times.sort_unstable();
    times[times.len() / 2]
}

fn configuration(count: u32) -> Outcome<Configuration> {
    let tenant = TenantId::new("bench")?;
    let mut identities = BTreeMap::new();
    for n in 0..count {
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + n));
        let domain = DomainName::new(format!("m{n}.example.com"))?;
        let egress = Egress {
            address,
            hostname: domain.clone(),
            domain,
            tenant: tenant.clone(),
            vmta: VmtaName::new(format!("vmta-m{n}"))?,
            sender: LocalPart::new("contact".to_owned())?,
            return_path: LocalPart::new("bounce".to_owned())?,
            selector: "mail".to_owned(),
            key_path: format!("/etc/pmta/dkim/m{n}.pem"),
            purpose: Purpose::Marketing,
            status: IpStatus::Active,
            daily_quota: 1000 + n % 7,
        };
        identities.insert(address, egress);
    }
    let route = TenantRoute {
        submitters: BTreeSet::from([IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10))]),
        inbound_mailbox: Some(MailAddress::new("inbox@example.org")?),
    };
    Ok(Configuration {
        admin_address: Ipv4Addr::new(198, 51, 100, 20),
        host_name: Some(DomainName::new("pmta1.example.org".to_owned())?),
        postmaster: Some(MailAddress::new("postmaster@example.net")?),
        management_port: 1983,
        accounting_max_size: "50M".to_owned(),
        version: Version::V5_0,
        certificate: None,
        catalogue: Catalogue::load(&builtin_bundle())?,
        extra: None,
        tenants: BTreeMap::from([(tenant, route)]),
        identities,
        leaving: BTreeMap::new(),
    })
}

fn data(configuration: &Configuration) -> serde_json::Value {
    let identity = |egress: &Egress| {
        serde_json::json!({
            "address": egress.address.to_string(),
            "hostname": egress.hostname.to_string(),
            "domain": egress.domain.to_string(),
            "escaped": egress.domain.to_string().replace('.', "\\."),
            "vmta": egress.vmta.to_string(),
            "selector": egress.selector,
            "key_path": egress.key_path,
            "rate": hourly_cap(egress.daily_quota),
            "sender": egress.sender.to_string(),
            "return_path": egress.return_path.to_string(),
        })
    };
    let identities: Vec<_> = configuration.identities.values().map(identity).collect();
    serde_json::json!({ "identities": identities })
}
