//! Who is told, and what is kept quiet.

use std::collections::BTreeSet;

use email_engine_protocol::api::{AlertKind, RouteSpec};
use email_engine_protocol::id::{ChannelName, TenantId};
use email_engine_protocol::time::Timestamp;

use super::{AlertKey, Event, OfCluster};
use crate::state::{Alerts, Silence};

impl Alerts {
    /// Channels that are to have something, each once. A tenant's channel gets what is its tenant's and
    /// nothing else, whatever a route says. That a channel is dead is told through the others: where no
    /// route leads to one of them, through all that are the fleet's.
    #[must_use]
    pub fn channels_for(&self, event: &Event, tenant: Option<&TenantId>) -> Vec<ChannelName> {
        let asked = match event {
            Event::Cluster(OfCluster::Test { channel, .. }) => channel.as_ref(),
            _ => None,
        };
        if let Some(channel) = asked {
            let is_there = self.channels.contains_key(channel);
            return is_there.then(|| channel.clone()).into_iter().collect();
        }
        let dead = match event {
            Event::Cluster(OfCluster::ChannelDead { channel, .. }) => Some(channel),
            _ => None,
        };
        let may = |name: &&ChannelName| {
            let channel = self.channels.get(*name);
            let is_its = channel.is_some_and(|channel| match &channel.tenant {
                None => true,
                own => own.as_ref() == tenant,
            });
            is_its && Some(*name) != dead
        };
        let routes = self.routes.values();
        let routes = routes.filter(|route| leads(route, event.kind(), tenant));
        let named: BTreeSet<&ChannelName> = routes
            .flat_map(|route| &route.channels)
            .filter(may)
            .collect();
        if dead.is_none() || !named.is_empty() {
            return named.into_iter().cloned().collect();
        }
        let others = self.channels.iter();
        let others = others.filter(|(name, channel)| {
            channel.tenant.is_none() && channel.failing_since.is_none() && Some(*name) != dead
        });
        others.map(|(name, _)| name.clone()).collect()
    }

    /// The silence that keeps something quiet, the one that lasts longest.
    #[must_use]
    pub fn silenced(
        &self,
        key: &AlertKey,
        tenant: Option<&TenantId>,
        now: Timestamp,
    ) -> Option<u64> {
        // Whoever asks for a test wants to see it arrive.
        if key.kind == AlertKind::Test {
            return None;
        }
        let subject = key.subject.to_string();
        let fits = |silence: &Silence| {
            silence.until > now
                && silence.kind.is_none_or(|kind| kind == key.kind)
                && silence
                    .subject
                    .as_ref()
                    .is_none_or(|own| own.as_str() == subject)
                && silence
                    .tenant
                    .as_ref()
                    .is_none_or(|own| Some(own) == tenant)
        };
        let silences = self.silences.iter();
        let fitting = silences.filter(|(_, silence)| fits(silence));
        let longest = fitting.max_by_key(|(_, silence)| silence.until);
        longest.map(|(id, _)| *id)
    }
}

fn leads(route: &RouteSpec, kind: AlertKind, tenant: Option<&TenantId>) -> bool {
    kind.severity() >= route.at_least
        && (route.kinds.is_empty() || route.kinds.contains(&kind))
        && route.tenant.as_ref().is_none_or(|own| Some(own) == tenant)
}
