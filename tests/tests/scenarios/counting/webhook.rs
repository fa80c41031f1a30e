//! Bounces and complaints reach a tenant's MailWizz, whatever happens to it or to the agent: none is lost, some
//! come twice.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use email_engine_tests::{Fleet, samples, wait_for};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const HOST: &str = "pmta1";
const HEADER: &str =
    "type,timeLogged,timeQueued,orig,rcpt,bounceCat,dlvSourceIp,vmta,queue,header_Message-Id\n";

/// How it meets the next posts.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Takes,
    Breaks,
    /// It has them, and whoever posted is never told.
    TakesAndIsSilent,
}

/// What an application's webhook was told, which is a JSON array of accounting records.
#[derive(Debug)]
struct Told {
    mood: Mood,
    posts: usize,
    records: Vec<Value>,
}

/// The webhook of an application, as it is documented. It is away when it is dropped.
struct Webhook {
    address: SocketAddr,
    told: Arc<Mutex<Told>>,
    serving: JoinHandle<()>,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Webhook {
    async fn start(address: SocketAddr, told: Arc<Mutex<Told>>) -> Self {
        let listener = wait_for("the webhook's port is free", async || {
            TcpListener::bind(address)
                .await
                .map_err(|error| error.to_string())
        })
        .await;
        let address = listener.local_addr().unwrap();
        let heard = Arc::clone(&told);
        let serving = tokio::spawn(async move {
            // Dropped with this task, and with them their connections.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let heard = Arc::clone(&heard);
                connections.spawn(async move { while_it_talks(stream, &heard).await });
            }
        });
        Self {
            address,
            told,
            serving,
        }
    }

    fn mood(&self, mood: Mood) {
        self.told.lock().unwrap().mood = mood;
    }
}

async fn while_it_talks(mut stream: TcpStream, told: &Mutex<Told>) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("POST /dswh/pmta HTTP/1.1\r\n"), "{head}");
        let lower = head.to_ascii_lowercase();
        assert!(
            lower.contains("content-type: application/json\r\n"),
            "{head}"
        );
        let (_, length) = lower.split_once("content-length: ").unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        assert!(length <= 64 * 1024, "{length}");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let mood = {
            let mut told = told.lock().unwrap();
            told.posts += 1;
            told.mood
        };
        let answer = match mood {
            Mood::Breaks => "500 Internal Server Error",
            Mood::Takes | Mood::TakesAndIsSilent => "200 OK",
        };
        if !matches!(mood, Mood::Breaks) {
            let records: Vec<Value> = serde_json::from_slice(&body).unwrap();
            told.lock().unwrap().records.extend(records);
        }
        if matches!(mood, Mood::TakesAndIsSilent) {
            std::future::pending::<()>().await;
        }
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// Of what came back some are complaints, by their number, and the others bounces.
const fn kind(id: usize) -> &'static str {
    if id % 25 == 24 { "f" } else { "b" }
}

/// One that came back. A complaint says of no virtual MTA and no queue.
fn record(id: usize, now: u64) -> String {
    let (kind, number) = (kind(id), id % 2 + 1);
    let (category, vmta, queue) = match kind {
        "f" => ("", String::new(), ""),
        _ => (
            "bad-mailbox",
            format!("vmta-mail{number}-example-net"),
            "rcpt.example/x",
        ),
    };
    format!(
        "{kind},{now},{now},bounce@mail{number}.example.net,r@rcpt.example,{category},\
         198.51.100.{number},{vmta},{queue},<{id}@app.example>\n"
    )
}

/// The files of what came back, as PowerMTA writes them.
struct Feedback {
    folder: PathBuf,
    file: u32,
    written: usize,
}

