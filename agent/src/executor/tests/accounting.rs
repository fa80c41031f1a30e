//! What is counted in accounting files, by an executor that ends in the middle of one.

use std::fs::OpenOptions;
use std::io::Write;

use email_engine_protocol::desired::{
    AccountedIdentity, AccountingFile, AccountingSpec, HostPath, RecordKind,
};
use email_engine_protocol::id::VmtaName;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::observed::StatisticsBatch;

use super::rig::Rig;
use crate::executor::core::now;

const FILE: &str = "/var/log/pmta/acct-2026-11-21-0000.csv";

fn spec() -> AccountingSpec {
    AccountingSpec {
        posts: Vec::new(),
        lists: Vec::new(),
        files: vec![AccountingFile {
            path: HostPath::new("/var/log/pmta/acct.csv").unwrap(),
            records: vec![RecordKind::Delivered, RecordKind::Bounced],
        }],
        identities: vec![AccountedIdentity {
            vmta: VmtaName::new("vmta-1").unwrap(),
            address: "192.0.2.1".parse().unwrap(),
            domain: DomainName::new("mail1.example.com").unwrap(),
        }],
        rejecting: vec!["reject-client".to_owned()],
        receivers: Vec::new(),
    }
}

fn append(rig: &Rig, text: &str) {
    let path = rig.at(FILE);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// What a coordinator knows after these batches.
fn delivered(batches: &[StatisticsBatch]) -> u64 {
    let stretches = batches.iter().filter_map(|batch| batch.stretch.as_ref());
    let rows = stretches.flat_map(|stretch| &stretch.totals);
    rows.map(|row| row.counts.delivered).sum()
}

fn discarded(batches: &[StatisticsBatch]) -> u64 {
    let last = batches
        .last()
        .and_then(|batch| batch.notices.unknown_senders.as_ref());
    last.map_or(0, |notice| notice.count)
}

#[test]
fn an_executor_that_ends_in_the_middle_of_a_file_counts_nothing_twice() {
    let seconds = now().0 / 1000;
    let one = format!("d,{seconds},bounce@mail1.example.com,vmta-1\r\n");
    let stranger = format!("b,{seconds},who@example.net,reject-client\r\n");
    let mut rig = Rig::new();
    let mut config = rig.config(Vec::new());
    config.accounting = Some(spec());
    rig.converge(&config, 1);
    // A file that appears late, its last line half written.
    append(&rig, "type,timeLogged,orig,vmta\r\n");
    append(&rig, &format!("{one}{stranger}{}", &one[..9]));
    rig.tell_cursors();
    rig.counted("what is whole is counted", |seen| {
        (delivered(seen), discarded(seen)) == (1, 1)
    });
    rig.stop();
    append(&rig, &format!("{}{one}{stranger}", &one[9..]));
    rig.restart();
    rig.tell_cursors();
    rig.counted("the rest is counted in the next life", |seen| {
        (delivered(seen), discarded(seen)) == (3, 2)
    });
    let ends: Vec<_> = rig
        .statistics
        .iter()
        .filter_map(|batch| batch.stretch.as_ref())
        .map(|stretch| (stretch.from, stretch.to))
        .collect();
    assert!(
        ends.windows(2).all(|pair| pair[0].1 == pair[1].0),
        "{ends:?}"
    );
    // Another session that knows all of it hears no word more.
    let told = ends.len();
    rig.begin_session();
    rig.tell_cursors();
    append(&rig, &one);
    rig.counted("only what is new is told", |seen| delivered(seen) == 4);
    let stretches = rig.statistics.iter().filter(|one| one.stretch.is_some());
    assert_eq!(stretches.count(), told + 1);
}
