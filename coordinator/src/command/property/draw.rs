//! What may be proposed in a small world.

use std::collections::BTreeSet;
use std::sync::Arc;

use email_engine_protocol::api::{AccessRole, IpStatus, MemberRole};
use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::crypto::SigningKey;
use email_engine_protocol::desired::EpochGrant;
use email_engine_protocol::id::{ClusterId, HostId, NodeId, Role, TokenId};
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;

use crate::command::fixture::{
    Fleet, SECOND, address, api_key, bundle, bundle_hash, domain, drawn_alerts, drawn_artifact,
    drawn_campaign, drawn_dns, drawn_rotation, drawn_statement, drawn_statistics, drawn_turn,
    drawn_warmup, drawn_zone, failover, found, host, host_id, host_token, identity, listing,
    node_token, outcome, recovery_key, redeem, redeem_node, spki, submission, tenant,
};
use crate::command::*;
use crate::state::{
    CertificateSubject, Host, HostLifecycle, Identity, Node, ShownCertificate, TokenUse,
};

/// A small world, so that random steps meet each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) verb: u8,
    pub(super) which: u8,
    pub(super) how: u8,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        (0..77_u8, 0..4_u8, 0..4_u8).prop_map(|(verb, which, how)| Step { verb, which, how });
    prop::collection::vec(step, 1..100)
}

const HOSTS: [(&str, Role); 4] = [
    ("pmta1", Role::Powermta),
    ("pmta2", Role::Powermta),
    ("api1", Role::Api),
    ("mw1", Role::Mailwizz),
];

fn tenant_with(step: Step) -> email_engine_protocol::api::TenantSpec {
    let mut spec = tenant(&format!("client-{}", step.which + 1));
    if step.how > 1 {
        spec.brand_domains
            .insert(domain(&format!("www.mail{}.example.com", step.how)));
    }
    spec
}

fn host_with(step: Step) -> email_engine_protocol::api::HostSpec {
    let (name, role) = HOSTS[usize::from(step.which)];
    let mut spec = host(name, role, step.which + 1);
    if step.how > 1 {
        spec.tenant = Some(tenant("client-1").id);
    }
    spec
}

fn identity_with(step: Step) -> email_engine_protocol::api::IpSpec {
    let mut spec = identity(u32::from(step.which));
    match step.how {
        0 if step.verb == 9 => spec.tenant = tenant("client-2").id,
        1 => spec.host = host_id("pmta2"),
        2 => spec.status = IpStatus::Quarantine,
        3 => {
            spec.selector = "other".to_owned();
            spec.hostname = domain("mail0.example.com");
        }
        _ => {}
    }
    spec
}

/// Commands about tenants, hosts and identities.
fn fleet_command(fleet: &Fleet, step: Step) -> Command {
    let id = host_id(HOSTS[usize::from(step.which)].0);
    match step.verb {
        0 => Command::CreateTenant(CreateTenant {
            tenant: tenant_with(step),
        }),
        1 => Command::ChangeTenant(ChangeTenant {
            tenant: tenant_with(step),
        }),
        2 => Command::RemoveTenant(RemoveTenant {
            tenant: tenant_with(step).id,
        }),
        3 => Command::AddHost(AddHost {
            host: host_with(step),
        }),
        4 => Command::ChangeHost(ChangeHost {
            host: host_with(step),
        }),
        5 if step.how == 3 => emptied(fleet, id),
        5 => Command::RetireHost(RetireHost {
            host: id,
            grace_millis: 2,
        }),
        6 => Command::CutOffHost(CutOffHost {
            host: retiring(fleet).unwrap_or(id),
            confirmed: step.how == 0,
        }),
        7 | 8 => Command::AddIdentity(AddIdentity::of(identity_with(step))),
        9 => Command::ChangeIdentity(ChangeIdentity::of(identity_with(step))),
        10 => Command::RetireIdentity(RetireIdentity {
            address: address(step.which.into()),
        }),
        11 => fleet.stock(u32::from(step.how)),
        12 => Command::RecordOutcome(RecordOutcome {
            host: id,
            outcome: outcome(step.how.into()),
        }),
        _ => batch_of(step),
    }
}

/// A target that was planned on another one than the host has.
fn stale_target(fleet: &Fleet) -> Command {
    let mut command = fleet.target(&[b"stale"]);
    if let Command::SetTargets(set) = &mut command {
        set.targets[0].parent = Some(ContentHash::of(b"none"));
    }
    command
}

