//! Each limit on connections and messages, by a clock of its own.

use std::net::IpAddr;

use super::*;

/// A virtual MTA with these lines in its `<domain *>`.
fn limited(lines: &str) -> Config {
    config(&format!(
        "{VMTA}<domain *>\n{lines}\n</domain>\n</virtual-mta>"
    ))
}

fn with_mail(config: &Config, messages: u64) -> Queues {
    let mut queues = Queues::default();
    for id in 1..=messages {
        queues.enqueue(config, &mail(id, 1), 0);
    }
    queues
}

/// Connections as long as there are any to be had, and when to look again.
fn opened(queues: &mut Queues, config: &Config, now: i64) -> (Vec<IpAddr>, Option<i64>) {
    let mut all = Vec::new();
    loop {
        let (assigned, wake) = queues.assign(config, now);
        if assigned.is_empty() {
            return (all, wake);
        }
        all.extend(assigned.into_iter().filter_map(|one| one.source));
    }
}

fn count(config: &Config, now: i64) -> usize {
    opened(&mut with_mail(config, 9), config, now).0.len()
}

fn source() -> Option<IpAddr> {
    SOURCE.parse().ok()
}

#[test]
fn a_queue_has_so_many_connections_at_once() {
    let config = limited("max-smtp-out 3");
    let mut queues = with_mail(&config, 9);
    assert_eq!(
        opened(&mut queues, &config, 0),
        (vec![source().unwrap(); 3], None)
    );
    queues.closed(&key(), source());
    assert_eq!(opened(&mut queues, &config, 0).0.len(), 1);
}

#[test]
fn a_virtual_mta_and_the_whole_have_so_many_connections_too() {
    let of_vmta = config(&format!("{VMTA}max-smtp-out 2\n</virtual-mta>"));
    assert_eq!(count(&of_vmta, 0), 2);
    let of_all = config(&format!("total-max-smtp-out 4\n{VMTA}</virtual-mta>"));
    assert_eq!(count(&of_all, 0), 4);
}

#[test]
fn back_off_has_limits_of_its_own() {
    let config = limited(
        "max-smtp-out 5\nbackoff-max-smtp-out 1\nmax-msg-rate 100/m\nbackoff-max-msg-rate 1/m",
    );
    let mut queues = with_mail(&config, 3);
    let queue = queues.all.get_mut(&key()).unwrap();
    queue.set_mode(Mode::Backoff, 0);
    assert_eq!(opened(&mut queues, &config, 0).0.len(), 1);
    assert_eq!(take(&mut queues, &config, 0), Some(1));
    assert_eq!(take(&mut queues, &config, 0), None, "one a minute");
    queues.closed(&key(), source());
    assert_eq!(opened(&mut queues, &config, 0), (vec![], Some(60_001)));
    let queue = queues.all.get_mut(&key()).unwrap();
    queue.set_mode(Mode::Normal, 0);
    assert_eq!(take(&mut queues, &config, 0), Some(1), "as before");
}

#[test]
fn back_off_without_a_rate_of_its_own_keeps_the_ordinary_one() {
    let config = limited("max-msg-rate 1/m");
    let mut queues = with_mail(&config, 2);
    let queue = queues.all.get_mut(&key()).unwrap();
    queue.set_mode(Mode::Backoff, 0);
    assert_eq!(take(&mut queues, &config, 0), Some(1));
    assert_eq!(take(&mut queues, &config, 0), None);
}

#[test]
fn connections_have_a_rate() {
    let config = limited("max-connect-rate 2/m");
    let mut queues = with_mail(&config, 9);
    let (open, wake) = opened(&mut queues, &config, 0);
    assert_eq!((open.len(), wake), (2, Some(60_001)));
    assert_eq!(opened(&mut queues, &config, 60_001).0.len(), 2);
}

#[test]
fn bytes_have_a_rate_that_holds_on_an_open_connection_too() {
    for line in [
        "max-data-volume-rate 1k/m",
        "source-ip-max-data-volume-rate 127.0.0.2 1k/m",
    ] {
        let config = limited(line);
        let mut queues = with_mail(&config, 3);
        assert_eq!(take(&mut queues, &config, 0), Some(1));
        queues.transferred(&key(), source(), 1_024, 0);
        assert_eq!(take(&mut queues, &config, 0), None, "{line}");
        assert_eq!(
            opened(&mut queues, &config, 0),
            (vec![], Some(60_001)),
            "{line}"
        );
        assert_eq!(take(&mut queues, &config, 60_001), Some(1), "{line}");
    }
    let text = format!("{VMTA}max-smtp-data-volume-rate 1k/m\n</virtual-mta>");
    let of_vmta = config(&text);
    let mut queues = with_mail(&of_vmta, 3);
    queues.transferred(&key(), source(), 1_024, 0);
    assert_eq!(take(&mut queues, &of_vmta, 0), None);
    assert_eq!(opened(&mut queues, &of_vmta, 0), (vec![], Some(60_001)));
}

