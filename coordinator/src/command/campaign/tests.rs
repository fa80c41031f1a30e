//! A campaign is written down once, ends once, and is remembered for a while.

use email_engine_protocol::api::IpStatus;
use email_engine_protocol::id::RequestId;

use super::{BeginCampaign, CAMPAIGNS, EndCampaign, RecordReadings, Take};
use crate::command::fixture::{Fleet, address, identity, tenant};
use crate::command::{ChangeIdentity, Command, CreateTenant, Effect, RejectionCode, RemoveTenant};
use crate::state::{CampaignEnd, Figures};

fn begin(ips: &[u32]) -> Command {
    Command::BeginCampaign(BeginCampaign {
        tenant: identity(0).tenant,
        name: "Autumn".to_owned(),
        takes: ips.iter().map(|at| take(*at, 10, 0)).collect(),
        asker: [1; 16],
        known: [].into(),
    })
}

fn take(at: u32, mails: u64, used: u64) -> Take {
    let address = address(at);
    Take {
        address,
        mails,
        used,
    }
}

fn end(campaign: &RequestId, end: CampaignEnd) -> Command {
    Command::EndCampaign(EndCampaign {
        campaign: campaign.clone(),
        end,
    })
}

fn created(uid: &str) -> CampaignEnd {
    let uid = uid.to_owned();
    CampaignEnd::Created { uid }
}

#[test]
fn it_is_there_before_anybody_is_asked_and_ends_once() {
    let mut fleet = Fleet::with_identities(2);
    fleet.accept(begin(&[1, 0]));
    let (request, campaign) = fleet.state.campaigns.iter().next().unwrap();
    let request = request.clone();
    assert_eq!(campaign.parts, [(address(1), 10), (address(0), 10)]);
    assert_eq!(campaign.end, None);
    fleet.accept(end(&request, created("uid1")));
    assert_eq!(fleet.state.campaigns[&request].end, Some(created("uid1")));
    let again = fleet.accept(end(&request, created("uid1")));
    assert_eq!(again.effect, Effect::Unchanged);
    let other = fleet.refuse(end(&request, created("uid2")));
    assert_eq!(other.code, RejectionCode::WrongState);
    // What was not known is found out, once.
    fleet.accept(begin(&[0]));
    let second = fleet.state.campaigns_order.iter().nth(1).unwrap().clone();
    fleet.accept(end(&second, CampaignEnd::Unclear));
    fleet.accept(end(&second, created("uid3")));
    let late = fleet.refuse(end(&second, CampaignEnd::Unclear));
    assert_eq!(late.code, RejectionCode::WrongState);
}

#[test]
fn two_campaigns_never_take_the_same_part_of_a_day() {
    // 100 a day in the second week.
    let of = |mails, used| {
        Command::BeginCampaign(BeginCampaign {
            tenant: identity(0).tenant,
            name: "Autumn".to_owned(),
            takes: vec![take(0, mails, used)],
            asker: [1; 16],
            known: [].into(),
        })
    };
    let mut fleet = Fleet::with_identities(1);
    fleet.accept(of(50, 20));
    let refused = fleet.refuse(of(31, 20));
    let told = (refused.code, &*refused.field, &*refused.value);
    assert_eq!(told, (RejectionCode::StaleRevision, "volume", "31"));
    assert!(refused.accepted.contains("at most 30"), "{refused}");
    // Of what is counted since then it does not count twice.
    fleet.accept(of(10, 60));
    fleet.refuse(of(21, 60));
    // One that is not made takes nothing.
    let first = fleet.state.campaigns_order.first().unwrap().clone();
    let reason = "no".to_owned();
    fleet.accept(end(&first, CampaignEnd::Refused { reason }));
    fleet.accept(of(70, 20));
    fleet.refuse(of(1, 20));
    // Another day, another quota; what ends late gives nothing back.
    fleet.wait(email_engine_protocol::time::Timestamp::DAY - 1_000);
    fleet.accept(of(90, 10));
    let second = fleet.state.campaigns_order.iter().nth(1).unwrap().clone();
    let reason = "no".to_owned();
    fleet.accept(end(&second, CampaignEnd::Refused { reason }));
    fleet.refuse(of(1, 10));
}

