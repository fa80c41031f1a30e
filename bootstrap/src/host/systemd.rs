//! The service manager, by its own command.

use super::child::{self, ChildError};
use crate::facts::UnitState;

/// What the manager says of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) state: UnitState,
    /// How its process ended last, when it is not running; for people, its state.
    pub(super) last_exit: Option<i32>,
    pub(super) words: String,
}

const PROPERTIES: &str = "--property=ActiveState,SubState,UnitFileState,NeedDaemonReload,MainPID,\
                          ExecMainStatus,ExecMainCode";

pub(super) fn show(unit: &str) -> Result<Shown, ChildError> {
    let mut command = child::program("systemctl");
    let said = child::run(command.args(["show", PROPERTIES, unit]))?;
    let (mut shown, process) = parse(&String::from_utf8_lossy(&said));
    shown.state.is_outdated = process.is_some_and(runs_a_replaced_program);
    Ok(shown)
}

fn parse(text: &str) -> (Shown, Option<u32>) {
    let value = |key: &str| {
        let lines = text.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        values.next().unwrap_or_default()
    };
    let active = value("ActiveState");
    // One that is about to be started again is `activating`.
    let is_active = matches!(active, "active" | "activating" | "reloading");
    let process = value("MainPID")
        .parse()
        .ok()
        .filter(|process| *process != 0);
    let ended = value("ExecMainCode") == "1" && process.is_none();
    let shown = Shown {
        state: UnitState {
            is_enabled: value("UnitFileState") == "enabled",
            is_active,
            needs_reload: value("NeedDaemonReload") == "yes",
            is_outdated: false,
        },
        last_exit: value("ExecMainStatus").parse().ok().filter(|_| ended),
        words: format!("{active} ({})", value("SubState")),
    };
    (shown, process)
}

/// The kernel says so of a program whose file was replaced under its name.
fn runs_a_replaced_program(process: u32) -> bool {
    let program = std::fs::read_link(format!("/proc/{process}/exe"));
    program.is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)"))
}

pub(super) fn reload() -> Result<(), ChildError> {
    child::run(child::program("systemctl").arg("daemon-reload")).map(drop)
}

pub(super) fn enable(unit: &str) -> Result<(), ChildError> {
    child::run(child::program("systemctl").args(["--quiet", "enable", unit])).map(drop)
}

pub(super) fn restart(unit: &str) -> Result<(), ChildError> {
    // What was given up on before is no reason to give up now.
    let _ = child::run(child::program("systemctl").args(["reset-failed", unit]));
    child::run(child::program("systemctl").args(["restart", unit])).map(drop)
}

pub(super) fn stop(unit: &str) -> Result<(), ChildError> {
    let mut command = child::program("systemctl");
    child::run(command.args(["--quiet", "disable", "--now", unit]))?;
    let _ = child::run(child::program("systemctl").args(["reset-failed", unit]));
    Ok(())
}

/// The last lines of a unit's log; empty where there is none.
pub(super) fn last_words(unit: &str) -> String {
    let mut command = child::program("journalctl");
    command.args([
        "--unit",
        unit,
        "--lines=4",
        "--output=cat",
        "--no-pager",
        "--quiet",
    ]);
    let said = child::run(&mut command).unwrap_or_default();
    String::from_utf8_lossy(&said).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_is_about_to_be_started_again_is_active_and_its_end_is_known() {
        let text = "MainPID=0\nExecMainCode=1\nExecMainStatus=3\nActiveState=activating\n\
                    SubState=auto-restart\nUnitFileState=enabled\nNeedDaemonReload=no\n";
        let (shown, process) = parse(text);
        assert_eq!((shown.last_exit, process), (Some(3), None));
        assert!(shown.state.is_active && shown.state.is_enabled);
        assert_eq!(shown.words, "activating (auto-restart)");
        let (shown, process) =
            parse("MainPID=7\nExecMainCode=0\nExecMainStatus=0\nActiveState=active\n");
        assert_eq!((shown.last_exit, process), (None, Some(7)));
    }
}
