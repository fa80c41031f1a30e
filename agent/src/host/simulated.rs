//! A machine of which nothing is real: what would have been done is written to a file.
//!
//! What a question about names that drain is answered stands in `simulated-answers`, as a line
//! `ID ARGUMENT: ANSWER` with its last argument; what has no line there is empty.
//!
//! `simulated.toml` in the agent's data folder shows it. Whoever wants to see a failure writes the
//! resource's id on a line of `simulated-failures` beside it, for a command also `ID: WORDS`, which it
//! says before it fails; a service that is restarted by it does not run then, and a health check that is
//! listed is ill. What a transaction runs
//! is `ID/test`, `ID/activate`, `ID/read-back`, `ID/health` and, when it puts back what was there,
//! `ID/activate-previous`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use email_engine_protocol::desired::{
    CommandLine, HttpQuestion, OnNotify, PackageSpec, ServiceSpec,
};
use email_engine_protocol::id::ResourceId;
use serde::{Deserialize, Serialize};

use super::packages::PackageFiles;
use super::record::Cabinet;
use super::system::{
    Activity, AtBoot, Ended, PackageSeen, Presence, ServiceSeen, StandIn, System, SystemError,
};
use crate::visit::Page;

const STATE: &str = "simulated.toml";
const FAILURES: &str = "simulated-failures";
const ANSWERS: &str = "simulated-answers";
const LIMIT: u64 = 16 * 1024 * 1024;

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    #[serde(default)]
    packages: BTreeMap<String, Package>,
    #[serde(default)]
    services: BTreeMap<String, Service>,
    /// How often each command would have run.
    #[serde(default)]
    commands: BTreeMap<String, u64>,
    /// Accounts, kernel settings and addresses.
    #[serde(default)]
    basics: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Package {
    version: String,
    held: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Service {
    enabled: bool,
    running: bool,
    #[serde(default)]
    failed: bool,
    reloads: u64,
    restarts: u64,
}

/// Keeps what would have been done.
#[derive(Debug)]
pub(super) struct Simulated {
    cabinet: Cabinet,
    state: State,
}

impl Simulated {
    /// Goes on where an earlier simulation ended.
    pub(super) fn open(cabinet: Cabinet) -> Self {
        let text = cabinet.read_plain(STATE, LIMIT).unwrap_or_else(|error| {
            tracing::warn!(%error, "simulation begins anew");
            None
        });
        let state = text
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| toml::from_str(&text).ok())
            .unwrap_or_default();
        Self { cabinet, state }
    }

    fn check(&self, id: &ResourceId) -> Result<(), SystemError> {
        let listed = self
            .cabinet
            .read_plain(FAILURES, LIMIT)
            .map_err(|error| SystemError::State(error.to_string()))?
            .unwrap_or_default();
        let wanted = String::from_utf8_lossy(&listed)
            .lines()
            .any(|line| line.trim() == id.as_str());
        if wanted {
            Err(SystemError::Simulated(id.clone()))
        } else {
            Ok(())
        }
    }

    /// What a command shall say before it fails, when somebody wants it to say something.
    fn words(&self, id: &ResourceId) -> Option<String> {
        let listed = self.cabinet.read_plain(FAILURES, LIMIT).ok()??;
        let listed = String::from_utf8_lossy(&listed);
        let said = |line: &str| {
            Some(
                line.strip_prefix(id.as_str())?
                    .strip_prefix(": ")?
                    .to_owned(),
            )
        };
        listed.lines().find_map(said)
    }

    /// What a question shall be answered, when somebody wants it to be answered.
    fn answer(&self, id: &ResourceId, command: &CommandLine) -> Option<String> {
        let listed = self.cabinet.read_plain(ANSWERS, LIMIT).ok()??;
        let beginning = format!("{id} {}: ", command.arguments.last()?);
        let listed = String::from_utf8_lossy(&listed);
        let answer = |line: &str| line.strip_prefix(&beginning).map(str::to_owned);
        listed.lines().find_map(answer)
    }

    fn count(&mut self, id: &ResourceId) -> Result<(), SystemError> {
        self.check(id)?;
        *self.state.commands.entry(id.to_string()).or_default() += 1;
        self.keep()
    }

    fn keep(&self) -> Result<(), SystemError> {
        let text = toml::to_string(&self.state).map_err(|e| SystemError::State(e.to_string()))?;
        self.cabinet
            .write_plain(STATE, text.as_bytes())
            .map_err(|error| SystemError::State(error.to_string()))
    }
}

impl System for Simulated {
    fn is_simulated(&self) -> bool {
        true
    }

    fn twin(&self) -> Option<Box<dyn System>> {
        None
    }

    fn questioner(&self) -> Option<Box<dyn System>> {
        None
    }

    fn package(&mut self, _id: &ResourceId, name: &str) -> Result<PackageSeen, SystemError> {
        let seen = self.state.packages.get(name);
        Ok(
            seen.map_or_else(PackageSeen::default, |package| PackageSeen {
                presence: Presence::Installed(package.version.clone()),
                held: package.held,
            }),
        )
    }

    fn install(&mut self, id: &ResourceId, spec: &PackageSpec) -> Result<(), SystemError> {
        self.check(id)?;
        let package = Package {
            version: spec.version.clone().unwrap_or_else(|| "any".to_owned()),
            held: spec.hold,
        };
        self.state.packages.insert(spec.name.clone(), package);
        self.keep()
    }

