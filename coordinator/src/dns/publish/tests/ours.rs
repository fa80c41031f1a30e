//! What is others' stays others'.

use super::*;

const NAME: &str = "mail0.example.com";

fn left_out(zone: &Zone, wanted: &[Wanted]) -> String {
    let plan = zone.planned(&draft(wanted, &Inventory::new()));
    assert!(plan.ops.is_empty(), "{:?}", plan.ops);
    assert_eq!(plan.blocked.len(), 1);
    assert!(plan.stuck().unwrap().contains(&plan.blocked[0].why));
    plan.blocked[0].why.clone()
}

#[test]
fn records_of_others_that_would_make_ours_wrong_are_in_the_way_and_stay() {
    let all = wishes(1);
    for (wanted, theirs) in [
        (&all[0], Data::A([203, 0, 113, 1].into())),
        (&all[1], text("V=SPF1 include:_spf.example.net -all")),
        (&all[2], text("v=DKIM1; p=BBBB")),
        (&all[3], text("v=DMARC1; p=reject")),
        (
            &all[4],
            Data::Mx {
                preference: 50,
                exchanger: "mx.example.net".to_owned(),
            },
        ),
    ] {
        let zone = Zone::default().with(&wanted.name, &theirs);
        let why = left_out(&zone, std::slice::from_ref(wanted));
        assert!(why.starts_with("there stands "), "{why}");
    }
}

#[test]
fn a_text_of_others_beside_ours_is_in_nobodys_way_and_a_condition_of_the_change() {
    let mut zone = Zone::default().with(NAME, &text("site-verification=theirs"));
    let plan = zone.planned(&draft(&[policy_of(NAME, "192.0.2.1")], &Inventory::new()));
    assert_eq!(plan.ops.len(), 2);
    let before = zone.clone();
    zone = zone.with(NAME, &text("v=spf1 a -all"));
    assert!(!zone.update(&plan), "somebody was faster");
    assert_eq!(zone, before.clone().with(NAME, &text("v=spf1 a -all")));
    let mut zone = before;
    assert!(zone.update(&plan));
}

#[test]
fn what_somebody_else_made_so_is_right_and_not_ours_until_it_is_adopted() {
    let wanted = [policy_of(NAME, "192.0.2.1")];
    let mut zone = Zone::default().with(NAME, &wanted[0].data);
    let mut made = Inventory::new();
    let plan_of = |zone: &Zone, made: &Inventory, adopt| {
        let draft = draft(&wanted, made);
        plan(&draft, &zone.seen(&questions(&wanted, made)), adopt)
    };
    let plain = plan_of(&zone, &made, false);
    assert_eq!((plain.ops.len(), plain.right, plain.not_ours), (0, 1, 1));
    assert!(plain.there.is_empty());
    let adopting = plan_of(&zone, &made, true);
    assert_eq!(adopting.ops.len(), 1);
    assert_ne!(adopting.digest(), plain.digest());
    begun(&mut made, &adopting.begin);
    assert!(zone.update(&adopting));
    ended(&mut made, &adopting);
    assert_eq!(plan_of(&zone, &made, false).not_ours, 0);
    publish(&mut zone, &[], &mut made);
    assert!(zone.records.is_empty());
}

/// Each wish is written down before it is tried: what came to nothing and is not wanted any more is forgotten.
#[test]
fn intentions_do_not_pile_up_while_a_server_refuses() {
    let (zone, mut made) = (Zone::default(), Inventory::new());
    for at in 1..=9 {
        let wanted = [policy_of(NAME, &format!("192.0.2.{at}"))];
        let draft = draft(&wanted, &made);
        let plan = plan(&draft, &zone.seen(&questions(&wanted, &made)), false);
        assert_eq!(plan.ops.len(), 2);
        begun(&mut made, &plan.begin);
        // It is refused, and what was seen is all that is written down.
        for (name, gone) in &plan.vanished {
            let marks = made.get_mut(name).unwrap();
            marks.retain(|mark, _| !gone.contains(mark));
        }
        let own = Stands::of(&wanted[0].data).mark();
        assert!(made[NAME].contains_key(&own), "it may still come");
        assert!(made[NAME].len() <= 2, "{:?}", made[NAME]);
    }
}

#[test]
fn names_of_another_cluster_are_left_to_it_also_by_who_adopts() {
    let wanted = [policy_of(NAME, "192.0.2.1")];
    let mark = Stands::of(&wanted[0].data).mark();
    let theirs = Zone::default().with(&owner_name(NAME), &text(&mark_text("other", mark)));
    assert!(left_out(&theirs, &wanted).contains("another cluster"));
    let zone = theirs.with(NAME, &wanted[0].data);
    let (draft, none) = (draft(&wanted, &Inventory::new()), Inventory::new());
    let adopting = plan(&draft, &zone.seen(&questions(&wanted, &none)), true);
    assert_eq!((adopting.ops.len(), adopting.not_ours), (0, 1));
}

#[test]
fn a_record_whose_mark_somebody_took_away_is_theirs_from_then_on() {
    let (mut zone, mut made) = (Zone::default(), Inventory::new());
    let wanted = [
        policy_of(NAME, "192.0.2.1"),
        policy_of("mail1.example.com", "192.0.2.1"),
    ];
    publish(&mut zone, &wanted, &mut made);
    zone.records.retain(|(name, _)| name != &owner_name(NAME));
    publish(&mut zone, &wanted[1..], &mut made);
    assert!(zone.records.iter().any(|(name, _)| name == NAME));
    assert!(!made.contains_key(NAME));
}

#[test]
fn aliases_and_names_in_zones_of_others_are_left_out() {
    let wanted = [policy_of(NAME, "192.0.2.1")];
    let draft = draft(&wanted, &Inventory::new());
    let asked = questions(&wanted, &Inventory::new());
    let mut seen = Zone::default().seen(&asked);
    seen.aliases.insert(NAME.to_owned());
    assert!(plan(&draft, &seen, false).blocked[0].why.contains("alias"));
    let mut seen = Zone::default().seen(&asked);
    seen.elsewhere.insert(NAME.to_owned());
    assert!(
        plan(&draft, &seen, false).blocked[0]
            .why
            .contains("on other servers")
    );
}

#[test]
fn texts_of_others_are_shown_as_zone_files_have_them() {
    let text = Stands::Txt(vec![b"a\"b\\c".to_vec(), vec![7, 200]]);
    let line = text.line(NAME);
    assert!(line.ends_with(r#" TXT "a\"b\\c" "\007\200""#), "{line}");
}
