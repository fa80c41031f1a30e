//! Every message of wire version 1, byte for byte.
//!
//! postcard is not self-describing: a field that moved, a variant that was put in between or a type
//! that grew would still decode, to something else. These bytes make such a change visible. A new
//! message is a new line; a changed line is a new wire version.
//!
//! `UPDATE_GOLDEN=1 cargo test -p email-engine-protocol --test golden_wire` writes the file anew.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot build its sample has failed"
)]

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use email_engine_protocol::bytes::{
    CaPin, CertificateSerial, Commitment, ContentHash, Nonce, SealingPublicKey, VerifyingKey,
};
use email_engine_protocol::crypto::{RecoveryPublic, Sealed, SealedSecret, Signed, SigningKey};
use email_engine_protocol::desired::{
    CommandLine, DirectorySpec, Disposition, EpochGrant, FileContent, FileSpec, Guard, HostConfig,
    HostPath, OnNotify, OnRemove, PackageSpec, PlanKeyGrant, Policy, Resource, ResourceKind,
    ServiceSpec, Spec, StepSpec, Target,
};
use email_engine_protocol::enroll::{
    EnrollRefusal, EnrollReply, EnrollRequest, ExpiredRenewal, HostAdmission, HostEnrollment,
    NodeAdmission, NodeEnrollment, RenewedCertificate, TokenSecret,
};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId, NodeId, ResourceId, Role, SecretId, TokenId};
use email_engine_protocol::join::{Admission, JoinToken};
use email_engine_protocol::observed::{
    AccountingFileId, Attempt, Convergence, Disk, Facts, GenerationStates, HostReport,
    IdentityTotals, Mode, Observed, ResourceState, ResourceStatus, Stage, StatisticsBatch,
    StatusCounts,
};
use email_engine_protocol::secret::SecretRef;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::v1::{AgentMessage, BodyReply, BodyRequest, CoordinatorMessage};
use email_engine_protocol::wire::{Floor, Hello, Refusal, RefusalCode, Versions, Welcome, frame};
use serde::Serialize;
use serde::de::DeserializeOwned;

const CLUSTER: ClusterId = ClusterId([0xc1; 16]);
const AT: Timestamp = Timestamp(1_795_240_800_000);

fn host() -> HostId {
    HostId::new("pmta1").unwrap()
}

const fn generation(number: u64) -> Generation {
    Generation { epoch: 1, number }
}

fn signing_key() -> SigningKey {
    SigningKey::from_seed([7; 32])
}

fn secret() -> SecretRef {
    SecretRef {
        id: SecretId::new("dkim/mail1.example.com/mail").unwrap(),
        version: 2,
        commitment: Commitment([0xcc; 32]),
    }
}

/// Sealing is random by nature, so the sample is made from its own encoding: 32 bytes of
/// encapsulated key, then the ciphertext with its length.
fn sealed() -> Sealed {
    let mut bytes = vec![0xee; 32];
    bytes.extend_from_slice(&[3, 1, 2, 3]);
    postcard::from_bytes(&bytes).unwrap()
}

fn plan_key() -> Signed<PlanKeyGrant> {
    let grant = PlanKeyGrant {
        cluster: CLUSTER,
        version: 1,
        key: signing_key().verifying_key(),
    };
    signing_key().sign(&grant)
}

