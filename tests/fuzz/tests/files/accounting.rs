//! Accounting files: the product writes them, a crash or a full disk cuts them anywhere.

use std::collections::BTreeMap;
use std::net::IpAddr;

use email_engine_agent::accounting::Books;
use email_engine_agent::accounting::telling::Session;
use email_engine_agent::host::{Cabinet, Rooted};
use email_engine_fuzz::fuzz;
use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::desired::{
    AccountedIdentity, AccountingFile, AccountingSpec, HostPath, ListNames, RecordKind,
};
use email_engine_protocol::id::{ClusterId, HostId, ListId, ReceiverGroup, VmtaName};
use email_engine_protocol::limits;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::observed::{AccountingCursors, Counts, FileCursor, StatisticsBatch};
use email_engine_protocol::time::Timestamp;

use super::{FOLDER, path, put};

const NAME: &str = "acct-2026-11-21-0000.csv";
const NOW: Timestamp = Timestamp(1_795_240_800_000);
const SAMPLE: &[u8] = b"type,timeLogged,timeQueued,orig,rcpt,bounceCat,dlvSourceIp,vmta\r\n\
    d,2026-11-21 06:00:00+0000,1795240700,a@mail1.example.com,r@rcpt.example,,192.0.2.1,vmta-1\r\n\
    b,11/21/2026 05:00:00+0000,,\"x,\"\"y\"\"\n@example.net\",r@rcpt.example,other,,reject-client\r\n\
    t,1795240800,1795240700,a@mail1.example.com,r@rcpt.example,,192.0.2.1,vmta-1\r\n\
    type,vmta,timeLogged,orig,dsnDiag\nrb,,1795240800,a@mail1.example.com,550 k.psbl.surriel.com\n\
    b,vmta-9,1795240800,a,\n";

fn spec() -> AccountingSpec {
    use RecordKind::{Bounced, Complaint, Deferred, Delivered, Returned};
    AccountingSpec {
        posts: Vec::new(),
        lists: vec![ListNames {
            list: ListId::new("psbl").unwrap(),
            names: vec!["psbl.surriel.com".to_owned()],
        }],
        files: vec![AccountingFile {
            path: HostPath::new("/log/acct.csv").unwrap(),
            records: vec![Bounced, Complaint, Deferred, Delivered, Returned],
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

/// Reads all of it, and takes what is told as the cluster does; gives what it came to.
fn read(books: &mut Books, cabinet: &Cabinet, told: &mut Vec<StatisticsBatch>) {
    let files = Rooted::open(&FOLDER.path().join("accounting")).unwrap();
    let host = HostId::new("pmta1").unwrap();
    let session = Session {
        cluster: ClusterId([1; 16]),
        host: &host,
        nonce: Nonce([2; 16]),
    };
    books.begin_session();
    books.take_cursors(AccountingCursors {
        files: told.iter().rev().find_map(cursor).into_iter().collect(),
        ..AccountingCursors::default()
    });
    loop {
        let step = books.step(&files, cabinet, &spec(), NOW).unwrap();
        let batch = books.next_batch(session);
        let is_done = batch.is_none() && !step.more;
        if let Some(batch) = batch {
            books.answered(true, cursor(&batch));
            told.push(batch);
        }
        if is_done {
            return;
        }
    }
}

fn cursor(batch: &StatisticsBatch) -> Option<FileCursor> {
    let stretch = batch.stretch.as_ref()?;
    Some(FileCursor {
        file: stretch.file.clone(),
        at: stretch.to,
        mark: stretch.mark,
    })
}

/// Counts by address, hour and group.
type Rows = BTreeMap<(IpAddr, u32, ReceiverGroup), Counts>;

fn rows(told: &[StatisticsBatch]) -> Rows {
    let mut rows = Rows::new();
    let mut reached = 0;
    for stretch in told.iter().filter_map(|batch| batch.stretch.as_ref()) {
        assert_eq!(
            stretch.from, reached,
            "a stretch begins where the last one ended"
        );
        assert!(stretch.totals.len() <= limits::STATISTICS_ROWS);
        reached = stretch.to;
        for row in &stretch.totals {
            let key = (row.address, row.hour, row.group.clone());
            rows.entry(key).or_default().add(&row.counts);
        }
    }
    rows
}

/// Whatever stands in a file: it is read in bounds, and an agent that ends halfway counts what one
/// that reads it at once counts.
#[test]
fn any_accounting_file_is_counted_once_however_often_the_agent_begins_anew() {
    fuzz!(
        vec![SAMPLE.to_vec()],
        |bytes| {
            let fresh = |name: &str| {
                let cabinet = Cabinet::open(&path(name)).unwrap();
                cabinet.remove("accounting").unwrap();
                cabinet
            };
            let (cabinet, other) = (fresh("counting/a"), fresh("counting/b"));
            put(&format!("accounting/log/{NAME}"), bytes);
            let mut whole = Vec::new();
            read(&mut Books::open(&cabinet), &cabinet, &mut whole);
            // The same bytes in two pieces and two lives.
            put(&format!("accounting/log/{NAME}"), &bytes[..bytes.len() / 2]);
            let mut pieces = Vec::new();
            read(&mut Books::open(&other), &other, &mut pieces);
            std::fs::OpenOptions::new()
                .append(true)
                .open(path(&format!("accounting/log/{NAME}")))
                .and_then(|mut file| {
                    std::io::Write::write_all(&mut file, &bytes[bytes.len() / 2..])
                })
                .unwrap();
            read(&mut Books::open(&other), &other, &mut pieces);
            let notices = |told: &[StatisticsBatch]| told.last().map(|one| one.notices.clone());
            assert_eq!(rows(&whole), rows(&pieces));
            assert_eq!(notices(&whole), notices(&pieces));
            !rows(&whole).is_empty()
        },
        300
    );
}
