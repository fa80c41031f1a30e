//! `set-channel` and `remove-channel`.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{ChannelSpec, DeliveryState, SmtpSpec, SmtpTls, TelegramSpec};
use email_engine_protocol::id::{ChannelName, TenantId};
use email_engine_protocol::limits;
use email_engine_protocol::mail::DomainName;

use super::{CHANNELS, RECEIVERS};
use crate::command::Rejection;
use crate::command::RejectionCode::{ForeignTenant, InUse, Invalid};
use crate::command::refuse::{at_most, not_found, refuse, text};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{Channel, FleetState, SealedAtRest};

/// See [`Command::SetChannel`](crate::command::Command::SetChannel).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetChannel {
    /// Its name.
    pub name: ChannelName,
    /// Where alerts go.
    pub spec: ChannelSpec,
    /// Whose it is; none: the fleet's.
    pub tenant: Option<TenantId>,
    /// Its secret, sealed; none keeps the one that it has.
    pub secret: Option<SealedAtRest>,
}

impl Verb for SetChannel {
    fn name(&self) -> &'static str {
        "set-channel"
    }

    fn object(&self) -> String {
        let with = match self.secret {
            Some(_) => ", with a new secret",
            None => "",
        };
        format!("channel {}{with}", self.name)
    }

    /// What waits for it is tried at once: whoever changes a channel mends it.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        if let Some(tenant) = &self.tenant
            && !state.tenants.contains_key(tenant)
        {
            return Err(not_found("tenant", tenant, "tenant"));
        }
        let known = state.alerts.channels.get(&self.name).cloned();
        if known.is_none() {
            at_most("channels", state.alerts.channels.len() + 1, CHANNELS)?;
        }
        if let Some(known) = known.as_ref().filter(|known| known.tenant != self.tenant) {
            let accepted = match &known.tenant {
                Some(tenant) => format!("tenant {tenant}, whose it is; remove it first"),
                None => "none: it is the fleet's; remove it first".to_owned(),
            };
            let value = self
                .tenant
                .as_ref()
                .map_or("none", |tenant| tenant.as_str());
            return Err(refuse(ForeignTenant, "tenant", &value, accepted));
        }
        // A secret was given to whoever the channel led to then: elsewhere it is another's.
        let kept = known
            .as_ref()
            .filter(|known| same_place(&known.spec, &self.spec));
        let kept = kept.and_then(|known| known.secret.clone());
        let secret = self.secret.clone().or(kept);
        self.check(secret.as_ref())?;
        let channel = Channel {
            spec: self.spec.clone(),
            tenant: self.tenant.clone(),
            secret,
            changed_at: turn.now(),
            delivered_at: known.as_ref().and_then(|known| known.delivered_at),
            failing_since: known.as_ref().and_then(|known| known.failing_since),
            error: known.as_ref().and_then(|known| known.error.clone()),
            wait_until: turn.now(),
            failures: 0,
        };
        if known
            .is_some_and(|known| (&known.spec, &known.secret) == (&channel.spec, &channel.secret))
        {
            return Ok(Change::NONE);
        }
        state
            .alerts
            .channels
            .insert(self.name.clone(), Arc::new(channel));
        let waiting = state.alerts.due.iter();
        let own = waiting
            .filter(|(.., channel)| *channel == self.name)
            .cloned();
        for (_, id, occasion, name) in own.collect::<Vec<_>>() {
            state.alerts.change(id, |row| {
                let told_from = row.told_from;
                if let Some(delivery) = row.deliveries.get_mut(&(name, occasion)) {
                    delivery.at = turn.now().max(told_from);
                }
            });
        }
        Ok(Change::DONE)
    }
}

/// Whether what is sent, the secret with it, goes to the same door.
fn same_place(one: &ChannelSpec, other: &ChannelSpec) -> bool {
    match (one, other) {
        (ChannelSpec::Telegram(one), ChannelSpec::Telegram(other)) => one.api == other.api,
        (ChannelSpec::Webhook(one), ChannelSpec::Webhook(other)) => one.url == other.url,
        (ChannelSpec::Smtp(one), ChannelSpec::Smtp(other)) => {
            let place = |spec: &SmtpSpec| {
                let SmtpSpec {
                    server, port, tls, ..
                } = spec;
                (server.clone(), *port, *tls, spec.username.clone())
            };
            place(one) == place(other)
        }
        _ => false,
    }
}

