//! Whatever is wanted one after the other, by whom, in a zone of somebody's.

use proptest::prelude::*;

use super::*;

/// A small world, so that wishes meet each other and records of others.
fn record() -> impl Strategy<Value = Wanted> {
    let name = (0..3_u8).prop_map(|at| format!("mail{at}.example.com"));
    (name, 0..4_u8, 0..3_u8).prop_map(|(name, part, at)| match part {
        0 => wish(&name, Part::Address, Data::A([192, 0, 2, at].into())),
        1 => policy_of(&name, &format!("192.0.2.{at}")),
        2 => {
            let exchanger = name.clone();
            let preference = u16::from(at);
            wish(
                &name,
                Part::Exchanger,
                Data::Mx {
                    preference,
                    exchanger,
                },
            )
        }
        _ => key_of(&name, ["", "AAAA", "BBBB"][usize::from(at)]),
    })
}

fn records() -> impl Strategy<Value = Vec<Wanted>> {
    prop::collection::vec(record(), 0..8)
}

/// What may come between reading and changing.
#[derive(Clone, Debug)]
enum Turn {
    /// All goes well.
    Well,
    /// The change is made, and nobody hears of it.
    Unheard,
    /// Nobody hears of what would be changed.
    Lost,
    /// Somebody else changes the zone first.
    Overtaken(Wanted),
    /// Two of ours plan the same at the same time.
    Twice,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => Just(Turn::Well),
        1 => Just(Turn::Unheard),
        1 => Just(Turn::Lost),
        1 => record().prop_map(Turn::Overtaken),
        1 => Just(Turn::Twice),
    ]
}

fn carried_out(
    zone: &mut Zone,
    made: &mut Inventory,
    wanted: &[Wanted],
    turn: &Turn,
) -> Vec<(String, Stands)> {
    let plan = zone.planned(&draft(wanted, made));
    begun(made, &plan.begin);
    let mut theirs = Vec::new();
    match turn {
        Turn::Lost => return theirs,
        Turn::Unheard => {
            assert!(zone.update(&plan));
            return theirs;
        }
        Turn::Overtaken(record) => {
            let record = (record.name.clone(), Stands::of(&record.data));
            if zone.records.insert(record.clone()) {
                theirs.push(record);
            }
        }
        Turn::Twice => {
            let other = plan.clone();
            assert!(zone.update(&other));
            let after = zone.records.clone();
            // The second is refused, or has nothing to do.
            let again = zone.update(&plan);
            assert!(!again || plan.ops.is_empty(), "{plan:?}");
            assert_eq!(zone.records, after);
            ended(made, &plan);
            return theirs;
        }
        Turn::Well => {}
    }
    if zone.update(&plan) {
        ended(made, &plan);
    }
    theirs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_others_is_never_touched_and_ours_is_what_is_wanted_in_the_end(
        foreign in records(),
        turns in prop::collection::vec((records(), turn()), 1..8),
    ) {
        let mut theirs = plain(&foreign);
        let mut zone = Zone { records: theirs.clone(), serial: 0 };
        let mut made = Inventory::new();
        for (wanted, turn) in &turns {
            theirs.extend(carried_out(&mut zone, &mut made, wanted, turn));
            for record in &theirs {
                prop_assert!(zone.records.contains(record), "{:?} is gone", record);
            }
        }
        let (wanted, _) = &turns[turns.len() - 1];
        let last = publish(&mut zone, wanted, &mut made);
        if last.guard.is_some() {
            return Ok(());
        }
        let left_out: BTreeSet<&String> = last.blocked.iter().map(|one| &one.record).collect();
        for one in wanted {
            let is_there = zone.records.contains(&(one.name.clone(), Stands::of(&one.data)));
            prop_assert!(is_there || left_out.contains(&one.line()), "{}", one.line());
        }
        // Nothing of the fleet stays but what is wanted, and keys that were not withdrawn.
        for (name, stands) in zone.plain() {
            let is_wanted = plain(wanted).contains(&(name.clone(), stands.clone()));
            let is_theirs = theirs.contains(&(name.clone(), stands.clone()));
            let is_kept = left_out.contains(&stands.line(&name));
            prop_assert!(is_wanted || is_theirs || is_kept, "{name} {stands:?} stays");
        }
    }

    #[test]
    fn half_of_what_was_asked_takes_nothing_away_that_was_not_shown(
        wanted in records(),
        later in records(),
        kept in prop::collection::vec(any::<bool>(), 64),
    ) {
        let (mut zone, mut made) = (Zone::default(), Inventory::new());
        let _ = publish(&mut zone, &wanted, &mut made);
        let draft = draft(&later, &made);
        let mut asked = questions(&later, &made);
        let mut keep = kept.into_iter().cycle();
        asked.retain(|_| keep.next().unwrap_or(true));
        let half = plan(&draft, &zone.seen(&asked), false);
        for op in &half.ops {
            let (name, stands) = op.record();
            prop_assert!(asked.contains(&(name.clone(), stands.kind())), "{name} was not read");
        }
        // And what it does not know of stays in memory.
        for name in half.gone.keys() {
            prop_assert!(asked.iter().any(|(of, _)| of == name));
        }
    }
}
