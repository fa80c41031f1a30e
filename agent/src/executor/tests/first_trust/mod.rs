//! Whom a host that has no trust believes: the one that whoever holds the machine told it of, and nobody else.

use std::time::Duration;

use email_engine_protocol::crypto::{Entropy, RecoveryKey, SigningKey};
use email_engine_protocol::desired::{HostConfig, PlanKeyGrant};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId, Role, TokenId};
use email_engine_protocol::join::{Admission, JoinToken};
use tokio::sync::mpsc;

use super::rig::{CLUSTER, Rig, generation, host, wait_for};
use crate::executor::accept::{OfferRefused, Verdict, judge_target};
use crate::executor::core::Core;
use crate::halves::{ToExecutor, Trust};
use crate::host::Cabinet;
use crate::ledger::expected::{ExpectError, Expected, Unexpected};
use crate::ledger::tombstone::Tombstone;
use crate::ledger::{self, expected};

const LONG: Duration = Duration::from_secs(3600);

/// A machine that belongs to nobody, and its executor without a thread.
fn machine() -> (Rig, Core) {
    let mut rig = Rig::bare(LONG);
    rig.stop();
    let core = rig.core(mpsc::channel(64).0);
    (rig, core)
}

fn admits(core: &mut Core, trust: &Trust) -> bool {
    core.hear(ToExecutor::Admitted(Box::new(trust.clone())));
    core.trust.is_some()
}

/// Every trust that differs from the right one in one thing, each whole in itself.
fn lies(rig: &Rig) -> Vec<(&'static str, Trust)> {
    let right = rig.trust();
    let random = ring::rand::SystemRandom::new();
    let thief = RecoveryKey::generate(&Entropy(&random));
    let grant = |cluster, key: &SigningKey| {
        let key = key.verifying_key();
        PlanKeyGrant {
            cluster,
            version: 1,
            key,
        }
    };
    let other = ClusterId([8; 16]);
    let stolen = SigningKey::from_seed([66; 32]);
    let of = |change: &dyn Fn(&mut Trust)| {
        let mut trust = right.clone();
        change(&mut trust);
        trust
    };
    vec![
        (
            "another recovery key, and a plan key that it granted",
            of(&|trust| {
                trust.recovery = thief.public();
                trust.plan_key = thief.signing_key().sign(&grant(CLUSTER, &stolen));
            }),
        ),
        (
            "another key that backups would be sealed to",
            of(&|trust| trust.recovery.sealing.0[0] ^= 1),
        ),
        (
            "another cluster under the same recovery key",
            of(&|trust| {
                trust.cluster = other;
                trust.plan_key = rig.recovery.sign(&grant(other, &rig.plan));
            }),
        ),
        (
            "another host",
            of(&|trust| trust.host = HostId::new("pmta2").unwrap()),
        ),
        ("another role", of(&|trust| trust.role = Role::Api)),
        (
            "a plan key that the recovery key did not grant",
            of(&|trust| trust.plan_key = stolen.sign(&grant(CLUSTER, &stolen))),
        ),
    ]
}

#[test]
fn nobody_is_believed_before_the_machine_was_told_whom() {
    let (rig, mut core) = machine();
    let right = rig.trust();
    assert!(!admits(&mut core, &right), "the rightful one is nobody yet");
    assert!(!rig.data().join("trust").exists());
    // Told while it runs, it need not be started again.
    rig.expect(&rig.token("t-1")).unwrap();
    assert!(admits(&mut core, &right));
    assert_eq!(core.trust, Some(right));
}

#[test]
fn every_trust_but_the_expected_one_is_refused_and_that_one_is_taken_afterwards() {
    let (rig, mut core) = machine();
    rig.expect(&rig.token("t-1")).unwrap();
    for (what, lie) in lies(&rig) {
        assert!(!admits(&mut core, &lie), "{what}");
        assert!(!rig.data().join("trust").exists(), "{what}");
    }
    assert!(admits(&mut core, &rig.trust()));
    // From then on none of them is looked at, nor asked for.
    for (what, lie) in lies(&rig) {
        admits(&mut core, &lie);
        assert_eq!(core.trust, Some(rig.trust()), "{what}");
    }
}

