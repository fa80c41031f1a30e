//! Real files, and an application that answers as the test wants.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{AccountingPost, AccountingSpec, HostPath};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::observed::ResourceState;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::url::ServiceUrl;
use proptest::prelude::*;
use serde_json::Value;

use super::read::RECORDS;
use super::{ANSWERED_WITHIN, LONGEST_AGAIN, Posting};
use crate::accounting::names::tests::spec as counted;
use crate::accounting::names::{Former, Names};
use crate::halves::POST_BYTES;
use crate::host::{Cabinet, Rooted};

const NOW: Timestamp = Timestamp(1_795_240_800_000);
const HEADER: &str = "type,timeLogged,orig,rcpt,bounceCat,dsnDiag,vmta,header_Message-Id\r\n";
const FIRST: &str = "feedback-2026-11-21-0000.csv";
const SECOND: &str = "feedback-2026-11-21-0001.csv";

struct World {
    dir: tempfile::TempDir,
    files: Rooted,
    cabinet: Cabinet,
    spec: AccountingSpec,
    names: Names,
    posting: Posting,
    at: Instant,
    /// Message ids that the application took.
    taken: Vec<String>,
    lives: u64,
}

fn tenant(n: u8) -> TenantId {
    TenantId::new(format!("client-{n}")).unwrap()
}

/// Tenant `n` has identity `n`; so many of them are told of what came back.
fn world(tenants: u8) -> World {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("root/log")).unwrap();
    let mut spec = counted(3);
    let post = |n: u8| AccountingPost {
        tenant: tenant(n),
        url: ServiceUrl::new(format!("https://app{n}.example.com")).unwrap(),
        path: HostPath::new("/log/feedback.csv").unwrap(),
        identities: vec![[192, 0, 2, n].into()],
    };
    spec.posts = (1..=tenants).map(post).collect();
    let mut names = Names::default();
    names.take(Some(&spec), &mut Former::default(), NOW);
    let cabinet = Cabinet::open(&dir.path().join("data")).unwrap();
    World {
        files: Rooted::open(&dir.path().join("root")).unwrap(),
        posting: Posting::open(&cabinet, NOW),
        cabinet,
        dir,
        spec,
        names,
        at: Instant::now(),
        taken: Vec::new(),
        lives: 0,
    }
}

fn bounce(vmta: u8, id: &str) -> String {
    format!(
        "b,1795240800,bounce@mail{vmta}.example.com,r@rcpt.example,bad-mailbox,\"smtp;550 \"\"no\"\", gone\",\
         vmta-{vmta},{id}\r\n"
    )
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("root/log").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn step(&mut self) -> Vec<(u64, String, Vec<Value>)> {
        let at = (NOW, self.at);
        let step = self.posting.step(&self.files, &self.spec, &self.names, at);
        let posts = step.posts.into_iter().map(|(number, post)| {
            assert!(post.body.len() <= POST_BYTES);
            let records: Vec<Value> = serde_json::from_slice(&post.body).unwrap();
            assert!((1..=RECORDS).contains(&records.len()));
            (number, post.url, records)
        });
        posts.collect()
    }

    fn answer(&mut self, number: u64, answer: Result<u16, String>) {
        let at = (NOW, self.at);
        let cabinet = &self.cabinet;
        self.posting.answered(number, answer, cabinet, at).unwrap();
    }

    fn is_awaited(&self, number: u64) -> bool {
        let mut targets = self.posting.targets.values();
        targets.any(|one| one.under_way.as_ref().is_some_and(|it| it.number == number))
    }

    fn keep(&mut self, records: &[Value]) {
        let ids = records
            .iter()
            .map(|one| one["header_Message-Id"].as_str().unwrap());
        self.taken.extend(ids.map(str::to_owned));
    }

    /// The next posts are taken; says how many records they have.
    fn take(&mut self) -> usize {
        let mut count = 0;
        for (number, _, records) in self.step() {
            count += records.len();
            self.keep(&records);
            self.answer(number, Ok(200));
        }
        count
    }

    fn restart(&mut self) {
        self.lives += 1;
        self.posting = Posting::open(&self.cabinet, NOW.plus(self.lives * 1_000));
    }
}

