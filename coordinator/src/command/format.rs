//! The log's format: bytes of one command of each kind. A change of these lines makes nodes of two
//! releases read one log differently; only lines at the end may be added.

use std::collections::BTreeSet;

use email_engine_protocol::api::{
    AccessRole, Check, MemberRole, Phase, Rate, RotationCause, Settings, Verdict, WarmupRates,
    WarmupReason, WarmupStep, WarmupVerdict,
};
use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::desired::EpochGrant;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ArtifactName, ClusterId, NodeId, ReceiverGroup, Role, TokenId};
use email_engine_protocol::observed::{Counts, DayCounts};
use email_engine_protocol::time::Timestamp;

use super::fixture::listing::{list, run};
use super::fixture::{
    address, alert_commands, api_key, bundle, drawn_look, expiry_commands,
    failover::failover_commands, found, host, host_id, host_token, identity, outcome, prepared_key,
    recovery_key, redeem, spki, statistics, submission, tenant, zone_commands,
};
use super::*;
use crate::fleet::lifecycle::Event;
use crate::state::{
    CampaignEnd, CertificateSubject, Figures, HostSecret, ListWeight, Release, SecretOf,
    ShownCertificate, SweepRules, TokenUse,
};

const GOLDEN: &str = include_str!("format.golden");

fn fleet_commands() -> Vec<Command> {
    vec![
        Command::Found(Box::new(found())),
        Command::CreateTenant(CreateTenant {
            tenant: tenant("c1"),
        }),
        Command::ChangeTenant(ChangeTenant {
            tenant: tenant("c1"),
        }),
        Command::RemoveTenant(RemoveTenant {
            tenant: tenant("c1").id,
        }),
        Command::AddHost(AddHost {
            host: host("h1", Role::Api, 1),
        }),
        Command::ChangeHost(ChangeHost {
            host: host("h1", Role::Mailwizz, 1),
        }),
        Command::RetireHost(RetireHost {
            host: host_id("h1"),
            grace_millis: 300,
        }),
        Command::CutOffHost(CutOffHost {
            host: host_id("h1"),
            confirmed: true,
        }),
        Command::AddIdentity(AddIdentity::of(identity(0))),
        Command::ChangeIdentity(ChangeIdentity::of(identity(1_000))),
        Command::RetireIdentity(RetireIdentity {
            address: address(0),
        }),
        Command::IssueToken(host_token("t1", "h1", Role::Powermta)),
        Command::RevokeToken(RevokeToken {
            id: TokenId::new("t1").unwrap(),
        }),
        redeem("t1", 1),
    ]
}

fn certificate_commands() -> Vec<Command> {
    let serial = CertificateSerial([6; 16]);
    let renew = RenewCertificate {
        subject: CertificateSubject::Node(NodeId(2)),
        current_spki: spki(1),
        spki: spki(2),
        serial,
        not_after: Timestamp(9),
    };
    vec![
        Command::RenewCertificate(renew),
        Command::RevokeCertificate(RevokeCertificate { serial }),
    ]
}

fn content_commands() -> Vec<Command> {
    let target = NewTarget {
        host: host_id("h1"),
        parent: Some(ContentHash::of(b"p")),
        digest: ContentHash::of(b"d"),
        bodies: [ContentHash::of(b"b")].into(),
        resources: 3,
        planner_version: 1,
        release: Release {
            bundle: ContentHash::of(b"r"),
            planner_version: 1,
            settings: 2,
        },
        planned_from: 7,
    };
    let bodies = [(ContentHash::of(b"b"), b"b".to_vec())].into();
    let release = SetRelease {
        hosts: Some([host_id("h1")].into()),
        bundle: None,
        planner_version: Some(1),
        settings: None,
    };
    vec![
        Command::SetTargets(SetTargets {
            targets: vec![target],
            bodies,
        }),
        bundle("text"),
        Command::SetRelease(release),
        Command::PutSettings(PutSettings {
            settings: Settings::default(),
            release: true,
        }),
        Command::RecordOutcome(RecordOutcome {
            host: host_id("h1"),
            outcome: outcome(7),
        }),
    ]
}

