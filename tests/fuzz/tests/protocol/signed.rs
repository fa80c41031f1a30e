//! What a signature or a hash vouches for: only one form of it may be believed, the one that was made.

use std::fmt::Debug;

use email_engine_fuzz::fuzz;
use email_engine_protocol::bytes::{ContentHash, Signature, VerifyingKey};
use email_engine_protocol::crypto::{Signable, Signed, SigningKey};
use email_engine_protocol::desired::{EpochGrant, HostConfig, PlanKeyGrant, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::observed::HostReport;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::frame;
use email_engine_protocol::wire::v1::AgentMessage;

use super::golden;

/// The key of the golden samples.
fn key() -> SigningKey {
    SigningKey::from_seed([7; 32])
}

fn payload_of(signed: &[u8]) -> Vec<u8> {
    let (payload, _): (Vec<u8>, Signature) = postcard::from_bytes(signed).unwrap();
    payload
}

/// `input` is what somebody put where a signed value belongs. When it is a value, re-encoding gives
/// the very bytes that were signed; when it verifies, the key's owner signed exactly this.
fn vouched<T: Signable + PartialEq + Debug>(input: &[u8]) -> bool {
    let Ok(signed) = postcard::from_bytes::<Signed<T>>(input) else {
        return false;
    };
    let claimed = signed.unverified();
    if let Ok(value) = &claimed {
        assert_eq!(
            postcard::to_stdvec(value).unwrap(),
            payload_of(input),
            "{value:?}"
        );
    }
    let verified = signed.verify(&key().verifying_key());
    if let Ok(value) = &verified {
        assert_eq!(key().sign(value), signed, "signed by nobody: {value:?}");
    }
    verified.is_ok()
}

/// Signed rightly, but the payload is `input`: what a stolen or mistaken key can say.
fn decoded<T: Signable + Debug>(input: &[u8]) -> bool {
    // A signature that does not verify is no hindrance: the decoder behind it is what is looked at.
    let parts = (input, Signature([0; 64]));
    let signed: Signed<T> = postcard::from_bytes(&postcard::to_stdvec(&parts).unwrap()).unwrap();
    signed.unverified().is_ok_and(|value| {
        assert_eq!(postcard::to_stdvec(&value).unwrap(), input, "{value:?}");
        true
    })
}

fn target() -> Target {
    Target {
        cluster: ClusterId([0xc1; 16]),
        host: HostId::new("pmta1").unwrap(),
        generation: Generation {
            epoch: 1,
            number: 9,
        },
        digest: ContentHash([0xd1; 32]),
        plan_key_version: 1,
        issued_at: Timestamp(1_795_240_800_000),
    }
}

fn plan_key_grant() -> PlanKeyGrant {
    PlanKeyGrant {
        cluster: ClusterId([0xc1; 16]),
        version: 300,
        key: VerifyingKey([1; 32]),
    }
}

fn epoch_grant() -> EpochGrant {
    EpochGrant {
        cluster: ClusterId([0xc1; 16]),
        epoch: 2,
        issued_at: Timestamp(1_795_240_800_000),
    }
}

fn report() -> HostReport {
    let frame = golden("agent/report").remove(0);
    match frame::decode(&frame).unwrap() {
        AgentMessage::Report(signed) => signed.unverified().unwrap(),
        other => unreachable!("{other:?}"),
    }
}

fn signed<T: Signable>(value: &T) -> Vec<Vec<u8>> {
    vec![postcard::to_stdvec(&key().sign(value)).unwrap()]
}

fn plain<T: Signable>(value: &T) -> Vec<Vec<u8>> {
    vec![postcard::to_stdvec(value).unwrap()]
}

#[test]
fn a_changed_signed_target_is_not_believed() {
    fuzz!(signed(&target()), vouched::<Target>);
}

#[test]
fn a_changed_signed_report_is_not_believed() {
    fuzz!(signed(&report()), vouched::<HostReport>);
}

#[test]
fn a_changed_grant_of_a_plan_key_is_not_believed() {
    fuzz!(signed(&plan_key_grant()), vouched::<PlanKeyGrant>);
}

#[test]
fn a_changed_grant_of_an_epoch_is_not_believed() {
    fuzz!(signed(&epoch_grant()), vouched::<EpochGrant>);
}

#[test]
fn a_target_has_one_form() {
    fuzz!(plain(&target()), decoded::<Target>);
}

#[test]
fn a_report_has_one_form() {
    fuzz!(plain(&report()), decoded::<HostReport>);
}

#[test]
fn a_grant_of_a_plan_key_has_one_form() {
    fuzz!(plain(&plan_key_grant()), decoded::<PlanKeyGrant>);
}

#[test]
fn a_grant_of_an_epoch_has_one_form() {
    fuzz!(plain(&epoch_grant()), decoded::<EpochGrant>);
}

#[test]
fn a_manifest_has_one_form_and_keeps_its_bounds() {
    let retired = HostConfig::retired(
        ClusterId([1; 16]),
        HostId::new("pmta1").unwrap(),
        email_engine_protocol::id::Role::Powermta,
    );
    let mut samples = golden("manifest");
    samples.push(retired.to_bytes());
    fuzz!(samples, |input| {
        let Ok(config) = HostConfig::from_bytes(input) else {
            return false;
        };
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.to_bytes(), input, "two digests for one state");
        assert_eq!(config.digest(), ContentHash::of(input));
        assert!(config.bodies().len() + config.secrets().len() <= config.resources.len());
        true
    });
}
