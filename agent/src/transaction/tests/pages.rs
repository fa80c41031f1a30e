//! A web server: links that name its files, and pages that it answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use email_engine_protocol::desired::{
    HostConfig, HostPath, HttpQuestion, Probe, Resource, Spec, SymlinkSpec, TransactionSpec,
};
use email_engine_protocol::id::ResourceId;

use super::bed::{Bed, failure};
use super::check;
use crate::reconciler::plan::tests::{config, file};

const LINK: &str = "enabled";

fn place(name: &str) -> HostPath {
    HostPath::new(format!("/etc/p/{name}")).unwrap()
}

/// A file, and a link that leads to it, which go live together.
fn linked(bed: &Bed, name: &str, text: &str, change: impl Fn(&mut TransactionSpec)) -> HostConfig {
    let mut state = bed.state(&[(name, text)]);
    let mut link: Resource = file("/etc/p/enabled");
    link.id = ResourceId::new("symlink:/etc/p/enabled").unwrap();
    link.spec = Spec::Symlink(SymlinkSpec {
        path: place(LINK),
        target: place(name),
    });
    for resource in &mut state.resources {
        if let Spec::Transaction(spec) = &mut resource.spec {
            spec.members.push(link.id.clone());
            change(spec);
        }
    }
    state.resources.push(link);
    config(state.resources)
}

fn leads_to(bed: &Bed) -> Option<PathBuf> {
    std::fs::read_link(bed.place(LINK)).ok()
}

fn text(bed: &Bed, name: &str) -> Option<String> {
    std::fs::read_to_string(bed.place(name)).ok()
}

/// Refuses a file that is linked and has the word `bad`; a link that leads nowhere is an error as well.
fn judged(bed: &Bed) -> impl Fn(&mut TransactionSpec) + use<> {
    let folder = bed.dir.path().join("root").display().to_string();
    move |spec: &mut TransactionSpec| {
        let script = format!(
            "at={folder}$(readlink {folder}/etc/p/{LINK}); cat \"$at\" || exit 1; ! grep -q bad \"$at\""
        );
        spec.test = check(&script);
        spec.activate = check("true");
        spec.unit = None;
    }
}

#[test]
fn a_link_goes_live_with_the_file_that_it_names_or_leads_where_it_led_before() {
    let mut bed = Bed::with_programs();
    let product = judged(&bed);
    symlink("/etc/p/theirs", bed.place(LINK)).unwrap();
    std::fs::write(bed.place("theirs"), "of the package").unwrap();
    let before = Some(PathBuf::from("/etc/p/theirs"));
    let refused = linked(&bed, "ours", "bad", &product);
    let outcome = bed.accept(&refused);
    assert!(failure(&outcome).contains("stage test"), "{outcome:?}");
    assert_eq!((leads_to(&bed), text(&bed, "ours")), (before, None));

    let good = linked(&bed, "ours", "good", &product);
    let outcome = bed.accept(&good);
    assert!(outcome.is_good(), "{outcome:?}");
    let ours = Some(PathBuf::from("/etc/p/ours"));
    assert_eq!(leads_to(&bed), ours);
    assert_eq!(bed.look(&good).changed, 0);
    // Somebody leads it elsewhere, or puts a file in its place.
    std::fs::remove_file(bed.place(LINK)).unwrap();
    symlink("/etc/p/theirs", bed.place(LINK)).unwrap();
    assert!(bed.look(&good).is_good());
    assert_eq!(leads_to(&bed), ours);

    let next = linked(&bed, "next", "bad", &product);
    let outcome = bed.accept(&next);
    assert!(failure(&outcome).contains("stage test"), "{outcome:?}");
    assert_eq!((leads_to(&bed), text(&bed, "next")), (ours, None));
    assert_eq!(text(&bed, "ours").as_deref(), Some("good"));
}

#[test]
fn a_file_in_the_place_of_a_link_comes_back_with_its_bytes() {
    let mut bed = Bed::with_programs();
    let product = judged(&bed);
    std::fs::write(bed.place(LINK), "somebody's site").unwrap();
    let refused = linked(&bed, "ours", "bad", &product);
    assert!(failure(&bed.accept(&refused)).contains("stage test"));
    assert_eq!(leads_to(&bed), None);
    assert_eq!(text(&bed, LINK).as_deref(), Some("somebody's site"));
}

/// Dies after so many steps of leading the link to another file; gives whether it came to that.
fn die_after(steps: u32) -> bool {
    let mut bed = Bed::with_programs();
    let product = judged(&bed);
    let old = linked(&bed, "old", "good", &product);
    assert!(bed.accept(&old).is_good());
    let new = linked(&bed, "new", "better", &product);
    let cabinet = bed.reconciler_cabinet();
    cabinet.die_after(steps);
    bed.reconciler.change_state(false);
    drop(bed.try_pass(&new));
    let died = cabinet.is_dead();
    bed.restart();
    bed.recover();
    let target = leads_to(&bed);
    let target = target.as_ref().and_then(|path| path.file_name()?.to_str());
    let expected = match target {
        Some("old") => Some("good"),
        Some("new") => Some("better"),
        other => panic!("after {steps} steps it leads to {other:?}"),
    };
    let found = text(&bed, target.unwrap());
    assert_eq!(found.as_deref(), expected, "after {steps} steps");
    assert!(bed.accept(&new).is_good());
    assert_eq!(leads_to(&bed), Some(PathBuf::from("/etc/p/new")));
    died
}

