//! The cluster's certificate authorities and keys: made once by founding, loaded on every node.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use ring::rand::SystemRandom;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use email_engine_protocol::bytes::{CaPin, ContentHash};
use email_engine_protocol::crypto::{Entropy, OpenError, RecoveryKey, Sealed, Signed, SigningKey};
use email_engine_protocol::desired::{EpochGrant, PlanKeyGrant};
use email_engine_protocol::id::ClusterId;
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;

use crate::seal::{SealError, Vault};
use crate::state::{ClusterRecord, Issuer, PlanKey};

/// Life of the root.
const ROOT_MILLIS: u64 = 3653 * Timestamp::DAY;
/// Life of an intermediate.
const INTERMEDIATE_MILLIS: u64 = 1826 * Timestamp::DAY;
/// Certificates begin this long before they are made, for machines whose clock is behind.
pub(super) const BACKDATE_MILLIS: u64 = 48 * Timestamp::HOUR;
/// Context in which the root's private key is sealed to the recovery key.
const ROOT_KEY_INFO: &[u8] = b"email-engine/root-key/v1";

/// Why the authorities cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A key or certificate cannot be made.
    #[error("{what} cannot be made: {source}")]
    Make {
        /// Of what.
        what: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A sealed key does not open.
    #[error("{what} does not open: {source}")]
    Seal {
        /// Which key.
        what: &'static str,
        /// Why.
        #[source]
        source: SealError,
    },
    /// The root's key cannot be sealed to the recovery key.
    #[error("the root's key cannot be sealed: {0}")]
    Recovery(OpenError),
    /// A stored key or certificate is not of its kind.
    #[error("the stored {0} does not parse")]
    Stored(&'static str),
    /// The cluster has no plan key.
    #[error("the cluster has no plan key")]
    NoPlanKey,
}

/// A cluster that was just founded. The recovery key is printed once and forgotten.
#[derive(Debug)]
pub struct Founding {
    /// What enters the log.
    pub record: ClusterRecord,
    /// To be printed and kept offline.
    pub recovery: RecoveryKey,
    /// Seals this cluster's secrets; its key goes to each node's disk.
    pub vault: Vault,
    /// Issues the first node's certificate.
    pub issuer: Authority,
}

/// What nodes issue certificates with.
pub struct Authority {
    pub(super) cluster: ClusterId,
    pub(super) root: CertificateDer<'static>,
    pub(super) intermediate: CertificateDer<'static>,
    pub(super) issuer: rcgen::Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({}, redacted)", self.cluster)
    }
}

/// Founds a cluster: root, intermediate, plan key, recovery key, key-encryption key.
///
/// # Errors
/// When the system has no randomness or an encoder fails.
pub fn found(mode: Mode, now: Timestamp) -> Result<Founding, AuthorityError> {
    let random = SystemRandom::new();
    let mut entropy = Entropy(&random);
    let id = ClusterId(entropy.bytes());
    let recovery = RecoveryKey::generate(&entropy);
    let vault = Vault::new(1, Zeroizing::new(entropy.bytes()));

    let root_key = key_pair("the root's key")?;
    let root_secret = Zeroizing::new(root_key.serialized_der().to_vec());
    let params = ca_params(&format!("Email-Engine root {id}"), None, now, ROOT_MILLIS);
    let root = CertifiedIssuer::self_signed(params, root_key).map_err(make("the root"))?;
    let root_key = Sealed::new(
        &recovery.public().sealing,
        ROOT_KEY_INFO,
        &id.0,
        &root_secret,
        &mut entropy,
    )
    .map_err(AuthorityError::Recovery)?;

    let key = key_pair("the intermediate's key")?;
    let sealed = vault.seal(&Zeroizing::new(key.serialized_der().to_vec()), &entropy);
    let name = format!("Email-Engine issuer {id}");
    let params = ca_params(&name, Some(0), now, INTERMEDIATE_MILLIS);
    let intermediate = params
        .signed_by(&key, &root)
        .map_err(make("the intermediate"))?;

    let record = ClusterRecord {
        id,
        epoch: 1,
        epoch_grant: None,
        version: 1,
        mode,
        recovery: recovery.public(),
        root: root.der().to_vec(),
        ca_pin: CaPin(ContentHash::of(&root.key().subject_public_key_info()).0),
        root_key,
        issuer: Issuer {
            certificate: intermediate.der().to_vec(),
            key: sealed,
        },
        plan_keys: BTreeMap::from([(1, plan_key(id, 1, &recovery, &vault, &entropy))]),
        created_at: now,
    };
    let issuer = Authority::load(&record, &vault)?;
    Ok(Founding {
        record,
        recovery,
        vault,
        issuer,
    })
}

