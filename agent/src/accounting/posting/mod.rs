//! Bounces and complaints for a tenant's application, which learns of them in no other way: as they stand in
//! the accounting file, posted to its webhook in batches.
//!
//! What is posted is forgotten and what is not is read again: in memory are no lines, on the agent's disk is
//! up to where each file was taken. Who does not answer is left alone for longer each time. An agent that is
//! started anew, or that lost an answer, posts the same once more, which the application knows by the message.

mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{AccountingPost, AccountingSpec, ResourceKind};
use email_engine_protocol::id::{ResourceId, TenantId};
use email_engine_protocol::observed::{ResourceState, ResourceStatus};
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::Names;
use crate::halves::Post;
use crate::host::{Cabinet, RecordError, Rooted};
use read::{Batch, Place, Wanted};

/// Name of the record.
pub(crate) const RECORD: &str = "posting";
/// Posts that are under way at the same time.
pub(crate) const AT_ONCE: usize = 4;
/// For an answer, the network half's own limit included: then the post is taken for lost.
const ANSWERED_WITHIN: Duration = Duration::from_secs(90);
/// One that does not answer is left alone for so long, then for twice as long.
const AGAIN: Duration = Duration::from_secs(5);
const LONGEST_AGAIN: Duration = Duration::from_secs(10 * 60);
/// Posts in a row that came to nothing, from which on it is reported.
const REPORTED: u32 = 2;
/// Longest part of a reason that is told, in bytes.
const REASON_BYTES: usize = 200;

/// The durable part: up to where the files of each tenant were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept(BTreeMap<TenantId, Vec<Place>>);

/// See the module.
#[derive(Debug, Default)]
pub struct Posting {
    kept: Kept,
    targets: BTreeMap<TenantId, Target>,
    number: u64,
}

/// Where one tenant's posts go.
#[derive(Debug, Default)]
struct Target {
    url: String,
    under_way: Option<UnderWay>,
    /// Posts in a row that came to nothing.
    failed: u32,
    since: Option<Timestamp>,
    reason: String,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct UnderWay {
    number: u64,
    until: Instant,
    /// Up to where the files are taken, when it is.
    places: Vec<Place>,
}

/// What a step came to.
#[derive(Debug, Default)]
pub struct Step {
    /// To be posted, each under its number.
    pub posts: Vec<(u64, Post)>,
    /// There is more to read at once.
    pub more: bool,
}

impl Posting {
    /// Reads what an earlier life knew. What is damaged is said, and all is posted again. Posts are numbered
    /// from this moment on: an answer to one of an earlier life answers none of this one.
    #[must_use]
    pub fn open(cabinet: &Cabinet, now: Timestamp) -> Self {
        let kept = cabinet.read(RECORD).unwrap_or_else(|error| {
            tracing::error!(%error, "what was posted is not known any more: it is posted again");
            None
        });
        Self {
            kept: kept.unwrap_or_default(),
            number: now.0,
            ..Self::default()
        }
    }

    /// Begins what may begin now.
    pub fn step(
        &mut self,
        files: &Rooted,
        spec: &AccountingSpec,
        names: &Names,
        (now, at): (Timestamp, Instant),
    ) -> Step {
        let wanted: BTreeSet<_> = spec.posts.iter().map(|post| &post.tenant).collect();
        self.targets.retain(|tenant, _| wanted.contains(tenant));
        let mut step = Step::default();
        for post in &spec.posts {
            let target = self.targets.entry(post.tenant.clone()).or_default();
            target.url = format!("{}/dswh/pmta", post.url);
            target.give_up(now, at);
            let busy = self.targets.values().filter(|one| one.under_way.is_some());
            if busy.count() < AT_ONCE {
                self.begin(files, post, names, (now, at), &mut step);
            }
        }
        step
    }