#[test]
fn a_machine_that_dies_at_any_step_has_the_link_of_before_or_the_new_one() {
    let mut steps = 0;
    while die_after(steps) {
        steps += 1;
    }
    assert!(steps > 10, "only {steps} steps were counted");
}

/// A web server whose answers follow what it was told to run with. What it ran with before goes on for a
/// few answers.
fn web_server(bed: &Bed) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let running = bed.dir.path().join("running");
    std::thread::spawn(move || {
        let mut is_late = 3;
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut heard = [0; 1024];
            let _ = stream.read(&mut heard);
            let text = std::fs::read_to_string(&running).unwrap_or_default();
            is_late = if text == "broken" { is_late - 1 } else { 3 };
            let status = if is_late > 0 { "200 OK" } else { "500 Oh" };
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

fn asks(address: SocketAddr, steady_seconds: u32) -> Probe {
    Probe::Http {
        question: HttpQuestion {
            address,
            tls: false,
            host: None,
            path: "/".to_owned(),
            least_status: 200,
            most_status: 399,
            contains: None,
        },
        seconds: 1,
        steady_seconds,
    }
}

#[test]
fn a_page_that_stays_wrong_takes_the_content_back_although_the_workers_of_before_answer_at_first() {
    let mut bed = Bed::with_programs();
    let address = web_server(&bed);
    let product = judged(&bed);
    let running = bed.dir.path().join("running").display().to_string();
    let config = bed.place("site").display().to_string();
    let with = |bed: &Bed, text: &str, steady: u32| {
        let mut state = linked(bed, "site", text, &product);
        for resource in &mut state.resources {
            if let Spec::Transaction(spec) = &mut resource.spec {
                spec.activate = check(&format!("cat {config} > {running}"));
                spec.health.push(asks(address, steady));
            }
        }
        state
    };
    let good = with(&bed, "good", 1);
    assert!(bed.accept(&good).is_good());
    let broken = with(&bed, "broken", 1);
    let outcome = bed.accept(&broken);
    let reason = failure(&outcome);
    assert!(
        reason.contains("stage health") && reason.contains("status 500, accepted is 200 to 399"),
        "{reason}"
    );
    assert_eq!(std::fs::read_to_string(&running).unwrap(), "good");
    assert_eq!(text(&bed, "site").as_deref(), Some("good"));
    let again = bed.look(&broken);
    assert_eq!(again.changed, 0, "it is not tried again: {again:?}");
    // Whoever comes meanwhile is answered by workers that know nothing of it.
    if let Probe::Http { question, .. } = asks(address, 0) {
        let page = crate::visit::visit(&question, Duration::from_secs(20));
        assert_eq!(page.unwrap().status, 200);
    }
    // What is asked for a moment alone believes the workers of before.
    let hasty = with(&bed, "broken", 0);
    assert!(bed.accept(&hasty).is_good());
}

/// A host on which a good site is in force, and another one whose page is asked for.
fn another(address: SocketAddr) -> (Bed, HostConfig) {
    let mut bed = Bed::with_programs();
    let product = judged(&bed);
    let good = linked(&bed, "site", "good", &product);
    assert!(bed.accept(&good).is_good());
    let other = linked(&bed, "site", "other", |spec| {
        product(spec);
        spec.health.push(asks(address, 0));
    });
    (bed, other)
}

/// Answers everybody with this status, after so long.
fn answers(listener: TcpListener, status: &'static str, after: Duration) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut heard = [0; 1024];
            let _ = stream.read(&mut heard);
            std::thread::sleep(after);
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

#[test]
fn silence_says_nothing_of_a_content_and_it_goes_live_once_there_are_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut bed, other) = another(address);
    // Whoever connects waits for an answer that does not come.
    let outcome = bed.accept(&other);
    let reason = failure(&outcome);
    assert!(
        reason.contains("is tried again") && reason.contains("nothing came within"),
        "{reason}"
    );
    assert_eq!(text(&bed, "site").as_deref(), Some("good"));
    drop(listener);
    let outcome = bed.look(&other);
    let reason = failure(&outcome);
    assert!(
        reason.contains("is tried again") && reason.contains("refused"),
        "{reason}"
    );
    assert_eq!(bed.standing().refused, None);
    assert_eq!(text(&bed, "site").as_deref(), Some("good"));
    answers(
        TcpListener::bind(address).unwrap(),
        "200 OK",
        Duration::ZERO,
    );
    assert!(bed.look(&other).is_good());
    assert_eq!(text(&bed, "site").as_deref(), Some("other"));
}

#[test]
fn a_wrong_page_that_takes_its_time_is_a_wrong_page_and_no_silence() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut bed, other) = another(address);
    // The last question of a second is cut off long before its answer.
    answers(listener, "500 Oh", Duration::from_millis(200));
    let outcome = bed.accept(&other);
    let reason = failure(&outcome);
    assert!(
        reason.contains("was refused at stage health") && reason.contains("status 500"),
        "{reason}"
    );
}