impl Authority {
    /// The authority of a running cluster.
    ///
    /// # Errors
    /// When the node's key-encryption key does not open the intermediate's key.
    pub fn load(record: &ClusterRecord, vault: &Vault) -> Result<Self, AuthorityError> {
        let what = "the intermediate's key";
        let secret = vault
            .open(&record.issuer.key)
            .map_err(|source| AuthorityError::Seal { what, source })?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(&secret[..]),
            &rcgen::PKCS_ECDSA_P256_SHA256,
        )
        .map_err(|_| AuthorityError::Stored("key of the intermediate"))?;
        let intermediate = CertificateDer::from(record.issuer.certificate.clone());
        let issuer = rcgen::Issuer::from_ca_cert_der(&intermediate, key)
            .map_err(|_| AuthorityError::Stored("certificate of the intermediate"))?;
        Ok(Self {
            cluster: record.id,
            root: CertificateDer::from(record.root.clone()),
            intermediate,
            issuer,
        })
    }

    /// The cluster.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The root certificate.
    #[must_use]
    pub const fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The intermediate certificate.
    #[must_use]
    pub const fn intermediate(&self) -> &CertificateDer<'static> {
        &self.intermediate
    }
}

/// The newest plan key with its version.
///
/// # Errors
/// When there is none, or the node's key-encryption key does not open it.
pub fn plan_signer(
    record: &ClusterRecord,
    vault: &Vault,
) -> Result<(u32, SigningKey), AuthorityError> {
    let (version, key) = record
        .plan_keys
        .last_key_value()
        .ok_or(AuthorityError::NoPlanKey)?;
    let what = "the plan key";
    let seed = vault
        .open(&key.key)
        .map_err(|source| AuthorityError::Seal { what, source })?;
    let seed: [u8; 32] = seed[..]
        .try_into()
        .map_err(|_| AuthorityError::Stored("plan key"))?;
    Ok((*version, SigningKey::from_seed(seed)))
}

/// The recovery key's word for a new epoch, after a restore.
#[must_use]
pub fn grant_epoch(
    recovery: &RecoveryKey,
    cluster: ClusterId,
    epoch: u64,
    issued_at: Timestamp,
) -> Signed<EpochGrant> {
    recovery.signing_key().sign(&EpochGrant {
        cluster,
        epoch,
        issued_at,
    })
}

pub(super) fn plan_key(
    cluster: ClusterId,
    version: u32,
    recovery: &RecoveryKey,
    vault: &Vault,
    entropy: &Entropy<'_>,
) -> PlanKey {
    let signer = SigningKey::generate(entropy);
    PlanKey {
        grant: recovery.signing_key().sign(&PlanKeyGrant {
            cluster,
            version,
            key: signer.verifying_key(),
        }),
        key: vault.seal(signer.seed(), entropy),
    }
}

fn ca_params(name: &str, below: Option<u8>, now: Timestamp, life: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let from = Timestamp(now.0.saturating_sub(BACKDATE_MILLIS));
    set_validity(&mut params, from, now.plus(life));
    params.is_ca = IsCa::Ca(below.map_or(
        BasicConstraints::Unconstrained,
        BasicConstraints::Constrained,
    ));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

pub(super) fn key_pair(what: &'static str) -> Result<KeyPair, AuthorityError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(make(what))
}

fn make(what: &'static str) -> impl Fn(rcgen::Error) -> AuthorityError {
    move |source| AuthorityError::Make { what, source }
}

/// Sets the validity, in the whole seconds that certificates know.
pub(super) fn set_validity(params: &mut CertificateParams, from: Timestamp, to: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from.0 / Timestamp::SECOND);
    params.not_after = epoch + Duration::from_secs(to.0 / Timestamp::SECOND);
}
