//! Every message of wire version 1, byte for byte.
//!
//! postcard is not self-describing: a field that moved, a variant that was put in between or a type
//! that grew would still decode, to something else. These bytes make such a change visible. A new
//! message is a new line; a changed line is a new wire version.
//!
//! `UPDATE_GOLDEN=1 cargo test -p email-engine-protocol --test golden_wire` writes the file anew.

#![allow(clippy::disallowed_methods, reason = "a test may read its environment")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot build its sample has failed"
)]

mod accounting;
mod artifacts;
mod basics;
mod certificates;
mod database;
mod firewall;
mod health;
mod messages;
mod repository;
mod samples;
mod variants;

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use email_engine_protocol::bytes::{
    CaPin, ContentHash, RecoveryPin, SealingPublicKey, VerifyingKey,
};
use email_engine_protocol::crypto::SealedSecret;
use email_engine_protocol::desired::Target;
use email_engine_protocol::enroll::{
    EnrollRefusal, EnrollReply, EnrollRequest, ExpiredRenewal, HostAdmission, HostEnrollment,
    NodeAdmission, NodeEnrollment, TokenSecret,
};
use email_engine_protocol::id::{NodeId, Role, TokenId};
use email_engine_protocol::join::{Admission, JoinToken, TrustPin};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::wire::v1::{AgentMessage, BodyReply, BodyRequest, CoordinatorMessage};
use email_engine_protocol::wire::{Refusal, RefusalCode, frame};
use serde::Serialize;
use serde::de::DeserializeOwned;

use accounting::{accounting_cursors, file_cursor, statistics};
use samples::*;

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
    golden.add(
        "agent/statistics",
        &AgentMessage::Statistics(signing_key().sign(&statistics())),
    );
    golden.add("agent/pong", &AgentMessage::Pong { number: 300 });
    golden.add(
        "agent/holding",
        &AgentMessage::Holding {
            reason: "its keys are lost".to_owned(),
        },
    );
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
        RefusalCode::Holding,
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
            cursor: Some(file_cursor()),
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
        "coordinator/statistics-cursors",
        &CoordinatorMessage::StatisticsCursors(accounting_cursors()),
    );
    golden.add(
        "coordinator/statistics-refused",
        &CoordinatorMessage::StatisticsRefused {
            cursor: Some(file_cursor()),
        },
    );
}

fn body_replies(golden: &mut Golden) {
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
#[expect(
    clippy::disallowed_methods,
    reason = "a person asks for new golden bytes by an environment variable"
)]
fn no_byte_of_wire_version_1_has_changed() {
    let mut golden = Golden::default();
    agent_messages(&mut golden);
    coordinator_messages(&mut golden);
    body_replies(&mut golden);
    enrolment_messages(&mut golden);
    golden.add("manifest", &manifest());
    golden.add("transaction", &transaction());
    golden.add("suspension", &suspension());
    golden.add("basics", &basics::all());
    golden.add("database", &database::all());
    golden.add("firewall", &firewall::sample());
    golden.add("artifacts", &artifacts::all());
    golden.add("certificates", &certificates::all());
    golden.add("variable", &artifacts::variable());
    golden.add("health", &health::sample());
    golden.add("repository", &repository::sample());
    golden.add("scripts", &database::script());
    golden.add("discard", &discard());
    let token = JoinToken {
        id: TokenId::new("t-1").unwrap(),
        cluster: CLUSTER,
        ca_pin: CaPin([0xca; 32]),
        trust: TrustPin {
            recovery: RecoveryPin([0x9b; 32]),
            plan_key_version: 2,
            epoch: 3,
        },
        endpoints: vec!["192.0.2.1:7443".to_owned()],
        admission: Admission::Host {
            host: host(),
            role: Role::Powermta,
        },
        expires_at: AT,
        secret: [9; 32],
    };
    golden.add("join-token", &token);
    variants::add(&mut golden);
    messages::check(&golden);

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
