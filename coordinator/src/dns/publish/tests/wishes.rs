//! What is wanted comes, is kept, changes and goes.

use super::*;

#[test]
fn what_was_published_is_not_planned_again_and_goes_without_a_trace() {
    let foreign = Zone::default()
        .with("mail0.example.com", &text("site-verification=theirs"))
        .with("www.example.com", &Data::A([203, 0, 113, 1].into()));
    let (mut zone, mut made) = (foreign.clone(), Inventory::new());
    let wanted = wishes(1);
    let last = publish(&mut zone, &wanted, &mut made);
    assert_eq!((last.right, last.not_ours, last.blocked.len()), (5, 0, 0));
    assert_eq!(
        zone.plain(),
        plain(&wanted).union(&foreign.plain()).cloned().collect()
    );

    // The key says for its days that it is not good any more, then it goes as well.
    let withdrawn = [key_of("mail0.example.com", "")];
    publish(&mut zone, &withdrawn, &mut made);
    assert_eq!(
        zone.plain(),
        plain(&withdrawn).union(&foreign.plain()).cloned().collect()
    );
    publish(&mut zone, &[], &mut made);
    assert_eq!(zone.records, foreign.records);
    assert!(made.is_empty());
}

#[test]
fn a_record_that_changes_goes_in_the_same_message_as_the_new_one_comes() {
    let (mut zone, mut made) = (Zone::default(), Inventory::new());
    let name = "mail0.example.com";
    publish(&mut zone, &[policy_of(name, "192.0.2.1")], &mut made);
    let plan = zone.planned(&draft(&[policy_of(name, "192.0.2.2")], &made));
    let signs: Vec<bool> = plan
        .ops
        .iter()
        .map(|op| matches!(op, Op::Add(..)))
        .collect();
    assert_eq!(signs, [false, false, true, true], "each with its mark");
    assert!(plan.ops[0].line().contains("192.0.2.1"));
    assert!(plan.ops[2].line().contains("192.0.2.2"));
}

#[test]
fn addresses_come_first_and_policies_last_however_they_are_wanted() {
    let mut wanted = wishes(2);
    wanted.reverse();
    let plan = Zone::default().planned(&draft(&wanted, &Inventory::new()));
    let lines: Vec<String> = plan.ops.iter().map(Op::line).collect();
    let is = |word: &str| lines.iter().position(|line| line.contains(word)).unwrap();
    let order = [" A ", " MX ", "v=spf1", "DKIM1", "DMARC1"].map(is);
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn a_way_back_waits_for_its_name_and_one_that_is_there_is_not_taken_away_meanwhile() {
    let name = "1.2.0.192.in-addr.arpa";
    let pointer = |to: &str| wish(name, Part::Pointer, Data::Ptr(to.to_owned()));
    let (mut zone, mut made) = (Zone::default(), Inventory::new());
    let waiting = |wanted: &[Wanted], made: &Inventory| Draft {
        waiting: [(name.to_owned(), "until".to_owned())].into(),
        ..draft(wanted, made)
    };
    let first = [pointer("mail1.example.com")];
    let plan = zone.planned(&waiting(&first, &made));
    assert_eq!((plan.ops.len(), plan.waits.len()), (0, 1));
    publish(&mut zone, &first, &mut made);
    let plan = zone.planned(&waiting(&[pointer("mail2.example.com")], &made));
    assert_eq!((plan.ops.len(), plan.waits.len()), (0, 1));
    let plan = zone.planned(&waiting(&first, &made));
    assert_eq!((plan.right, plan.waits.len()), (1, 0));
}

#[test]
fn what_does_not_fit_into_one_message_comes_with_the_next() {
    let wanted = wishes(300);
    let (mut zone, mut made) = (Zone::default(), Inventory::new());
    let first = zone.planned(&draft(&wanted, &made));
    assert!(first.later > 0);
    assert!(
        first
            .ops
            .iter()
            .all(|op| op.line().contains(" A ") || op.line().contains("_ee-owner"))
    );
    publish(&mut zone, &wanted, &mut made);
    assert_eq!(zone.plain(), plain(&wanted));
}

#[test]
fn what_was_made_by_a_change_whose_end_nobody_heard_of_is_the_fleets() {
    let (mut zone, mut made) = (Zone::default(), Inventory::new());
    let wanted = wishes(1);
    let plan = zone.planned(&draft(&wanted, &made));
    begun(&mut made, &plan.begin);
    assert!(zone.update(&plan));
    let again = zone.planned(&draft(&wanted, &made));
    assert_eq!((again.ops.len(), again.guard.clone()), (0, None));
    ended(&mut made, &again);
    let all: Vec<Made> = made.values().flat_map(BTreeMap::values).copied().collect();
    assert_eq!(all, [Made::There; 5]);
    // The same where the change never came: it is made now, and nothing is missing.
    let (mut empty, mut only_begun) = (Zone::default(), Inventory::new());
    begun(&mut only_begun, &plan.begin);
    publish(&mut empty, &wanted, &mut only_begun);
    assert_eq!(empty.plain(), plain(&wanted));
}

#[test]
fn a_mark_whose_record_somebody_removed_goes_as_well() {
    let (mut zone, mut made) = (Zone::default(), Inventory::new());
    let wanted = [
        policy_of("mail0.example.com", "192.0.2.1"),
        policy_of("mail1.example.com", "192.0.2.2"),
    ];
    publish(&mut zone, &wanted, &mut made);
    zone.records.retain(|(name, _)| name != "mail0.example.com");
    publish(&mut zone, &wanted[1..], &mut made);
    assert!(
        !zone.records.iter().any(|(name, _)| name.contains("mail0")),
        "{zone:?}"
    );
    assert!(!made.contains_key("mail0.example.com"));
}