impl SetChannel {
    fn check(&self, secret: Option<&SealedAtRest>) -> Result<(), Rejection> {
        if let Some(secret) = secret {
            let sealed = secret.ciphertext.len() + secret.wrapped_key.len();
            at_most("secret", sealed, limits::SECRET_BYTES)?;
        }
        let needs = |what: &str| match secret {
            Some(_) => Ok(()),
            None => Err(refuse(Invalid, "secret", &"none", what)),
        };
        match &self.spec {
            ChannelSpec::Log {} => match secret {
                None => Ok(()),
                Some(_) => Err(refuse(
                    Invalid,
                    "secret",
                    &"(not shown)",
                    "none: a log has no door",
                )),
            },
            ChannelSpec::Telegram(spec) => {
                chat(spec)?;
                needs("the bot's token")
            }
            ChannelSpec::Webhook(_) => needs("the key of its signatures"),
            ChannelSpec::Smtp(spec) => {
                smtp(spec)?;
                match spec.username {
                    Some(_) => needs("the password of smtp.username"),
                    None if secret.is_some() => {
                        let accepted = "the name whose password the secret is";
                        Err(refuse(Invalid, "spec.smtp.username", &"none", accepted))
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

fn chat(spec: &TelegramSpec) -> Result<(), Rejection> {
    let chat = spec.chat.as_str();
    let is_name = |name: &str| {
        (4..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let good = match chat.strip_prefix('@') {
        Some(name) => is_name(name),
        None => chat.len() <= 20 && chat.parse::<i64>().is_ok(),
    };
    if good {
        return Ok(());
    }
    let accepted = "the number of a chat, such as -1001234567890, or @name of a public channel";
    Err(refuse(Invalid, "spec.telegram.chat", &chat, accepted))
}

fn smtp(spec: &SmtpSpec) -> Result<(), Rejection> {
    let address = spec.server.parse::<IpAddr>().ok();
    if address.is_none() && DomainName::new(spec.server.as_str()).is_err() {
        let accepted = "the name or the address of a mail server";
        return Err(refuse(Invalid, "spec.smtp.server", &spec.server, accepted));
    }
    if spec.port == 0 {
        return Err(refuse(Invalid, "spec.smtp.port", &0, "1 to 65535"));
    }
    let is_here = address.is_some_and(|address| address.is_loopback());
    if spec.tls == SmtpTls::Plain && !is_here {
        let accepted =
            "starttls or tls: alerts and passwords go in the clear to a loopback address alone";
        return Err(refuse(Invalid, "spec.smtp.tls", &"plain", accepted));
    }
    if let Some(name) = &spec.username {
        text("spec.smtp.username", name)?;
    }
    at_most("spec.smtp.to", spec.to.len(), RECEIVERS)?;
    if spec.to.is_empty() {
        return Err(refuse(
            Invalid,
            "spec.smtp.to",
            &"none",
            "at least one receiver",
        ));
    }
    Ok(())
}

/// See [`Command::RemoveChannel`](crate::command::Command::RemoveChannel).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveChannel {
    /// Its name.
    pub name: ChannelName,
}

impl Verb for RemoveChannel {
    fn name(&self) -> &'static str {
        "remove-channel"
    }

    fn object(&self) -> String {
        format!("channel {}", self.name)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        if !state.alerts.channels.contains_key(&self.name) {
            return Err(not_found("name", &self.name, "channel"));
        }
        let mut routes = state.alerts.routes.iter();
        if let Some((route, _)) = routes.find(|(_, route)| route.channels.contains(&self.name)) {
            let accepted = format!("a channel that no route leads to; route {route} does");
            return Err(refuse(InUse, "name", &self.name, accepted));
        }
        state.alerts.channels.remove(&self.name);
        let waiting = state.alerts.due.iter();
        let own = waiting
            .filter(|(.., channel)| *channel == self.name)
            .cloned();
        for (_, id, occasion, name) in own.collect::<Vec<_>>() {
            state.alerts.change(id, |row| {
                if let Some(delivery) = row.deliveries.get_mut(&(name, occasion)) {
                    delivery.error = Some("the channel was removed".into());
                    (delivery.state, delivery.at) = (DeliveryState::GivenUp, turn.now());
                }
            });
        }
        let dead = crate::alerts::rules::channel_dead(&self.name);
        state.resolve(&dead, turn.now());
        Ok(Change::DONE)
    }
}
