//! A setting of the kernel: its value now, and a file that sets it at every boot.
//!
//! The file remembers in its second line what the value was before, so that a removal can put it back;
//! who takes the file away makes that be forgotten.

use email_engine_protocol::desired::{HostPath, SysctlSpec};

use super::super::{ApplyError, Finding};
use super::place;
use crate::host::{FileError, Machine, NewFile};

const LIMIT: u64 = 64 * 1024;
const BEFORE: &str = "# Before: ";
const MODE: u32 = 0o644;

/// Read after all others at boot: of two files with one setting, the last one counts.
pub(super) fn file(key: &str) -> HostPath {
    place(format!("/etc/sysctl.d/zz-email-engine-{key}.conf"))
}

fn live(key: &str) -> HostPath {
    place(format!("/proc/sys/{}", key.replace('.', "/")))
}

pub(super) fn observe(machine: &Machine, spec: &SysctlSpec) -> Finding {
    let mut diff = Vec::new();
    match read(machine, &live(&spec.key)) {
        Ok(Some(value)) if is_same(&value, &spec.value) => {}
        Ok(Some(value)) => diff.push(format!("{:?}, not {:?}", words(&value), spec.value)),
        Ok(None) => diff.push(format!("this kernel has no setting {}", spec.key)),
        Err(error) => return Finding::Unknown(error.to_string()),
    }
    match is_kept(machine, spec) {
        Ok(true) => {}
        Ok(false) => diff.push("not set at boot".to_owned()),
        Err(error) => diff.push(error.to_string()),
    }
    if diff.is_empty() {
        Finding::Right
    } else {
        Finding::Differs(diff.join("; "))
    }
}

fn is_kept(machine: &Machine, spec: &SysctlSpec) -> Result<bool, FileError> {
    let path = file(&spec.key);
    let Some(text) = read(machine, &path)? else {
        return Ok(false);
    };
    let mode = machine.files.look(&path)?.map(|entry| entry.mode);
    let good = render(&spec.key, &spec.value, before(&text).as_deref());
    Ok(text == good && mode == Some(MODE))
}

pub(super) fn apply(machine: &Machine, spec: &SysctlSpec) -> Result<(), ApplyError> {
    let (path, live) = (file(&spec.key), live(&spec.key));
    let now = read(machine, &live)?;
    if !is_kept(machine, spec)? {
        let before = match read(machine, &path)? {
            Some(text) => before(&text),
            // Our own value is none that was before.
            None => now
                .as_deref()
                .filter(|now| !is_same(now, &spec.value))
                .map(words),
        };
        let text = render(&spec.key, &spec.value, before.as_deref());
        let new = NewFile {
            path: &path,
            mode: MODE,
            uid: Some(rustix::process::geteuid().as_raw()),
            gid: None,
        };
        machine.files.replace(&new, text.as_bytes(), None)?;
    }
    if !now.is_some_and(|now| is_same(&now, &spec.value)) {
        machine.files.write_setting(&live, spec.value.as_bytes())?;
    }
    Ok(())
}

/// Puts back what was before, where that is known and nobody else has set it since.
pub(super) fn remove(machine: &Machine, key: &str) -> Result<(), ApplyError> {
    let path = file(key);
    if let Some(text) = read(machine, &path)?
        && let Some(before) = before(&text)
        && let Some(now) = read(machine, &live(key))?
        && render(key, &words(&now), Some(&before)) == text
    {
        machine.files.write_setting(&live(key), before.as_bytes())?;
    }
    machine.files.remove_file(&path)?;
    Ok(machine.files.sweep(&path)?)
}

fn render(key: &str, value: &str, before: Option<&str>) -> String {
    let before = before.map_or_else(String::new, |before| format!("{BEFORE}{before}\n"));
    format!(
        "# Written by Email-Engine; what is changed here is changed back.\n{before}{key} = {value}\n"
    )
}

fn before(text: &str) -> Option<String> {
    let line = text.lines().nth(1)?;
    line.strip_prefix(BEFORE).map(str::to_owned)
}

