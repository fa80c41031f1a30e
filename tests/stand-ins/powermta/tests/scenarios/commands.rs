//! What `pmta` answers, and what it does at once.

use std::fs;

use crate::bed::{Bed, wait_for};

const PLAIN: &str = "\
<virtual-mta a>
smtp-source-host 127.0.2.1 a.example
max-smtp-msg-rate 100/h
</virtual-mta>
<source 127.0.0.1>
always-allow-relaying yes
process-x-job yes
default-virtual-mta a
</source>
<domain *>
default-smtp-port SINK
bounce-after 2d
</domain>
";

#[test]
fn status_and_version_have_the_roots_of_the_guide() {
    let bed = Bed::started(PLAIN);
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    bed.rows_when("d", 1);
    let status = bed.json(&["show", "status"]);
    assert_eq!(status["mta"]["product"]["version"], "5.0r1");
    assert_eq!(status["status"]["status"], "running");
    assert_eq!(status["status"]["traffic"]["total"]["in"]["rcp"], 1);
    assert_eq!(status["status"]["traffic"]["lastMin"]["out"]["msg"], 1);
    assert_eq!(status["status"]["spool"]["totalRcp"], 0);
    let xml = bed.pmta(&["--xml", "show", "status"]).out;
    assert!(
        xml.starts_with("<rsp><data>") && xml.trim_end().ends_with("<succ/></rsp>"),
        "{xml}"
    );
    let dom = bed.pmta(&["--dom", "show", "status"]).out;
    assert!(dom.contains("status.traffic.total.in.rcp=\"1\"\n"), "{dom}");
    let version = bed.pmta(&["show", "ver"]).out;
    assert!(version.starts_with("PowerMTA v5.0r1 ("), "{version}");
    fs::write(bed.path("license"), "product: PowerMTA\nserial: 1\n").unwrap();
    assert_eq!(bed.json(&["show", "license"])["license"]["serial"], "1");
}

#[test]
fn a_paused_queue_holds_its_mail_until_it_is_resumed() {
    let bed = Bed::started(PLAIN);
    assert_eq!(
        bed.pmta(&["pause", "queue", "rcpt.example/a"]).out,
        "Queue(s) paused.\n"
    );
    bed.submit("a@x.example", "to@rcpt.example", &["X-Job: campaign"]);
    bed.submit("a@x.example", "to2@rcpt.example", &[]);
    let shown = bed.json(&["show", "queues", "--paused=yes"]);
    assert_eq!(shown["queue"][0]["name"], "rcpt.example/a");
    assert_eq!(shown["queue"][0]["rcp"], 2);
    assert_eq!(bed.json(&["show", "jobs"])["job"][0]["id"], "campaign");
    let listed = bed.json(&["list", "--queue=rcpt.example/*", "--rcpt=to2@rcpt.example"]);
    assert_eq!(listed["rcpt"].as_array().unwrap().len(), 1);
    assert_eq!(bed.sink.connections(), 0);

    let refused = bed.pmta(&["delete", "--rcpt=to2@rcpt.example"]);
    assert!(!refused.succeeded, "which queue has to be said");
    assert!(
        bed.pmta(&["delete", "--queue=*/*", "--rcpt=to2@rcpt.example"])
            .succeeded
    );
    assert_eq!(
        bed.rows_when("b", 1)[0]["dsnDiag"],
        "smtp;deleted by administrator"
    );

    assert_eq!(
        bed.pmta(&["resume", "queue", "*/a"]).out,
        "Queue(s) resumed.\n"
    );
    let row = bed.rows_when("d", 1).remove(0);
    assert_eq!(
        (row["rcpt"].as_str(), row["jobId"].as_str()),
        ("to@rcpt.example", "campaign")
    );
}