#[test]
fn a_plan_key_that_was_replaced_before_the_token_was_made_is_not_the_first_one() {
    let (rig, mut core) = machine();
    let mut token = rig.token("t-1");
    token.trust.plan_key_version = 2;
    rig.expect(&token).unwrap();
    let mut trust = rig.trust();
    assert!(!admits(&mut core, &trust), "version 1 may be a thief's");
    let second = PlanKeyGrant {
        cluster: CLUSTER,
        version: 2,
        key: SigningKey::from_seed([4; 32]).verifying_key(),
    };
    trust.plan_key = rig.recovery.sign(&second);
    assert!(admits(&mut core, &trust));
}

#[test]
fn the_epoch_of_a_first_trust_is_the_tokens_whatever_is_claimed() {
    for claimed in [9, 2, 1, 0] {
        let (mut rig, mut core) = machine();
        let mut token = rig.token("t-1");
        token.trust.epoch = 2;
        rig.expect(&token).unwrap();
        let mut trust = rig.trust();
        trust.epoch = claimed;
        assert!(admits(&mut core, &trust), "{claimed}");
        // By the plan key, which a recovery keeps, and which nodes that it threw out may hold.
        let mut judge = |epoch| {
            let config = HostConfig::retired(CLUSTER, host(), Role::Powermta);
            let target = rig.target(&config, Generation { epoch, number: 1 });
            let signed = rig.plan.sign(&target);
            core.with_standpoint(|at| judge_target(at, &signed))
                .unwrap()
        };
        for thrown_out in [0, 1] {
            let refused = judge(thrown_out);
            assert!(
                matches!(refused, Err(OfferRefused::Epoch { known: 2, .. })),
                "{claimed}: {refused:?}"
            );
        }
        assert!(matches!(judge(2), Ok(Verdict::New(_))), "{claimed}");
        let ahead = judge(9);
        assert!(
            matches!(ahead, Err(OfferRefused::Epoch { .. })),
            "{claimed}"
        );
    }
}

#[test]
fn a_host_that_has_its_trust_needs_no_word_of_anybody() {
    let mut rig = Rig::new();
    let file = rig.file("/etc/a", "good");
    let config = rig.config(vec![file]);
    rig.converge(&config, 1);
    rig.stop();
    std::fs::remove_file(rig.data().join("expected")).unwrap();
    rig.restart();
    rig.converge(&config, 2);
}

#[test]
fn a_trust_that_was_lost_is_taken_again_without_a_new_token() {
    let mut rig = Rig::new();
    let trust = rig.data().join("trust");
    wait_for("its trust is pinned", || trust.exists());
    rig.stop();
    std::fs::remove_file(trust).unwrap();
    let mut core = rig.core(mpsc::channel(64).0);
    assert!(core.trust.is_none());
    for (what, lie) in lies(&rig) {
        assert!(!admits(&mut core, &lie), "{what}");
    }
    assert!(admits(&mut core, &rig.trust()));
}

#[test]
fn a_machine_that_is_a_host_is_told_of_no_other() {
    let rig = Rig::new();
    wait_for("its trust is pinned", || rig.data().join("trust").exists());
    let told = |change: &dyn Fn(&mut JoinToken)| {
        let mut token = rig.token("t-2");
        change(&mut token);
        rig.expect(&token)
    };
    let other_host = |token: &mut JoinToken| {
        token.admission = Admission::Host {
            host: HostId::new("pmta2").unwrap(),
            role: Role::Powermta,
        };
    };
    let others: [&dyn Fn(&mut JoinToken); 3] = [
        &other_host,
        &|token| token.cluster = ClusterId([8; 16]),
        &|token| token.trust.recovery.0[0] ^= 1,
    ];
    for other in others {
        let refused = told(other).unwrap_err();
        assert!(matches!(refused, ExpectError::Other(..)), "{refused}");
    }
    let refused = told(&|token| token.admission = Admission::Node).unwrap_err();
    assert!(matches!(refused, ExpectError::NotForHosts), "{refused}");
    assert_eq!(told(&|_| {}).unwrap().token, TokenId::new("t-2").unwrap());
}

