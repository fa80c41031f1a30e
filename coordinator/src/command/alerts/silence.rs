//! `silence-alerts` and `end-silence`.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::AlertKind;
use email_engine_protocol::id::TenantId;
use email_engine_protocol::time::Timestamp;

use super::{SILENCE_MINUTES, SILENCES};
use crate::command::RejectionCode::Invalid;
use crate::command::refuse::{at_most, not_found, refuse, text};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Effect, Rejection};
use crate::state::{FleetState, Silence};

/// See [`Command::SilenceAlerts`](crate::command::Command::SilenceAlerts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceAlerts {
    /// Of this kind.
    pub kind: Option<AlertKind>,
    /// About this, as alerts say it.
    pub subject: Option<String>,
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// For so long.
    pub minutes: u32,
    /// Why.
    pub reason: String,
}

impl Verb for SilenceAlerts {
    fn name(&self) -> &'static str {
        "silence-alerts"
    }

    fn object(&self) -> String {
        let kind = self.kind.map(|kind| format!("kind {kind}"));
        let tenant = self
            .tenant
            .as_ref()
            .map(|tenant| format!("tenant {tenant}"));
        let of: Vec<_> = [kind, self.subject.clone(), tenant]
            .into_iter()
            .flatten()
            .collect();
        format!(
            "{} for {} minutes: {}",
            of.join(", "),
            self.minutes,
            self.reason
        )
    }

    /// Those that are over go when another comes.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        text("reason", &self.reason)?;
        if let Some(subject) = &self.subject {
            text("subject", subject)?;
        }
        if self.kind.is_none() && self.subject.is_none() && self.tenant.is_none() {
            let accepted = "at least one of kind, subject and tenant: nobody silences everything";
            return Err(refuse(Invalid, "kind", &"none", accepted));
        }
        if !(1..=SILENCE_MINUTES).contains(&self.minutes) {
            let accepted = format!("1 to {SILENCE_MINUTES}");
            return Err(refuse(Invalid, "minutes", &self.minutes, accepted));
        }
        if let Some(tenant) = &self.tenant
            && !state.tenants.contains_key(tenant)
        {
            return Err(not_found("tenant", tenant, "tenant"));
        }
        let now = turn.now();
        let current = state.alerts.silences.values().filter(|one| one.until > now);
        at_most("silences", current.count() + 1, SILENCES)?;
        let alerts = &mut state.alerts;
        alerts.silences.retain(|_, silence| silence.until > now);
        let id = alerts.next_silence;
        alerts.next_silence += 1;
        let minutes = u64::from(self.minutes) * 60 * Timestamp::SECOND;
        let silence = Silence {
            kind: self.kind,
            subject: self.subject.as_ref().map(Into::into),
            tenant: self.tenant.clone(),
            since: now,
            until: now.plus(minutes),
            by: turn.proposal.actor.as_str().into(),
            reason: self.reason.as_str().into(),
        };
        alerts.silences.insert(id, silence);
        Ok(Change::Made(Effect::Silence(id)))
    }
}

/// See [`Command::EndSilence`](crate::command::Command::EndSilence).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndSilence {
    /// Its number.
    pub id: u64,
}

impl Verb for EndSilence {
    fn name(&self) -> &'static str {
        "end-silence"
    }

    fn object(&self) -> String {
        format!("silence {}", self.id)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        match state.alerts.silences.remove(&self.id) {
            Some(_) => Ok(Change::DONE),
            None => Err(not_found("id", &self.id, "silence")),
        }
    }
}