#[test]
fn only_own_identities_that_take_mail_send_it_each_once() {
    let mut fleet = Fleet::with_identities(2);
    let mut resting = identity(1);
    resting.status = IpStatus::Resting;
    fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(resting)));
    for (ips, code) in [
        (&[][..], RejectionCode::Invalid),
        (&[0, 0], RejectionCode::Invalid),
        (&[0, 1], RejectionCode::WrongState),
        (&[7], RejectionCode::ForeignTenant),
    ] {
        let rejection = fleet.refuse(begin(ips));
        assert_eq!(
            (rejection.code, &*rejection.field),
            (code, "ips"),
            "{ips:?}"
        );
    }
    let stranger = tenant("client-2");
    let tenant = stranger.id.clone();
    fleet.accept(Command::CreateTenant(CreateTenant { tenant: stranger }));
    let rejection = fleet.refuse(Command::BeginCampaign(BeginCampaign {
        tenant,
        name: "Autumn".to_owned(),
        takes: vec![take(0, 10, 0)],
        asker: [1; 16],
        known: [].into(),
    }));
    assert_eq!(rejection.code, RejectionCode::ForeignTenant);
    assert!(!rejection.accepted.contains("client-1"), "{rejection}");
}

#[test]
fn the_oldest_are_forgotten_first_and_those_of_a_tenant_with_it() {
    let mut fleet = Fleet::with_identities(1);
    fleet.accept(begin(&[0]));
    let first = fleet.state.campaigns_order.first().unwrap().clone();
    // As if so many had come since: the rest of the state does not matter for it.
    let row = fleet.state.campaigns[&first].clone();
    for at in 1..CAMPAIGNS {
        let request = RequestId::new(format!("later-{at}")).unwrap();
        fleet.state.campaigns.insert(request.clone(), row.clone());
        fleet.state.campaigns_order.push(request);
    }
    fleet.accept(begin(&[0]));
    assert_eq!(fleet.state.campaigns.len(), CAMPAIGNS);
    assert!(!fleet.state.campaigns.contains_key(&first));

    let mut fleet = Fleet::with_identities(0);
    let other = tenant("client-2");
    let gone = other.id.clone();
    fleet.accept(Command::CreateTenant(CreateTenant { tenant: other }));
    fleet.state.campaigns.insert(
        first.clone(),
        std::sync::Arc::new(crate::state::Campaign {
            tenant: gone.clone(),
            ..row.as_ref().clone()
        }),
    );
    fleet.state.campaigns_order.push(first);
    fleet.accept(Command::RemoveTenant(RemoveTenant { tenant: gone }));
    assert!(fleet.state.campaigns.is_empty() && fleet.state.campaigns_order.is_empty());
}

#[test]
fn readings_are_whole_figures_of_a_day_and_telling_them_again_changes_nothing() {
    let mut fleet = Fleet::with_identities(1);
    fleet.accept(begin(&[0]));
    let request = fleet.state.campaigns_order.first().unwrap().clone();
    let read = |delivered, opened| {
        let figures = Figures {
            delivered,
            opened,
            clicked: 0,
        };
        let unknown = RequestId::new("forgotten").unwrap();
        Command::RecordReadings(RecordReadings {
            readings: [(request.clone(), figures), (unknown, figures)].into(),
        })
    };
    // Nobody reads what is not there, and nothing is read before something is out.
    assert_eq!(fleet.accept(read(10, 1)).effect, Effect::Unchanged);
    fleet.accept(end(&request, created("uid1")));
    assert_eq!(fleet.accept(read(0, 0)).effect, Effect::Unchanged);
    let revision = fleet.state.revision;
    assert_eq!(fleet.accept(read(10, 1)).effect, Effect::Done);
    assert_eq!(fleet.accept(read(10, 1)).effect, Effect::Unchanged);
    fleet.accept(read(12, 5));
    fleet.wait(email_engine_protocol::time::Timestamp::DAY - 1_000);
    // The same on another day is news: it was read then.
    assert_eq!(fleet.accept(read(12, 5)).effect, Effect::Done);
    assert_eq!(fleet.state.revision, revision, "no change of the fleet");
    let days = &fleet.state.campaigns[&request].readings.0;
    let opened: Vec<_> = days.values().map(|one| one.figures.opened).collect();
    assert_eq!(opened, [5, 5]);
    for _ in 0..80 {
        fleet.wait(email_engine_protocol::time::Timestamp::DAY - 1_000);
        fleet.accept(read(12, 6));
    }
    assert_eq!(fleet.state.campaigns[&request].readings.0.len(), 32);
    let many = (0..1_001).map(|at| RequestId::new(format!("r{at}")).unwrap());
    let refused = fleet.refuse(Command::RecordReadings(RecordReadings {
        readings: many.map(|request| (request, Figures::default())).collect(),
    }));
    assert_eq!(refused.field, "readings");
}
