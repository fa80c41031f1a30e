//! The machine itself: dpkg and apt, systemd, programs.

use std::net::SocketAddr;
use std::time::Duration;

use email_engine_protocol::desired::{
    CommandLine, HttpQuestion, OnNotify, PackageSpec, ServiceSpec,
};
use email_engine_protocol::id::ResourceId;

use super::packages::{PackageFiles, Packages};
use super::reach::Reach;
use super::spawn;
use super::system::{
    Activity, AtBoot, Ended, PackageSeen, ServiceSeen, StandIn, System, SystemError,
};
use super::units::{UnitWords, Units};
use crate::visit::Page;

const QUICK: Duration = Duration::from_secs(30);
const SERVICE: Duration = Duration::from_secs(120);

const SYSTEMCTL: &str = "/usr/bin/systemctl";

/// Debian's package tools and systemd.
#[derive(Debug)]
pub(super) struct Real {
    packages: Packages,
    systemctl: String,
    /// The service manager itself; without it, the program is asked.
    units: Option<Units>,
    reach: Reach,
}

impl Default for Real {
    fn default() -> Self {
        Self {
            packages: Packages::default(),
            systemctl: SYSTEMCTL.to_owned(),
            units: Some(Units::of_machine()),
            reach: Reach::default(),
        }
    }
}

impl Real {
    /// For a process that may do little more than change files and ask the service manager.
    pub(super) fn confined() -> Self {
        Self {
            packages: Packages::of_machine(Reach::Errands),
            reach: Reach::Errands,
            ..Self::default()
        }
    }
}

pub(super) fn must(
    reach: Reach,
    program: &str,
    arguments: &[&str],
    timeout: Duration,
) -> Result<Ended, SystemError> {
    let ended = reach.run(program, arguments, timeout)?;
    if ended.code == 0 {
        Ok(ended)
    } else {
        Err(SystemError::Failed {
            program: format!("{program} {}", arguments.first().unwrap_or(&"")),
            code: ended.code.to_string(),
            output: ended.output,
        })
    }
}

/// Reads `LoadState=`, `ActiveState=` and `UnitFileState=` (systemctl(1), `show`).
fn parse_service(text: &str) -> Result<ServiceSeen, String> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let value = line.ok_or_else(|| format!("no {key} in {text:?}"))?;
        Ok::<_, String>(value.to_owned())
    };
    judge(&UnitWords {
        active: value("ActiveState=")?,
        file: value("UnitFileState=")?,
        load: value("LoadState=")?,
    })
}

/// What the service manager's words mean (systemctl(1), `is-enabled`). What is not understood is not
/// guessed.
fn judge(words: &UnitWords) -> Result<ServiceSeen, String> {
    let activity = match words.active.as_str() {
        "active" | "refreshing" | "reloading" => Activity::Running,
        "failed" => Activity::Failed,
        "inactive" => Activity::Stopped,
        word @ ("activating" | "deactivating" | "maintenance") => {
            Activity::Between(word.to_owned())
        }
        other => return Err(format!("ActiveState is {other:?}")),
    };
    let at_boot = match words.file.as_str() {
        "enabled" => AtBoot::Enabled,
        // What is enabled until the next boot only is not started by it; what is masked cannot be,
        // and enabling it fails with systemd's own words.
        "disabled" | "enabled-runtime" | "linked" | "linked-runtime" | "masked"
        | "masked-runtime" => AtBoot::Disabled,
        word @ ("alias" | "generated" | "indirect" | "static" | "transient") => {
            AtBoot::Fixed(word.to_owned())
        }
        "" if words.load == "not-found" => AtBoot::Disabled,
        "" => AtBoot::Fixed("without a unit file".to_owned()),
        other => return Err(format!("UnitFileState is {other:?}")),
    };
    Ok(ServiceSeen { at_boot, activity })
}

impl System for Real {
    fn is_simulated(&self) -> bool {
        false
    }

    fn twin(&self) -> Option<Box<dyn System>> {
        Some(Box::new(Self {
            packages: Packages::of_machine(self.reach),
            systemctl: self.systemctl.clone(),
            units: self.units.as_ref().map(|_| Units::of_machine()),
            reach: self.reach,
        }))
    }

    fn questioner(&self) -> Option<Box<dyn System>> {
        let reach = match self.reach {
            Reach::Own => Reach::Own,
            Reach::Errands | Reach::Questions => Reach::Questions,
        };
        Some(Box::new(Self {
            packages: Packages::of_machine(reach),
            systemctl: self.systemctl.clone(),
            units: self.units.as_ref().map(|_| Units::of_machine()),
            reach,
        }))
    }

    fn package(&mut self, _id: &ResourceId, name: &str) -> Result<PackageSeen, SystemError> {
        self.packages.look(name)
    }

    fn install(&mut self, _id: &ResourceId, spec: &PackageSpec) -> Result<(), SystemError> {
        self.packages.install(spec)
    }

    fn uninstall(&mut self, _id: &ResourceId, name: &str) -> Result<(), SystemError> {
        self.packages.remove(name)
    }

    fn package_files(&mut self) -> Option<&mut dyn PackageFiles> {
        Some(&mut self.packages)
    }

