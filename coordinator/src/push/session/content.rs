//! What a host may fetch: the manifest, bodies and secrets of its current target, and nothing else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quinn::{RecvStream, SendStream};
use ring::rand::SystemRandom;
use tokio::time::timeout;

use email_engine_protocol::bytes::{ContentHash, SealingPublicKey};
use email_engine_protocol::crypto::{Entropy, SealedSecret};
use email_engine_protocol::desired::{ConfigError, HostConfig};
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::limits;
use email_engine_protocol::secret::SecretRef;
use email_engine_protocol::wire::v1::{BodyReply, BodyRequest};

use crate::push::Fleet;
use crate::push::frames::{self, FrameReader};
use crate::raft::StoreError;
use crate::seal::{SealError, Vault};

/// A request for a body is this small.
const BODY_REQUEST_BYTES: usize = 256;
/// A body stream on which nothing moves for so long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// Bytes of secrets in one message: with their seals it stays below a frame.
const SECRETS_BYTES: usize = limits::FRAME_BYTES / 2;

/// Why content cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContentError {
    #[error("the host has no target")]
    NoTarget,
    #[error("the manifest {0} is not stored")]
    NoManifest(ContentHash),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the stored manifest: {0}")]
    Manifest(#[from] ConfigError),
    #[error("the host has no key for secrets")]
    NoKey,
    #[error("secret {id}: {source}")]
    Seal {
        id: email_engine_protocol::id::SecretId,
        #[source]
        source: SealError,
    },
    #[error("secret cannot be sealed to the host: {0}")]
    Key(#[from] email_engine_protocol::crypto::OpenError),
}

/// What a target names.
#[derive(Debug)]
struct Manifest {
    digest: ContentHash,
    bodies: BTreeSet<ContentHash>,
    secrets: BTreeSet<SecretRef>,
}

/// One host's content. Blocks on the disk: not for the session's own task.
#[derive(Debug)]
pub(super) struct Content<F> {
    fleet: F,
    host: HostId,
    manifest: Mutex<Option<Arc<Manifest>>>,
}

impl<F: Fleet> Content<F> {
    pub(super) const fn new(fleet: F, host: HostId) -> Self {
        Self {
            fleet,
            host,
            manifest: Mutex::new(None),
        }
    }

    /// The manifest of the host's current target, decoded once per target.
    fn manifest(&self) -> Result<Arc<Manifest>, ContentError> {
        let target = |state: &crate::state::FleetState| {
            state.targets.get(&self.host).map(|target| target.digest)
        };
        let mut digest = self.fleet.view(target).ok_or(ContentError::NoTarget)?;
        let mut held = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = loop {
            if let Some(manifest) = held.as_ref().filter(|held| held.digest == digest) {
                return Ok(manifest.clone());
            }
            if let Some(bytes) = self.fleet.body(&digest)? {
                break bytes;
            }
            // A target that was replaced between the two looks takes its manifest with it.
            let newest = self.fleet.view(target).ok_or(ContentError::NoTarget)?;
            if newest == digest {
                return Err(ContentError::NoManifest(digest));
            }
            digest = newest;
        };
        let config = HostConfig::from_bytes(&bytes)?;
        let manifest = Arc::new(Manifest {
            digest,
            bodies: config.bodies(),
            secrets: config.secrets().into_iter().cloned().collect(),
        });
        *held = Some(manifest.clone());
        Ok(manifest)
    }

    /// A body of the current target; nothing when the host has no business with it.
    fn body(&self, hash: &ContentHash) -> Result<Option<Bytes>, ContentError> {
        let manifest = self.manifest()?;
        if *hash != manifest.digest && !manifest.bodies.contains(hash) {
            return Ok(None);
        }
        Ok(self.fleet.body(hash)?)
    }

    /// The secrets among `wanted` that the current target names, sealed to the host, in messages.
    pub(super) fn secrets(
        &self,
        vault: &Vault,
        wanted: &[SecretRef],
    ) -> Result<Vec<Vec<SealedSecret>>, ContentError> {
        let manifest = self.manifest()?;
        let (cluster, key) = self.recipient()?;
        let random = SystemRandom::new();
        let mut messages = vec![Vec::new()];
        let mut filled = 0;
        for secret in wanted {
            let stored = self
                .fleet
                .view(|state| state.secrets.get(&secret.id).cloned());
            let named = manifest.secrets.contains(secret);
            let Some(stored) = stored.filter(|stored| named && stored.reference() == *secret)
            else {
                tracing::warn!(host = %self.host, secret = %secret.id, named, "a secret is wanted that is not in the host's target");
                continue;
            };
            let bytes = vault
                .open_secret(&stored.sealed)
                .map_err(|source| ContentError::Seal {
                    id: secret.id.clone(),
                    source,
                })?;
            filled += bytes.bytes.len();
            if filled > SECRETS_BYTES {
                filled = bytes.bytes.len();
                messages.push(Vec::new());
            }
            let sealed = SealedSecret::new(
                cluster,
                &self.host,
                &key,
                secret.clone(),
                &bytes,
                &mut Entropy(&random),
            )?;
            if let Some(last) = messages.last_mut() {
                last.push(sealed);
            }
        }
        messages.retain(|message| !message.is_empty());
        Ok(messages)
    }

    fn recipient(&self) -> Result<(ClusterId, SealingPublicKey), ContentError> {
        self.fleet
            .view(|state| {
                let keys = state.hosts.get(&self.host)?.keys.as_ref()?;
                Some((state.cluster.as_ref()?.id, keys.sealing_key))
            })
            .ok_or(ContentError::NoKey)
    }
}

/// Answers one body stream.
pub(super) async fn serve<F: Fleet>(
    content: Arc<Content<F>>,
    mut send: SendStream,
    mut recv: RecvStream,
) {
    let mut reader = FrameReader::new(BODY_REQUEST_BYTES);
    let asked = timeout(STALLED, reader.next::<BodyRequest>(&mut recv)).await;
    let Ok(Ok(BodyRequest { hash, offset })) = asked else {
        // Dropping a stream ends it; the agent takes that for a broken fetch.
        return;
    };
    let host = content.host.clone();
    let read = tokio::task::spawn_blocking(move || content.body(&hash)).await;
    let body = match read {
        Ok(Ok(body)) => body.filter(|body| offset <= body.len() as u64),
        Ok(Err(error)) => {
            tracing::error!(%host, %hash, %error, "body not served");
            None
        }
        Err(_) => None,
    };
    let Some(body) = body else {
        let _ = frames::say(&mut send, &BodyReply::Missing).await;
        let _ = send.finish();
        return;
    };
    let length = body.len() as u64;
    if frames::say(&mut send, &BodyReply::Found { length })
        .await
        .is_err()
    {
        return;
    }
    // Found above: an offset beyond the body was refused.
    let rest = body.slice(usize::try_from(offset).unwrap_or(body.len())..);
    for chunk in rest.chunks(limits::CHUNK_BYTES) {
        if !matches!(timeout(STALLED, send.write_all(chunk)).await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = send.finish();
}