/// Retires a host with all that is on it: one that sends would be refused else.
fn emptied(fleet: &Fleet, host: HostId) -> Command {
    let identities = fleet.state.identities.values();
    let on_it: Vec<_> = identities.filter(|one| one.spec.host == host).collect();
    let retire = |identity: &Arc<Identity>| {
        let address = identity.spec.address;
        Command::RetireIdentity(RetireIdentity { address })
    };
    let mut commands: Vec<Command> = on_it.iter().copied().map(retire).collect();
    let drain = on_it
        .into_iter()
        .filter(|identity| is_on_its_host(&fleet.state, identity));
    let drain = drain.map(|identity| identity.spec.address);
    let drained = fleet.state.leaving_on(&host).map(|one| one.spec().address);
    let addresses: BTreeSet<_> = drain.chain(drained).collect();
    commands.extend(addresses.into_iter().map(|address| {
        Command::GiveUpDrain(GiveUpDrain {
            address,
            messages: None,
        })
    }));
    commands.push(Command::RetireHost(RetireHost {
        host,
        grace_millis: 2,
    }));
    Command::Batch(Batch {
        base_revision: None,
        commands,
    })
}

/// Few histories cut the very host off that they retired.
fn retiring(fleet: &Fleet) -> Option<HostId> {
    let mut hosts = fleet.state.hosts.iter();
    let is_retiring = |host: &Host| matches!(host.lifecycle, HostLifecycle::Retiring { .. });
    hosts
        .find(|(_, host)| is_retiring(host))
        .map(|(id, _)| id.clone())
}

/// Retires one identity and adds it again, with another one: all or nothing.
fn batch_of(step: Step) -> Command {
    let address = address(step.which.into());
    let add = |at: u8| Command::AddIdentity(AddIdentity::of(identity(at.into())));
    let commands = vec![
        Command::RetireIdentity(RetireIdentity { address }),
        add(step.which),
        add(step.how),
    ];
    Command::Batch(Batch {
        base_revision: None,
        commands,
    })
}

/// Commands about access, content and the cluster.
fn other_command(fleet: &Fleet, step: Step) -> Command {
    let token = format!("t{}", step.how);
    let (host, role) = HOSTS[usize::from(step.which)];
    let mut issue = host_token(&token, host, role);
    issue.replace = true;
    match step.verb {
        14 => Command::IssueToken(issue),
        15 => redeem(&token, step.which),
        16 => Command::RevokeToken(RevokeToken {
            id: TokenId::new(token).unwrap(),
        }),
        17 => Command::IssueToken(node_token(&format!("n{}", step.how))),
        18 => redeem_node(&format!("n{}", step.how), step.which),
        19 => renew(fleet, step),
        20 => {
            let serial = CertificateSerial([step.which; 16]);
            Command::RevokeCertificate(RevokeCertificate { serial })
        }
        22 if step.how == 3 => stale_target(fleet),
        21 | 22 => fleet.target(&[b"shared", &[step.how], &[step.which + 100]]),
        23 => bundle(&token),
        24 => set_release(fleet, step, host),
        25 => {
            let settings = email_engine_protocol::api::Settings {
                management_port: step.which.into(),
                ..Default::default()
            };
            Command::PutSettings(PutSettings {
                settings,
                release: step.how > 1,
            })
        }
        26 if step.how > 2 => Command::CreateApiKey(api_key(&token, AccessRole::Viewer)),
        26 if step.how > 1 => Command::CreateApiKey(api_key(&token, AccessRole::Admin)),
        26 => Command::RevokeApiKey(RevokeApiKey {
            id: api_key(&format!("t{}", step.how + 2), AccessRole::Admin).id,
        }),
        27 => Command::RefuseToken(Box::new(RefuseToken {
            id: TokenId::new(token).unwrap(),
            holder: TokenUse::new(spki(step.which), "holder", "192.0.2.1:1"),
            refused: TokenUse::new(spki(step.which + 1), "second", "192.0.2.2:2"),
        })),
        28 => Command::AllowRemoval(AllowRemoval {
            hosts: [host_id(host)].into(),
        }),
        29 => Command::RaiseVersion(RaiseVersion {
            version: u32::from(step.how) + 1,
        }),
        30 => recover(step),
        31 => Command::TellTime(TellTime {
            clocks: [(NodeId(step.which.into()), i64::from(step.how) * 20_000)].into(),
        }),
        32 => readmit(fleet, step),
        34 => Command::Found(Box::new(found())),
        35 => Command::PlaceNode(PlaceNode {
            node: NodeId(step.which.into()),
            endpoints: (found().node.api_endpoint, domain_of(step), domain_of(step)),
            supports_version: step.how.into(),
        }),
        36 => Command::AllowRestart(AllowRestart {
            host: host_id(host),
            lines: ContentHash([step.how; 32]),
        }),
        38..=40 => end_drain(fleet, step),
        37 => Command::RetryChange(RetryChange {
            host: host_id(host),
        }),
        _ => Command::SetNode(SetNode {
            node: NodeId(step.which.into()),
            role: [MemberRole::Learner, MemberRole::Voter, MemberRole::Removed]
                [usize::from(step.how % 3)],
            endpoints: None,
            supports_version: (step.how > 1).then_some(u32::from(step.which)),
        }),
    }
}

