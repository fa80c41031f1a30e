//! Campaigns that stand still are told once for those that begin together, and their end as well.

use email_engine_protocol::id::{HostId, Role};

use super::*;
use crate::alerts::rules::Words;
use crate::command::fixture::{host, host_id};
use crate::command::{AddHost, CutOffHost, RecordHeldCampaigns, RetireHost, ToldCampaign};
use crate::state::Alert;

const HOST: &str = "mailwizz1";

fn campaign(uid: &str, at: u32) -> ToldCampaign {
    ToldCampaign {
        uid: uid.into(),
        name: format!("Spring {uid}").into(),
        servers: identity(at).vmta.to_string().into(),
    }
}

fn held(campaigns: Vec<ToldCampaign>) -> Command {
    Command::RecordHeldCampaigns(RecordHeldCampaigns {
        host: host_id(HOST),
        campaigns,
        more: 0,
    })
}

fn world() -> Fleet {
    let mut fleet = fleet(6, 0);
    let mut machine = host(HOST, Role::Mailwizz, 40);
    machine.tenant = Some(tenant_id());
    fleet.accept(Command::AddHost(AddHost { host: machine }));
    fleet
}

fn alerts(fleet: &Fleet) -> Vec<&Alert> {
    let all = fleet.state.alerts.rows.values().map(|row| &**row);
    all.filter(|row| row.event.kind() == AlertKind::CampaignsHeld)
        .collect()
}

fn said(words: &Words) -> String {
    format!("{}\n{}", words.title, words.lines.join("\n"))
}

#[test]
fn campaigns_that_begin_to_stand_still_together_are_one_alert_which_ends_with_the_last() {
    let mut fleet = world();
    out(&mut fleet, 0);
    let two = || vec![campaign("a1", 0), campaign("b2", 0)];
    assert_eq!(fleet.accept(held(two())).effect, Effect::Done);
    assert_eq!(fleet.accept(held(two())).effect, Effect::Unchanged);
    let [alert] = alerts(&fleet)[..] else {
        panic!("{:?}", alerts(&fleet));
    };
    let words = said(&alert.event.words());
    let vmta = identity(0).vmta;
    for part in [
        format!("client-1: 2 campaigns stand still on {HOST}"),
        format!("Spring a1 (a1) has {vmta}"),
        format!("{vmta} ({}) takes no mail", address(0)),
        "another is sought".to_owned(),
    ] {
        assert!(words.contains(&part), "{part}: {words}");
    }
    // Another begins later: it is told of by itself.
    fleet.wait(SECOND);
    let mut three = two();
    three.push(campaign("c3", 0));
    fleet.accept(held(three));
    assert_eq!(alerts(&fleet).len(), 2);
    let since = |fleet: &Fleet| -> Vec<_> {
        let held = &fleet.state.held_campaigns[&host_id(HOST)];
        held.campaigns.iter().map(|one| one.since).collect()
    };
    let times = since(&fleet);
    assert!(times[0] == times[1] && times[1] < times[2]);
    // One of the first two goes on: their alert does.
    fleet.accept(held(vec![campaign("b2", 0), campaign("c3", 0)]));
    assert!(alerts(&fleet).iter().all(|alert| alert.is_open()));
    fleet.accept(held(vec![campaign("c3", 0)]));
    let open: Vec<_> = alerts(&fleet).iter().map(|one| one.is_open()).collect();
    assert_eq!(open, [false, true]);
    fleet.accept(held(Vec::new()));
    assert!(alerts(&fleet).iter().all(|alert| !alert.is_open()));
    assert!(fleet.state.held_campaigns.is_empty());
}

#[test]
fn campaigns_that_were_told_of_as_the_rest_are_not_told_of_again() {
    let mut fleet = world();
    out(&mut fleet, 0);
    let shown = |uids: &[&str], more| {
        Command::RecordHeldCampaigns(RecordHeldCampaigns {
            host: host_id(HOST),
            campaigns: uids.iter().map(|uid| campaign(uid, 0)).collect(),
            more,
        })
    };
    let open = |fleet: &Fleet| -> Vec<bool> {
        let all = alerts(fleet).into_iter();
        all.map(|one| one.is_open()).collect()
    };
    fleet.accept(shown(&["a1", "b2"], 2));
    assert!(said(&alerts(&fleet)[0].event.words()).contains("4 campaigns"));
    // One goes on, and one of the rest comes into view.
    fleet.wait(SECOND);
    fleet.accept(shown(&["b2", "c3"], 1));
    assert_eq!(open(&fleet), [true]);
    // Three more begin, out of sight: they are told of when they do.
    fleet.wait(SECOND);
    fleet.accept(shown(&["b2", "c3"], 4));
    assert_eq!(open(&fleet), [true, true]);
    let last = said(&alerts(&fleet)[1].event.words());
    assert!(
        last.contains("4 campaigns") && last.contains("beside"),
        "{last}"
    );
    // They come into view, with one that is new.
    fleet.wait(SECOND);
    fleet.accept(shown(&["c3", "d4", "e5", "f6", "g7", "h8"], 0));
    assert_eq!(open(&fleet), [true, true, true]);
    let last = said(&alerts(&fleet)[2].event.words());
    assert!(last.contains("h8") && !last.contains("g7"), "{last}");
    fleet.accept(shown(&["g7", "h8"], 0));
    assert_eq!(open(&fleet), [false, true, true]);
    // All are over that were in view, so that what is there now is new.
    fleet.wait(SECOND);
    fleet.accept(shown(&["g7", "h8"], 3));
    fleet.wait(SECOND);
    fleet.accept(shown(&["i9", "j10"], 0));
    let open = open(&fleet);
    assert_eq!((open.len(), open.last()), (5, Some(&true)));
    assert!(open[..4].iter().all(|open| !open));
}

#[test]
fn that_nobody_is_left_names_the_campaigns_that_are_known() {
    let mut fleet = world();
    out(&mut fleet, 0);
    fleet.accept(held(vec![campaign("a1", 0), campaign("b2", 1)]));
    fleet.accept(note(0));
    let rows = fleet.state.alerts.rows.values();
    let mut listed = rows.filter(|row| row.event.kind() == AlertKind::ListingConfirmed);
    let words = said(&listed.next_back().unwrap().event.words());
    assert!(words.contains("nothing replaces it"), "{words}");
    assert!(
        words.contains("Paused campaigns: Spring a1 (a1)"),
        "{words}"
    );
    assert!(!words.contains("b2"), "it has another server: {words}");
}

#[test]
fn what_stood_still_goes_with_its_host() {
    let mut fleet = world();
    fleet.accept(held(vec![campaign("a1", 0)]));
    fleet.accept(Command::RetireHost(RetireHost {
        host: host_id(HOST),
        grace_millis: 2,
    }));
    fleet.accept(Command::CutOffHost(CutOffHost {
        host: host_id(HOST),
        confirmed: true,
    }));
    assert!(fleet.state.held_campaigns.is_empty());
    assert!(alerts(&fleet).iter().all(|alert| !alert.is_open()));
    let of = |host: HostId| {
        let campaigns = Vec::new();
        let more = 0;
        Command::RecordHeldCampaigns(RecordHeldCampaigns {
            host,
            campaigns,
            more,
        })
    };
    for host in [host_id(HOST), host_id("pmta1")] {
        let rejection = fleet.refuse(of(host));
        assert_eq!(rejection.code, RejectionCode::NotFound);
    }
}
