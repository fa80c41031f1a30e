//! Every code of every list has its line in a golden table; what is in no table is never a listing.

use std::fmt::Write as _;

use email_engine_protocol::id::ListId;
use proptest::prelude::*;

use super::*;

fn zone(id: &str) -> &'static Zone {
    let id = ListId::new(id).unwrap();
    Registry::built_in().zone(&id).unwrap()
}

fn addresses(all: &[&str]) -> Answer {
    Answer::Addresses(all.iter().map(|one| one.parse().unwrap()).collect())
}

fn verdict(id: &str, answer: &Answer) -> Verdict {
    judge(Registry::built_in(), zone(id), answer)
}

fn line(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Clean => "clean".to_owned(),
        Verdict::Listed(listed) => {
            let strange = if listed.strange.is_empty() {
                ""
            } else {
                " (and codes that are not known)"
            };
            format!(
                "listed {}: {}{strange}",
                listed.class.as_str(),
                listed.meaning
            )
        }
        Verdict::Unknown(why) => format!("unknown: {why}"),
    }
}

/// One line for every last octet of the blocks in which lists answer, neighbours that say the same folded.
fn table(zone: &Zone) -> String {
    let mut text = format!("{} ({})\n", zone.id, zone.name);
    let blocks = [[127, 0, 0], [127, 0, 1], [127, 255, 255], [192, 0, 2]];
    for [a, b, c] in blocks {
        let mut run: Option<(u8, u8, String)> = None;
        for last in 0..=255u8 {
            let one = Ipv4Addr::new(a, b, c, last);
            let said = line(&judge(
                Registry::built_in(),
                zone,
                &Answer::Addresses([one].into()),
            ));
            // The address itself is said in words of unknowns: it is what the line is about.
            let said = said.replace(&one.to_string(), "it");
            match &mut run {
                Some((_, to, of)) if *of == said => *to = last,
                _ => {
                    flush(&mut text, [a, b, c], run.take());
                    run = Some((last, last, said));
                }
            }
        }
        flush(&mut text, [a, b, c], run);
    }
    for answer in [
        Answer::Addresses(BTreeSet::new()),
        Answer::NoData,
        Answer::NoName,
        Answer::Refused,
        Answer::ServerFailure,
        Answer::Code(4),
        Answer::Silence,
        Answer::Garbled,
    ] {
        let said = line(&judge(Registry::built_in(), zone, &answer));
        writeln!(text, "  {answer:?}: {said}").unwrap();
    }
    text
}

fn flush(text: &mut String, [a, b, c]: [u8; 3], run: Option<(u8, u8, String)>) {
    let Some((from, to, said)) = run else {
        return;
    };
    let span = if from == to {
        format!("{from}")
    } else {
        format!("{from}-{to}")
    };
    writeln!(text, "  {a}.{b}.{c}.{span}: {said}").unwrap();
}

#[test]
fn every_code_of_every_list_means_what_the_table_says() {
    let text: String = Registry::built_in()
        .zones()
        .map(table)
        .collect::<Vec<_>>()
        .join("\n");
    let golden = include_str!("verdicts.golden");
    assert_eq!(text, golden, "as it is now:\n{text}");
}

#[test]
fn one_bad_word_spoils_the_whole_answer() {
    for bad in ["127.255.255.254", "127.0.0.1", "192.0.2.80"] {
        let mixed = verdict("spamhaus-zen", &addresses(&["127.0.0.2", bad]));
        assert!(matches!(mixed, Verdict::Unknown(_)), "{bad}: {mixed:?}");
    }
}

#[test]
fn the_strongest_of_several_codes_counts_and_strange_ones_beside_it_are_kept() {
    let Verdict::Listed(listed) = verdict(
        "spamhaus-zen",
        &addresses(&["127.0.0.10", "127.0.0.4", "127.0.0.77"]),
    ) else {
        panic!("listed");
    };
    assert_eq!(listed.class, ListingClass::A);
    assert_eq!(listed.codes.len(), 2);
    assert_eq!(listed.strange, ["127.0.0.77".parse().unwrap()].into());
    let policy = verdict("spamhaus-zen", &addresses(&["127.0.0.11"]));
    assert!(matches!(
        policy,
        Verdict::Listed(Listed {
            class: ListingClass::Policy,
            ..
        })
    ));
}

