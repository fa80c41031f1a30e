//! `set-route` and `remove-route`.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::RouteSpec;
use email_engine_protocol::id::RouteName;

use super::{CHANNELS_OF_ROUTE, ROUTES};
use crate::command::Rejection;
use crate::command::RejectionCode::{ForeignTenant, Invalid};
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::FleetState;

/// See [`Command::SetRoute`](crate::command::Command::SetRoute).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRoute {
    /// Its name.
    pub name: RouteName,
    /// What it says.
    pub route: RouteSpec,
}

impl Verb for SetRoute {
    fn name(&self) -> &'static str {
        "set-route"
    }

    fn object(&self) -> String {
        let channels: Vec<_> = self
            .route
            .channels
            .iter()
            .map(ToString::to_string)
            .collect();
        format!("route {} to {}", self.name, channels.join(", "))
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let alerts = &state.alerts;
        let known = alerts.routes.get(&self.name);
        if known == Some(&self.route) {
            return Ok(Change::NONE);
        }
        if known.is_none() {
            at_most("routes", alerts.routes.len() + 1, ROUTES)?;
        }
        let RouteSpec {
            tenant, channels, ..
        } = &self.route;
        if let Some(tenant) = tenant
            && !state.tenants.contains_key(tenant)
        {
            return Err(not_found("tenant", tenant, "tenant"));
        }
        at_most("channels", channels.len(), CHANNELS_OF_ROUTE)?;
        if channels.is_empty() {
            return Err(refuse(Invalid, "channels", &"none", "at least one channel"));
        }
        for name in channels {
            let Some(channel) = alerts.channels.get(name) else {
                return Err(not_found("channels", name, "channel"));
            };
            if channel.tenant.is_some() && channel.tenant != *tenant {
                let accepted = "a channel of the fleet's or of the route's own tenant";
                return Err(refuse(ForeignTenant, "channels", name, accepted));
            }
        }
        state
            .alerts
            .routes
            .insert(self.name.clone(), self.route.clone());
        Ok(Change::DONE)
    }
}

/// See [`Command::RemoveRoute`](crate::command::Command::RemoveRoute).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveRoute {
    /// Its name.
    pub name: RouteName,
}

impl Verb for RemoveRoute {
    fn name(&self) -> &'static str {
        "remove-route"
    }

    fn object(&self) -> String {
        format!("route {}", self.name)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        match state.alerts.routes.remove(&self.name) {
            Some(_) => Ok(Change::DONE),
            None => Err(not_found("name", &self.name, "route")),
        }
    }
}
