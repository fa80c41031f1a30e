//! Whatever goes wrong, nobody is listed or clean by it.

use hickory_proto::op::{Message, ResponseCode};

use super::world::{Question, Replies, fastrand, sweep};
use super::{addresses, is_listed, lists};
use crate::dnsbl::sweep::{Findings, Found};
use crate::dnsbl::verdict::{Verdict, Why};

const MILLI: u64 = 1_000;

fn right(question: &Question) -> Replies {
    vec![(5 * MILLI, question.right())]
}

fn assert_right(findings: &Findings) {
    assert!(findings.health().is_healthy(), "{findings:?}");
    for Found {
        subject,
        verdict,
        reason,
    } in &findings.found
    {
        match verdict {
            Verdict::Listed(_) => {
                assert!(is_listed(subject), "{subject}");
                assert_eq!(reason.as_deref(), Some("sent spam"), "{subject}");
            }
            Verdict::Clean => assert!(!is_listed(subject), "{subject}"),
            Verdict::Unknown(why) => panic!("{subject}: {why}"),
        }
    }
}

fn unknowns(findings: &Findings) -> usize {
    let unknown = |found: &&Found| matches!(found.verdict, Verdict::Unknown(_));
    findings.found.iter().filter(unknown).count()
}

#[test]
fn lists_that_work_are_read_right_with_their_words() {
    let registry = lists(&[("one", 64, None), ("two", 8, None), ("three", 1, None)]);
    let subjects = addresses(1_000);
    let run = sweep(&registry, &subjects, &mut right);
    assert_eq!(run.findings.len(), 3);
    for findings in &run.findings {
        assert_right(findings);
        assert_eq!((findings.found.len(), findings.repeated), (1_000, 0));
        // Both test points twice, each address once, each listed one for its words.
        assert_eq!(findings.asked, 4 + 1_000 + 20);
    }
    assert_eq!(run.foreign, 0);
}

#[test]
fn packets_that_are_lost_or_doubled_change_nothing() {
    let registry = lists(&[("one", 64, None)]);
    let subjects = addresses(2_000);
    let mut random = fastrand(3);
    let mut lossy = |question: &Question| match random() {
        0..=12 => vec![],
        13..=40 => vec![
            (9 * MILLI, question.right()),
            (700 * MILLI, question.right()),
        ],
        _ => vec![(9 * MILLI, question.right())],
    };
    let run = sweep(&registry, &subjects, &mut lossy);
    assert_right(&run.findings[0]);
    assert!(
        run.findings[0].repeated > 50,
        "{}",
        run.findings[0].repeated
    );
    assert!(
        run.foreign > 100,
        "doubles are nobody's answers: {}",
        run.foreign
    );
}

#[test]
fn a_question_that_was_lost_goes_by_another_port() {
    let registry = lists(&[("one", 64, None)]);
    let subjects = addresses(300);
    let mut seen = std::collections::BTreeMap::new();
    let mut world = |question: &Question| {
        let name = (question.name().to_lowercase(), question.is_text);
        match seen.insert(name, question.socket) {
            // Test points are asked twice.
            None => vec![],
            Some(before) if question.address.is_some_and(|one| one.octets()[0] != 127) => {
                assert_ne!(before, question.socket);
                right(question)
            }
            Some(_) => right(question),
        }
    };
    let run = sweep(&registry, &subjects, &mut world);
    assert_right(&run.findings[0]);
    assert_eq!(run.findings[0].repeated, 2 + 300 + 6);
}

/// Longer than any answer is waited for: what comes of the first question counts as long as it is open.
#[test]
fn answers_after_their_time_are_read() {
    let registry = lists(&[("one", 64, None)]);
    let subjects = addresses(300);
    let mut world = |question: &Question| {
        let is_point = question.address.is_some_and(|one| one.octets()[0] == 127);
        let delay = if is_point { 5 } else { 5_000 };
        vec![(delay * MILLI, question.right())]
    };
    let run = sweep(&registry, &subjects, &mut world);
    assert_right(&run.findings[0]);
}