    fn service(&mut self, _id: &ResourceId, unit: &str) -> Result<ServiceSeen, SystemError> {
        if let Some(units) = &mut self.units {
            match units.look(unit).map(|words| judge(&words)) {
                Ok(Ok(seen)) => return Ok(seen),
                Ok(Err(reason)) => tracing::debug!(unit, reason, "the program is asked"),
                Err(error) => tracing::debug!(unit, %error, "the program is asked"),
            }
        }
        // Unlike `is-active`, this fails when the service manager cannot be asked.
        let wanted = "--property=LoadState,ActiveState,UnitFileState";
        let answer = spawn::query(&self.systemctl, &["show", wanted, "--", unit], QUICK)?;
        let failed = |output: String| SystemError::Failed {
            program: format!("{} show", self.systemctl),
            code: answer.code.to_string(),
            output,
        };
        if answer.code != 0 {
            return Err(failed(answer.errors));
        }
        parse_service(&answer.output).map_err(failed)
    }

    fn foresee(&mut self, units: &[&str]) {
        if let Some(service_manager) = &mut self.units {
            service_manager.foresee(units);
        }
    }

    fn set_service(&mut self, id: &ResourceId, spec: &ServiceSpec) -> Result<(), SystemError> {
        let seen = self.service(id, &spec.unit)?;
        if seen.at_boot.differs(spec.enabled) {
            let verb = if spec.enabled { "enable" } else { "disable" };
            must(
                Reach::Own,
                &self.systemctl,
                &[verb, "--", &spec.unit],
                SERVICE,
            )?;
        }
        if seen.activity.differs(spec.running) {
            let verb = if spec.running { "start" } else { "stop" };
            must(
                Reach::Own,
                &self.systemctl,
                &[verb, "--", &spec.unit],
                SERVICE,
            )?;
        }
        Ok(())
    }

    fn notify_service(
        &mut self,
        _id: &ResourceId,
        unit: &str,
        how: OnNotify,
    ) -> Result<(), SystemError> {
        let verb = match how {
            OnNotify::Reload => "reload",
            OnNotify::Restart => "restart",
        };
        must(Reach::Own, &self.systemctl, &[verb, "--", unit], SERVICE).map(|_| ())
    }

    fn run(
        &mut self,
        _id: &ResourceId,
        command: &CommandLine,
        timeout: Duration,
    ) -> Result<Ended, SystemError> {
        let arguments: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
        self.reach
            .run(command.program.as_str(), &arguments, timeout)
    }

    fn ask_up_to(
        &mut self,
        _id: &ResourceId,
        command: &CommandLine,
        timeout: Duration,
        bytes: usize,
    ) -> Result<String, SystemError> {
        let arguments: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
        let program = command.program.as_str();
        // One more than is understood: an answer without its beginning is none.
        let most = bytes + 1;
        let answer = spawn::query_up_to(program, &arguments, timeout, most)?;
        let failed = |output: String| SystemError::Failed {
            program: format!("{program} {}", arguments.join(" ")),
            code: answer.code.to_string(),
            output,
        };
        if answer.code != 0 {
            return Err(failed(format!("{} {}", answer.errors, answer.output)));
        }
        if answer.output.len() >= most {
            return Err(failed("its answer is too long".to_owned()));
        }
        Ok(answer.output)
    }

