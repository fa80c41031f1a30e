//! Shapes of earlier configurations that once lost rules without a word.

use super::super::model::Provider;
use super::*;
use crate::powermta::providers::ordinary::BROAD;
use crate::powermta::syntax::{Resolve, SourceLimits};

/// Has one file; another cannot be read.
struct Folder;

impl Resolve for Folder {
    fn resolve(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        match path {
            "/there" => Ok(vec![(path.to_owned(), "log-rotate 3\n".to_owned())]),
            "/none/*" => Ok(Vec::new()),
            _ => Err("no such file".to_owned()),
        }
    }
}

fn taken(text: &str) -> Imported {
    let sources = Sources::gather("config", text, &Folder, SourceLimits::default()).unwrap();
    import(&sources, Version::V5_0, "config", "2026-11-21")
}

fn told(imported: &Imported) -> Vec<String> {
    let line = |note: &Note| {
        let code = note.code.map(|code| format!(" {code}")).unwrap_or_default();
        let Note {
            line,
            verdict,
            what,
            why,
            ..
        } = note;
        format!("{line} {verdict:?} {what}: {why}{code}")
    };
    imported.notes.iter().map(line).collect()
}

fn provider<'i>(imported: &'i Imported, name: &str) -> &'i Provider {
    let mut providers = imported.base.providers.iter();
    let found = providers.find(|provider| provider.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", imported.base.providers))
}

#[test]
fn an_include_that_was_not_read_is_told_wherever_it_stands() {
    let notes = told(&taken(
        "include /there\ninclude /none/*\ninclude /lost\ninclude web\n\
         <smtp-pattern-list l>\ninclude /lost\n</smtp-pattern-list>\n\
         <domain a.example.com>\nmax-smtp-out 1\ninclude /lost\n</domain>\n\
         <domain b.example.com>\nqueue-to a.example.com\ninclude /lost\n</domain>\n",
    ));
    let includes = notes.iter().filter(|note| note.contains("include:"));
    let includes: Vec<_> = includes.map(String::as_str).collect();
    let relative = "4 Dropped include: where a relative path begins is documented nowhere PM017";
    assert_eq!(
        includes,
        [
            "2 Dropped include: its wildcards match no file PM019",
            "3 Dropped include: no such file PM018",
            relative,
            "6 Dropped include: no such file PM018",
            "10 Dropped include: no such file PM018",
            "14 Dropped include: no such file PM018",
        ]
    );
}

#[test]
fn a_section_of_which_nothing_is_left_takes_no_domain() {
    let imported = taken("<domain gmail.com>\n  use-starttls yes\n</domain>\n");
    assert_eq!(imported.base.providers, []);
    let first = &told(&imported)[0];
    let wanted = "1 Dropped <domain>: nothing of it is left that everyone's rules do not say";
    assert!(first.starts_with(wanted), "{first}");
}

#[test]
fn a_domain_that_is_led_to_a_queue_has_the_limits_of_the_queue() {
    let imported = taken(
        "<smtp-pattern-list l>\nreply /RP-001/ mode=normal\n</smtp-pattern-list>\n\
         <domain gmail.com>\nqueue-to \"Fast.queue\"\nmax-smtp-out 1\n</domain>\n\
         <domain fast.queue>\nsmtp-hosts lookup-mx:gmail.com\nmax-smtp-out 9\n\
         smtp-pattern-list l\n</domain>\n<domain c.example.com>\nqueue-to other.queue\n\
         max-smtp-out 2\n</domain>\n",
    );
    let fast = provider(&imported, "fast_queue");
    assert_eq!(fast.domains, ["gmail.com"]);
    assert_eq!(fast.settings["max-smtp-out"], "9");
    assert_eq!(fast.replies[0].pattern, "RP-001");
    // Without a section for the queue the domain keeps what it says itself.
    let kept = provider(&imported, "c_example_com");
    assert_eq!(kept.settings["max-smtp-out"], "2");
    let notes = told(&imported).join("\n");
    for wanted in [
        "5 Changed queue-to fast.queue: the mail waits in that queue",
        "6 Dropped max-smtp-out: the limits of the queue hold",
        "8 Taken <domain> as provider fast_queue",
        "14 Dropped queue-to: no section says how fast that queue goes",
    ] {
        assert!(notes.contains(wanted), "{wanted} in\n{notes}");
    }
}

#[test]
fn what_a_log_holds_of_a_receiver_is_taken() {
    let imported = taken("<domain gmail.com>\nlog-commands yes\nlog-tls no\n</domain>\n");
    let gmail = provider(&imported, "gmail_com");
    assert_eq!(gmail.settings["log-commands"], "yes");
    assert_eq!(gmail.settings["log-tls"], "no");
    let notes = told(&taken("mx-connection-limit mx.example.com 5\n"));
    let wanted = "1 Dropped mx-connection-limit: a base limits receivers and the queues that";
    assert!(notes[0].starts_with(wanted), "{notes:?}");
}

#[test]
fn a_reply_that_never_acts_is_told_though_it_is_taken() {
    let notes = told(&taken(
        "<smtp-pattern-list l>\nreply /RP-/ mode=normal\nreply /RP-00[1-3]/ mode=backoff\n\
         </smtp-pattern-list>\n",
    ));
    assert_eq!(
        notes,
        [
            "2 Taken reply /RP-/ mode=normal: ",
            "3 Taken reply /RP-00[1-3]/ mode=backoff:  PM404",
        ]
    );
}

#[test]
fn a_reply_that_would_take_what_says_nothing_of_the_sender_is_dropped() {
    for broad in BROAD {
        for action in ["mode=backoff", "defer-queue", "bounce-queue"] {
            let line = format!("reply /{broad}/ {action}");
            let text = format!("<smtp-pattern-list l>\n{line}\n</smtp-pattern-list>\n");
            let notes = told(&taken(&text));
            let wanted = format!("2 Dropped reply /{broad}/: it also takes ");
            assert!(notes[0].starts_with(&wanted), "{notes:?}");
            assert!(notes[0].ends_with("PM405"), "{notes:?}");
        }
    }
    let text = "<smtp-pattern-list l>\nreply /mailbox full/ bounce-rcpt\n</smtp-pattern-list>\n";
    assert!(told(&taken(text))[0].starts_with("2 Taken"));
}