#[test]
fn settings_and_virtual_mtas_are_shown_as_they_are_in_force() {
    let bed = Bed::started(&PLAIN.replace(
        "bounce-after 2d",
        "bounce-after 2d\nmax-rcpt-per-transaction 7",
    ));
    let settings = bed.json(&["show", "settings", "rcpt.example/a"]);
    assert_eq!(settings["queueSettings"]["bounce-after"], "2d");
    assert_eq!(settings["queueSettings"]["max-smtp-out"], "20");
    // One is an alias of the other.
    assert_eq!(settings["queueSettings"]["max-rcpt-per-transaction"], "7");
    assert_eq!(settings["queueSettings"]["max-rcpt-per-message"], "7");
    assert_eq!(
        settings["queueSettings"]["backoff-to-normal-after"],
        "never"
    );
    assert_eq!(settings["vmtaSettings"]["max-smtp-msg-rate"], "100/h");
    let vmtas = bed.json(&["show", "vmtas"]);
    assert_eq!(vmtas["vmta"][0]["name"], "a");
    assert!(
        !bed.pmta(&["show", "settings", "rcpt.example/none"])
            .succeeded
    );
    for wrong in [
        &["show"][..],
        &["restart"],
        &["status"],
        &["show", "status", "--fast"],
    ] {
        assert!(!bed.pmta(wrong).succeeded, "{wrong:?}");
    }
}

#[test]
fn a_rotated_accounting_file_gets_the_next_number_and_its_own_header() {
    let bed = Bed::started(PLAIN);
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    bed.rows_when("d", 1);
    assert_eq!(
        bed.pmta(&["rotate", "acct"]).out,
        "Accounting file rotated.\n"
    );
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    bed.rows_when("d", 2);
    let files = bed.accounting_files();
    let names: Vec<_> = files
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names[0].starts_with("acct-") && names[0].ends_with("-0000.csv"),
        "{names:?}"
    );
    assert!(names[1].ends_with("-0001.csv"), "{names:?}");
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let header = text.lines().next().unwrap();
        assert!(
            header.starts_with("type,timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,"),
            "{header}"
        );
        assert!(text.ends_with("\r\n"), "lines end as RFC 4180 says");
    }
}

#[test]
fn a_rate_of_the_virtual_mta_holds_back_the_rest() {
    let bed = Bed::started(&PLAIN.replace("100/h", "1/h"));
    for n in 0..3 {
        bed.submit("a@x.example", &format!("to{n}@rcpt.example"), &[]);
    }
    bed.rows_when("d", 1);
    wait_for("two wait", || {
        let shown = bed.json(&["show", "queues", "rcpt.example/a"]);
        let idle = shown["queue"][0]["conn"] == 0 && shown["queue"][0]["rcp"] == 2;
        idle.then_some(())
    });
    assert_eq!(bed.sink.mails().len(), 1);
}

/// A command, what it says, and what is so afterwards.
type Case = (&'static [&'static str], &'static str, fn(&Bed) -> bool);

/// One after the other, on a queue whose recipient waits and one whose host is dead.
const CASES: &[Case] = &[
    (&["show", "domains"], "2 of 2 domains shown.", |bed| {
        let shown = bed.json(&["show", "domains"]);
        shown["domain"][1]["name"] == "rcpt.example" && shown["domain"][1]["rcp"] == 1
    }),
    (&["show", "topdomains"], "2 of 2 domains shown.", |bed| {
        bed.json(&["show", "topdomains", "rcpt.*"])["domain"][0]["name"] == "rcpt.example"
    }),
    (&["show", "topqueues"], "2 of 2 matching queues.", |bed| {
        bed.json(&["show", "topqueues", "--maxitems=1"])["queue"][0]["name"] == "dead.example/a"
    }),
    (&["show", "precache"], "0 domains precached.", |_| true),
    (
        &["show", "registration"],
        "Not registered with PowerMTA Management Console.",
        |bed| bed.json(&["show", "registration"])["registered"] == false,
    ),
    (
        &["set", "queue", "--mode=backoff", "rcpt.example/a"],
        "Queue mode set.",
        |bed| mode(bed) == "backoff",
    ),
    (
        &["set", "queue", "--mode=normal", "rcpt.example/a"],
        "Queue mode set.",
        |bed| mode(bed) == "normal",
    ),
    (
        &["schedule", "dead.example/a"],
        "1 of 2 matching queues scheduled.",
        |bed| bed.rows("tq").len() == 2,
    ),
    (
        &["schedule", "--retry-recipients", "rcpt.example/a"],
        "1 of 2 matching queues scheduled.",
        |bed| bed.rows("t").len() == 2,
    ),
    (
        &["clear", "dnscache", "rcpt.example"],
        "Cleared rcpt.example from DNS cache.",
        |_| true,
    ),
    (&["reset", "counters"], "Traffic counters reset.", |bed| {
        bed.json(&["show", "status"])["status"]["traffic"]["total"]["in"]["rcp"] == 0
    }),
    (&["rotate", "log"], "Logging file rotated.", |bed| {
        let present = fs::read_to_string(bed.path("log/pmta.log")).unwrap();
        let before = fs::read_to_string(bed.path("log/pmta.log.1")).unwrap();
        before.contains("starting") && !present.contains("starting")
    }),
    (&["rotate", "log"], "Logging file rotated.", |bed| {
        // `log-rotate 2` counts the present one.
        let before = fs::read_to_string(bed.path("log/pmta.log.1")).unwrap();
        !before.contains("starting") && !bed.path("log/pmta.log.2").exists()
    }),
];

