//! Hosts whose agent called here and got no session, or lost it for what it did: why, until one of
//! them has a session on any node. An agent that holds says so in its own words; without these, the
//! cluster would only see that it is silent.

use email_engine_protocol::api::MailView;
use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::{Refusal, RefusalCode};

use super::{Registry, Tables};
use crate::push::now;
use crate::raft::SessionRow;

/// Whoever has not called for so long says nothing of the present.
const KEPT_MILLIS: u64 = Timestamp::DAY;
/// Bytes of one reason.
const REASON_BYTES: usize = 600;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TurnedAway {
    at: Timestamp,
    reason: String,
}

impl Registry {
    /// An agent was turned away. What passes by itself, or is no fault of the host, is not kept.
    pub(in crate::push) fn note_turned_away(&self, host: &HostId, refusal: &Refusal) {
        let lasts = match refusal.code {
            RefusalCode::Holding
            | RefusalCode::Identity
            | RefusalCode::Protocol
            | RefusalCode::Revoked
            | RefusalCode::Version
            | RefusalCode::WrongMode => true,
            RefusalCode::Busy | RefusalCode::NoLeader | RefusalCode::Superseded => false,
        };
        if lasts {
            let reason = printable(&refusal.reason);
            let away = TurnedAway { at: now(), reason };
            self.tables().turned_away.insert(host.clone(), away);
        }
    }
}

impl Tables {
    /// Those that have no session here.
    pub(super) fn turned_away(&self) -> impl Iterator<Item = SessionRow> {
        let silent = |(host, _): &(&HostId, &TurnedAway)| !self.sessions.contains_key(*host);
        let row = |(host, away): (&HostId, &TurnedAway)| SessionRow {
            host: host.clone(),
            since: away.at,
            offered: None,
            trouble: Vec::new(),
            facts: None,
            drains: Vec::new(),
            turned_away: Some(away.reason.clone()),
            mail: MailView::default(),
        };
        self.turned_away.iter().filter(silent).map(row)
    }

    /// Forgets those that have not called for long.
    pub(super) fn forget_turned_away(&mut self, now: Timestamp) {
        self.turned_away
            .retain(|_, away| now.since(away.at) < KEPT_MILLIS);
    }
}

/// Words of a machine that nobody vouches for, for a terminal.
fn printable(reason: &str) -> String {
    let cut = &reason[..reason.floor_char_boundary(REASON_BYTES)];
    cut.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: RefusalCode, reason: &str) -> Refusal {
        Refusal {
            code,
            reason: reason.to_owned(),
            retry_after_millis: None,
        }
    }

    #[test]
    fn what_lasts_is_kept_for_a_day_and_what_passes_is_not() {
        let registry = Registry::default();
        let host = HostId::new("pmta1").unwrap();
        for code in [
            RefusalCode::Busy,
            RefusalCode::NoLeader,
            RefusalCode::Superseded,
        ] {
            registry.note_turned_away(&host, &refusal(code, "later"));
        }
        assert!(registry.rows().is_empty());
        registry.note_turned_away(&host, &refusal(RefusalCode::Holding, "no keys"));
        let rows = registry.rows();
        assert_eq!(rows[0].turned_away.as_deref(), Some("no keys"));
        assert!(!rows[0].is_live());
        let mut tables = registry.tables();
        tables.forget_turned_away(rows[0].since.plus(KEPT_MILLIS - 1));
        assert_eq!(tables.turned_away.len(), 1);
        tables.forget_turned_away(rows[0].since.plus(KEPT_MILLIS));
        assert!(tables.turned_away.is_empty());
    }

    #[test]
    fn an_agents_words_are_bounded_and_cannot_steer_a_terminal() {
        assert_eq!(printable("lost\u{1b}[2J\nkeys"), "lost [2J keys");
        assert_eq!(printable(&"é".repeat(400)), "é".repeat(300));
    }
}
