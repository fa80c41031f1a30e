//! The one door. Every connection of the agents' end point passes here after its handshake and
//! before any of its streams is read.

use rustls_pki_types::CertificateDer;

use email_engine_protocol::bytes::CertificateSerial;
use email_engine_protocol::id::{ClusterId, HostId, NodeId};
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::{ALPN_AGENT, ALPN_ENROLL};

use super::{Credential, CredentialError, Peer};
use crate::state::{
    CertificateSubject, FleetState, Host, HostKeys, HostLifecycle, Return, ShownCertificate,
};

/// Who came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Somebody who may redeem a token or renew, and nothing else.
    Enroll,
    /// A host's agent.
    Host {
        /// Which host.
        host: HostId,
        /// What it showed.
        credential: Box<Credential>,
    },
}

/// Why somebody stays outside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Speaks a protocol that is not spoken here.
    #[error("application protocol {0:?} is not served here")]
    Alpn(String),
    /// The cluster is not founded yet.
    #[error("the cluster does not exist yet")]
    NoCluster,
    /// An agent without a certificate.
    #[error("no client certificate was shown")]
    NoCertificate,
    /// Not a certificate of this cluster.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A node's certificate, where only agents are served.
    #[error("node {0} is not an agent")]
    Node(NodeId),
    /// Before its beginning or past its end.
    #[error("certificate is good from {from} to {to}, not at {now}")]
    Dates {
        /// Its beginning.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
        /// This node's clock.
        now: Timestamp,
    },
    /// Its serial was revoked.
    #[error("certificate {serial} of host {host} is revoked")]
    Revoked {
        /// Whose.
        host: HostId,
        /// Which.
        serial: CertificateSerial,
    },
    /// The host is not declared, not enrolled, or was cut off.
    #[error("host {0} is not enrolled")]
    NotEnrolled(HostId),
    /// Once the host's, but it has a newer one: the old key has a second user, or the answer to a
    /// renewal was lost.
    #[error("certificate {shown} of host {host} was replaced by {current}: is the machine a copy?")]
    Replaced {
        /// Whose.
        host: HostId,
        /// What was shown.
        shown: CertificateSerial,
        /// The current one.
        current: CertificateSerial,
    },
    /// Rightly signed, but nothing that the cluster has on record for this host.
    #[error("certificate {serial} is not on record for host {host}")]
    Unrecorded {
        /// Whose it claims to be.
        host: HostId,
        /// Which.
        serial: CertificateSerial,
    },
}

impl Denied {
    /// The machine of ours that this is about.
    #[must_use]
    pub const fn host(&self) -> Option<&HostId> {
        match self {
            Self::NotEnrolled(host)
            | Self::Replaced { host, .. }
            | Self::Revoked { host, .. }
            | Self::Unrecorded { host, .. } => Some(host),
            Self::Alpn(_)
            | Self::NoCluster
            | Self::NoCertificate
            | Self::Credential(_)
            | Self::Node(_)
            | Self::Dates { .. } => None,
        }
    }

    /// Whether the peer is a machine of ours that must be told why, rather than a stranger who is
    /// told nothing.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.host().is_some()
    }
}