impl Feedback {
    /// So many more that came back, in a new file or at the end of the last one.
    fn write(&mut self, count: usize, is_new: bool) {
        self.file += u32::from(is_new);
        let mut text = String::new();
        if is_new {
            text += HEADER;
        }
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        for _ in 0..count {
            text += &record(self.written, now);
            self.written += 1;
        }
        // Neither, and one of each that no message is known of.
        writeln!(text, "d,{now},{now},bounce@mail1.example.net,r@rcpt.example,,198.51.100.1,vmta-mail1-example-net,x/x,<d@x>").unwrap();
        writeln!(text, "b,{now},{now},bounce@mail1.example.net,r@rcpt.example,bad-mailbox,198.51.100.1,vmta-mail1-example-net,x/x,").unwrap();
        writeln!(
            text,
            "f,{now},{now},bounce@mail1.example.net,r@rcpt.example,,198.51.100.1,,,"
        )
        .unwrap();
        std::fs::create_dir_all(&self.folder).unwrap();
        let name = format!("feedback-2026-11-22-{:04}.csv", self.file);
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .append(true)
            .open(self.folder.join(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until each of them came, as what it is.
    async fn is_told(&self, told: &Mutex<Told>, why: &str) {
        let wanted: BTreeSet<_> = (0..self.written)
            .map(|id| (kind(id).to_owned(), format!("<{id}@app.example>")))
            .collect();
        wait_for(why, async || {
            let told = told.lock().unwrap();
            let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
            let said = |one: &Value| (text(one, "type"), text(one, "header_Message-Id"));
            let came: BTreeSet<_> = told.records.iter().map(said).collect();
            if came == wanted {
                Ok(())
            } else {
                Err(format!(
                    "{} of {}, {} posts",
                    came.len(),
                    wanted.len(),
                    told.posts
                ))
            }
        })
        .await;
    }
}

fn restart(fleet: &mut Fleet) {
    let agent = fleet.agents.get_mut(HOST).unwrap();
    agent.kill();
    agent.start(None);
}

#[tokio::test(flavor = "multi_thread")]
async fn bounces_and_complaints_reach_mailwizz_whatever_happens_to_it_or_to_the_agent() {
    let told = Arc::new(Mutex::new(Told {
        mood: Mood::Takes,
        posts: 0,
        records: Vec::new(),
    }));
    let webhook = Webhook::start(([127, 0, 0, 1], 0).into(), Arc::clone(&told)).await;
    let address = webhook.address;
    let mut fleet = Fleet::converged_with(1, 2).await;
    let mut files = Feedback {
        folder: fleet.agents[HOST].file("/var/log/pmta"),
        file: 0,
        written: 0,
    };
    files.write(300, true);
    let mut document = samples::fleet(2);
    document["tenants"][0]["mailwizz_url"] = json!(format!("http://{address}"));
    fleet.apply(&document).await;
    fleet.converged("its address is known").await;
    assert_eq!(told.lock().unwrap().posts, 0, "nobody asked for it");

    document["hosts"][1]["labels"] = json!({ "mailwizz-webhook": "client-1" });
    fleet.apply(&document).await;
    files
        .is_told(&told, "what stands in the files is posted")
        .await;

    webhook.mood(Mood::Breaks);
    files.write(150, false);
    fleet.host_says(HOST, "it answers 500").await;
    restart(&mut fleet);
    files.write(50, true);
    webhook.mood(Mood::Takes);
    files.is_told(&told, "it takes posts again").await;

    drop(webhook);
    files.write(150, false);
    restart(&mut fleet);
    fleet
        .host_says(HOST, "bounces and complaints wait since")
        .await;
    let webhook = Webhook::start(address, Arc::clone(&told)).await;
    files.is_told(&told, "it is there again").await;

    webhook.mood(Mood::TakesAndIsSilent);
    let before = told.lock().unwrap().posts;
    files.write(700, true);
    wait_for("the first of several posts is under way", async || {
        let posts = told.lock().unwrap().posts;
        if posts > before { Ok(()) } else { Err(posts) }
    })
    .await;
    webhook.mood(Mood::Takes);
    restart(&mut fleet);
    files
        .is_told(&told, "the agent ended while posts were under way")
        .await;
    wait_for("nothing is said of the webhook any more", async || {
        let view = fleet.host(HOST).await.to_string();
        if view.contains("webhook:client-1") {
            Err(view)
        } else {
            Ok(())
        }
    })
    .await;
}
