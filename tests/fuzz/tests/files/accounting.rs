//! Accounting files: the product writes them, a crash or a full disk cuts them anywhere.

use email_engine_agent::accounting::Books;
use email_engine_agent::accounting::telling::Session;
use email_engine_agent::host::{Cabinet, Rooted};
use email_engine_fuzz::fuzz;
use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::desired::{
    AccountedIdentity, AccountingFile, AccountingSpec, HostPath, RecordKind,
};
use email_engine_protocol::id::{ClusterId, HostId, VmtaName};
use email_engine_protocol::limits;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::observed::StatisticsBatch;
use email_engine_protocol::time::Timestamp;

use super::{FOLDER, path, put};

const NAME: &str = "acct-2026-11-21-0000.csv";
const NOW: Timestamp = Timestamp(1_795_240_800_000);
const SAMPLE: &[u8] = b"type,timeLogged,timeQueued,orig,rcpt,bounceCat,dlvSourceIp,vmta\r\n\
    d,2026-11-21 06:00:00+0000,1795240700,a@mail1.example.com,r@rcpt.example,,192.0.2.1,vmta-1\r\n\
    b,11/21/2026 05:00:00+0000,,\"x,\"\"y\"\"\n@example.net\",r@rcpt.example,other,,reject-client\r\n\
    t,1795240800,1795240700,a@mail1.example.com,r@rcpt.example,,192.0.2.1,vmta-1\r\n\
    type,vmta,timeLogged,orig\nrb,,1795240800,a@mail1.example.com\nb,vmta-9,1795240800,a\n";

fn spec() -> AccountingSpec {
    use RecordKind::{Bounced, Complaint, Deferred, Delivered, Returned};
    AccountingSpec {
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
    }
}

fn read(books: &mut Books, cabinet: &Cabinet) -> Option<StatisticsBatch> {
    let files = Rooted::open(&FOLDER.path().join("accounting")).unwrap();
    while books.step(&files, cabinet, &spec(), NOW).unwrap().more {}
    let host = HostId::new("pmta1").unwrap();
    books.begin_session();
    books.next_batch(Session {
        cluster: ClusterId([1; 16]),
        host: &host,
        nonce: Nonce([2; 16]),
    })
}

/// Whatever stands in a file: it is read in bounds, and an agent that ends halfway counts what one
/// that reads it at once counts.
#[test]
fn any_accounting_file_is_counted_once_however_often_the_agent_begins_anew() {
    fuzz!(
        vec![SAMPLE.to_vec()],
        |bytes| {
            let base = HostPath::new("/log/acct.csv").unwrap();
            let fresh = |name: &str| {
                let cabinet = Cabinet::open(&path(name)).unwrap();
                cabinet.remove("accounting").unwrap();
                cabinet
            };
            let (cabinet, other) = (fresh("counting/a"), fresh("counting/b"));
            put(&format!("accounting/log/{NAME}"), bytes);
            let mut books = Books::open(&cabinet);
            let whole = read(&mut books, &cabinet);
            if let Some(position) = books.position(&base, NAME) {
                assert!(position <= bytes.len() as u64);
            }
            if let Some(batch) = &whole {
                assert!(batch.totals.len() <= limits::STATISTICS_ROWS);
                assert!(batch.to <= bytes.len() as u64);
            }
            // The same bytes in two pieces and two lives.
            put(&format!("accounting/log/{NAME}"), &bytes[..bytes.len() / 2]);
            read(&mut Books::open(&other), &other);
            std::fs::OpenOptions::new()
                .append(true)
                .open(path(&format!("accounting/log/{NAME}")))
                .and_then(|mut file| {
                    std::io::Write::write_all(&mut file, &bytes[bytes.len() / 2..])
                })
                .unwrap();
            let pieces = read(&mut Books::open(&other), &other);
            let counted = |batch: &Option<StatisticsBatch>| {
                let batch = batch.as_ref()?;
                Some((batch.totals.clone(), batch.notices.clone()))
            };
            assert_eq!(counted(&whole), counted(&pieces));
            whole.is_some_and(|batch| !batch.totals.is_empty())
        },
        300
    );
}