    fn greeting(
        &mut self,
        _id: &ResourceId,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<String, SystemError> {
        self.reach.greeting(address, timeout)
    }

    fn connect(
        &mut self,
        _id: &ResourceId,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<(), SystemError> {
        self.reach.connect(address, timeout)
    }

    fn visit(
        &mut self,
        _id: &ResourceId,
        question: &HttpQuestion,
        timeout: Duration,
    ) -> Result<Page, SystemError> {
        self.reach.visit(question, timeout)
    }

    fn has_run(&self, _id: &ResourceId) -> bool {
        false
    }

    fn stand_in(&mut self) -> Option<&mut dyn StandIn> {
        None
    }
}

#[cfg(test)]
impl Real {
    /// With other package tools.
    pub(super) fn with_package_tools(folder: &std::path::Path) -> Self {
        Self {
            packages: Packages::in_folder(folder),
            ..Self::default()
        }
    }

    /// With another service manager.
    pub(super) fn asking(systemctl: &std::path::Path) -> Self {
        Self {
            packages: Packages::default(),
            systemctl: systemctl.display().to_string(),
            units: None,
            reach: Reach::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Presence;

    #[test]
    fn a_package_that_is_gone_already_is_gone() {
        let id = ResourceId::new("package:gone").unwrap();
        Real::default()
            .uninstall(&id, "email-engine-no-such-package")
            .unwrap();
    }

    #[test]
    fn every_answer_about_a_unit_file_has_one_meaning() {
        let fixed = |word: &str| AtBoot::Fixed(word.to_owned());
        for (word, at_boot) in [
            ("enabled", AtBoot::Enabled),
            ("enabled-runtime", AtBoot::Disabled),
            ("disabled", AtBoot::Disabled),
            ("linked", AtBoot::Disabled),
            ("masked", AtBoot::Disabled),
            ("masked-runtime", AtBoot::Disabled),
            ("static", fixed("static")),
            ("indirect", fixed("indirect")),
            ("generated", fixed("generated")),
            ("alias", fixed("alias")),
            ("transient", fixed("transient")),
            ("", fixed("without a unit file")),
        ] {
            let text = format!("LoadState=loaded\nActiveState=active\nUnitFileState={word}\n");
            let seen = parse_service(&text).unwrap();
            assert_eq!(seen.at_boot, at_boot, "{word}");
            assert_eq!(seen.activity, Activity::Running);
        }
        let failed = "LoadState=loaded\nActiveState=failed\nUnitFileState=enabled\n";
        assert_eq!(parse_service(failed).unwrap().activity, Activity::Failed);
        let gone = "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n";
        assert_eq!(parse_service(gone), Ok(ServiceSeen::default()));
        for odd in [
            "",
            "ActiveState=active\n",
            "ActiveState=\nUnitFileState=enabled\n",
            "ActiveState=active\nUnitFileState=bad\n",
        ] {
            assert!(parse_service(odd).is_err(), "{odd:?}");
        }
    }

    /// A program in place of systemctl; it appends its arguments to `calls` and answers `show` with
    /// a service that is stopped and disabled.
    fn systemctl(dir: &std::path::Path, verbs: &str) -> Real {
        use std::os::unix::fs::PermissionsExt;
        let place = dir.join("systemctl");
        let shown = "LoadState=loaded\\nActiveState=inactive\\nUnitFileState=disabled\\n";
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {}/calls\ncase $1 in\nshow) printf '{shown}' ;;\n{verbs}esac\n",
            dir.display()
        );
        std::fs::write(&place, script).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
        Real::asking(&place)
    }

    fn service_id() -> ResourceId {
        ResourceId::new("service:pmta").unwrap()
    }

    #[test]
    fn a_service_is_enabled_started_and_reloaded_by_the_service_manager() {
        let dir = tempfile::tempdir().unwrap();
        let mut real = systemctl(dir.path(), "");
        let spec = ServiceSpec {
            unit: "pmta.service".to_owned(),
            enabled: true,
            running: true,
            on_notify: OnNotify::Reload,
        };
        real.set_service(&service_id(), &spec).unwrap();
        real.notify_service(&service_id(), &spec.unit, OnNotify::Reload)
            .unwrap();
        let calls = std::fs::read_to_string(dir.path().join("calls")).unwrap();
        assert_eq!(
            calls,
            "show --property=LoadState,ActiveState,UnitFileState -- pmta.service\n\
             enable -- pmta.service\nstart -- pmta.service\nreload -- pmta.service\n"
        );
    }

    #[test]
    fn a_service_that_does_not_start_fails_with_the_words_of_the_service_manager() {
        let dir = tempfile::tempdir().unwrap();
        let mut real = systemctl(dir.path(), "start) echo 'Unit is masked.' >&2; exit 5 ;;\n");
        let spec = ServiceSpec {
            unit: "pmta.service".to_owned(),
            enabled: false,
            running: true,
            on_notify: OnNotify::Restart,
        };
        let error = real.set_service(&service_id(), &spec).unwrap_err();
        let SystemError::Failed { code, output, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((&code[..], &output[..]), ("5", "Unit is masked."));
    }

    #[test]
    fn a_package_of_this_machine_is_seen_with_its_version() {
        let id = ResourceId::new("package:dpkg").unwrap();
        let seen = Real::default().package(&id, "dpkg").unwrap();
        let Presence::Installed(version) = seen.presence else {
            panic!("dpkg is installed where dpkg-query is: {seen:?}");
        };
        assert!(version.starts_with('1'), "{version}");
    }

    #[test]
    fn a_command_is_run_as_it_stands_and_for_no_longer_than_its_limit() {
        let line = |program: &str, arguments: &[&str]| CommandLine {
            program: email_engine_protocol::desired::HostPath::new(program).unwrap(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        };
        let id = ResourceId::new("step:a").unwrap();
        let mut real = Real::default();
        let long = Duration::from_secs(20);
        let ended = real
            .run(&id, &line("/bin/echo", &["a  b", "$c"]), long)
            .unwrap();
        assert_eq!((ended.code, &ended.output[..]), (0, "a  b $c"));
        let short = Duration::from_millis(50);
        let error = real
            .run(&id, &line("/bin/sleep", &["60"]), short)
            .unwrap_err();
        assert!(matches!(error, SystemError::Timeout { .. }), "{error}");
    }

    #[test]
    fn a_service_manager_that_cannot_be_asked_is_not_a_stopped_service() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let systemctl = dir.path().join("systemctl");
        let script = "#!/bin/sh\necho 'Failed to connect to bus: Host is down' >&2\nexit 1\n";
        std::fs::write(&systemctl, script).unwrap();
        std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
        let id = ResourceId::new("service:pmta").unwrap();
        let error = Real::asking(&systemctl)
            .service(&id, "pmta.service")
            .unwrap_err()
            .to_string();
        assert!(error.contains("Failed to connect to bus"), "{error}");
    }
}