/// The same name is asked at both ends: what was said at the first is nothing at the last.
#[test]
fn a_late_answer_of_the_first_test_is_none_of_the_last() {
    let registry = lists(&[("one", 64, None)]);
    let subjects = addresses(60);
    let mut points = 0;
    let mut world = |question: &Question| {
        let is_point = question.address.is_some_and(|one| one.octets()[0] == 127);
        points += u32::from(is_point);
        match points {
            _ if !is_point => right(question),
            // The first two come late, those that are asked again at once; the last ones never.
            1 | 2 => vec![(2_000 * MILLI, question.right())],
            3 | 4 => right(question),
            _ => vec![],
        }
    };
    let run = sweep(&registry, &subjects, &mut world);
    let findings = &run.findings[0];
    assert!(findings.before.is_healthy() && !findings.after.is_healthy());
    assert_eq!(unknowns(findings), 60);
}

/// Every way in which a whole list may be wrong: each makes every verdict unknown.
#[test]
fn a_list_that_is_wrong_says_nothing_of_anybody() {
    type Server = fn(&Question) -> Replies;
    let worlds: [(&str, Server); 12] = [
        ("lists the world", |q| {
            vec![(1, q.addresses(&[[127, 0, 0, 2]]))]
        }),
        ("lists nobody", |q| {
            vec![(1, q.code(ResponseCode::NXDomain))]
        }),
        ("parked", |q| vec![(1, q.addresses(&[[192, 0, 2, 80]]))]),
        ("public resolver", |q| {
            vec![(1, q.addresses(&[[127, 255, 255, 254]]))]
        }),
        ("mistyped", |q| {
            vec![(1, q.addresses(&[[127, 255, 255, 252]]))]
        }),
        ("too many", |q| {
            vec![(1, q.addresses(&[[127, 255, 255, 255]]))]
        }),
        ("refused by code", |q| {
            vec![(1, q.addresses(&[[127, 0, 0, 1]]))]
        }),
        ("refused", |q| vec![(1, q.code(ResponseCode::Refused))]),
        ("server failure", |q| {
            vec![(1, q.code(ResponseCode::ServFail))]
        }),
        ("no data", |q| vec![(1, q.code(ResponseCode::NoError))]),
        ("silence", |_| vec![]),
        ("no such name is rewritten", |q| {
            let listed = q.is_listed();
            let page = || q.addresses(&[[198, 51, 100, 1]]);
            vec![(1, if listed { q.right() } else { page() })]
        }),
    ];
    let registry = lists(&[("one", 64, None)]);
    let subjects = addresses(100);
    for (what, mut server) in worlds {
        let run = sweep(&registry, &subjects, &mut server);
        let findings = &run.findings[0];
        assert!(!findings.health().is_healthy(), "{what}");
        assert_eq!(unknowns(findings), 100, "{what}: {:?}", findings.found[0]);
        // It was found out by test points alone: nobody was asked about.
        assert!(findings.asked <= 10, "{what}: {} questions", findings.asked);
    }
}

#[test]
fn a_list_that_goes_wrong_on_the_way_is_believed_nothing_it_said_before() {
    let registry = lists(&[("one", 16, None)]);
    let subjects = addresses(500);
    let mut seen = 0;
    let mut world = |question: &Question| {
        seen += 1;
        let listed = question.addresses(&[[127, 0, 0, 2]]);
        vec![(MILLI, if seen > 300 { listed } else { question.right() })]
    };
    let run = sweep(&registry, &subjects, &mut world);
    let findings = &run.findings[0];
    assert!(findings.before.is_healthy() && !findings.after.is_healthy());
    assert_eq!(unknowns(findings), 500);
    let why = &findings.found[0].verdict;
    assert!(
        matches!(why, Verdict::Unknown(Why::Unhealthy(why)) if why.contains("lists the world")),
        "{why:?}"
    );
}

#[test]
fn a_list_that_falls_silent_is_given_up_and_not_asked_for_hours() {
    let registry = lists(&[("one", 16, None)]);
    let subjects = addresses(10_000);
    let mut seen = 0;
    let mut world = |question: &Question| {
        seen += 1;
        if seen > 100 { vec![] } else { right(question) }
    };
    let run = sweep(&registry, &subjects, &mut world);
    let findings = &run.findings[0];
    assert_eq!(unknowns(findings), 10_000);
    assert!(findings.asked < 700, "{}", findings.asked);
    assert!(run.took < 90_000_000, "{}", run.took);
}