#[test]
fn what_came_back_is_posted_once_with_what_the_webhook_reads_and_nothing_else() {
    let mut world = world(2);
    let others = "d,1795240800,bounce@mail1.example.com,r@rcpt.example,,,vmta-1,<d@x>\r\n\
                  b,1795240800,bounce@mail1.example.com,r@rcpt.example,bad-mailbox,,vmta-1,\r\n\
                  b,1795240800,x@elsewhere.example,r@rcpt.example,bad-mailbox,,reject-client,<u@x>\r\n\
                  no record\r\n";
    world.write(FIRST, HEADER);
    world.write(FIRST, others);
    world.write(
        FIRST,
        &(bounce(1, "<one@x>") + &bounce(2, "<two@x>") + &bounce(3, "<three@x>")),
    );
    let back = "rb,1795240800,bounce@mail1.example.com,r@rcpt.example,quota-issues,,,<back@x>\r\n";
    world.write(FIRST, back);
    let posts = world.step();
    let urls: Vec<_> = posts.iter().map(|(_, url, _)| url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "https://app1.example.com/dswh/pmta",
            "https://app2.example.com/dswh/pmta"
        ]
    );
    let of_first = &posts[0].2;
    assert_eq!(
        of_first[0],
        serde_json::json!({
            "type": "b", "timeLogged": "1795240800", "orig": "bounce@mail1.example.com",
            "rcpt": "r@rcpt.example", "bounceCat": "bad-mailbox", "dsnDiag": "smtp;550 \"no\", gone",
            "header_Message-Id": "<one@x>",
        })
    );
    assert_eq!(
        (of_first.len(), &of_first[1]["type"]),
        (2, &Value::from("rb"))
    );
    assert_eq!(posts[1].2[0]["header_Message-Id"], "<two@x>");
    for (number, _, _) in &posts {
        assert!(world.step().is_empty(), "one of a tenant at a time");
        world.answer(*number, Ok(204));
    }
    assert!(world.step().is_empty());
    // Nor after a restart, while a line is not whole, and without anybody to tell.
    world.restart();
    assert!(world.step().is_empty());
    let line = bounce(1, "<torn@x>");
    world.write(FIRST, &line[..20]);
    assert!(world.step().is_empty());
    world.write(FIRST, &line[20..]);
    assert_eq!(world.take(), 1);
    world.spec.posts.clear();
    world.write(FIRST, &bounce(1, "<late@x>"));
    assert!(world.step().is_empty());
}

#[test]
fn a_complaint_is_posted_to_whom_it_is_about_and_one_of_no_known_message_to_nobody() {
    let mut world = world(2);
    let header = "type,timeLogged,repSourceIp,feedbackType,orig,rcpt,dlvSourceIp,reportedDomain,\
                  header_Message-Id\r\n";
    let (own, loop_of_it) = ("bounce@mail1.example.com", "fbl@elsewhere.example");
    world.write(FIRST, header);
    for (to, from, about, id) in [
        (own, "", "", "<one@x>"),
        (loop_of_it, "", "mail2.example.com", "<two@x>"),
        (loop_of_it, "192.0.2.2", "", "<three@x>"),
        (own, "", "", ""),
        (loop_of_it, "", "", "<nobody@x>"),
    ] {
        let line =
            format!("f,1795240800,203.0.113.25,abuse,{to},r@rcpt.example,{from},{about},{id}\r\n");
        world.write(FIRST, &line);
    }
    let posts = world.step();
    let urls: Vec<_> = posts.iter().map(|(_, url, _)| url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "https://app1.example.com/dswh/pmta",
            "https://app2.example.com/dswh/pmta"
        ]
    );
    let wanted = serde_json::json!({
        "type": "f", "timeLogged": "1795240800", "orig": own, "rcpt": "r@rcpt.example",
        "feedbackType": "abuse", "header_Message-Id": "<one@x>",
    });
    assert_eq!(posts[0].2, [wanted]);
    let told = |one: &Value| {
        let text = |name: &str| one[name].as_str().unwrap().to_owned();
        (text("type"), text("header_Message-Id"))
    };
    let of_second: Vec<_> = posts[1].2.iter().map(told).collect();
    let ids = ["<two@x>", "<three@x>"];
    assert_eq!(of_second, ids.map(|id| ("f".to_owned(), id.to_owned())));
}

#[test]
fn whoever_does_not_answer_is_left_alone_for_longer_is_reported_and_loses_nothing() {
    let mut world = world(1);
    world.write(FIRST, &(HEADER.to_owned() + &bounce(1, "<one@x>")));
    let mut waited = Duration::from_secs(5);
    for failed in 1..12 {
        let posts = world.step();
        assert_eq!(posts.len(), 1, "{failed}");
        let answer = match failed % 3 {
            0 => Ok(503),
            1 => Err("connection refused".to_owned()),
            _ => Ok(302),
        };
        world.answer(posts[0].0, answer);
        let reported = world.posting.statuses();
        assert_eq!(reported.len(), usize::from(failed > 1), "{failed}");
        world.at += waited - Duration::from_millis(1);
        assert!(world.step().is_empty(), "{failed}");
        world.at += Duration::from_millis(1);
        waited = (waited * 2).min(LONGEST_AGAIN);
    }
    let told = world.posting.statuses().remove(0);
    assert_eq!(told.id.as_str(), "webhook:client-1");
    let ResourceState::Drifted(reason) = &told.state else {
        panic!("{told:?}");
    };
    assert!(
        reason.contains(
            "since 2026-11-21T06:00:00.000Z for https://app1.example.com/dswh/pmta: it answers 302"
        ),
        "{reason}"
    );
    // An answer that does not come, and one that comes when nobody waits for it any more.
    let lost = world.step().remove(0).0;
    world.at += ANSWERED_WITHIN;
    assert!(world.step().is_empty());
    world.answer(lost, Ok(200));
    world.at += LONGEST_AGAIN;
    assert_eq!(world.take(), 1);
    assert!(world.posting.statuses().is_empty());
    assert_eq!(world.taken, ["<one@x>"]);
}

