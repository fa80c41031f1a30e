//! What a PowerMTA host is asked once it has its configuration.

use std::sync::Arc;

use email_engine_coordinator::planner::Planned;
use email_engine_protocol::desired::{Holds, Probe, Spec, TransactionSpec};

use crate::fixture::Fleet;

pub(crate) fn transaction(planned: &Planned) -> &TransactionSpec {
    let found = planned
        .config
        .resources
        .iter()
        .find_map(|one| match &one.spec {
            Spec::Transaction(spec) => Some(spec),
            _ => None,
        });
    found.unwrap()
}

/// Words of each question with what its answer must hold.
fn questions(spec: &TransactionSpec) -> Vec<(String, Vec<(String, Holds)>)> {
    let asked = spec.read_back.iter().filter_map(|probe| match probe {
        Probe::Answer {
            command, expect, ..
        } => {
            let expect = expect
                .iter()
                .map(|one| (one.pointer.clone(), one.holds.clone()));
            Some((command.arguments.join(" "), expect.collect()))
        }
        _ => None,
    });
    asked.collect()
}

#[test]
fn a_reload_must_say_that_it_was_done_and_every_answer_that_it_is_one() {
    let planned = Fleet::sos_holidays().plan("pmta1");
    let spec = transaction(&planned);
    assert_eq!(spec.activate.must_say, ["Configuration reloaded."]);
    assert!(
        spec.test.must_say.is_empty(),
        "the guide shows no text of it"
    );
    let success = ("/status".to_owned(), Holds::Equals("success".to_owned()));
    let questions = questions(spec);
    assert_eq!(questions.len(), 8);
    for (words, expect) in questions {
        assert!(expect.contains(&success), "{words}: {expect:?}");
    }
}

#[test]
fn the_product_must_say_that_it_is_of_the_version_that_its_rules_are_for() {
    for (label, version) in [
        (None, "5.0"),
        (Some("5.0"), "5.0"),
        (Some("4.5"), "4.5"),
        (Some("6.0"), "6.0"),
    ] {
        let mut fleet = Fleet::sos_holidays();
        if let Some(label) = label {
            fleet = fleet.labelled("powermta-version", label);
        }
        let planned = fleet.plan("pmta1");
        let (words, expect) = questions(transaction(&planned)).swap_remove(0);
        assert_eq!(words, "--json show status");
        let holds = Holds::Contains(version.to_owned());
        assert!(
            expect.contains(&("/data/mta/product/version".to_owned(), holds)),
            "{expect:?}"
        );
    }
}

#[test]
fn of_many_identities_those_are_read_back_that_were_placed_last() {
    let mut fleet = Fleet::two_tenants();
    let asked = |fleet: &Fleet| -> Vec<String> {
        let planned = fleet.plan("pmta1");
        let questions = questions(transaction(&planned)).into_iter();
        questions
            .filter_map(|(words, _)| Some(words.strip_prefix("--json show settings ")?.to_owned()))
            .collect()
    };
    assert_eq!(asked(&fleet).len(), 8);
    let last = fleet.state.identities.len() - 1;
    let mut placed = Vec::new();
    let mut at = 0..;
    fleet.state.identities.change_each(|_, identity| {
        let at = at.next().unwrap();
        let identity = Arc::make_mut(identity);
        // The one with the highest address came last of all, three others just before it.
        identity.placed_at = match at {
            30 | 40 | 50 => 8,
            _ if at == last => 9,
            _ => 3,
        };
        if identity.placed_at > 3 || at < 4 {
            placed.push(format!("{}/{}", identity.spec.domain, identity.spec.vmta));
        }
    });
    assert_eq!(asked(&fleet), placed);
}