/// Each of them comes before the right answer, and in the second round instead of it.
#[test]
fn who_guesses_is_not_believed() {
    type Forge = fn(&Question) -> Vec<u8>;
    fn reply(question: &Question, change: fn(&mut Message)) -> Vec<u8> {
        let mut reply = Message::from_vec(&question.addresses(&[[127, 0, 0, 2]])).unwrap();
        change(&mut reply);
        reply.to_vec().unwrap()
    }
    let forged: [(&str, Forge); 7] = [
        ("other id", |q| {
            reply(q, |m| m.metadata.id = m.metadata.id.wrapping_add(1))
        }),
        ("other case", |q| {
            reply(q, |m| {
                let lower = m.queries[0].name.to_lowercase();
                // All small by chance is not another case.
                m.queries[0].name = if m.queries[0].name.eq_case(&lower) {
                    lower.prepend_label("X").unwrap()
                } else {
                    lower
                };
            })
        }),
        ("other name", |q| {
            reply(q, |m| {
                m.queries[0].name = m.queries[0].name.prepend_label("x").unwrap()
            })
        }),
        ("other type", |q| {
            reply(q, |m| {
                m.queries[0].query_type = hickory_proto::rr::RecordType::MX
            })
        }),
        ("no question", |q| reply(q, |m| m.queries.clear())),
        ("a question", |q| q.message.to_vec().unwrap()),
        ("rubbish", |q| {
            [&q.message.metadata.id.to_be_bytes()[..], &[0xff; 40]].concat()
        }),
    ];
    let registry = lists(&[("one", 16, None)]);
    let subjects = addresses(60);
    for (what, forge) in forged {
        let mut first =
            |question: &Question| vec![(MILLI, forge(question)), (2 * MILLI, question.right())];
        let ran = sweep(&registry, &subjects, &mut first);
        assert_right(&ran.findings[0]);
        // Ids are drawn at random: one that waits for something else is hit once in a while.
        assert!(ran.foreign >= 60, "{what}: {}", ran.foreign);
        let mut only = |question: &Question| {
            let is_point = question.address.is_some_and(|one| one.octets()[0] == 127);
            vec![(
                MILLI,
                if is_point {
                    question.right()
                } else {
                    forge(question)
                },
            )]
        };
        let ran = sweep(&registry, &subjects, &mut only);
        assert_eq!(unknowns(&ran.findings[0]), 60, "{what}");
    }
}

#[test]
fn an_answer_that_did_not_fit_is_asked_for_over_a_stream() {
    let registry = lists(&[("one", 16, None)]);
    let subjects = addresses(60);
    let mut times = std::collections::BTreeMap::<_, u32>::new();
    let mut world = |question: &Question| {
        let again = times
            .entry((question.name().to_lowercase(), question.is_text))
            .or_default();
        *again += 1;
        vec![(
            MILLI,
            if *again % 2 == 1 {
                question.truncated()
            } else {
                question.right()
            },
        )]
    };
    let run = sweep(&registry, &subjects, &mut world);
    assert_right(&run.findings[0]);
}

#[test]
fn a_single_unclear_answer_is_unknown_for_that_address_alone() {
    let registry = lists(&[("one", 16, None)]);
    let subjects = addresses(60);
    let mut world = |question: &Question| {
        let answer = match question.address.map(|one| one.octets()) {
            Some([198, 18, 0, 3]) => question.addresses(&[[127, 0, 0, 99]]),
            Some([198, 18, 0, 4]) => question.code(ResponseCode::Refused),
            Some([198, 18, 0, 5]) => question.code(ResponseCode::ServFail),
            _ => question.right(),
        };
        vec![(MILLI, answer)]
    };
    let run = sweep(&registry, &subjects, &mut world);
    let verdict = |at: usize| &run.findings[0].found[at].verdict;
    assert!(matches!(verdict(3), Verdict::Unknown(Why::NewCode(_))));
    assert_eq!(*verdict(4), Verdict::Unknown(Why::Refused));
    assert_eq!(*verdict(5), Verdict::Unknown(Why::ServerFailure));
    assert_eq!(unknowns(&run.findings[0]), 3);
}