fn cluster_commands() -> Vec<Command> {
    let key = api_key("ops", AccessRole::Operator);
    let id = key.id.clone();
    let node = SetNode {
        node: NodeId(2),
        role: MemberRole::Removed,
        endpoints: None,
        supports_version: Some(2),
    };
    let grant = EpochGrant {
        cluster: ClusterId([1; 16]),
        epoch: 2,
        issued_at: Timestamp(5),
    };
    let grant = recovery_key().sign(&grant);
    let nested = vec![Command::RaiseVersion(RaiseVersion { version: 2 })];
    vec![
        Command::CreateApiKey(key),
        Command::RevokeApiKey(RevokeApiKey { id }),
        Command::StockKeys(StockKeys {
            keys: vec![prepared_key(1)],
        }),
        Command::SetNode(node),
        Command::RaiseVersion(RaiseVersion { version: 2 }),
        Command::Recover(Box::new(Recover {
            grant,
            node: found().node,
        })),
        Command::Batch(Batch {
            base_revision: Some(4),
            commands: nested,
        }),
        Command::AllowRemoval(AllowRemoval {
            hosts: BTreeSet::from([host_id("h1")]),
        }),
        Command::RefuseToken(Box::new(RefuseToken {
            id: TokenId::new("t1").unwrap(),
            holder: TokenUse::new(spki(1), "m1", "192.0.2.1:1"),
            refused: TokenUse::new(spki(2), "m2", "192.0.2.2:2"),
        })),
        Command::TellTime(TellTime {
            clocks: [(NodeId(1), 0), (NodeId(2), -5)].into(),
        }),
        Command::ReadmitHost(ReadmitHost {
            host: host_id("h1"),
            shown: ShownCertificate {
                serial: CertificateSerial([7; 16]),
                spki: spki(3),
                issued_at: Timestamp(5),
                not_after: Timestamp(9),
            },
        }),
        Command::PlaceNode(PlaceNode {
            node: NodeId(2),
            endpoints: ("a:1".to_owned(), "b:2".to_owned(), "c:3".to_owned()),
            supports_version: 3,
        }),
        Command::AllowRestart(AllowRestart {
            host: host_id("h1"),
            lines: ContentHash([8; 32]),
        }),
        Command::RetryChange(RetryChange {
            host: host_id("h1"),
        }),
        Command::EndDrain(EndDrain {
            host: host_id("h1"),
            generation: Generation {
                epoch: 1,
                number: 7,
            },
            vmtas: [identity(0).vmta].into(),
        }),
        Command::GiveUpDrain(GiveUpDrain {
            address: address(0),
            messages: Some(5),
        }),
    ]
}

fn submission_commands() -> Vec<Command> {
    let authority = submission::authority(1, Some(CertificateSerial([2; 16])));
    let certificate = submission::certificate(1);
    vec![
        Command::SetSubmissionAuthority(Box::new(authority)),
        Command::SetSubmissionCertificate(Box::new(certificate)),
        Command::SetDatabasePassword(Box::new(submission::password(3))),
    ]
}

fn secret_commands() -> Vec<Command> {
    let of = SecretOf::Host(host_id("api1"), HostSecret::MetricsKey);
    vec![Command::SetSecret(Box::new(submission::secret(
        1, of, true,
    )))]
}

fn warmup_commands() -> Vec<Command> {
    let rate = Rate {
        events: 7,
        of: 300,
        measured: true,
    };
    let reasons = vec![WarmupReason::Bounces { rate, line: 200 }];
    let rates = WarmupRates {
        bounces: rate,
        complaints: Some(Rate::default()),
        blocks: Some((ReceiverGroup::other(), rate)),
        deferrals: Rate::default(),
        delivered: 293,
        used_days: 5,
    };
    let ticked = Ticked {
        address: address(0),
        phase: Phase::Week2,
        phase_started_at: Timestamp(5),
        verdict: WarmupVerdict {
            step: WarmupStep::Pause,
            reasons: reasons.clone(),
        },
        rates: rates.clone(),
    };
    vec![
        Command::TickWarmup(TickWarmup {
            day: 20_000,
            verdicts: vec![ticked],
        }),
        Command::PauseWarmup(PauseWarmup {
            address: address(0),
            days: Some(9),
        }),
        Command::ResumeWarmup(Box::new(ResumeWarmup {
            address: address(0),
            reason: "why".to_owned(),
            counted: DayCounts {
                day: 20_000,
                groups: [(ReceiverGroup::other(), Counts::NONE)].into(),
            },
        })),
        Command::StopWarmup(Box::new(StopWarmup {
            address: address(0),
            phase_started_at: Timestamp(5),
            reasons,
            rates,
        })),
    ]
}

fn artifact_commands() -> Vec<Command> {
    let sha256 = ContentHash::of(b"b");
    vec![
        Command::BeginArtifact(BeginArtifact {
            name: "b.zip".to_owned(),
            length: 1,
            sha256,
            pieces: vec![sha256],
            secret: true,
            total_limit: 300,
        }),
        Command::PutArtifactPiece(PutArtifactPiece {
            sha256,
            at: 0,
            bytes: Piece(b"b".to_vec()),
        }),
        Command::FinishArtifact(FinishArtifact { sha256 }),
        Command::RemoveArtifact(RemoveArtifact {
            sha256,
            expired: false,
        }),
        Command::NameArtifact(NameArtifact {
            name: ArtifactName::new("product").unwrap(),
            artifact: Some(sha256),
            release: true,
        }),
    ]
}

fn campaign_commands() -> Vec<Command> {
    vec![
        Command::BeginCampaign(BeginCampaign {
            tenant: tenant("c1").id,
            name: "Autumn".to_owned(),
            takes: vec![Take {
                address: address(0),
                mails: 300,
                used: 5,
            }],
            asker: [7; 16],
            known: ["u0".to_owned()].into(),
        }),
        Command::EndCampaign(EndCampaign {
            campaign: RequestId::new("r1").unwrap(),
            end: CampaignEnd::Created {
                uid: "u1".to_owned(),
            },
        }),
    ]
}

