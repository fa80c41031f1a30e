//! Limits on connections, as a receiver sees them.

use std::sync::{Arc, Condvar, Mutex};

use crate::bed::{Bed, wait_for};

const OPEN: &str = "\
<virtual-mta a>
smtp-source-host 127.0.2.1 a.example
</virtual-mta>
<source 127.0.0.1>
always-allow-relaying yes
suppress-local-dsn true
default-virtual-mta a
</source>
TOP
<domain *>
default-smtp-port SINK
LINES
</domain>
";

fn bed(top: &str, lines: &str) -> Bed {
    Bed::started(&OPEN.replace("TOP", top).replace("LINES", lines))
}

#[test]
fn a_connection_carries_so_many_messages() {
    let bed = bed("", "max-smtp-out 1\nmax-msg-per-connection 2");
    bed.pmta(&["pause", "queue", "rcpt.example/a"]);
    for n in 0..5 {
        bed.submit("a@x.example", &format!("to{n}@rcpt.example"), &[]);
    }
    bed.pmta(&["resume", "queue", "rcpt.example/a"]);
    bed.rows_when("d", 5);
    assert_eq!(bed.sink.connections(), 3);
    assert_eq!(bed.sink.most_at_once(), 1);
}

#[test]
fn a_connection_that_saw_too_many_recipients_refused_is_broken() {
    let bed = bed("", "max-errors-per-connection 2");
    bed.sink.answer(|line| {
        line.contains("<bad")
            .then(|| "550 5.1.1 unknown".to_owned())
    });
    let text = "From: <a@x.example>\r\n\r\nhi\r\n.";
    let answers = bed.say(&[
        "EHLO f.example",
        "MAIL FROM:<a@x.example>",
        "RCPT TO:<good1@rcpt.example>",
        "RCPT TO:<bad1@rcpt.example>",
        "RCPT TO:<bad2@rcpt.example>",
        "RCPT TO:<good2@rcpt.example>",
        "DATA",
        text,
    ]);
    assert!(answers[8].starts_with("250 "), "{answers:?}");
    assert_eq!(
        bed.rows_when("d", 2).len(),
        2,
        "those who are left go later"
    );
    assert_eq!(bed.rows("b").len(), 2);
    assert_eq!(bed.rows("t").len(), 0, "nothing is wrong with them");
    assert_eq!(bed.sink.connections(), 2);
    assert_eq!(bed.sink.mails().len(), 1);
}

/// Closed until somebody opens it.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let (open, changed) = &*self.0;
        drop(
            changed
                .wait_while(open.lock().unwrap(), |open| !*open)
                .unwrap(),
        );
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

#[test]
fn one_host_has_so_many_connections_whatever_the_domain() {
    for line in [
        "mx-connection-limit *.rcpt.example 1",
        "ip-connection-limit 127.0.1.0/24 1",
    ] {
        let bed = bed(line, "");
        bed.zone.exchanger("other.example", 10, "mx.rcpt.example");
        let gate = Gate::default();
        let passed = gate.clone();
        bed.sink.answer(move |line| {
            if line.starts_with("MAIL") {
                passed.pass();
            }
            None
        });
        bed.submit("a@x.example", "to@rcpt.example", &[]);
        wait_for("the first is connected", || {
            (bed.sink.connections() == 1).then_some(())
        });
        bed.submit("a@x.example", "to@other.example", &[]);
        wait_for("the second is told to wait", || {
            let shown = bed.json(&["show", "queues", "other.example/a"]);
            let error = shown["queue"][0]["lastError"].as_str()?.to_owned();
            error.contains("limit").then_some(())
        });
        gate.open();
        bed.rows_when("d", 2);
        assert_eq!(bed.sink.most_at_once(), 1, "{line}");
        assert_eq!(bed.rows("tq").len(), 0, "{line}: the queue is not at fault");
    }
}

#[test]
fn another_host_takes_what_the_best_one_has_no_room_for() {
    let bed = bed("mx-connection-limit mx.rcpt.example 0", "");
    let second = bed.second_sink();
    bed.zone
        .host("second.far.example", &second.address.ip().to_string());
    bed.zone.exchanger("rcpt.example", 20, "second.far.example");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    bed.rows_when("d", 1);
    assert_eq!((bed.sink.connections(), second.mails().len()), (0, 1));
}
