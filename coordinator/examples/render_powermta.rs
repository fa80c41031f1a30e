//! Measures how long the configuration of a PowerMTA host takes to render, and to be linted.
//!
//! `cargo run --release --example render_powermta IDENTITIES [FOLDER]` prints medians of CPU time in
//! microseconds, one figure a line: a whole `render`, one after a `change` of one identity, and what no
//! rendering of the whole text can be faster than, the `hash` of the text and a `copy` of it. With a
//! folder it leaves the data (`data.json`) and the text (`config`) there, for
//! `tests/benches/b10-render.py` to render the same with another engine.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use email_engine_coordinator::planner::builtin_bundle;
use email_engine_coordinator::powermta::lint::Options;
use email_engine_coordinator::powermta::providers::Catalogue;
use email_engine_coordinator::powermta::schema::Version;
use email_engine_coordinator::powermta::syntax::{Limits, Sources, parse};
use email_engine_coordinator::powermta::{
    Configuration, Egress, TenantRoute, hourly_cap, lint, render, restart_lines,
};
use email_engine_protocol::api::{IpStatus, Purpose};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{TenantId, VmtaName};
use email_engine_protocol::mail::{DomainName, LocalPart, MailAddress};

type Outcome<T> = Result<T, Box<dyn Error>>;

const RUNS: usize = 9;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let count: u32 = arguments.next().as_deref().unwrap_or("10000").parse()?;
    let mut configuration = configuration(count)?;
    let text = render(&configuration);
    println!("bytes {}", text.len());
    let renders = timed(RUNS, || {
        assert_eq!(
            render(&configuration).len(),
            text.len(),
            "the same bytes every time"
        );
    })?;
    println!("render {renders}");
    println!(
        "hash {}",
        timed(RUNS, || {
            black_box(ContentHash::of(text.as_bytes()));
        })?
    );
    println!("copy {}", timed(RUNS, || drop(black_box(text.clone())))?);
    if let Some(folder) = arguments.next() {
        std::fs::write(format!("{folder}/config"), &text)?;
        std::fs::write(
            format!("{folder}/data.json"),
            serde_json::to_vec(&data(&configuration, &text)?)?,
        )?;
    }
    let first = *configuration
        .identities
        .keys()
        .next()
        .ok_or("no identity")?;
    let mut change = 0;
    let changes = timed(RUNS, || {
        change += 1;
        if let Some(egress) = configuration.identities.get_mut(&first) {
            egress.daily_quota = 1_000 + 24 * (change % 100);
        }
        drop(black_box(render(&configuration)));
    })?;
    println!("change {changes}");
    let sources = Sources::single("config", &text);
    println!(
        "parse {}",
        timed(3, || assert!(
            parse("config", &text, Limits::default()).errors.is_empty()
        ))?
    );
    println!(
        "lint {}",
        timed(3, || assert!(
            lint(&sources, &Options::default()).findings.is_empty()
        ))?
    );
    println!(
        "restart {}",
        timed(3, || drop(black_box(restart_lines(&sources))))?
    );
    Ok(())
}

/// Median microseconds of CPU time. The kernel's book is a few milliseconds coarse, so each figure is of
/// as many runs as take about a hundred.
fn timed(runs: usize, mut run: impl FnMut()) -> Outcome<u64> {
    let started = Instant::now();
    run();
    let once = started.elapsed().as_micros().max(1);
    let each = u64::try_from(100_000 / once)?.max(1);
    let mut times = Vec::new();
    for _ in 0..runs {
        let started = cpu_nanoseconds()?;
        (0..each).for_each(|_| run());
        times.push((cpu_nanoseconds()? - started) / 1_000 / each);
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// What this thread has had of a processor: others on the machine do not count.
fn cpu_nanoseconds() -> Outcome<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
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
            is_answered: false,
        };
        identities.insert(address, egress);
    }
    let route = TenantRoute {
        submitters: BTreeSet::from([IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10))]),
    };
    let mailbox = MailAddress::new("inbox@example.org")?;
    Ok(Configuration {
        admin_address: Ipv4Addr::new(198, 51, 100, 20),
        host_name: Some(DomainName::new("pmta1.example.org".to_owned())?),
        postmaster: Some(MailAddress::new("postmaster@example.net")?),
        management_port: 1983,
        accounting_max_size: "50M".to_owned(),
        version: Version::V5_0,
        certificate: None,
        catalogue: Catalogue::load(&builtin_bundle())?.into(),
        extra: None,
        tenants: BTreeMap::from([(tenant.clone(), route)]),
        mailboxes: BTreeMap::from([(tenant, mailbox)]),
        identities,
        leaving: BTreeMap::new(),
    })
}

/// What another engine renders the same from; what is known of receivers, and the same on every host, is
/// a text for both.
fn data(configuration: &Configuration, text: &str) -> Outcome<serde_json::Value> {
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
    let receivers = text.find("# Receivers by name.").ok_or("no receivers")?;
    Ok(serde_json::json!({ "identities": identities, "receivers": &text[receivers..] }))
}