/// What drains on a host is empty there, by the current target or by another; or it is given up.
fn end_drain(fleet: &Fleet, step: Step) -> Command {
    if step.verb == 40 {
        return Command::GiveUpDrain(GiveUpDrain {
            address: address(step.which.into()),
            messages: None,
        });
    }
    let host = host_id("pmta1");
    let target = fleet.state.targets.get(&host);
    let mut generation = target.map(|target| target.generation).unwrap_or_default();
    generation.number += u64::from(step.how == 3);
    let vmtas = fleet.state.leaving_on(&host);
    Command::EndDrain(EndDrain {
        vmtas: vmtas.map(|leaving| leaving.spec().vmta.clone()).collect(),
        host,
        generation,
    })
}

/// Of a bundle that is there, or of one that was put perhaps.
fn set_release(fleet: &Fleet, step: Step, host: &str) -> Command {
    let known = fleet.state.bundles.keys().next().filter(|_| step.how > 1);
    let drawn = || bundle_hash(&format!("t{}", step.how));
    Command::SetRelease(SetRelease {
        hosts: (step.which > 0).then(|| [host_id(host)].into()),
        bundle: Some(known.copied().unwrap_or_else(drawn)),
        planner_version: None,
        settings: (step.how > 2).then_some(2),
    })
}

fn domain_of(step: Step) -> String {
    format!("node{}.example.com:7443", step.how)
}

/// A certificate of the time that a restore lost: the first host that shows one, or a copy of it.
fn readmit(fleet: &Fleet, step: Step) -> Command {
    Command::ReadmitHost(ReadmitHost {
        host: host_id("pmta1"),
        shown: ShownCertificate {
            serial: CertificateSerial([step.how + 40; 16]),
            spki: spki(step.how + 40),
            issued_at: Timestamp(fleet.now().0.saturating_sub(u64::from(step.which) * SECOND)),
            not_after: fleet.now().plus(SECOND),
        },
    })
}

/// A restore under the next epochs, by the recovery key or by another.
fn recover(step: Step) -> Command {
    let key = if step.how == 0 {
        SigningKey::from_seed([9; 32])
    } else {
        recovery_key()
    };
    let grant = EpochGrant {
        cluster: ClusterId([1; 16]),
        epoch: u64::from(step.how) + 1,
        issued_at: Timestamp(1),
    };
    let node = Node {
        id: NodeId(u64::from(step.which) + 2),
        ..found().node
    };
    Command::Recover(Box::new(Recover {
        grant: key.sign(&grant),
        node,
    }))
}

fn renew(fleet: &Fleet, step: Step) -> Command {
    Command::RenewCertificate(RenewCertificate {
        subject: CertificateSubject::Host(host_id("pmta1")),
        current_spki: spki(step.which),
        spki: spki(step.how),
        serial: CertificateSerial([step.how + 10; 16]),
        not_after: fleet.now().plus(SECOND),
    })
}

pub(super) fn command(fleet: &Fleet, step: Step) -> Command {
    let has_target_host = fleet.state.hosts.contains_key(&host_id("pmta1"));
    match step.verb {
        0..=13 => fleet_command(fleet, step),
        41 => Command::SetSubmissionAuthority(Box::new(submission::drawn_authority(
            fleet, step.which, step.how,
        ))),
        42 => Command::SetSubmissionCertificate(Box::new(submission::drawn_certificate(
            fleet, step.which, step.how,
        ))),
        43 => submission::drawn(step.which, step.how),
        44 => drawn_campaign(fleet, step.which, step.how),
        45..50 => drawn_artifact(step.verb - 45, step.which, step.how),
        50..54 => drawn_warmup(fleet, step.verb - 50, step.which, step.how),
        // They share a verb, so that all others are drawn as often as before.
        54 if step.how > 1 => listing::drawn_listing(fleet, step.which, step.how),
        54 => drawn_statistics(step.which, step.how),
        55 => drawn_statement(fleet, step.which, step.how),
        61..=62 => drawn_dns(fleet, step.verb - 61, step.which, step.how),
        75.. => drawn_zone(fleet, step.how, step.which > 2),
        72.. => failover::drawn_failover(fleet, step.verb - 72, step.which, step.how),
        63.. => drawn_alerts(fleet, step.verb - 63, step.which, step.how),
        58.. => drawn_rotation(fleet, step.verb - 58, step.which, step.how),
        56.. => drawn_turn(step.verb - 6, step.which, step.how),
        21 | 22 if !has_target_host => batch_of(step),
        _ => other_command(fleet, step),
    }
}