    fn uninstall(&mut self, id: &ResourceId, name: &str) -> Result<(), SystemError> {
        self.check(id)?;
        self.state.packages.remove(name);
        self.keep()
    }

    fn package_files(&mut self) -> Option<&mut dyn PackageFiles> {
        None
    }

    fn service(&mut self, _id: &ResourceId, unit: &str) -> Result<ServiceSeen, SystemError> {
        let seen = self.state.services.get(unit);
        Ok(
            seen.map_or_else(ServiceSeen::default, |service| ServiceSeen {
                at_boot: if service.enabled {
                    AtBoot::Enabled
                } else {
                    AtBoot::Disabled
                },
                activity: match (service.running, service.failed) {
                    (true, _) => Activity::Running,
                    (false, true) => Activity::Failed,
                    (false, false) => Activity::Stopped,
                },
            }),
        )
    }

    fn set_service(&mut self, id: &ResourceId, spec: &ServiceSpec) -> Result<(), SystemError> {
        self.check(id)?;
        let service = self.state.services.entry(spec.unit.clone()).or_default();
        service.enabled = spec.enabled;
        // What has failed is not stopped once more.
        service.failed &= !spec.running;
        service.running = spec.running;
        self.keep()
    }

    fn notify_service(
        &mut self,
        id: &ResourceId,
        unit: &str,
        how: OnNotify,
    ) -> Result<(), SystemError> {
        self.check(id)?;
        let words = self.words(id);
        let service = self.state.services.entry(unit.to_owned()).or_default();
        match how {
            OnNotify::Reload => service.reloads += 1,
            OnNotify::Restart => {
                service.restarts += 1;
                service.running = words.is_none();
                service.failed = words.is_some();
            }
        }
        self.keep()?;
        match words.filter(|_| how == OnNotify::Restart) {
            None => Ok(()),
            Some(output) => Err(SystemError::Failed {
                program: format!("restart of {unit}"),
                code: "1".to_owned(),
                output,
            }),
        }
    }

    fn run(
        &mut self,
        id: &ResourceId,
        _command: &CommandLine,
        _timeout: Duration,
    ) -> Result<Ended, SystemError> {
        self.count(id)?;
        let words = self.words(id);
        Ok(Ended {
            code: u8::from(words.is_some()),
            output: words.unwrap_or_default(),
        })
    }

    fn ask_up_to(
        &mut self,
        id: &ResourceId,
        command: &CommandLine,
        _timeout: Duration,
        _bytes: usize,
    ) -> Result<String, SystemError> {
        if let Some(answer) = self.answer(id, command) {
            self.check(id)?;
            return Ok(answer);
        }
        self.count(id)?;
        Ok(String::new())
    }

    fn greeting(
        &mut self,
        id: &ResourceId,
        _address: SocketAddr,
        _timeout: Duration,
    ) -> Result<String, SystemError> {
        self.count(id)?;
        Ok(String::new())
    }

    fn connect(
        &mut self,
        id: &ResourceId,
        _address: SocketAddr,
        _timeout: Duration,
    ) -> Result<(), SystemError> {
        self.count(id)
    }

    fn visit(
        &mut self,
        id: &ResourceId,
        question: &HttpQuestion,
        _timeout: Duration,
    ) -> Result<Page, SystemError> {
        self.count(id)?;
        Ok(Page {
            status: question.least_status,
            contains: true,
        })
    }

    fn has_run(&self, id: &ResourceId) -> bool {
        self.state.commands.contains_key(id.as_str())
    }

    fn stand_in(&mut self) -> Option<&mut dyn StandIn> {
        Some(self)
    }
}

impl StandIn for Simulated {
    fn recorded(&self, key: &str) -> Option<&str> {
        self.state.basics.get(key).map(String::as_str)
    }

    fn ailment(&self, id: &ResourceId) -> Option<String> {
        let failed = self.check(id).err().map(|error| error.to_string());
        self.words(id).or(failed)
    }

    fn record(
        &mut self,
        id: &ResourceId,
        key: &str,
        value: Option<String>,
    ) -> Result<(), SystemError> {
        self.check(id)?;
        match value {
            Some(value) => self.state.basics.insert(key.to_owned(), value),
            None => self.state.basics.remove(key),
        };
        self.keep()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulation_survives_a_restart_and_fails_on_demand() {
        let dir = tempfile::tempdir().unwrap();
        let id = ResourceId::new("service:pmta").unwrap();
        let spec = ServiceSpec {
            unit: "pmta.service".to_owned(),
            enabled: true,
            running: true,
            on_notify: OnNotify::Reload,
        };
        let cabinet = Cabinet::open(dir.path()).unwrap();
        let mut first = Simulated::open(cabinet.clone());
        first.set_service(&id, &spec).unwrap();
        first
            .notify_service(&id, &spec.unit, OnNotify::Reload)
            .unwrap();
        let mut second = Simulated::open(cabinet);
        assert!(second.service(&id, &spec.unit).unwrap().activity == Activity::Running);
        let shown = std::fs::read_to_string(dir.path().join(STATE)).unwrap();
        assert!(shown.contains("reloads = 1"), "{shown}");
        std::fs::write(dir.path().join(FAILURES), "service:pmta\n").unwrap();
        assert_eq!(
            second.set_service(&id, &spec),
            Err(SystemError::Simulated(id))
        );
    }
}