#[test]
fn one_address_has_a_rate_of_messages_and_the_other_goes_on() {
    let config = config(
        "<virtual-mta v>\nsmtp-source-host 127.0.0.2 v.example\nsmtp-source-host 127.0.0.3 w.example\n\
         <domain *>\nsource-ip-max-msg-rate 127.0.0.2 1/m\n</domain>\n</virtual-mta>",
    );
    let mut queues = with_mail(&config, 9);
    assert_eq!(take(&mut queues, &config, 0), Some(1));
    assert_eq!(take(&mut queues, &config, 0), None, "its minute is used up");
    let (open, _) = opened(&mut queues, &config, 0);
    let other: IpAddr = "127.0.0.3".parse().unwrap();
    assert!(
        !open.is_empty() && open.iter().all(|one| *one == other),
        "{open:?}"
    );
    queues.closed(&key(), Some(other));
    let later = opened(&mut queues, &config, 60_001).0;
    assert_eq!(later, [source().unwrap()], "its minute is over");
}

#[test]
fn one_address_has_a_rate_of_connections() {
    let config = limited("source-ip-max-connect-rate 127.0.0.0/8 1/m");
    let mut queues = with_mail(&config, 9);
    let (open, wake) = opened(&mut queues, &config, 0);
    assert_eq!((open.len(), wake), (1, Some(60_001)));
    let config = limited("source-ip-max-connect-rate 192.0.2.1 1/m");
    assert_eq!(count(&config, 0), 9, "another address is not meant");
}

#[test]
fn one_address_has_so_many_connections_to_a_domain_whichever_virtual_mta_has_them() {
    let two = "<virtual-mta v>\nsmtp-source-host 127.0.0.2 v.example\n</virtual-mta>\n\
               <virtual-mta w>\nsmtp-source-host 127.0.0.2 v.example\n</virtual-mta>\n";
    for line in [
        "source-ip-max-smtp-out 127.0.0.2 2",
        "max-smtp-out-per-source-ip 2",
    ] {
        let config = config(&format!("{two}<domain *>\n{line}\n</domain>"));
        let mut queues = with_mail(&config, 3);
        for id in 11..=13 {
            let mut other = (*mail(id, 1)).clone();
            "w".clone_into(&mut other.vmta);
            queues.enqueue(&config, &Arc::new(other), 0);
        }
        assert_eq!(opened(&mut queues, &config, 0).0.len(), 2, "{line}");
        queues.closed(&key(), source());
        assert_eq!(opened(&mut queues, &config, 0).0.len(), 1, "{line}");
    }
    let config = limited("max-smtp-out-per-source-ip 1\nsource-ip-max-smtp-out 127.0.0.2 4");
    assert_eq!(count(&config, 0), 4, "the deprecated line gives way");
}

#[test]
fn connections_are_opened_one_after_the_other() {
    let config = limited("smtp-out-rampup-interval 5s");
    let mut queues = with_mail(&config, 9);
    let (open, wake) = opened(&mut queues, &config, 0);
    assert_eq!((open.len(), wake), (1, Some(5_000)));
    assert_eq!(opened(&mut queues, &config, 4_999).0.len(), 0);
    assert_eq!(opened(&mut queues, &config, 5_000).0.len(), 1);
}

#[test]
fn a_transaction_has_so_many_recipients_under_either_name() {
    for name in ["max-rcpt-per-message", "max-rcpt-per-transaction"] {
        let config = limited(&format!("{name} 2"));
        let mut queues = Queues::default();
        queues.enqueue(&config, &mail(1, 5), 0);
        let taken = [(); 4].map(|()| take(&mut queues, &config, 0));
        assert_eq!(taken, [Some(2), Some(2), Some(1), None], "{name}");
    }
}

#[test]
fn a_queue_that_is_held_waits_for_its_time_or_for_a_release() {
    let config = limited("");
    let mut queues = with_mail(&config, 1);
    queues.hold(&key(), "full", 700);
    assert_eq!(opened(&mut queues, &config, 0), (vec![], Some(700)));
    queues.release();
    assert_eq!(opened(&mut queues, &config, 0).0.len(), 1);
}

#[test]
fn new_mail_wakes_a_deferred_queue_only_when_said() {
    for (line, wakes) in [
        ("retry-upon-new-mail no", false),
        ("retry-upon-new-mail yes", true),
    ] {
        let config = limited(line);
        let mut queues = with_mail(&config, 1);
        queues.defer(&config, &key(), "no answer", 0);
        queues.enqueue(&config, &mail(2, 1), 0);
        let open = opened(&mut queues, &config, 0).0;
        assert_eq!(!open.is_empty(), wakes, "{line}");
    }
}