/// The kernel writes tabs between numbers.
fn words(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}

fn read(machine: &Machine, path: &HostPath) -> Result<Option<String>, FileError> {
    match machine.files.look(path)? {
        None => Ok(None),
        Some(_) => {
            let bytes = machine.files.read(path, LIMIT)?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(value: &str) -> SysctlSpec {
        SysctlSpec {
            key: "net.ipv4.tcp_rmem".to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn a_setting_is_set_kept_for_the_next_boot_and_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::with_programs(dir.path());
        let setting = dir.path().join("proc/sys/net/ipv4/tcp_rmem");
        let finding = observe(&machine, &spec("4096 1 2"));
        assert!(matches!(&finding, Finding::Differs(text) if text.contains("no setting")));
        assert!(apply(&machine, &spec("1")).is_err());
        std::fs::remove_dir_all(dir.path().join("etc")).unwrap();
        std::fs::create_dir_all(setting.parent().unwrap()).unwrap();
        std::fs::write(&setting, "4096\t131072\t6291456\n").unwrap();
        let finding = observe(&machine, &spec("4096 131072 6291456"));
        assert_eq!(finding, Finding::Differs("not set at boot".to_owned()));
        // A file below a temporary folder is not cut by the write, as the kernel's is not.
        let wanted = spec("4096 262144 8388608");
        std::fs::write(&setting, "4096\t131072\t6291456").unwrap();
        apply(&machine, &wanted).unwrap();
        assert_eq!(observe(&machine, &wanted), Finding::Right);
        let kept = dir
            .path()
            .join("etc/sysctl.d/zz-email-engine-net.ipv4.tcp_rmem.conf");
        let text = std::fs::read_to_string(&kept).unwrap();
        assert!(
            text.contains("# Before: 4096 131072 6291456\nnet.ipv4.tcp_rmem = 4096"),
            "{text}"
        );
        std::fs::write(&setting, "4096\t262144\t0000000").unwrap();
        assert!(!observe(&machine, &wanted).is_satisfied());
        apply(&machine, &wanted).unwrap();
        assert_eq!(
            std::fs::read_to_string(&kept).unwrap(),
            text,
            "it remembers the first"
        );
        remove(&machine, "net.ipv4.tcp_rmem").unwrap();
        assert!(!kept.exists());
        assert_eq!(
            std::fs::read_to_string(&setting).unwrap(),
            "4096 131072 6291456"
        );
    }

    #[test]
    fn a_value_that_somebody_else_has_set_since_is_left_on_removal() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::with_programs(dir.path());
        let setting = dir.path().join("proc/sys/net/ipv4/tcp_rmem");
        std::fs::create_dir_all(setting.parent().unwrap()).unwrap();
        std::fs::write(&setting, "1").unwrap();
        apply(&machine, &spec("2")).unwrap();
        std::fs::write(&setting, "3").unwrap();
        remove(&machine, "net.ipv4.tcp_rmem").unwrap();
        assert_eq!(std::fs::read_to_string(&setting).unwrap(), "3");
    }

    #[test]
    fn our_own_value_is_never_taken_for_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::with_programs(dir.path());
        let setting = dir.path().join("proc/sys/net/ipv4/tcp_rmem");
        std::fs::create_dir_all(setting.parent().unwrap()).unwrap();
        std::fs::write(&setting, "1").unwrap();
        apply(&machine, &spec("2")).unwrap();
        let kept = dir.path().join(&file("net.ipv4.tcp_rmem").as_str()[1..]);
        std::fs::remove_file(&kept).unwrap();
        apply(&machine, &spec("2")).unwrap();
        let text = std::fs::read_to_string(&kept).unwrap();
        assert!(!text.contains(BEFORE), "{text}");
        remove(&machine, "net.ipv4.tcp_rmem").unwrap();
        assert_eq!(std::fs::read_to_string(&setting).unwrap(), "2");
    }
}
