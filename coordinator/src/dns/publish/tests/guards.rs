//! What could not be read, what is too much, and keys that still count.

use super::*;

#[test]
fn a_name_that_was_not_read_is_not_an_empty_one() {
    let (mut zone, mut made) = (Zone::default(), Inventory::new());
    let wanted = wishes(1);
    publish(&mut zone, &wanted, &mut made);
    for wanted in [&wanted[..], &[]] {
        let plan = plan(&draft(wanted, &made), &SeenZone::default(), false);
        assert!(plan.ops.is_empty() && plan.gone.is_empty(), "{plan:?}");
        assert_eq!(plan.blocked.len(), wanted.len());
    }
}

#[test]
fn a_zone_that_shows_nothing_loses_nothing_and_gets_nothing_without_a_word() {
    let (mut zone, mut made) = (Zone::default(), Inventory::new());
    let wanted = wishes(2);
    publish(&mut zone, &wanted, &mut made);
    for wanted in [&wanted[..], &[]] {
        let plan = Zone::default().planned(&draft(wanted, &made));
        assert!(plan.ops.iter().all(|op| matches!(op, Op::Add(..))));
        assert_eq!(
            plan.guard,
            Some(Guard::Missing {
                missing: 10,
                made: 10
            })
        );
        assert!(plan.gone.is_empty(), "what it had is remembered");
    }
    // One record is enough for that.
    let (mut zone, mut made) = (Zone::default(), Inventory::new());
    publish(&mut zone, &wanted[..1], &mut made);
    let plan = Zone::default().planned(&draft(&wanted[..1], &made));
    assert_eq!(
        plan.guard,
        Some(Guard::Missing {
            missing: 1,
            made: 1
        })
    );
}

#[test]
fn more_than_thirty_percent_at_once_is_held_and_thirty_are_not() {
    let (mut zone, mut made) = (Zone::default(), Inventory::new());
    let name = |at: usize| format!("mail{at}.example.com");
    let wanted: Vec<Wanted> = (0..10)
        .map(|at| policy_of(&name(at), "192.0.2.1"))
        .collect();
    publish(&mut zone, &wanted, &mut made);
    let plan = zone.planned(&draft(&wanted[3..], &made));
    assert_eq!((plan.guard, plan.ops.len()), (None, 6));
    let held = zone.planned(&draft(&wanted[4..], &made));
    assert_eq!(held.guard, Some(Guard::Share { gone: 4, made: 10 }));
    assert!(
        held.stuck()
            .unwrap()
            .contains("dns apply example.com --plan")
    );
    // What changes goes as well.
    let changed: Vec<Wanted> = (0..4).map(|at| policy_of(&name(at), "192.0.2.2")).collect();
    let plan = zone.planned(&draft(&[&changed, &wanted[4..]].concat(), &made));
    assert_eq!(plan.guard, Some(Guard::Share { gone: 4, made: 10 }));
}

#[test]
fn a_key_with_which_mail_was_signed_lately_is_neither_removed_nor_emptied_nor_replaced() {
    let (domain, name) = ("mail0.example.com", "mail._domainkey.mail0.example.com");
    let (mut zone, mut made) = (Zone::default(), Inventory::new());
    publish(&mut zone, &[key_of(domain, "AAAA")], &mut made);
    let before = zone.clone();
    for wanted in [
        vec![],
        vec![key_of(domain, "")],
        vec![key_of(domain, "BBBB")],
    ] {
        let draft = Draft {
            living: [(name.to_owned(), "AAAA".to_owned())].into(),
            ..draft(&wanted, &made)
        };
        let plan = zone.planned(&draft);
        assert!(plan.ops.is_empty(), "{wanted:?}: {:?}", plan.ops);
        assert!(plan.blocked[0].why.contains("may still be judged"));
        assert!(zone.update(&plan));
        assert_eq!(zone.records, before.records);
    }
    // Of a key that counts no more the record is emptied, and only then removed.
    let plan = zone.planned(&draft(&[], &made));
    assert!(plan.ops.is_empty() && plan.blocked[0].why.contains("stays until it has said"));
    publish(&mut zone, &[key_of(domain, "")], &mut made);
    publish(&mut zone, &[], &mut made);
    assert!(zone.records.is_empty());
}

#[test]
fn another_state_of_the_zone_or_another_server_is_another_plan() {
    let wanted = wishes(1);
    let draft = draft(&wanted, &Inventory::new());
    let zone = Zone::default();
    let first = zone.planned(&draft).digest();
    assert_eq!(first, zone.planned(&draft).digest());
    let later = Zone {
        serial: 1,
        ..zone.clone()
    };
    assert_ne!(first, later.planned(&draft).digest());
    let elsewhere = Draft {
        server: ([192, 0, 2, 54], 53).into(),
        ..draft
    };
    assert_ne!(first, zone.planned(&elsewhere).digest());
}
