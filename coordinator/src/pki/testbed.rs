//! A founded cluster for tests, and certificates of it.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::SystemRandom;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use email_engine_protocol::crypto::{Entropy, Signed};
use email_engine_protocol::desired::EpochGrant;
use email_engine_protocol::id::{HostId, NodeId};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;

use super::issue::Request;
use super::{Founding, Life, NodeIdentity, NodeKey, Term, authority, found, grant_epoch};
use crate::state::PlanKey;

static RANDOM: std::sync::LazyLock<SystemRandom> = std::sync::LazyLock::new(SystemRandom::new);

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}

/// A founded cluster.
pub(crate) struct TestPki(Founding);

impl std::ops::Deref for TestPki {
    type Target = Founding;

    fn deref(&self) -> &Founding {
        &self.0
    }
}

impl TestPki {
    pub(crate) fn new() -> Self {
        Self::founded_at(now())
    }

    /// Founded long ago, so that certificates of it can have ended.
    pub(crate) fn founded_at(at: Timestamp) -> Self {
        Self(found(Mode::Real, at).unwrap())
    }

    pub(crate) fn entropy(&self) -> Entropy<'static> {
        Entropy(&*RANDOM)
    }

    /// A further plan key, granted by the recovery key.
    pub(crate) fn plan_key(&self, version: u32) -> PlanKey {
        let Founding {
            record,
            recovery,
            vault,
            ..
        } = &self.0;
        authority::plan_key(record.id, version, recovery, vault, &self.entropy())
    }

    pub(crate) fn grant_epoch(&self, epoch: u64) -> Signed<EpochGrant> {
        grant_epoch(&self.recovery, self.record.id, epoch, now())
    }

    pub(crate) fn node(&self, node: NodeId, endpoints: &[&str]) -> NodeIdentity {
        self.node_at(node, endpoints, now())
    }

    /// A node's identity, issued at this moment.
    pub(crate) fn node_at(&self, node: NodeId, endpoints: &[&str], at: Timestamp) -> NodeIdentity {
        let key = NodeKey::generate().unwrap();
        let request = Request::parse(key.request()).unwrap();
        let endpoints: Vec<String> = endpoints.iter().map(|&text| text.to_owned()).collect();
        let term = Term::fresh(at, Life::default(), &self.entropy());
        let issued = self
            .issuer
            .issue_node(&request, node, &endpoints, term)
            .unwrap();
        key.into_identity(self.record.id, node, &issued.chain, self.issuer.root())
    }

    /// A host's chain, issued at this moment, and its key.
    pub(crate) fn host_chain(
        &self,
        host: &str,
        at: Timestamp,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = NodeKey::generate().unwrap();
        let request = Request::parse(key.request()).unwrap();
        let term = Term::fresh(at, Life::default(), &self.entropy());
        let host = HostId::new(host).unwrap();
        let issued = self.issuer.issue_host(&request, &host, term).unwrap();
        let identity = key.into_identity(self.record.id, NodeId(0), &issued.chain, &[]);
        (identity.chain, identity.key)
    }
}
