//! Counts a million records of accounting files, as the agent does, against a plain reader of their lines.
//!
//! `cargo run --release --example count_accounting [RECORDS]`
//!
//! Both read the same files in the same process, in turn (A B B A), from the page cache. Figures are medians of
//! CPU time; only the ratio means something elsewhere. The cluster's side is played: batches are answered at
//! once, as a commit would.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use email_engine_agent::accounting::Books;
use email_engine_agent::accounting::telling::Session;
use email_engine_agent::host::{Cabinet, Rooted};
use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::desired::{
    AccountedIdentity, AccountingFile, AccountingSpec, HostPath, ListNames, Receiver, RecordKind,
};
use email_engine_protocol::id::{ClusterId, HostId, ListId, ReceiverGroup, VmtaName};
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::observed::{AccountingCursors, FileCursor};
use email_engine_protocol::time::Timestamp;

type Outcome<T> = Result<T, Box<dyn Error>>;

const NOW: Timestamp = Timestamp(1_795_240_800_000);
/// Records of one file, about what 50 MB hold.
const PER_FILE: u32 = 200_000;
const IDENTITIES: u32 = 100;
const PAIRS: usize = 5;
/// The columns that the rendered configuration asks for.
const HEADER: &str = "type,timeLogged,timeQueued,orig,rcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,bounceCat,srcType,\
                      srcMta,dlvType,dlvSourceIp,dlvDestinationIp,vmta,jobId,queue,header_Message-Id\r\n";

fn main() -> Outcome<()> {
    let records: u32 = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("root/log");
    fs::create_dir_all(&log)?;
    let bytes = write(&log, records)?;
    println!("{records} records in {} MiB", bytes >> 20);
    let (mut plain, mut counted) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let ours_first = pair % 2 == 1;
        for ours in [ours_first, !ours_first] {
            let began = cpu()?;
            let found = if ours {
                count(dir.path())?
            } else {
                lines(&log)? - u64::from(records.div_ceil(PER_FILE))
            };
            let taken = cpu()? - began;
            assert_eq!(
                found,
                u64::from(records),
                "a record was lost, or counted twice"
            );
            if ours { &mut counted } else { &mut plain }.push(taken);
        }
    }
    let (plain, counted) = (median(&mut plain), median(&mut counted));
    let nanos = |taken: Duration| taken.as_nanos() / u128::from(records);
    println!("lines read plainly: {} ns each", nanos(plain));
    println!("records counted: {} ns each", nanos(counted));
    println!("ratio: {:.1}", counted.as_secs_f64() / plain.as_secs_f64());
    let share = counted.as_secs_f64() / 60.0 * 1e6 / f64::from(records) * 100.0;
    println!("a million records a minute: {share:.2} % of a core");
    println!("most memory ever: {} MiB", peak()? >> 10);
    Ok(())
}

/// All records, read and told from nothing.
fn count(dir: &Path) -> Outcome<u64> {
    let files = Rooted::open(&dir.join("root"))?;
    let own = tempfile::tempdir_in(dir)?;
    let cabinet = Cabinet::open(own.path())?;
    let mut books = Books::open(&cabinet);
    let spec = spec()?;
    let (cluster, host) = (ClusterId([1; 16]), HostId::new("pmta1")?);
    books.begin_session();
    books.take_cursors(AccountingCursors::default());
    let mut total = 0;
    let patience = Instant::now() + Duration::from_secs(600);
    loop {
        let step = books.step(&files, &cabinet, &spec, NOW)?;
        let mut told = false;
        loop {
            let nonce = Nonce([1; 16]);
            let session = Session {
                cluster,
                host: &host,
                nonce,
            };
            let Some(batch) = books.next_batch(session) else {
                break;
            };
            told = true;
            let stretch = batch.stretch.as_ref();
            let rows = stretch.into_iter().flat_map(|stretch| &stretch.totals);
            total += rows
                .map(|row| row.counts.sent + row.counts.deferred)
                .sum::<u64>();
            let cursor = stretch.map(|stretch| FileCursor {
                file: stretch.file.clone(),
                at: stretch.to,
                mark: stretch.mark,
            });
            books.answered(true, cursor);
        }
        if !step.more && !step.waits_for_room && !told {
            return Ok(total);
        }
        assert!(Instant::now() < patience, "reading does not end");
    }
}

