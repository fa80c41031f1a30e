//! `put-settings`.

use email_engine_protocol::api::Settings;

use super::release::{collect, establish_default, move_releases};
use crate::command::RejectionCode::Invalid;
use crate::command::refuse::{at_most, label, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{PutSettings, Rejection};
use crate::fleet::warmup;
use crate::powermta;
use crate::state::{FleetState, SettingsRevision};

/// Most revisions that releases pin at once.
const REVISIONS: usize = 1_000;

impl Verb for PutSettings {
    fn name(&self) -> &'static str {
        "put-settings"
    }

    fn object(&self) -> String {
        if self.release {
            "settings, for all hosts"
        } else {
            "settings"
        }
        .to_owned()
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        check(&self.settings)?;
        let newest = state
            .newest_settings()
            .map(|(revision, settings)| (revision, settings.clone()));
        let (revision, is_new) = match newest {
            Some((revision, settings)) if settings == self.settings => (revision, false),
            Some((revision, _)) => (revision + 1, true),
            None => (1, true),
        };
        if is_new {
            is_room(state)?;
            let row = SettingsRevision {
                settings: self.settings.clone(),
                put_at: turn.now(),
            };
            state.settings.insert(revision, row);
            // What artifacts are called is said apart, and stays.
            if let Some(names) = state.artifact_names.get(&(revision - 1)).cloned() {
                state.artifact_names.insert(revision, names);
            }
            establish_default(state);
        }
        let moved =
            self.release && move_releases(state, None, |release| release.settings = revision);
        if !is_new && !moved {
            return Ok(Change::NONE);
        }
        if moved {
            warmup::tighten(state, None);
        }
        collect(state, None);
        Ok(Change::DONE)
    }
}

/// Whether one more revision may be stored.
pub(in crate::command) fn is_room(state: &FleetState) -> Result<(), Rejection> {
    at_most("settings", state.settings.len() + 1, REVISIONS)
}

fn check(settings: &Settings) -> Result<(), Rejection> {
    label("dkim_selector", &settings.dkim_selector)?;
    let size = &settings.accounting_max_size;
    if !powermta::is_accounting_size(size) {
        let accepted = "a size of one megabyte or more with its unit, such as 50M";
        let value = size.escape_debug();
        return Err(refuse(Invalid, "accounting_max_size", &value, accepted));
    }
    settings.warmup.check().map_err(|bound| {
        let field = format!("warmup.{}", bound.field);
        refuse(Invalid, field, &bound.value, bound.accepted)
    })?;
    settings.failover.check().map_err(|bound| {
        let field = format!("failover.{}", bound.field);
        refuse(Invalid, field, &bound.value, format!("1 to {}", bound.most))
    })?;
    // The product takes mail on these.
    let port = settings.management_port;
    if [0, 25, powermta::SUBMISSION_PORT].contains(&port) {
        let accepted = "1 to 65535, but for 25 and 2525";
        return Err(refuse(Invalid, "management_port", &port, accepted));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::Settings;

    use crate::command::fixture::{Fleet, host_id};
    use crate::command::{Command, Effect, PutSettings};

    fn put(port: u16, release: bool) -> Command {
        let settings = Settings {
            management_port: port,
            ..Settings::default()
        };
        Command::PutSettings(PutSettings { settings, release })
    }

    #[test]
    fn hosts_see_new_settings_only_when_they_are_released() {
        let mut fleet = Fleet::with_identities(0);
        let pinned = |fleet: &Fleet| fleet.state.hosts[&host_id("pmta1")].release.settings;
        fleet.accept(put(2000, false));
        assert_eq!((fleet.state.settings.len(), pinned(&fleet)), (2, 1));
        fleet.accept(put(2000, true));
        assert_eq!((fleet.state.settings.len(), pinned(&fleet)), (1, 2));
        assert_eq!(fleet.accept(put(2000, true)).effect, Effect::Unchanged);
        fleet.accept(put(3000, true));
        assert_eq!(fleet.state.default_release.as_ref().unwrap().settings, 3);
    }

    #[test]
    fn settings_that_would_break_a_file_are_refused() {
        let mut fleet = Fleet::with_content();
        for port in [0, 25, 2525] {
            assert_eq!(fleet.refuse(put(port, false)).field, "management_port");
        }
        for bad in [
            "",
            "M",
            "50x",
            "5 M",
            "-1M",
            "+5M",
            "50MM",
            "0",
            "9999999999",
        ] {
            let settings = Settings {
                accounting_max_size: bad.to_owned(),
                ..Settings::default()
            };
            let put = Command::PutSettings(PutSettings {
                settings,
                release: false,
            });
            assert_eq!(fleet.refuse(put).field, "accounting_max_size", "{bad}");
        }
        let settings = Settings {
            dkim_selector: "a b".to_owned(),
            ..Settings::default()
        };
        let put = Command::PutSettings(PutSettings {
            settings,
            release: false,
        });
        assert_eq!(fleet.refuse(put).field, "dkim_selector");
    }
}
