//! Content bodies that are damaged on this disk are fetched from another node: they are named by
//! their digest, so whoever has the right bytes may give them. Log records and votes are not: what
//! this node promised, nobody else can know.

use std::collections::BTreeMap;
use std::sync::{PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::NodeId;

use super::core::Core;
use super::metric_names::{BODIES_DAMAGED, BODIES_MENDED};
use super::net::{Lane, Request, Response};
use super::store::{BodyWrite, Damage};

/// How long one node may take to send a body.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a body that nobody could give is not asked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Mends what readers find damaged, for as long as the node lives.
pub(super) async fn run(core: Weak<Core>, mut damaged: mpsc::Receiver<Damage>) {
    let mut in_vain: BTreeMap<ContentHash, Instant> = BTreeMap::new();
    while let Some(Damage { hash, looked_after }) = damaged.recv().await {
        let Some(core) = core.upgrade() else { return };
        in_vain.retain(|_, at| at.elapsed() < AGAIN_AFTER);
        if !in_vain.contains_key(&hash) && !core.mend(&hash).await {
            in_vain.insert(hash, Instant::now());
        }
        if let Some(reader) = looked_after {
            // The reader may have given up; it reads again and sees for itself.
            let _ = reader.send(());
        }
    }
}

impl Core {
    /// A body as it is on this disk, only when it is whole.
    pub(super) async fn whole_body(&self, hash: ContentHash) -> Option<Vec<u8>> {
        let bodies = {
            let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
            store.as_ref()?.bodies()
        };
        let read = tokio::task::spawn_blocking(move || bodies.read_silently(&hash)).await;
        read.ok()?.ok()?.map(|bytes| bytes.to_vec())
    }

    /// Fetches a body from whichever node has it whole; false when none does.
    async fn mend(&self, hash: &ContentHash) -> bool {
        if self.whole_body(*hash).await.is_some() {
            return true;
        }
        metrics::counter!(BODIES_DAMAGED).increment(1);
        tracing::error!(%hash, "a stored body is damaged: the other nodes are asked for it");
        let (voters, learners) = self.members();
        for node in voters.union(&learners).map(|node| NodeId(*node)) {
            if node == self.node {
                continue;
            }
            match self.fetch(node, hash).await {
                Ok(bytes) => return self.store_again(node, *hash, bytes).await,
                Err(reason) => tracing::warn!(%hash, %node, reason, "no body from this node"),
            }
        }
        tracing::error!(%hash, "no node has this body whole: what needs it stays as it is");
        false
    }

    async fn fetch(&self, node: NodeId, hash: &ContentHash) -> Result<Vec<u8>, String> {
        let address = self.address(node).ok_or("it is no member any more")?;
        let request = Request::Body(*hash);
        // Apart from the heartbeats: a body may be large.
        let lane = Lane::Snapshot;
        let asked = self
            .peers
            .call(node, &address, lane, &request, ANSWER_WITHIN);
        match asked.await.map_err(|error| error.to_string())? {
            Response::Body(Some(bytes)) if ContentHash::of(&bytes) == *hash => Ok(bytes),
            Response::Body(Some(_)) => Err("it sent other bytes".into()),
            Response::Body(None) => Err("it has none, or a damaged one itself".into()),
            _ => Err("it mixed answers up".into()),
        }
    }

    async fn store_again(&self, from: NodeId, hash: ContentHash, bytes: Vec<u8>) -> bool {
        let writer = {
            let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
            store.as_ref().map(super::store::Store::writer)
        };
        let Some(writer) = writer else { return false };
        match writer.write_bodies(vec![BodyWrite::Put(hash, bytes)]).await {
            Ok(()) => {
                metrics::counter!(BODIES_MENDED).increment(1);
                tracing::warn!(%hash, %from, "a damaged body is mended");
                true
            }
            Err(error) => {
                tracing::error!(%hash, %error, "a damaged body cannot be stored again");
                false
            }
        }
    }
}