/// Judges a new connection by its protocol, the chain that it showed (which TLS found to lead to
/// our root) and the state.
///
/// # Errors
/// Why it stays outside.
pub fn admit(
    alpn: &[u8],
    chain: &[CertificateDer<'_>],
    state: &FleetState,
    now: Timestamp,
) -> Result<Admitted, Denied> {
    if alpn != ALPN_AGENT && alpn != ALPN_ENROLL {
        let shown = String::from_utf8_lossy(alpn).chars().take(40).collect();
        return Err(Denied::Alpn(shown));
    }
    let cluster = state.cluster.as_ref().ok_or(Denied::NoCluster)?.id;
    if alpn == ALPN_ENROLL {
        return Ok(Admitted::Enroll);
    }
    let (host, credential) = read(cluster, chain)?;
    let keys = judge(&host, &credential, state, now)?;
    if keys.serial != credential.serial {
        return Err(Denied::Replaced {
            host,
            shown: credential.serial,
            current: keys.serial,
        });
    }
    Ok(Admitted::Host {
        host,
        credential: Box::new(credential),
    })
}

/// Judges an open connection anew. A renewal replaces the certificate and not the session, so an
/// older one of the same host is good here as long as it is on record.
///
/// # Errors
/// Why it has to go.
pub fn remains(
    host: &HostId,
    credential: &Credential,
    state: &FleetState,
    now: Timestamp,
) -> Result<(), Denied> {
    let keys = judge(host, credential, state, now)?;
    let on_record = state
        .certificates
        .get(&credential.serial)
        .is_some_and(|record| record.subject == CertificateSubject::Host(host.clone()));
    if keys.serial == credential.serial || on_record {
        Ok(())
    } else {
        Err(Denied::Unrecorded {
            host: host.clone(),
            serial: credential.serial,
        })
    }
}

/// A host that is denied, but whose certificate is of the time that a restore lost: what may become of
/// it.
#[must_use]
pub fn returning(
    chain: &[CertificateDer<'_>],
    state: &FleetState,
    now: Timestamp,
) -> Option<(HostId, ShownCertificate, Return)> {
    let cluster = state.cluster.as_ref()?.id;
    let (host, credential) = read(cluster, chain).ok()?;
    if now < credential.not_before || now > credential.not_after {
        return None;
    }
    let shown = credential.shown();
    let what = state.may_return(&host, &shown, now)?;
    Some((host, shown, what))
}

fn read(cluster: ClusterId, chain: &[CertificateDer<'_>]) -> Result<(HostId, Credential), Denied> {
    let leaf = chain.first().ok_or(Denied::NoCertificate)?;
    let credential = Credential::read(cluster, leaf)?;
    match &credential.peer {
        Peer::Host(host) => Ok((host.clone(), credential)),
        Peer::Node(node) => Err(Denied::Node(*node)),
    }
}

fn judge<'a>(
    host: &HostId,
    credential: &Credential,
    state: &'a FleetState,
    now: Timestamp,
) -> Result<&'a HostKeys, Denied> {
    if now < credential.not_before || now > credential.not_after {
        return Err(Denied::Dates {
            from: credential.not_before,
            to: credential.not_after,
            now,
        });
    }
    if state.revoked.contains(&credential.serial) {
        return Err(Denied::Revoked {
            host: host.clone(),
            serial: credential.serial,
        });
    }
    match state.hosts.get(host) {
        Some(Host {
            lifecycle: HostLifecycle::Enrolled | HostLifecycle::Retiring { .. },
            keys: Some(keys),
            ..
        }) => Ok(keys),
        _ => Err(Denied::NotEnrolled(host.clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use email_engine_protocol::api::HostSpec;
    use email_engine_protocol::bytes::{ContentHash, SealingPublicKey, VerifyingKey};
    use email_engine_protocol::id::Role;
    use email_engine_protocol::observed::Mode;

    use super::super::testbed::{TestPki, now};
    use super::*;
    use crate::state::{CertificateRecord, Release};

    type Chain = Vec<CertificateDer<'static>>;

    struct Case {
        pki: TestPki,
        state: FleetState,
        chain: Chain,
        credential: Credential,
    }

    fn host() -> HostId {
        HostId::new("pmta1").unwrap()
    }

    fn case() -> Case {
        let pki = TestPki::new();
        let (chain, _) = pki.host_chain("pmta1", now());
        let credential = Credential::read(pki.record.id, &chain[0]).unwrap();
        let mut state = FleetState {
            cluster: Some(pki.record.clone()),
            ..FleetState::default()
        };
        let spec = HostSpec {
            id: host(),
            role: Role::Powermta,
            tenant: None,
            addresses: Vec::new(),
            labels: BTreeMap::new(),
        };
        let keys = HostKeys {
            serial: credential.serial,
            spki: credential.spki,
            report_key: VerifyingKey([1; 32]),
            sealing_key: SealingPublicKey([2; 32]),
            mode: Mode::Real,
            enrolled_at: now(),
        };
        let release = Release {
            bundle: ContentHash([0; 32]),
            planner_version: 1,
            settings: 1,
        };
        let row = Host {
            spec,
            lifecycle: HostLifecycle::Enrolled,
            keys: Some(keys),
            release,
            large_removal: false,
        };
        state.hosts.insert(host(), row);
        record(&mut state, &credential);
        Case {
            pki,
            state,
            chain,
            credential,
        }
    }

    fn record(state: &mut FleetState, credential: &Credential) {
        let record = CertificateRecord {
            serial: credential.serial,
            subject: CertificateSubject::Host(host()),
            spki: credential.spki,
            issued_at: now(),
            not_after: credential.not_after,
        };
        let record = Arc::new(record);
        state.certificates.insert(credential.serial, record);
    }

    /// Changes something about a host that is let in otherwise, and returns why it is not.
    fn denied(change: impl FnOnce(&mut Case)) -> Denied {
        let mut case = case();
        change(&mut case);
        admit(ALPN_AGENT, &case.chain, &case.state, now()).unwrap_err()
    }

    fn lifecycle(case: &mut Case, lifecycle: HostLifecycle) {
        case.state.hosts.get_mut(&host()).unwrap().lifecycle = lifecycle;
    }

    #[test]
    fn an_enrolled_host_with_its_current_certificate_comes_in() {
        let mut case = case();
        for state in [
            HostLifecycle::Enrolled,
            HostLifecycle::Retiring { deadline: now() },
        ] {
            lifecycle(&mut case, state);
            let admitted = admit(ALPN_AGENT, &case.chain, &case.state, now()).unwrap();
            assert!(matches!(admitted, Admitted::Host { host: h, .. } if h == host()));
            remains(&host(), &case.credential, &case.state, now()).unwrap();
        }
    }

    #[test]
    fn whoever_has_no_good_certificate_of_ours_stays_outside_and_is_told_nothing() {
        let strangers = [
            denied(|case| case.chain.clear()),
            denied(|case| case.chain = TestPki::new().host_chain("pmta1", now()).0),
            denied(|case| case.chain = case.pki.node(NodeId(1), &[]).chain),
            denied(|case| {
                let long_ago = Timestamp(now().0 - 8 * Timestamp::DAY);
                case.chain = case.pki.host_chain("pmta1", long_ago).0;
            }),
            denied(|case| case.chain = vec![CertificateDer::from(vec![1, 2, 3])]),
            denied(|case| case.state.cluster = None),
        ];
        assert!(matches!(strangers[0], Denied::NoCertificate));
        assert!(matches!(
            strangers[1],
            Denied::Credential(CredentialError::Name(_))
        ));
        assert!(matches!(strangers[2], Denied::Node(NodeId(1))));
        assert!(matches!(strangers[3], Denied::Dates { .. }));
        assert!(matches!(
            strangers[4],
            Denied::Credential(CredentialError::Form(_))
        ));
        assert!(matches!(strangers[5], Denied::NoCluster));
        assert!(strangers.iter().all(|denied| !denied.is_told()));
    }

    #[test]
    fn a_machine_that_was_ours_stays_outside_and_is_told_why() {
        let told = [
            denied(|case| {
                case.state.revoked.insert(case.credential.serial);
            }),
            denied(|case| lifecycle(case, HostLifecycle::Retired)),
            denied(|case| lifecycle(case, HostLifecycle::Declared)),
            denied(|case| case.state.hosts.clear()),
            denied(|case| case.chain = case.pki.host_chain("pmta1", now()).0),
        ];
        assert!(matches!(told[0], Denied::Revoked { .. }));
        for denied in &told[1..4] {
            assert!(matches!(denied, Denied::NotEnrolled(_)), "{denied}");
        }
        assert!(matches!(told[4], Denied::Replaced { .. }));
        assert!(told.iter().all(Denied::is_told));
    }

    #[test]
    fn a_certificate_does_not_matter_on_the_enrol_alpn_and_other_alpns_are_not_served() {
        let case = case();
        for chain in [&case.chain[..], &[]] {
            let admitted = admit(ALPN_ENROLL, chain, &case.state, now()).unwrap();
            assert_eq!(admitted, Admitted::Enroll);
            for alpn in [&b""[..], b"h3", b"email-engine-raft/1"] {
                let denied = admit(alpn, chain, &case.state, now()).unwrap_err();
                assert!(matches!(denied, Denied::Alpn(_)), "{denied}");
            }
        }
    }

    #[test]
    fn after_a_renewal_the_open_connection_stays_and_a_new_one_with_the_old_key_does_not() {
        let mut case = case();
        let (newer, _) = case.pki.host_chain("pmta1", now());
        let newer = Credential::read(case.pki.record.id, &newer[0]).unwrap();
        record(&mut case.state, &newer);
        let row = case.state.hosts.get_mut(&host()).unwrap();
        row.keys.as_mut().unwrap().serial = newer.serial;
        let judge = |case: &Case, at| remains(&host(), &case.credential, &case.state, at);
        judge(&case, now()).unwrap();
        let denied = admit(ALPN_AGENT, &case.chain, &case.state, now()).unwrap_err();
        assert!(matches!(denied, Denied::Replaced { current, .. } if current == newer.serial));
        let end = case.credential.not_after.plus(1);
        assert!(matches!(judge(&case, end), Err(Denied::Dates { .. })));
        case.state.certificates.remove(&case.credential.serial);
        let denied = judge(&case, now()).unwrap_err();
        assert!(matches!(denied, Denied::Unrecorded { .. }), "{denied}");
        case.state.revoked.insert(case.credential.serial);
        let denied = judge(&case, now()).unwrap_err();
        assert!(matches!(denied, Denied::Revoked { .. }), "{denied}");
    }
}
