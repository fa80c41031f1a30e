//! Plans against a zone that is a table of records and compares conditions as servers do.

mod golden;
mod guards;
mod laws;
mod ours;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::ZoneMode;

use super::seen::SetName;
use super::*;
use crate::command::Marks;
use crate::dns::wanted::{Data, Part, Wanted};
use crate::state::{Inventory, Made};

const CLUSTER: &str = "0101";

fn text(text: &str) -> Data {
    Data::Txt(text.to_owned())
}

fn wish(name: &str, part: Part, data: Data) -> Wanted {
    Wanted {
        name: name.to_owned(),
        data,
        part,
        until: None,
    }
}

fn key_of(domain: &str, key: &str) -> Wanted {
    let name = format!("mail._domainkey.{domain}");
    wish(&name, Part::Dkim, text(&format!("v=DKIM1; k=rsa; p={key}")))
}

fn policy_of(domain: &str, address: &str) -> Wanted {
    wish(
        domain,
        Part::Spf,
        text(&format!("v=spf1 ip4:{address} -all")),
    )
}

/// Five records of each of so many domains.
fn wishes(count: usize) -> Vec<Wanted> {
    let of = |at: usize| {
        let name = format!("mail{at}.example.com");
        [
            wish(&name, Part::Address, Data::A([192, 0, 2, 1].into())),
            policy_of(&name, "192.0.2.1"),
            key_of(&name, "AAAA"),
            wish(
                &format!("_dmarc.{name}"),
                Part::Dmarc,
                text("v=DMARC1; p=none"),
            ),
            wish(
                &name,
                Part::Exchanger,
                Data::Mx {
                    preference: 10,
                    exchanger: name.clone(),
                },
            ),
        ]
    };
    (0..count).flat_map(of).collect()
}

fn draft(wanted: &[Wanted], made: &Inventory) -> Draft {
    Draft {
        zone: "example.com".parse().unwrap(),
        mode: ZoneMode::Manage,
        server: ([192, 0, 2, 53], 53).into(),
        cluster: CLUSTER.to_owned(),
        wanted: wanted.to_vec(),
        waiting: BTreeMap::new(),
        made: made.clone(),
        living: BTreeSet::new(),
        owners: BTreeSet::new(),
    }
}

/// A zone on its server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Zone {
    records: BTreeSet<(String, Stands)>,
    serial: u32,
}

impl Zone {
    fn with(mut self, name: &str, data: &Data) -> Self {
        self.records.insert((name.to_owned(), Stands::of(data)));
        self
    }

    /// What a reader sees of these sets.
    fn seen(&self, asked: &BTreeSet<SetName>) -> SeenZone {
        let set = |(name, kind): &SetName| {
            let own = self.records.iter();
            let own = own.filter(|(of, stands)| of == name && stands.kind() == *kind);
            own.map(|(_, stands)| stands.clone()).collect()
        };
        SeenZone {
            serial: self.serial,
            sets: asked.iter().map(|one| (one.clone(), set(one))).collect(),
            ..SeenZone::default()
        }
    }

    fn planned(&self, draft: &Draft) -> ZonePlan {
        let seen = self.seen(&questions(&draft.wanted, &draft.made));
        plan(draft, &seen, false)
    }

    /// The change as a server makes it: all of it where the conditions hold, else nothing.
    fn update(&mut self, plan: &ZonePlan) -> bool {
        let sets = plan.conditions.iter();
        let asked = sets.map(|one| (one.name.clone(), one.kind)).collect();
        let now = self.seen(&asked);
        let holds = |one: &Condition| now.set(&one.name, one.kind) == Some(&one.stands);
        if !plan.conditions.iter().all(holds) {
            return false;
        }
        for op in &plan.ops {
            let (name, stands) = op.record();
            let record = (name.clone(), stands.clone());
            match op {
                Op::Add(..) => self.records.insert(record),
                Op::Remove(..) => self.records.remove(&record),
            };
        }
        self.serial += 1;
        true
    }

    /// Records without marks.
    fn plain(&self) -> BTreeSet<(String, Stands)> {
        let all = self.records.iter();
        all.filter(|(name, _)| !name.starts_with("_ee-owner."))
            .cloned()
            .collect()
    }
}

/// The inventory as the commands keep it.
fn begun(made: &mut Inventory, marks: &Marks) {
    for (name, marks) in marks {
        for mark in marks {
            let row = made.entry(name.clone()).or_default();
            row.entry(*mark).or_insert(Made::Intended);
        }
    }
}

fn ended(made: &mut Inventory, plan: &ZonePlan) {
    for (name, marks) in &plan.there {
        let row = made.entry(name.clone()).or_default();
        row.extend(marks.iter().map(|mark| (*mark, Made::There)));
    }
    for (name, marks) in &plan.gone {
        if let Some(row) = made.get_mut(name) {
            row.retain(|mark, _| !marks.contains(mark));
        }
    }
    made.retain(|_, row| !row.is_empty());
}

/// Plans and carries out until nothing is left to do.
fn publish(zone: &mut Zone, wanted: &[Wanted], made: &mut Inventory) -> ZonePlan {
    for _ in 0..100 {
        let plan = zone.planned(&draft(wanted, made));
        if plan.guard.is_some() {
            return plan;
        }
        begun(made, &plan.begin);
        assert!(zone.update(&plan));
        ended(made, &plan);
        if plan.ops.is_empty() {
            return plan;
        }
    }
    panic!("it is never done");
}

/// Wishes for the records of a zone.
fn plain(wanted: &[Wanted]) -> BTreeSet<(String, Stands)> {
    let all = wanted.iter();
    all.map(|one| (one.name.clone(), Stands::of(&one.data)))
        .collect()
}
