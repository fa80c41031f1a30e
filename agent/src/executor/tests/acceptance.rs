//! What the executor takes and what it refuses.

use email_engine_protocol::crypto::SigningKey;
use email_engine_protocol::desired::{HostConfig, PlanKeyGrant, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::observed::{HostReport, Stage};
use email_engine_protocol::time::Timestamp;

use super::rig::{CLUSTER, Rig, generation};
use crate::halves::{FromExecutor, ToExecutor};

/// A state of one file with this content.
fn state(rig: &mut Rig, content: &str) -> HostConfig {
    let file = rig.file("/etc/a", content);
    rig.config(vec![file])
}

/// A grant of this plan key; who signs it is another matter.
fn grant_of(key: &SigningKey, version: u32) -> PlanKeyGrant {
    PlanKeyGrant {
        cluster: CLUSTER,
        version,
        key: key.verifying_key(),
    }
}

/// The recovery key grants a second plan key, and perhaps an epoch.
fn rotate(rig: &Rig, epoch: Option<u64>) -> SigningKey {
    let second = SigningKey::from_seed([4; 32]);
    rig.tell(ToExecutor::Grants {
        plan_key: rig.recovery.sign(&grant_of(&second, 2)),
        epoch: epoch.map(|epoch| rig.grant_epoch(epoch)),
    });
    second
}

fn rig_at_five() -> (Rig, HostConfig) {
    let mut rig = Rig::new();
    let config = state(&mut rig, "five");
    rig.converge(&config, 5);
    (rig, config)
}

fn assert_refused(rig: &Rig, report: &HostReport, reason: &str) {
    let attempt = report.generations.attempted.as_ref().unwrap();
    assert_eq!(attempt.stage, Stage::Accept);
    assert!(attempt.reason.contains(reason), "{}", attempt.reason);
    assert_eq!(report.generations.accepted, Some(generation(5)));
    assert_eq!(report.generations.running, Some(generation(5)));
    assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"five");
}

#[test]
fn a_newer_generation_is_taken_and_an_older_refused() {
    let (mut rig, _) = rig_at_five();
    let older = state(&mut rig, "four");
    let report = rig.offer(&older, 4);
    assert_refused(
        &rig,
        &report,
        "generation 1.4 is older than the accepted 1.5",
    );
    let newer = state(&mut rig, "six");
    let report = rig.converge(&newer, 6);
    assert_eq!(report.generations.last_good, Some(generation(6)));
    assert_eq!(report.generations.attempted, None);
    assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"six");
}

#[test]
fn the_same_generation_with_other_content_is_refused_and_signed_again_is_fine() {
    let (mut rig, config) = rig_at_five();
    let other = state(&mut rig, "another five");
    let report = rig.offer(&other, 5);
    assert_refused(
        &rig,
        &report,
        "generation 1.5 was accepted with other content",
    );
    let mut again = rig.target(&config, generation(5));
    again.issued_at = Timestamp(99);
    let signed = rig.plan.sign(&again);
    rig.tell(ToExecutor::Offer(signed));
    let newer = rig.target(&other, generation(6));
    let report = rig.offer_target(&newer);
    assert_eq!(report.generations.accepted, Some(generation(6)));
}

#[test]
fn a_forged_signature_is_refused() {
    let (mut rig, config) = rig_at_five();
    let forger = SigningKey::from_seed([66; 32]);
    let target = rig.target(&config, generation(6));
    let report = rig.offer_signed(forger.sign(&target), generation(6));
    assert_refused(&rig, &report, "signature does not verify");
}

#[test]
fn what_was_not_signed_for_this_host_is_claimed_for_one_session_only() {
    let (mut rig, config) = rig_at_five();
    let highest = generation(u64::MAX);
    let forged = SigningKey::from_seed([66; 32]).sign(&rig.target(&config, highest));
    let neighbours = Target {
        host: HostId::new("pmta2").unwrap(),
        ..rig.target(&config, highest)
    };
    for claim in [forged, rig.plan.sign(&neighbours)] {
        rig.offer_signed(claim, highest);
        // What was refused is not offered again: a claim must not shut out what is rightly signed.
        rig.begin_session();
        let report = rig.report_where("the next session begins", |_| true);
        assert_eq!(report.generations.attempted, None);
    }
    rig.converge(&config, 6);
}

#[test]
fn a_target_for_another_cluster_or_host_is_refused() {
    let (mut rig, config) = rig_at_five();
    let foreign = Target {
        cluster: ClusterId([8; 16]),
        ..rig.target(&config, generation(6))
    };
    let report = rig.offer_target(&foreign);
    assert_refused(&rig, &report, "this host belongs to");
    let neighbour = Target {
        host: HostId::new("pmta2").unwrap(),
        ..rig.target(&config, generation(7))
    };
    let report = rig.offer_target(&neighbour);
    assert_refused(&rig, &report, "target is for host pmta2, this is pmta1");
    let mut stolen = config;
    stolen.host = HostId::new("pmta2").unwrap();
    let report = rig.offer(&stolen, 8);
    assert_refused(&rig, &report, "manifest is for host pmta2");
}

