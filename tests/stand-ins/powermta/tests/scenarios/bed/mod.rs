//! One daemon with all that it needs, in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use sink::Sink;
use zone::Zone;

pub(crate) mod sink;
mod zone;

/// How long a condition may take on a busy machine; passing never waits this long.
const DEADLINE: Duration = Duration::from_secs(60);

/// Asks again and again until there is a value.
#[track_caller]
pub(crate) fn wait_for<T>(why: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(started.elapsed() < DEADLINE, "gave up waiting until {why}");
        sleep(Duration::from_millis(20));
    }
}

/// What every test's configuration begins with.
const BASE: &str = "\
postmaster you@your.example
host-name mta.example.com
log-file DIR/log/pmta.log
http-mgmt-port 0
<spool DIR/spool>
</spool>
smtp-listener HOST:PORT
<acct-file DIR/log/acct.csv>
records d,b,t,tq,r,rb,rs,f
record-fields d *,header_Message-Id
</acct-file>
";

/// An address of this process alone: what is free on it stays free until the daemon takes it.
fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | (high & 63), middle, low)
}

/// The answer of `pmta`.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) succeeded: bool,
    pub(crate) out: String,
    pub(crate) error: String,
}

/// A row of an accounting file, by the names of its header.
pub(crate) type Row = BTreeMap<String, String>;

/// Daemon, sink and DNS.
pub(crate) struct Bed {
    folder: TempDir,
    pub(crate) sink: Sink,
    pub(crate) zone: Zone,
    host: Ipv4Addr,
    port: u16,
    daemon: Option<Child>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Bed {
    /// `rcpt.example` and below go to the sink.
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("log")).unwrap();
        let host = own_address();
        let zone = Zone::new(host);
        let sink = Sink::new("127.0.1.1");
        zone.exchanger("rcpt.example", 10, "mx.rcpt.example");
        zone.host("mx.rcpt.example", "127.0.1.1");
        let free = TcpListener::bind((host, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        Self {
            folder,
            sink,
            zone,
            host,
            port,
            daemon: None,
        }
    }

    /// Another receiver at the port of the first, on an address of this process alone.
    pub(crate) fn second_sink(&self) -> Sink {
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        let host = Ipv4Addr::new(127, 32 | (high & 31), middle, low);
        Sink::at((host, self.sink.address.port()).into())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration: `DIR`, `PORT` and `SINK` stand for this bed's.
    pub(crate) fn configure(&self, text: &str) {
        let whole = format!("{BASE}{text}\n")
            .replace("DIR", &self.folder.path().display().to_string())
            .replace("HOST", &self.host.to_string())
            .replace("PORT", &self.port.to_string())
            .replace("SINK", &self.sink.address.port().to_string());
        fs::write(self.path("config"), whole).unwrap();
    }

    pub(crate) fn started(text: &str) -> Self {
        let mut bed = Self::new();
        bed.configure(text);
        bed.start();
        bed
    }

    pub(crate) fn start(&mut self) {
        let daemon = Command::new(env!("CARGO_BIN_EXE_pmtad"))
            .arg("--config")
            .arg(self.path("config"))
            .arg("--control")
            .arg(self.path("control"))
            .args(["--name-server", &self.zone.address.to_string()])
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        wait_for("pmtad takes connections and commands", || {
            let ended = self.daemon.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "pmtad ended: {ended:?}");
            let stream = TcpStream::connect(self.smtp()).ok()?;
            drop(stream);
            self.path("control").exists().then_some(())
        });
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
            drop(fs::remove_file(self.path("control")));
        }
    }

    fn smtp(&self) -> SocketAddr {
        SocketAddr::from((self.host, self.port))
    }

    /// As `smtp-hosts` takes it.
    pub(crate) fn smtp_host(&self) -> String {
        format!("[{}]:{}", self.host, self.port)
    }

    pub(crate) fn pmta(&self, words: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_pmta"))
            .arg(format!("--config={}", self.path("config").display()))
            .arg(format!("--control={}", self.path("control").display()))
            .args(words)
            .output()
            .unwrap();
        Said {
            succeeded: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The `data` of `pmta --json`.
    pub(crate) fn json(&self, words: &[&str]) -> serde_json::Value {
        let mut all = vec!["--json"];
        all.extend_from_slice(words);
        let said = self.pmta(&all);
        assert!(said.succeeded, "{said:?}");
        let mut whole: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(whole["status"], "success");
        whole["data"].take()
    }

    /// A conversation; every command's last line of answer.
    pub(crate) fn say(&self, lines: &[&str]) -> Vec<String> {
        let stream = TcpStream::connect(self.smtp()).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut answers = vec![answer(&mut reader)];
        for line in lines {
            (&stream)
                .write_all(format!("{line}\r\n").as_bytes())
                .unwrap();
            answers.push(answer(&mut reader));
        }
        answers
    }

    /// Submits a message with some headers; the answer to its final dot.
    pub(crate) fn submit(&self, from: &str, to: &str, headers: &[&str]) -> String {
        let sender_domain = from.rsplit('@').next().unwrap();
        let mut text =
            format!("From: <contact@{sender_domain}>\r\nTo: <{to}>\r\nSubject: hello\r\n");
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str("\r\nA line.\r\n..a line with a dot\r\n.");
        let answers = self.say(&[
            "EHLO feeder.example",
            &format!("MAIL FROM:<{from}>"),
            &format!("RCPT TO:<{to}>"),
            "DATA",
            &text,
            "QUIT",
        ]);
        answers[5].clone()
    }

    /// Rows of all accounting files of a name, of one type.
    pub(crate) fn rows(&self, kind: &str) -> Vec<Row> {
        let mut rows = Vec::new();
        for path in self.accounting_files() {
            let mut reader = csv::Reader::from_path(path).unwrap();
            for row in reader.deserialize::<Row>() {
                rows.push(row.unwrap());
            }
        }
        rows.retain(|row| row["type"] == kind);
        rows
    }

    pub(crate) fn accounting_files(&self) -> Vec<PathBuf> {
        files(&self.path("log"), ".csv")
    }

    /// Rows of a type, once there are so many.
    #[track_caller]
    pub(crate) fn rows_when(&self, kind: &str, count: usize) -> Vec<Row> {
        wait_for(&format!("there are {count} rows of type {kind}"), || {
            let rows = self.rows(kind);
            (rows.len() >= count).then_some(rows)
        })
    }

    /// The log, once a text is in it.
    #[track_caller]
    pub(crate) fn logged(&self, text: &str) -> String {
        wait_for(&format!("the log says {text}"), || {
            let log = fs::read_to_string(self.path("log/pmta.log")).ok()?;
            log.contains(text).then_some(log)
        })
    }

    pub(crate) fn spool_files(&self) -> Vec<PathBuf> {
        files(&self.path("spool"), ".mail")
    }
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.display().to_string().ends_with(end))
        .collect();
    all.sort();
    all
}

fn answer(reader: &mut impl BufRead) -> String {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.as_bytes().get(3) != Some(&b'-') {
            return line.trim_end().to_owned();
        }
    }
}