#[test]
fn a_good_reputation_is_no_listing_and_bits_are_read_one_by_one() {
    assert_eq!(
        verdict("mailspike", &addresses(&["127.0.0.18"])),
        Verdict::Clean
    );
    let Verdict::Listed(listed) = verdict("surbl", &addresses(&["127.0.0.72"])) else {
        panic!("listed");
    };
    assert_eq!(listed.meaning, "PH: phishing; ABUSE: in spam");
    assert!(listed.strange.is_empty());
    let Verdict::Listed(listed) = verdict("surbl", &addresses(&["127.0.0.12"])) else {
        panic!("listed");
    };
    assert_eq!(listed.strange.len(), 1, "bit 4 means nothing there");
    let grey = verdict("uribl", &addresses(&["127.0.0.4"]));
    assert!(matches!(
        grey,
        Verdict::Listed(Listed {
            class: ListingClass::C,
            ..
        })
    ));
    let strange = verdict("uribl", &addresses(&["127.0.0.16"]));
    assert!(matches!(strange, Verdict::Unknown(Why::NewCode(_))));
}

fn any_zone() -> impl Strategy<Value = &'static Zone> {
    let zones: Vec<&'static Zone> = Registry::built_in().zones().collect();
    proptest::sample::select(zones)
}

proptest! {
    #[test]
    fn what_is_outside_127_is_never_a_verdict(zone in any_zone(), bits: u32, others: Vec<u8>) {
        let foreign = Ipv4Addr::from(bits);
        prop_assume!(foreign.octets()[0] != 127);
        let mut all: BTreeSet<_> = others.iter().map(|last| Ipv4Addr::new(127, 0, 0, *last)).collect();
        all.insert(foreign);
        let judged = judge(Registry::built_in(), zone, &Answer::Addresses(all));
        prop_assert!(matches!(judged, Verdict::Unknown(Why::Foreign(_))), "{:?}", judged);
    }

    #[test]
    fn a_listing_has_a_code_of_the_table_and_a_clean_answer_has_no_other(
        zone in any_zone(),
        all in proptest::collection::btree_set((0..3u8, any::<u8>()), 1..4),
    ) {
        let all: BTreeSet<_> = all.into_iter().map(|(c, d)| Ipv4Addr::new(127, 0, c, d)).collect();
        let in_table = |one: &Ipv4Addr, wants: fn(&Class) -> bool| {
            zone.codes.iter().any(|code| code.span.has(*one) && wants(&code.class))
        };
        let is_bad = |class: &Class| matches!(class, Class::Listed(_));
        match judge(Registry::built_in(), zone, &Answer::Addresses(all.clone())) {
            Verdict::Listed(listed) => {
                prop_assert!(!listed.codes.is_empty() && listed.codes.is_subset(&all));
                prop_assert!(listed.codes.iter().all(|one| in_table(one, is_bad)));
                prop_assert!(!all.contains(&REFUSAL));
            }
            Verdict::Clean => {
                prop_assert!(all.iter().all(|one| in_table(one, |class| *class == Class::Praise)));
            }
            Verdict::Unknown(why) => {
                let explained = match why {
                    Why::Error { answer, .. } => all.contains(&answer),
                    Why::NewCode(answer) => !all.iter().any(|one| in_table(one, is_bad)) && all.contains(&answer),
                    _ => false,
                };
                prop_assert!(explained);
            }
        }
    }

    #[test]
    fn the_error_block_is_never_a_verdict(zone in any_zone(), last: u8, other: u8) {
        let all = [Ipv4Addr::new(127, 255, 255, last), Ipv4Addr::new(127, 0, 0, other)];
        let judged = judge(Registry::built_in(), zone, &Answer::Addresses(all.into()));
        prop_assert!(matches!(judged, Verdict::Unknown(Why::Error { .. })), "{:?}", judged);
    }
}
