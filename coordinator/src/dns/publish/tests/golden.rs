//! A plan in words: what changes where others have records, and what the server holds it against.

use std::fmt::Write as _;

use super::*;

#[test]
fn a_plan_is_what_it_was() {
    let (mut zone, mut made) = (
        Zone::default()
            .with("mail0.example.com", &text("site-verification=theirs"))
            .with("mail1.example.com", &Data::A([203, 0, 113, 1].into())),
        Inventory::new(),
    );
    let first = [wishes(1), vec![key_of("mail2.example.com", "BBBB")]].concat();
    publish(&mut zone, &first, &mut made);
    let name = "mail0.example.com";
    let mut next = wishes(2);
    next[1] = policy_of(name, "192.0.2.9");
    next[2] = key_of(name, "");
    next.remove(3);
    let plan = zone.planned(&draft(&next, &made));
    let mut told = format!(
        "right {} not-ours {} guard {:?}\n",
        plan.right, plan.not_ours, plan.guard
    );
    for one in &plan.conditions {
        writeln!(told, "if {} {}", one.name, one.kind.as_str()).unwrap();
        for stands in &one.stands {
            writeln!(told, "   {}", stands.line(&one.name)).unwrap();
        }
    }
    for op in &plan.ops {
        let sign = if matches!(op, Op::Add(..)) { '+' } else { '-' };
        writeln!(told, "{sign} {}", op.line()).unwrap();
    }
    for one in &plan.blocked {
        writeln!(told, "! {}\n  {}", one.record, one.why).unwrap();
    }
    assert_eq!(told, include_str!("plan.golden"), "as it is now:\n{told}");
}