fn life_commands() -> Vec<Command> {
    let what = "no".to_owned();
    let said = [
        (Check::A, Verdict::Valid),
        (Check::Ptr, Verdict::Invalid { what }),
    ];
    vec![
        Command::SteerIdentity(SteerIdentity {
            address: address(0),
            event: Event::Quarantine {
                lists: ["zen".to_owned()].into(),
            },
            force: false,
            on_host: Some(Verdict::Valid),
        }),
        Command::StateChecks(StateChecks {
            address: address(0),
            verdicts: said.into(),
            sweeps: true,
        }),
        Command::RecordSending(RecordSending {
            sent: [(address(0), Timestamp(7))].into(),
        }),
    ]
}

fn rotation_commands() -> Vec<Command> {
    let addresses = [address(0)];
    vec![
        Command::RotateKeys(RotateKeys {
            addresses: addresses.into(),
            cause: RotationCause::Asked,
            busy: addresses.into(),
        }),
        Command::StateNextKey(StateNextKey {
            address: address(0),
            selector: "mail-202611221".to_owned(),
            verdict: Verdict::Valid,
        }),
        Command::TurnRotations(TurnRotations {
            addresses: addresses.into(),
        }),
    ]
}

fn reading_commands() -> Vec<Command> {
    let figures = Figures {
        delivered: 300,
        opened: 40,
        clicked: 5,
    };
    vec![
        Command::RecordReadings(RecordReadings {
            readings: [(RequestId::new("r1").unwrap(), figures)].into(),
        }),
        Command::RecordForeignPlans(RecordForeignPlans {
            host: host_id("h1"),
            plans: [(identity(0).vmta, "3".to_owned())].into(),
        }),
    ]
}

fn held_commands() -> Vec<Command> {
    let (host, kept) = (host_id("h1"), true);
    let campaigns = vec![ToldCampaign {
        uid: "ab12".into(),
        name: "Spring".into(),
        servers: "vmta-mail0".into(),
    }];
    vec![
        Command::RecordHeldCampaigns(RecordHeldCampaigns {
            host: host.clone(),
            campaigns,
            more: 3,
        }),
        Command::RecordQuotas(RecordQuotas { host, kept }),
    ]
}

fn dns_commands() -> Vec<Command> {
    vec![
        Command::RecordDns(drawn_look(0, 1)),
        Command::AskDns(AskDns {
            addresses: [address(0)].into(),
        }),
    ]
}

fn listing_commands() -> Vec<Command> {
    vec![
        Command::BeginSweep(BeginSweep {
            number: 7,
            lists: [(list("one"), ListWeight::TakesOut)].into(),
            members: [NodeId(1)].into(),
            rules: SweepRules::default(),
        }),
        Command::RecordListings(Box::new(run(Some(7), "one", 1, &[0]))),
    ]
}

fn statistics_commands() -> Vec<Command> {
    vec![Command::RecordStatistics(RecordStatistics {
        batches: vec![statistics(0, 100, 3)],
    })]
}

pub(super) fn samples() -> Vec<Command> {
    let shelves = [
        fleet_commands(),
        certificate_commands(),
        content_commands(),
        cluster_commands(),
        submission_commands(),
        artifact_commands(),
        secret_commands(),
        campaign_commands(),
        warmup_commands(),
        statistics_commands(),
        life_commands(),
        rotation_commands(),
        reading_commands(),
        dns_commands(),
        listing_commands(),
        alert_commands(),
        failover_commands(),
        zone_commands(),
        held_commands(),
        expiry_commands(),
    ];
    shelves.into_iter().flatten().collect()
}

pub(super) fn name(command: &Command) -> &'static str {
    command.verb().map_or("batch", |verb| verb.name())
}

#[test]
fn the_bytes_of_every_command_are_those_of_the_log() {
    let lines: String = samples()
        .iter()
        .map(|command| {
            let bytes = postcard::to_stdvec(command).unwrap();
            format!(
                "{} {}\n",
                name(command),
                data_encoding::HEXLOWER.encode(&bytes)
            )
        })
        .collect();
    assert_eq!(lines, GOLDEN, "as it is now:\n{lines}");
}

#[test]
fn every_kind_is_sampled_in_its_order_and_reads_back() {
    let samples = samples();
    assert_eq!(samples.len(), 92);
    for (at, command) in samples.iter().enumerate() {
        let bytes = postcard::to_stdvec(command).unwrap();
        assert_eq!(usize::from(bytes[0]), at, "{}", name(command));
        assert_eq!(postcard::from_bytes::<Command>(&bytes).unwrap(), *command);
    }
}

#[test]
fn the_envelope_of_a_command_is_as_it_was() {
    let proposal = Proposal {
        actor: "key ops".to_owned(),
        request: RequestId::new("r1").unwrap(),
        reason: "why".to_owned(),
        now: Timestamp(300),
        override_clock: true,
        command: Command::RaiseVersion(RaiseVersion { version: 2 }),
    };
    let bytes = postcard::to_stdvec(&proposal).unwrap();
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    assert_eq!(hex, "076b6579206f707302723103776879ac02011902");
}