/// A rig whose host was retired; nobody has forgotten anything yet.
fn retired() -> Rig {
    let mut rig = Rig::new();
    let key = rig.secret_file("/etc/key", "dkim/a", 1, "hunter2");
    let config = rig.config(vec![key]);
    rig.converge(&config, 1);
    let retired = HostConfig::retired(CLUSTER, host(), Role::Powermta);
    let target = rig.target(&retired, generation(2));
    rig.tell(ToExecutor::Offer(rig.plan.sign(&target)));
    rig.wait_retired();
    rig
}

#[test]
fn a_retired_machine_believes_nobody_until_it_is_joined_anew() {
    let mut rig = retired();
    rig.stop();
    let former = rig.keys;
    let mut core = rig.core(mpsc::channel(64).0);
    assert_ne!(core.keys.public(), former);
    // Not even the cluster that it was of: its plan key may be anybody's by now.
    assert!(!admits(&mut core, &rig.trust()));
    let why = expected::expected(&core.cabinet).unwrap().unwrap_err();
    let Unexpected::Retired(was) = &why else {
        panic!("{why}");
    };
    assert_eq!((was.cluster, &was.host), (CLUSTER, &host()));
    assert_eq!(was.generation, generation(2));
    for words in ["host pmta1", "state 1.2", "email-engine-bootstrap agent"] {
        assert!(why.to_string().contains(words), "{why}");
    }

    let spent = rig.expect(&rig.token("t-1")).unwrap_err();
    assert!(matches!(spent, ExpectError::Spent { .. }), "{spent}");
    assert!(!admits(&mut core, &rig.trust()));

    rig.expect(&rig.token("t-2")).unwrap();
    assert_eq!(Tombstone::read(&core.cabinet).unwrap(), None);
    assert!(admits(&mut core, &rig.trust()));
}

#[test]
fn a_retirement_that_is_cut_off_anywhere_leaves_nobody_who_is_believed() {
    for steps in 0.. {
        let mut rig = retired();
        // Its own end would forget everything: what a power cut leaves is the page that says so.
        let page = std::fs::read(rig.data().join("ledger/page")).unwrap();
        let kept = ["keys", "trust", "expected"].map(|name| {
            let path = rig.data().join(name);
            (std::fs::read(&path).unwrap(), path)
        });
        rig.stop();
        std::fs::remove_file(rig.data().join("tombstone")).unwrap();
        for (bytes, path) in &kept {
            std::fs::write(path, bytes).unwrap();
        }
        std::fs::create_dir_all(rig.data().join("ledger")).unwrap();
        std::fs::write(rig.data().join("ledger/page"), page).unwrap();

        let cabinet = Cabinet::open(&rig.data()).unwrap();
        cabinet.die_after(steps);
        let forgotten = ledger::forget_all(&cabinet).is_ok();
        let mut core = rig.core(mpsc::channel(64).0);
        assert!(!admits(&mut core, &rig.trust()), "cut off after {steps}");
        assert_eq!(Expected::read(&core.cabinet).unwrap(), None);
        let was = Tombstone::read(&core.cabinet).unwrap().unwrap();
        assert_eq!(was.token, Some(TokenId::new("t-1").unwrap()), "{steps}");
        if forgotten && !cabinet.is_dead() {
            assert!(steps > 5, "every step was cut off");
            return;
        }
    }
}
