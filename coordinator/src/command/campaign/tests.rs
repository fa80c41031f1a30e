//! A campaign is written down once, ends once, and is remembered for a while.

use email_engine_protocol::api::IpStatus;
use email_engine_protocol::id::RequestId;

use super::{BeginCampaign, CAMPAIGNS, EndCampaign};
use crate::command::fixture::{Fleet, address, identity, tenant};
use crate::command::{ChangeIdentity, Command, CreateTenant, Effect, RejectionCode, RemoveTenant};
use crate::state::CampaignEnd;

fn begin(ips: &[u32]) -> Command {
    Command::BeginCampaign(BeginCampaign {
        tenant: identity(0).tenant,
        name: "Autumn".to_owned(),
        ips: ips.iter().map(|at| address(*at)).collect(),
    })
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
    assert_eq!(campaign.ips, [address(1), address(0)]);
    assert_eq!(campaign.end, None);
    fleet.accept(end(&request, created("uid1")));
    assert_eq!(fleet.state.campaigns[&request].end, Some(created("uid1")));
    let again = fleet.accept(end(&request, created("uid1")));
    assert_eq!(again.effect, Effect::Unchanged);
    let other = fleet.refuse(end(&request, created("uid2")));
    assert_eq!(other.code, RejectionCode::WrongState);
}

#[test]
fn only_own_identities_that_take_mail_send_it_each_once() {
    let mut fleet = Fleet::with_identities(2);
    let mut resting = identity(1);
    resting.status = IpStatus::Resting;
    fleet.accept(Command::ChangeIdentity(ChangeIdentity { ip: resting }));
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
        ips: vec![address(0)],
    }));
    assert_eq!(rejection.code, RejectionCode::ForeignTenant);
    assert!(!rejection.accepted.contains("client-1"), "{rejection}");
}

#[test]
fn the_oldest_are_forgotten_first_and_those_of_a_tenant_with_it() {
    let mut fleet = Fleet::with_identities(1);
    fleet.accept(begin(&[0]));
    let first = fleet.state.campaigns_order[0].clone();
    // As if so many had come since: the rest of the state does not matter for it.
    let row = fleet.state.campaigns[&first].clone();
    for at in 1..CAMPAIGNS {
        let request = RequestId::new(format!("later-{at}")).unwrap();
        fleet.state.campaigns.insert(request.clone(), row.clone());
        fleet.state.campaigns_order.push_back(request);
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
    fleet.state.campaigns_order.push_back(first);
    fleet.accept(Command::RemoveTenant(RemoveTenant { tenant: gone }));
    assert!(fleet.state.campaigns.is_empty() && fleet.state.campaigns_order.is_empty());
}