fn mode(bed: &Bed) -> serde_json::Value {
    bed.json(&["show", "queues", "rcpt.example/a"])["queue"][0]["mode"].clone()
}

#[test]
fn each_command_says_and_does_what_the_guide_has() {
    let bed = Bed::started(&format!("{PLAIN}log-rotate 2\n"));
    bed.zone.exchanger("dead.example", 10, "dead.rcpt.example");
    bed.zone.host("dead.rcpt.example", "127.0.1.9");
    bed.sink.answer(|line| {
        line.starts_with("RCPT")
            .then(|| "451 4.2.0 later".to_owned())
    });
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    bed.submit("a@x.example", "to@dead.example", &[]);
    bed.rows_when("t", 1);
    bed.rows_when("tq", 1);
    for (words, says, effect) in CASES {
        let said = bed.pmta(words);
        assert!(said.succeeded, "{words:?}: {said:?}");
        let last = said.out.lines().last().unwrap();
        assert_eq!(last, *says, "{words:?}");
        wait_for(&format!("{words:?} has its effect"), || {
            effect(&bed).then_some(())
        });
    }
    for console in [
        &["register", "console.example"][..],
        &["deregister", "--local-only"],
    ] {
        let said = bed.pmta(console);
        assert!(!said.succeeded && said.error.contains("has no"), "{said:?}");
    }
}

#[test]
fn mail_of_a_paused_job_waits_and_other_mail_does_not() {
    let bed = Bed::started(PLAIN);
    assert_eq!(bed.pmta(&["pause", "job", "campaign"]).out, "paused job.\n");
    bed.submit("a@x.example", "to@rcpt.example", &["X-Job: campaign"]);
    bed.submit("a@x.example", "to2@rcpt.example", &[]);
    assert_eq!(bed.rows_when("d", 1)[0]["rcpt"], "to2@rcpt.example");
    let job = &bed.json(&["show", "jobs"])["job"][0];
    assert_eq!(
        (&job["id"], &job["paused"]),
        (&"campaign".into(), &true.into())
    );
    assert_eq!(
        bed.pmta(&["resume", "job", "campaign"]).out,
        "resumed job.\n"
    );
    let rows = bed.rows_when("d", 2);
    assert!(
        rows.iter().any(|row| row["jobId"] == "campaign"),
        "{rows:?}"
    );
}

#[test]
fn who_was_given_priority_goes_first() {
    let bed = Bed::started(&PLAIN.replace("bounce-after 2d", "max-smtp-out 1"));
    bed.pmta(&["pause", "queue", "rcpt.example/a"]);
    for n in 0..3 {
        bed.submit("a@x.example", &format!("to{n}@rcpt.example"), &[]);
    }
    let set = bed.pmta(&["set", "priority", "--rcpt=to2@rcpt.example", "100"]);
    assert_eq!(set.out, "Priority of 1 recipient(s) set.\n");
    assert!(!bed.pmta(&["set", "priority", "101"]).succeeded);
    bed.pmta(&["resume", "queue", "rcpt.example/a"]);
    bed.rows_when("d", 3);
    let order: Vec<_> = bed
        .sink
        .mails()
        .into_iter()
        .flat_map(|mail| mail.to)
        .collect();
    assert_eq!(
        order,
        ["to2@rcpt.example", "to0@rcpt.example", "to1@rcpt.example"]
    );
}