#[test]
fn a_header_that_changes_a_file_that_goes_and_one_that_is_cut_lead_nobody_astray() {
    let mut world = world(1);
    world.write(FIRST, &(HEADER.to_owned() + &bounce(1, "<one@x>")));
    assert_eq!(world.take(), 1);
    world.restart();
    // Another header, by which the rest of the file is read, after a restart as well.
    let other = "type,vmta,header_message-id,timeLogged,orig\n";
    let second = "b,vmta-1,<two@x>,1795240800,bounce@mail1.example.com\n";
    world.write(FIRST, &format!("{other}{second}"));
    assert_eq!(world.take(), 1);
    world.restart();
    world.write(FIRST, &second.replace("two", "three"));
    world.write(SECOND, &(HEADER.to_owned() + &bounce(1, "<four@x>")));
    assert_eq!(world.take(), 2);
    fs::remove_file(world.path(FIRST)).unwrap();
    world.write(SECOND, &bounce(1, "<five@x>"));
    assert_eq!(world.take(), 1);
    let kept = world.posting.kept.0[&tenant(1)].len();
    assert_eq!(kept, 1, "what is gone is forgotten");
    fs::write(
        world.path(SECOND),
        HEADER.to_owned() + &bounce(1, "<four@x>"),
    )
    .unwrap();
    assert_eq!(
        world.take(),
        1,
        "cut: what stands there may not have been taken"
    );
    let unique: BTreeSet<_> = world.taken.iter().cloned().collect();
    assert_eq!(unique.len(), 5, "{unique:?}");
}

#[test]
fn much_is_posted_in_many_pieces_of_bounded_size() {
    let mut world = world(1);
    world.write(FIRST, HEADER);
    let long = format!("smtp;550 {}", "x".repeat(20_000));
    let mut text = String::new();
    for n in 0..450 {
        text += &bounce(1, &format!("<{n}@x>"));
    }
    for n in 450..600 {
        text += &bounce(1, &format!("<{n}@x>")).replace("\"smtp;550 \"\"no\"\", gone\"", &long);
    }
    world.write(FIRST, &text);
    let mut steps = 0;
    while world.taken.len() < 600 {
        world.take();
        steps += 1;
        assert!(steps < 100, "{} of 600", world.taken.len());
    }
    assert!(steps > 4);
    let unique: BTreeSet<_> = world.taken.iter().collect();
    assert_eq!((unique.len(), world.take()), (600, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_fails_and_whenever_it_is_started_anew_none_is_lost(
        turns in prop::collection::vec((0..7_u8, 0..40_u32), 1..60),
    ) {
        let mut world = world(1);
        let (mut written, mut number) = (0_u32, 0);
        world.write(FIRST, HEADER);
        let mut waiting: Option<(u64, String, Vec<Value>)> = None;
        for (turn, count) in turns {
            match turn {
                0 | 1 => {
                    for _ in 0..count {
                        let name = format!("feedback-2026-11-21-{number:04}.csv");
                        world.write(&name, &bounce(1, &format!("<{written}@x>")));
                        written += 1;
                    }
                }
                2 => {
                    number += 1;
                    world.write(&format!("feedback-2026-11-21-{number:04}.csv"), HEADER);
                }
                // An answer to a post of an earlier life may still come.
                3 => world.restart(),
                4 => {
                    if let Some((number, _, records)) = waiting.take() {
                        let status = if count % 2 == 0 { 500 } else { 200 };
                        let stale = !world.is_awaited(number);
                        world.answer(number, Ok(if stale { 200 } else { status }));
                        if !stale && status == 200 {
                            world.keep(&records);
                        }
                    }
                }
                5 => world.at += LONGEST_AGAIN,
                _ => {
                    world.take();
                }
            }
            waiting = world.step().pop().or(waiting);
        }
        world.restart();
        for _ in 0..200 {
            world.at += LONGEST_AGAIN;
            world.take();
        }
        let unique: BTreeSet<_> = world.taken.iter().collect();
        prop_assert_eq!(unique.len() as u32, written);
    }
}