fn lines(log: &Path) -> Outcome<u64> {
    let mut count = 0;
    for entry in fs::read_dir(log)? {
        let mut reader = BufReader::with_capacity(1 << 20, File::open(entry?.path())?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            count += 1;
            line.clear();
        }
    }
    Ok(count)
}

fn write(log: &Path, records: u32) -> Outcome<u64> {
    let mut bytes = 0;
    for (number, first) in (0..records).step_by(PER_FILE as usize).enumerate() {
        let path = log.join(format!("acct-2026-11-21-{number:04}.csv"));
        let mut file = BufWriter::new(File::create(&path)?);
        file.write_all(HEADER.as_bytes())?;
        for at in first..records.min(first + PER_FILE) {
            file.write_all(record(at)?.as_bytes())?;
        }
        file.flush()?;
        bytes += fs::metadata(path)?.len();
    }
    Ok(bytes)
}

fn record(at: u32) -> Outcome<String> {
    let identity = at % IDENTITIES + 1;
    let (hour, minute, second) = (at / 3_600 % 6, at / 60 % 60, at % 60);
    let time = format!("2026-11-21 {hour:02}:{minute:02}:{second:02}+0000");
    let receiver = [
        "gmail.com",
        "outlook.example",
        "rcpt.example",
        "yahoo.example",
    ][at as usize % 4];
    let (kind, action, status, answer, category) = match at % 20 {
        0 => (
            "b",
            "failed",
            "5.1.1",
            "550 5.1.1 no such mailbox",
            "bad-mailbox",
        ),
        _ => (
            "d",
            "relayed",
            "2.0.0",
            "250 2.0.0 OK 1795240800 queued as 4f",
            "",
        ),
    };
    let mut line = String::with_capacity(320);
    write!(
        line,
        "{kind},{time},{time},bounce@mail{identity}.example.com,somebody{at}@{receiver},{action},{status} (ok),\
         \"smtp;{answer}\",mx1.{receiver} (198.51.100.7),{category},smtp,192.0.2.10 (mailwizz1),smtp,\
         192.0.2.{identity},198.51.100.7,vmta-mail{identity},campaign-{identity},{receiver}/vmta-mail{identity},\
         <{at}.1795240800@mail{identity}.example.com>\r\n"
    )?;
    Ok(line)
}

fn spec() -> Outcome<AccountingSpec> {
    let identity = |n: u32| {
        Ok(AccountedIdentity {
            vmta: VmtaName::new(format!("vmta-mail{n}"))?,
            address: IpAddr::from([192, 0, 2, u8::try_from(n)?]),
            domain: DomainName::new(format!("mail{n}.example.com"))?,
        })
    };
    let mut identities = (1..=IDENTITIES)
        .map(identity)
        .collect::<Outcome<Vec<_>>>()?;
    identities.sort_by(|one, other| one.vmta.cmp(&other.vmta));
    Ok(AccountingSpec {
        posts: Vec::new(),
        lists: (0..12)
            .map(|at| {
                Ok(ListNames {
                    list: ListId::new(format!("list-{at}"))?,
                    names: (0..4)
                        .map(|name| format!("bl{name}.list-{at}.example.org"))
                        .collect(),
                })
            })
            .collect::<Outcome<_>>()?,
        files: vec![AccountingFile {
            path: HostPath::new("/log/acct.csv")?,
            records: vec![
                RecordKind::Delivered,
                RecordKind::Bounced,
                RecordKind::Deferred,
            ],
        }],
        identities,
        rejecting: Vec::new(),
        receivers: vec![Receiver {
            group: ReceiverGroup::new("gmail")?,
            names: vec!["gmail.com".to_owned()],
        }],
    })
}

fn median(taken: &mut [Duration]) -> Duration {
    taken.sort_unstable();
    taken[taken.len() / 2]
}

/// CPU time of this process.
fn cpu() -> Outcome<Duration> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = text.split_whitespace().next().ok_or("no schedstat")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// Most resident memory, in KiB.
fn peak() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmHWM")?.parse()?)
}