#[test]
fn an_epoch_needs_the_recovery_keys_grant() {
    let (mut rig, _) = rig_at_five();
    let config = state(&mut rig, "restored");
    let restored = Generation {
        epoch: 2,
        number: 3,
    };
    let target = rig.target(&config, restored);
    let report = rig.offer_target(&target);
    assert_refused(&rig, &report, "epoch 2 is not granted by the recovery key");
    // Signed by the plan key, a grant is worth nothing.
    let forged = rig.plan.sign(&email_engine_protocol::desired::EpochGrant {
        cluster: CLUSTER,
        epoch: 2,
        issued_at: Timestamp(1),
    });
    rig.tell(ToExecutor::Grants {
        plan_key: rig.plan_grant(),
        epoch: Some(forged),
    });
    let next = Generation {
        epoch: 2,
        number: 4,
    };
    let target = rig.target(&config, next);
    let report = rig.offer_target(&target);
    assert_refused(&rig, &report, "epoch 2 is not granted by the recovery key");
    rig.tell(ToExecutor::Grants {
        plan_key: rig.plan_grant(),
        epoch: Some(rig.grant_epoch(2)),
    });
    rig.tell(ToExecutor::Offer(rig.plan.sign(&target)));
    let report = rig.report_where("the restored cluster is followed", |report| {
        report.generations.last_good == Some(next)
    });
    assert_eq!(report.generations.accepted, Some(next));
    assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"restored");
}

#[test]
fn a_rotated_plan_key_is_followed_and_the_old_one_is_dead() {
    let (mut rig, config) = rig_at_five();
    let second = rotate(&rig, None);
    // An older grant does not bring the old key back.
    rig.tell(ToExecutor::Grants {
        plan_key: rig.plan_grant(),
        epoch: None,
    });
    let target = rig.target(&config, generation(6));
    let report = rig.offer_target(&target);
    assert_refused(&rig, &report, "plan key version 1, version 2 is trusted");
    let target = Target {
        plan_key_version: 2,
        ..rig.target(&config, generation(7))
    };
    let report = rig.offer_signed(second.sign(&target), generation(7));
    assert_eq!(report.generations.accepted, Some(generation(7)));
}

#[test]
fn a_lost_ledger_does_not_bring_a_replaced_plan_key_or_a_former_epoch_back() {
    let (mut rig, config) = rig_at_five();
    let second = rotate(&rig, Some(2));
    let restored = Generation {
        epoch: 2,
        number: 1,
    };
    let target = Target {
        plan_key_version: 2,
        ..rig.target(&config, restored)
    };
    let signed = second.sign(&target);
    rig.offer_signed(signed.clone(), restored);
    rig.stop();
    std::fs::remove_dir_all(rig.data().join("ledger")).unwrap();
    // Nobody brings the grants again.
    rig.start_alone();
    rig.begin_session();
    let old = rig.target(&config, generation(9));
    let report = rig.offer_target(&old);
    let reason = report.generations.attempted.unwrap().reason;
    assert!(
        reason.contains("plan key version 1, version 2 is trusted"),
        "{reason}"
    );
    rig.tell(ToExecutor::Offer(signed));
    let report = rig.report_where("the newer key's target is taken", |report| {
        report.generations.last_good == Some(restored)
    });
    assert_eq!(report.generations.accepted, Some(restored));
}

#[test]
fn grants_that_nobody_signed_for_this_cluster_are_not_believed_from_disk() {
    let (mut rig, config) = rig_at_five();
    let thief = SigningKey::from_seed([66; 32]);
    rig.stop();
    let cabinet = crate::host::Cabinet::open(&rig.data()).unwrap();
    let forged = crate::ledger::grants::Grants {
        plan_key: Some(thief.sign(&grant_of(&thief, 7))),
        epoch: None,
    };
    forged.write(&cabinet).unwrap();
    rig.start_alone();
    rig.begin_session();
    let report = rig.converge(&config, 6);
    assert_eq!(report.generations.accepted, Some(generation(6)));
}

#[test]
fn a_body_with_other_bytes_makes_no_state_accepted() {
    let (mut rig, _) = rig_at_five();
    let config = state(&mut rig, "six");
    let target = rig.target(&config, generation(6));
    rig.bodies.insert(target.digest, b"lies".to_vec());
    let report = rig.offer_target(&target);
    let attempt = report.generations.attempted.unwrap();
    assert_eq!(attempt.stage, Stage::Fetch);
    assert!(
        attempt.reason.contains("another hash"),
        "{}",
        attempt.reason
    );
    assert_eq!(report.generations.accepted, Some(generation(5)));
}

#[test]
fn a_second_trust_is_refused() {
    let (mut rig, config) = rig_at_five();
    let mut other = Rig::new().trust();
    other.cluster = ClusterId([8; 16]);
    rig.tell(ToExecutor::Admitted(Box::new(other)));
    let report = rig.converge(&config, 6);
    assert_eq!(report.cluster, CLUSTER);
}

#[test]
fn of_offers_that_wait_only_the_newest_is_taken_up() {
    let (mut rig, _) = rig_at_five();
    let mut digests = Vec::new();
    let mut offers = Vec::new();
    for number in [8, 7, 6] {
        let config = state(&mut rig, &number.to_string());
        let target = rig.target(&config, generation(number));
        digests.push(target.digest);
        offers.push(rig.plan.sign(&target));
    }
    rig.stop();
    let (sender, mut events) = tokio::sync::mpsc::channel(64);
    let mut core = rig.core(sender);
    core.resume();
    core.hear(ToExecutor::Session {
        nonce: email_engine_protocol::bytes::Nonce([9; 16]),
    });
    for offer in offers {
        core.hear(ToExecutor::Offer(offer));
    }
    core.proceed();
    let mut wanted = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let FromExecutor::BodiesWanted(hashes) = event {
            wanted.extend(hashes);
        }
    }
    assert_eq!(wanted, [digests[0]]);
}
