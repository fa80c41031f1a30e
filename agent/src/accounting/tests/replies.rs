//! Replies that name lists are told with the stretch that they stand in: once, whoever dies.

use std::net::IpAddr;

use email_engine_protocol::id::ListId;
use email_engine_protocol::limits;

use super::{Bed, FIRST, HEADER_OF_REPLIES, answered, next, replied};

const ZEN: &str = "smtp;550 5.7.1 blocked using zen.spamhaus.org";

fn told(bed: &Bed, vmta: u8, list: &str) -> u64 {
    let key = (IpAddr::from([192, 0, 2, vmta]), list.to_owned());
    bed.cluster.replies.get(&key).copied().unwrap_or_default()
}

#[test]
fn refusals_deferrals_and_returns_that_name_a_list_are_told_and_deliveries_are_not() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    let deferred = replied("t", 1, "smtp;421 psbl.surriel.com says no");
    bed.append(
        FIRST,
        &[
            HEADER_OF_REPLIES,
            &replied("b", 1, ZEN),
            // One message, put off twice: two replies of one deferral.
            &deferred,
            &deferred,
            &replied("d", 1, ZEN),
            &replied("b", 2, ZEN),
            &replied("b", 1, "smtp;550 5.1.1 no such user"),
            // Another file counts these.
            &replied("rb", 1, ZEN),
            // Nobody's here.
            &replied("b", 9, ZEN),
        ]
        .concat(),
    );
    let feedback = "feedback-2026-11-21-0000.csv";
    let returned = replied("rb", 3, ZEN);
    bed.append(feedback, &(HEADER_OF_REPLIES.to_owned() + &returned));
    bed.read(&mut books);
    assert_eq!(told(&bed, 1, "spamhaus-zen"), 1);
    assert_eq!(told(&bed, 1, "psbl"), 2);
    assert_eq!(told(&bed, 2, "spamhaus-zen"), 1);
    assert_eq!(told(&bed, 3, "spamhaus-zen"), 1);
    assert_eq!(bed.cluster.replies.len(), 4);
    assert_eq!(
        (bed.cluster.total().deferred, bed.cluster.delivered()),
        (1, 1)
    );
}

#[test]
fn lives_that_end_and_batches_that_come_to_nothing_tell_no_reply_twice() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.append(
        FIRST,
        &(HEADER_OF_REPLIES.to_owned() + &replied("b", 1, ZEN)),
    );
    for round in 0..6 {
        bed.append(FIRST, &replied("b", 1, ZEN));
        bed.step(&mut books);
        let batch = next(&mut books).unwrap();
        match round % 3 {
            // It never arrives.
            0 => books = bed.life(),
            // It is counted, and the answer is lost.
            1 => {
                bed.cluster.take(&batch);
                books = bed.life();
            }
            _ => answered(&mut books, bed.cluster.refuse(&batch)),
        }
    }
    bed.read(&mut books);
    assert_eq!(told(&bed, 1, "spamhaus-zen"), 7);
}

#[test]
fn what_has_no_room_is_told_with_the_next_stretch() {
    let mut bed = Bed::new();
    // More pairs of identity and list than one stretch tells.
    let one = bed.spec.lists[0].clone();
    let lists = limits::REPLY_ROWS / 2;
    bed.spec.lists = (0..lists)
        .map(|at| {
            let mut list = one.clone();
            list.list = ListId::new(format!("list-{at}")).unwrap();
            list.names = vec![format!("list-{at}.example.org")];
            list
        })
        .collect();
    let mut books = bed.life();
    bed.append(FIRST, HEADER_OF_REPLIES);
    for at in 0..lists {
        for vmta in [1, 2, 3] {
            let reply = format!("550 list-{at}.example.org");
            bed.append(FIRST, &replied("b", vmta, &reply));
        }
    }
    bed.read(&mut books);
    assert_eq!(bed.cluster.replies.len(), 3 * lists);
    assert!(bed.cluster.replies.values().all(|count| *count == 1));
    assert_eq!(bed.cluster.total().sent, 3 * lists as u64);
}