    fn begin(
        &mut self,
        files: &Rooted,
        post: &AccountingPost,
        names: &Names,
        (now, at): (Timestamp, Instant),
        step: &mut Step,
    ) {
        let Some(target) = self.targets.get_mut(&post.tenant) else {
            return;
        };
        let is_early = target.not_before.is_some_and(|not_before| at < not_before);
        if target.under_way.is_some() || is_early {
            return;
        }
        let places = self.kept.0.entry(post.tenant.clone()).or_default();
        let addresses: BTreeSet<IpAddr> = post.identities.iter().copied().collect();
        let wanted = Wanted {
            path: &post.path,
            names,
            addresses: &addresses,
        };
        let batch = match Batch::read(files, &wanted, places) {
            Ok(batch) => batch,
            Err(error) => {
                target.fail(format!("what came back cannot be read: {error}"), now, at);
                return;
            }
        };
        step.more |= batch.more;
        let Some(body) = batch.body() else {
            // Nobody is asked; where nothing stood for this tenant is passed over again after a restart.
            *places = batch.places;
            return;
        };
        self.number += 1;
        target.under_way = Some(UnderWay {
            number: self.number,
            until: at + ANSWERED_WITHIN,
            places: batch.places,
        });
        let url = target.url.clone();
        step.posts.push((self.number, Post { url, body }));
    }

    /// What became of a post. One that nobody waits for any more is sent again anyhow.
    ///
    /// # Errors
    /// When the disk refuses: then it is posted again after a restart.
    pub fn answered(
        &mut self,
        number: u64,
        answer: Result<u16, String>,
        cabinet: &Cabinet,
        (now, at): (Timestamp, Instant),
    ) -> Result<(), RecordError> {
        let is_it = |target: &Target| {
            let number_of = target.under_way.as_ref().map(|one| one.number);
            number_of == Some(number)
        };
        let found = self.targets.iter_mut().find(|(_, target)| is_it(target));
        let Some((tenant, target)) = found else {
            return Ok(());
        };
        let places = target.under_way.take().map(|one| one.places);
        let reason = match answer {
            Ok(200..=299) => {
                if target.failed >= REPORTED {
                    tracing::info!(url = target.url, "the webhook takes posts again");
                }
                (target.failed, target.since, target.not_before) = (0, None, None);
                self.kept
                    .0
                    .insert(tenant.clone(), places.unwrap_or_default());
                let own = &self.targets;
                self.kept.0.retain(|tenant, _| own.contains_key(tenant));
                return cabinet.write(RECORD, &self.kept);
            }
            Ok(status) => format!("it answers {status}"),
            Err(reason) => reason,
        };
        target.fail(reason, now, at);
        Ok(())
    }

    /// Webhooks that take no posts.
    #[must_use]
    pub fn statuses(&self) -> Vec<ResourceStatus> {
        let failing = self
            .targets
            .iter()
            .filter(|(_, one)| one.failed >= REPORTED);
        let status = |(tenant, target): (&TenantId, &Target)| {
            let since = target
                .since
                .map(|since| since.to_string())
                .unwrap_or_default();
            let Target { url, reason, .. } = target;
            Some(ResourceStatus {
                id: ResourceId::new(format!("webhook:{tenant}")).ok()?,
                kind: ResourceKind::Webhook,
                state: ResourceState::Drifted(format!(
                    "bounces and complaints wait since {since} for {url}: {reason}"
                )),
            })
        };
        failing.filter_map(status).collect()
    }
}

impl Target {
    /// An answer that did not come.
    fn give_up(&mut self, now: Timestamp, at: Instant) {
        if self.under_way.take_if(|one| one.until <= at).is_some() {
            self.fail("no answer came".to_owned(), now, at);
        }
    }

    fn fail(&mut self, mut reason: String, now: Timestamp, at: Instant) {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES));
        self.failed = self.failed.saturating_add(1);
        self.since.get_or_insert(now);
        let doubled = AGAIN.saturating_mul(1 << (self.failed - 1).min(10));
        self.not_before = Some(at + doubled.min(LONGEST_AGAIN));
        if self.failed == REPORTED {
            tracing::warn!(url = self.url, reason, "a webhook takes no posts");
        }
        self.reason = reason;
    }
}
