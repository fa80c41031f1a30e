//! A systemd unit.

use email_engine_protocol::desired::{OnNotify, ServiceSpec};
use email_engine_protocol::id::ResourceId;

use super::{ApplyError, Finding};
use crate::host::{Activity, AtBoot, Machine};

pub(super) fn observe(machine: &mut Machine, id: &ResourceId, spec: &ServiceSpec) -> Finding {
    let seen = match machine.system.service(id, &spec.unit) {
        Ok(seen) => seen,
        Err(error) => return Finding::Unknown(error.to_string()),
    };
    let mut diff = Vec::new();
    if seen.at_boot.differs(spec.enabled) {
        diff.push(if spec.enabled {
            "not enabled"
        } else {
            "enabled"
        });
    }
    if seen.activity.differs(spec.running) {
        diff.push(match &seen.activity {
            Activity::Running => "running",
            Activity::Failed | Activity::Stopped => "not running",
            Activity::Between(word) => word,
        });
    }
    match (&seen.at_boot, diff.is_empty()) {
        (_, false) => Finding::Differs(diff.join("; ")),
        (AtBoot::Fixed(how), true) if spec.enabled => Finding::Unverified(format!(
            "{} is {how}: whether it is started at boot is not its own to say",
            spec.unit
        )),
        (_, true) if machine.system.is_simulated() => Finding::Simulated,
        (_, true) => Finding::Right,
    }
}

/// A service that shall not run has nothing to reload.
pub(super) fn notify(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &ServiceSpec,
) -> Result<(), ApplyError> {
    if spec.running {
        machine
            .system
            .notify_service(id, &spec.unit, spec.on_notify)?;
    }
    Ok(())
}

pub(super) fn switch_off(
    machine: &mut Machine,
    id: &ResourceId,
    unit: &str,
) -> Result<(), ApplyError> {
    let off = ServiceSpec {
        unit: unit.to_owned(),
        enabled: false,
        running: false,
        on_notify: OnNotify::Reload,
    };
    Ok(machine.system.set_service(id, &off)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A machine whose service manager answers with the same words for ever and notes what else it
    /// is asked.
    fn machine(dir: &std::path::Path, answer: &str) -> Machine {
        let systemctl = dir.join("systemctl");
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = show ]; then printf '{answer}'; else echo \"$1\" >> {}/asked; fi\n",
            dir.display()
        );
        std::fs::write(&systemctl, script).unwrap();
        std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
        Machine::with_systemctl(dir, &systemctl)
    }

    fn spec(enabled: bool) -> ServiceSpec {
        ServiceSpec {
            unit: "pmta.service".to_owned(),
            enabled,
            running: true,
            on_notify: OnNotify::Reload,
        }
    }

    #[test]
    fn a_static_unit_is_right_disabled_and_not_to_be_told_enabled() {
        let dir = tempfile::tempdir().unwrap();
        let answer = "LoadState=loaded\\nActiveState=active\\nUnitFileState=static\\n";
        let mut machine = machine(dir.path(), answer);
        let id = ResourceId::new("service:pmta").unwrap();
        assert_eq!(observe(&mut machine, &id, &spec(false)), Finding::Right);
        let seen = observe(&mut machine, &id, &spec(true));
        assert!(
            matches!(&seen, Finding::Unverified(text) if text.contains("static")),
            "{seen:?}"
        );
        machine.system.set_service(&id, &spec(true)).unwrap();
        assert!(!dir.path().join("asked").exists(), "nothing is to be done");
    }

    #[test]
    fn what_the_service_manager_does_not_say_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = machine(dir.path(), "");
        let id = ResourceId::new("service:pmta").unwrap();
        let seen = observe(&mut machine, &id, &spec(true));
        assert!(matches!(seen, Finding::Unknown(_)), "{seen:?}");
    }

    #[test]
    fn a_crash_loop_is_neither_running_nor_stopped_and_is_stopped_on_removal() {
        let dir = tempfile::tempdir().unwrap();
        let answer = "LoadState=loaded\\nActiveState=activating\\nUnitFileState=disabled\\n";
        let mut machine = machine(dir.path(), answer);
        let id = ResourceId::new("service:pmta").unwrap();
        for running in [true, false] {
            let spec = ServiceSpec {
                running,
                ..spec(false)
            };
            let seen = observe(&mut machine, &id, &spec);
            assert_eq!(seen, Finding::Differs("activating".to_owned()), "{running}");
        }
        switch_off(&mut machine, &id, "pmta.service").unwrap();
        let asked = std::fs::read_to_string(dir.path().join("asked")).unwrap();
        assert_eq!(asked, "stop\n");
    }
}
