//! A small cluster for the link's tests: a CA, and coordinators on loopback that do what a test
//! tells them.

mod coordinator;
mod enrolling;
mod fetching;
mod renewals;
mod sessions;
mod stage;
mod whole;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use email_engine_protocol::bytes::{CaPin, Nonce, SealingPublicKey, VerifyingKey};
use email_engine_protocol::crypto::{Entropy, RecoveryKey, Signed, SigningKey};
use email_engine_protocol::desired::{Disposition, PlanKeyGrant};
use email_engine_protocol::enroll::HostAdmission;
use email_engine_protocol::id::{ClusterId, HostId, Role};
use email_engine_protocol::join::{Endpoint, TrustPin};
use email_engine_protocol::observed::{HostReport, Observed};
use email_engine_protocol::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use ring::rand::SystemRandom;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::verify::key_pin;
use crate::halves::{ExecutorKeys, Trust};
use crate::identity::{Identity, LinkKey, Validity};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A cluster's authorities and keys.
pub(crate) struct TestCluster {
    pub(crate) id: ClusterId,
    pub(crate) root: CertificateDer<'static>,
    intermediate: Authority,
    recovery: RecoveryKey,
    pub(crate) plan: SigningKey,
}

/// What a node's certificate says, where it differs from what it should.
#[derive(Default)]
pub(crate) struct NodeNames {
    pub(crate) uri: Option<String>,
    pub(crate) dns: Option<String>,
    pub(crate) client_only: bool,
}

impl TestCluster {
    pub(crate) fn new(number: u8) -> Self {
        let random = SystemRandom::new();
        let key = || KeyPair::generate().unwrap();
        let root = Authority::self_signed(authority("root"), key()).unwrap();
        let intermediate = Authority::signed_by(authority("intermediate"), key(), &root).unwrap();
        Self {
            id: ClusterId([number; 16]),
            root: root.der().clone(),
            intermediate,
            recovery: RecoveryKey::generate(&Entropy(&random)),
            plan: SigningKey::from_seed([number; 32]),
        }
    }

    pub(crate) fn now() -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp(u64::try_from(since.as_millis()).unwrap())
    }

    pub(crate) fn pin(&self) -> CaPin {
        key_pin(&self.root).unwrap()
    }

    pub(crate) fn trust_pin(&self) -> TrustPin {
        TrustPin {
            recovery: self.recovery.public().pin(),
            plan_key_version: 1,
            epoch: 1,
        }
    }

    pub(crate) fn grant(&self) -> Signed<PlanKeyGrant> {
        self.recovery.signing_key().sign(&PlanKeyGrant {
            cluster: self.id,
            version: 1,
            key: self.plan.verifying_key(),
        })
    }

    /// A week, begun two days ago.
    pub(crate) fn week() -> Validity {
        let now = Self::now().0;
        Validity {
            not_before: Timestamp(now - 2 * Timestamp::DAY),
            not_after: Timestamp(now + 7 * Timestamp::DAY),
        }
    }

    /// A node's chain, root included, and its key.
    pub(crate) fn node(
        &self,
        number: u64,
        names: &NodeNames,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let uri = format!("email-engine://{}/node/{number}", self.id);
        let dns = format!("node-{number}.{}.internal", self.id);
        let mut params = leaf(Self::week(), names.uri.as_deref().unwrap_or(&uri));
        let dns = names.dns.clone().unwrap_or(dns);
        params
            .subject_alt_names
            .push(SanType::DnsName(dns.try_into().unwrap()));
        if !names.client_only {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.intermediate).unwrap();
        let chain = vec![
            certificate.der().clone(),
            self.intermediate.der().clone(),
            self.root.clone(),
        ];
        (chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    /// Answers a certificate request of a host.
    pub(crate) fn issue(&self, request: &[u8], host: &str, life: Validity) -> Vec<Vec<u8>> {
        let mut request = CertificateSigningRequestParams::from_der(&request.into()).unwrap();
        request.params = leaf(life, &format!("email-engine://{}/host/{host}", self.id));
        let certificate = request.signed_by(&self.intermediate).unwrap();
        vec![certificate.der().to_vec(), self.intermediate.der().to_vec()]
    }

    pub(crate) fn admission(
        &self,
        request: &[u8],
        host: &str,
        coordinators: Vec<Endpoint>,
    ) -> HostAdmission {
        HostAdmission {
            cluster: self.id,
            host: HostId::new(host).unwrap(),
            role: Role::Powermta,
            chain: self.issue(request, host, Self::week()),
            root: self.root.to_vec(),
            recovery: self.recovery.public(),
            plan_key: self.grant(),
            epoch: 1,
            coordinators,
        }
    }

    pub(crate) fn identity(&self, host: &str) -> Identity {
        self.identity_of(host, Self::week(), Vec::new())
    }

    /// An identity with this life, which knows these end points.
    pub(crate) fn identity_of(
        &self,
        host: &str,
        life: Validity,
        endpoints: Vec<Endpoint>,
    ) -> Identity {
        let key = LinkKey::generate().unwrap();
        let request = key.certificate_request().unwrap();
        let chain = self.issue(&request, host, life);
        Identity {
            trust: Trust {
                cluster: self.id,
                host: HostId::new(host).unwrap(),
                role: Role::Powermta,
                recovery: self.recovery.public(),
                plan_key: self.grant(),
                epoch: 1,
            },
            executor: ExecutorKeys {
                report_key: VerifyingKey([1; 32]),
                sealing_key: SealingPublicKey([2; 32]),
            },
            key,
            validity: Validity::of(&chain[0]).unwrap(),
            chain: chain.into_iter().map(CertificateDer::from).collect(),
            root: self.root.clone(),
            obtained_at: Self::now(),
            endpoints,
        }
    }

    pub(crate) fn report(&self) -> Signed<HostReport> {
        self.report_for(Nonce([7; 16]))
    }

    pub(crate) fn report_for(&self, nonce: Nonce) -> Signed<HostReport> {
        let report = HostReport {
            cluster: self.id,
            host: HostId::new("pmta1").unwrap(),
            nonce,
            sequence: 1,
            at: Self::now(),
            generations: Default::default(),
            convergence: Default::default(),
            disposition: Disposition::Active,
            counts: Default::default(),
            statuses: Vec::new(),
            repairs: 0,
            apply_millis: None,
            inventory: 0,
            facts: Observed::Unknown {
                reason: "a test".to_owned(),
                since: Timestamp(0),
            },
            drains: Vec::new(),
        };
        self.plan.sign(&report)
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn leaf(life: Validity, uri: &str) -> CertificateParams {
    let at = |moment: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(moment.0);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = at(life.not_before);
    params.not_after = at(life.not_after);
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}