fn resource(id: &str, spec: Spec, on_remove: OnRemove, policy: Policy) -> Resource {
    Resource {
        id: ResourceId::new(id).unwrap(),
        spec,
        on_remove,
        policy,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

fn file(path: &str, content: FileContent) -> Spec {
    Spec::File(FileSpec {
        path: HostPath::new(path).unwrap(),
        content,
        mode: 0o640,
        owner: Some("root".to_owned()),
        group: Some("pmta".to_owned()),
        validate: None,
    })
}

fn command() -> CommandLine {
    CommandLine {
        program: HostPath::new("/usr/sbin/pmta").unwrap(),
        arguments: vec!["reload".to_owned()],
    }
}

fn manifest() -> HostConfig {
    let directory = Spec::Directory(DirectorySpec {
        path: HostPath::new("/etc/pmta").unwrap(),
        mode: 0o755,
        owner: None,
        group: None,
    });
    let body = FileContent::Body {
        hash: ContentHash([0xb0; 32]),
        length: 300,
    };
    let package = Spec::Package(PackageSpec {
        name: "nginx".to_owned(),
        version: None,
        hold: true,
    });
    let service = Spec::Service(ServiceSpec {
        unit: "pmta.service".to_owned(),
        enabled: true,
        running: true,
        on_notify: OnNotify::Reload,
    });
    let step = |guard| {
        Spec::Step(StepSpec {
            command: command(),
            guard,
            timeout_seconds: 60,
            success_codes: vec![0],
        })
    };
    let mut config = resource(
        "file:/etc/pmta/config",
        file("/etc/pmta/config", body),
        OnRemove::Leave,
        Policy::Report,
    );
    config
        .after
        .push(ResourceId::new("directory:/etc/pmta").unwrap());
    config.notify.push(ResourceId::new("step:reload").unwrap());
    HostConfig {
        cluster: CLUSTER,
        host: host(),
        role: Role::Powermta,
        disposition: Disposition::Active,
        resources: vec![
            resource(
                "directory:/etc/pmta",
                directory,
                OnRemove::Disable,
                Policy::Enforce,
            ),
            config,
            resource(
                "file:/etc/pmta/key",
                file("/etc/pmta/key", FileContent::Secret(secret())),
                OnRemove::Delete,
                Policy::Hold,
            ),
            resource("package:nginx", package, OnRemove::Leave, Policy::Enforce),
            resource("service:pmta", service, OnRemove::Disable, Policy::Enforce),
            resource(
                "step:init",
                step(Guard::Creates(HostPath::new("/etc/pmta/x").unwrap())),
                OnRemove::Leave,
                Policy::Enforce,
            ),
            resource(
                "step:reload",
                step(Guard::Notified),
                OnRemove::Leave,
                Policy::Enforce,
            ),
        ],
        large_removal: false,
    }
}

fn generations() -> GenerationStates {
    GenerationStates {
        accepted: Some(generation(9)),
        running: Some(generation(8)),
        last_good: Some(generation(8)),
        attempted: Some(Attempt {
            generation: generation(9),
            stage: Stage::Apply,
            reason: "disk full".to_owned(),
        }),
    }
}

fn report() -> HostReport {
    HostReport {
        cluster: CLUSTER,
        host: host(),
        nonce: Nonce([0x0a; 16]),
        sequence: 3,
        at: AT,
        generations: generations(),
        convergence: Convergence::Degraded,
        disposition: Disposition::Active,
        counts: StatusCounts {
            converged: 5,
            simulated: 4,
            drifted: 3,
            failed: 2,
            blocked: 1,
            unknown: 0,
        },
        statuses: vec![
            status(
                "file:/a",
                ResourceKind::File,
                ResourceState::Failed("no space".to_owned()),
            ),
            status(
                "step:b",
                ResourceKind::Step,
                ResourceState::Blocked("file:/a".to_owned()),
            ),
            status("service:c", ResourceKind::Service, ResourceState::Simulated),
        ],
        repairs: 2,
        apply_millis: Some(12),
        inventory: 15,
        facts: Observed::Known {
            value: facts(),
            at: AT,
        },
    }
}

fn status(id: &str, kind: ResourceKind, state: ResourceState) -> ResourceStatus {
    ResourceStatus {
        id: ResourceId::new(id).unwrap(),
        kind,
        state,
    }
}

fn facts() -> Facts {
    Facts {
        hostname: "pmta1".to_owned(),
        os: "Debian GNU/Linux 12".to_owned(),
        kernel: "6.1.0".to_owned(),
        architecture: "x86_64".to_owned(),
        cpus: 8,
        memory_bytes: 16 << 30,
        disks: vec![Disk {
            mount_point: "/".to_owned(),
            total_bytes: 500,
            available_bytes: 400,
        }],
        addresses: vec![
            "192.0.2.20".parse().unwrap(),
            "2001:db8::20".parse().unwrap(),
        ],
        agent_version: "0.1.0".to_owned(),
        mode: Mode::Real,
    }
}

fn hello() -> Hello {
    Hello {
        versions: Versions { min: 1, max: 1 },
        software: "0.1.0".to_owned(),
        mode: Mode::Sandbox,
        cluster: CLUSTER,
        host: host(),
        generations: generations(),
        floor: Some(Floor {
            generation: generation(9),
            digest: ContentHash([0xd1; 32]),
        }),
        plan_key_version: 1,
    }
}

fn welcome() -> Welcome {
    let epoch = EpochGrant {
        cluster: CLUSTER,
        epoch: 2,
        issued_at: AT,
    };
    Welcome {
        version: 1,
        node: NodeId(3),
        nonce: Nonce([0x0a; 16]),
        coordinators: vec!["192.0.2.1:7443".to_owned()],
        plan_key: plan_key(),
        epoch_grant: Some(signing_key().sign(&epoch)),
        now: AT,
    }
}

fn renewed() -> RenewedCertificate {
    RenewedCertificate {
        chain: vec![vec![0x30, 0], vec![0x30, 1]],
        serial: CertificateSerial([0x5e; 16]),
        not_after: AT,
    }
}

fn recovery() -> RecoveryPublic {
    RecoveryPublic {
        verifying: VerifyingKey([0x1f; 32]),
        sealing: SealingPublicKey([0x2f; 32]),
    }
}

fn accounting_file() -> AccountingFileId {
    AccountingFileId {
        name: "acct-2026-11-21-0000.csv".to_owned(),
        head: ContentHash([0xac; 32]),
    }
}

fn statistics() -> StatisticsBatch {
    StatisticsBatch {
        host: host(),
        file: accounting_file(),
        from: 100,
        to: 900,
        totals: vec![IdentityTotals {
            address: "192.0.2.1".parse().unwrap(),
            hour: 498_678,
            sent: 10,
            delivered: 9,
            bounced: 1,
            deferred: 2,
            complaints: 0,
        }],
    }
}

/// Collects `name hex` lines, checking on the way that each decodes to what it was.
#[derive(Default)]
struct Golden(String);

impl Golden {
    fn add<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
        &mut self,
        name: &str,
        value: &T,
    ) {
        let bytes = frame::encode(value).unwrap();
        assert_eq!(
            &frame::decode::<T>(&bytes[4..]).unwrap(),
            value,
            "{name} decodes to what it was"
        );
        writeln!(self.0, "{name} {}", HEXLOWER.encode(&bytes)).unwrap();
    }
}

fn agent_messages(golden: &mut Golden) {
    golden.add("agent/hello", &AgentMessage::Hello(Box::new(hello())));
    golden.add(
        "agent/report",
        &AgentMessage::Report(signing_key().sign(&report())),
    );
    golden.add(
        "agent/secrets-wanted",
        &AgentMessage::SecretsWanted {
            generation: generation(9),
            secrets: vec![secret()],
        },
    );
    golden.add(
        "agent/renew",
        &AgentMessage::Renew {
            request: vec![0x30, 2],
        },
    );
    golden.add("agent/statistics", &AgentMessage::Statistics(statistics()));
    golden.add("agent/pong", &AgentMessage::Pong { number: 300 });
    golden.add(
        "agent/body-request",
        &BodyRequest {
            hash: ContentHash([0xb0; 32]),
            offset: 65_536,
        },
    );
}

fn coordinator_messages(golden: &mut Golden) {
    let target = Target {
        cluster: CLUSTER,
        host: host(),
        generation: generation(9),
        digest: ContentHash([0xd1; 32]),
        plan_key_version: 1,
        issued_at: AT,
    };
    golden.add(
        "coordinator/welcome",
        &CoordinatorMessage::Welcome(Box::new(welcome())),
    );
    let refusals = [
        RefusalCode::Version,
        RefusalCode::Identity,
        RefusalCode::Revoked,
        RefusalCode::WrongMode,
        RefusalCode::NoLeader,
        RefusalCode::Superseded,
        RefusalCode::Busy,
        RefusalCode::Protocol,
    ];
    for code in refusals {
        let refusal = Refusal {
            code,
            reason: "r".to_owned(),
            retry_after_millis: Some(500),
        };
        golden.add(
            &format!("coordinator/refused/{code:?}"),
            &CoordinatorMessage::Refused(refusal),
        );
    }
    golden.add(
        "coordinator/offer",
        &CoordinatorMessage::Offer(signing_key().sign(&target)),
    );
    let secrets = vec![SealedSecret {
        secret: secret(),
        sealed: sealed(),
    }];
    golden.add("coordinator/secrets", &CoordinatorMessage::Secrets(secrets));
    let list = vec!["192.0.2.1:7443".to_owned(), "[2001:db8::1]:7443".to_owned()];
    golden.add(
        "coordinator/coordinators",
        &CoordinatorMessage::Coordinators(list),
    );
    golden.add(
        "coordinator/renewed",
        &CoordinatorMessage::Renewed(renewed()),
    );
    golden.add(
        "coordinator/statistics-stored",
        &CoordinatorMessage::StatisticsStored {
            file: accounting_file(),
            cursor: 900,
        },
    );
    golden.add(
        "coordinator/ping",
        &CoordinatorMessage::Ping { number: 300 },
    );
    golden.add(
        "coordinator/renew-refused",
        &CoordinatorMessage::RenewRefused {
            reason: "r".to_owned(),
        },
    );
    golden.add(
        "coordinator/body-found",
        &BodyReply::Found { length: 70_000 },
    );
    golden.add("coordinator/body-missing", &BodyReply::Missing);
}

fn enrolment_messages(golden: &mut Golden) {
    let host_request = HostEnrollment {
        token: TokenId::new("t-1").unwrap(),
        secret: TokenSecret([9; 32]),
        request: vec![0x30, 2],
        report_key: VerifyingKey([0x1e; 32]),
        sealing_key: SealingPublicKey([0x2e; 32]),
        mode: Mode::Sandbox,
        hostname: "pmta1".to_owned(),
    };
    golden.add("enroll/host", &EnrollRequest::Host(host_request));
    let node_request = NodeEnrollment {
        token: TokenId::new("t-2").unwrap(),
        secret: TokenSecret([8; 32]),
        request: vec![0x30, 2],
        sealing_key: SealingPublicKey([0x2e; 32]),
        raft_endpoint: "192.0.2.2:7444".to_owned(),
        agent_endpoint: "192.0.2.2:7443".to_owned(),
        api_endpoint: "192.0.2.2:7443".to_owned(),
    };
    golden.add("enroll/node", &EnrollRequest::Node(node_request));
    let renewal = ExpiredRenewal {
        certificate: vec![0x30, 0],
        request: vec![0x30, 2],
        proof: vec![0x30, 3],
    };
    golden.add("enroll/renew", &EnrollRequest::Renew(renewal));
    golden.add(
        "enroll/host-admitted",
        &EnrollReply::Host(Box::new(host_admission())),
    );
    golden.add(
        "enroll/node-admitted",
        &EnrollReply::Node(Box::new(node_admission())),
    );
    let codes = [
        EnrollRefusal::Malformed,
        EnrollRefusal::TokenUnknown,
        EnrollRefusal::TokenExpired,
        EnrollRefusal::TokenUsed,
        EnrollRefusal::Revoked,
        EnrollRefusal::WrongMode,
        EnrollRefusal::Unavailable,
    ];
    for code in codes {
        let refused = EnrollReply::Refused {
            code,
            reason: "r".to_owned(),
        };
        golden.add(&format!("enroll/refused/{code:?}"), &refused);
    }
    golden.add("enroll/renewed", &renewed());
}

fn host_admission() -> HostAdmission {
    HostAdmission {
        cluster: CLUSTER,
        host: host(),
        role: Role::Powermta,
        chain: vec![vec![0x30, 0], vec![0x30, 1]],
        root: vec![0x30, 2],
        recovery: recovery(),
        plan_key: plan_key(),
        epoch: 1,
        coordinators: vec!["192.0.2.1:7443".to_owned()],
    }
}

fn node_admission() -> NodeAdmission {
    NodeAdmission {
        cluster: CLUSTER,
        node: NodeId(2),
        chain: vec![vec![0x30, 0], vec![0x30, 1]],
        root: vec![0x30, 2],
        key_encryption_key: sealed(),
        peers: vec![(NodeId(1), "192.0.2.1:7444".to_owned())],
    }
}

#[test]
fn no_byte_of_wire_version_1_has_changed() {
    let mut golden = Golden::default();
    agent_messages(&mut golden);
    coordinator_messages(&mut golden);
    enrolment_messages(&mut golden);
    golden.add("manifest", &manifest());
    let token = JoinToken {
        id: TokenId::new("t-1").unwrap(),
        cluster: CLUSTER,
        ca_pin: CaPin([0xca; 32]),
        endpoints: vec!["192.0.2.1:7443".to_owned()],
        admission: Admission::Host {
            host: host(),
            role: Role::Powermta,
        },
        expires_at: AT,
        secret: [9; 32],
    };
    golden.add("join-token", &token);

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &golden.0).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap();
    for (ours, theirs) in golden.0.lines().zip(expected.lines()) {
        assert_eq!(ours, theirs, "the wire changed");
    }
    assert_eq!(
        golden.0.lines().count(),
        expected.lines().count(),
        "a message came or went"
    );
}
