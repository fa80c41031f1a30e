//! Users and groups that services run as, read from the machine's own files (passwd(5), shadow(5),
//! group(5)) and changed by its own tools, which know about locks.
//!
//! Accounts of people and of the system itself are nobody's to manage: what has a number that the
//! distribution keeps for them is refused, whatever it is called.

use std::time::Duration;

use email_engine_protocol::desired::{CommandLine, GroupSpec, HostPath, UserSpec};
use email_engine_protocol::id::ResourceId;

use super::super::{ApplyError, Finding};
use super::place;
use crate::host::{Machine, People, UserSeen};

const TOOL: Duration = Duration::from_secs(60);
/// Numbers from which on accounts are of people (SYS_UID_MAX and SYS_GID_MAX of login.defs(5), which
/// Debian, Ubuntu and the RHEL family agree on).
const PEOPLE: u32 = 1000;
const NO_SHELL: &str = "/usr/sbin/nologin";
const NO_SHELLS: [&str; 4] = [NO_SHELL, "/sbin/nologin", "/bin/false", "/usr/bin/false"];
const NO_HOME: &str = "/nonexistent";

pub(super) fn passwd_file() -> HostPath {
    place("/etc/passwd".to_owned())
}

pub(super) fn group_file() -> HostPath {
    place("/etc/group".to_owned())
}

pub(super) fn observe_group(machine: &Machine, spec: &GroupSpec) -> Finding {
    let people = match machine.people() {
        Ok(people) => people,
        Err(error) => return Finding::Unknown(error.to_string()),
    };
    match people.group(&spec.name) {
        None => Finding::Differs("missing".to_owned()),
        Some(group) => {
            foreign("group", &spec.name, group.gid).map_or(Finding::Right, Finding::Differs)
        }
    }
}

pub(super) fn apply_group(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &GroupSpec,
) -> Result<(), ApplyError> {
    machine.forget_accounts();
    match machine.people()?.group(&spec.name) {
        Some(group) => foreign("group", &spec.name, group.gid)
            .map_or(Ok(()), |reason| Err(ApplyError::Refused(reason))),
        None => run(machine, id, "groupadd", &["--system", "--", &spec.name]),
    }
}

pub(super) fn remove_group(
    machine: &mut Machine,
    id: &ResourceId,
    name: &str,
) -> Result<(), ApplyError> {
    machine.forget_accounts();
    match machine.people()?.group(name) {
        Some(group) if foreign("group", name, group.gid).is_none() => {
            run(machine, id, "groupdel", &["--", name])
        }
        _ => Ok(()),
    }
}

pub(super) fn observe_user(machine: &Machine, spec: &UserSpec) -> Finding {
    let people = match machine.people() {
        Ok(people) => people,
        Err(error) => return Finding::Unknown(error.to_string()),
    };
    let Some(user) = people.user(&spec.name) else {
        return Finding::Differs("missing".to_owned());
    };
    let diff = match foreign("user", &spec.name, user.uid) {
        Some(reason) => vec![reason],
        None => changes(spec, user, &people)
            .into_iter()
            .map(|one| one.0)
            .collect(),
    };
    if diff.is_empty() {
        Finding::Right
    } else {
        Finding::Differs(diff.join("; "))
    }
}

pub(super) fn apply_user(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &UserSpec,
) -> Result<(), ApplyError> {
    machine.forget_accounts();
    let people = machine.people()?;
    let Some(user) = people.user(&spec.name) else {
        let arguments = creation(spec, people.group(spec.primary()).is_some());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        return run(machine, id, "useradd", &arguments);
    };
    if let Some(reason) = foreign("user", &spec.name, user.uid) {
        return Err(ApplyError::Refused(reason));
    }
    let mut arguments: Vec<String> = Vec::new();
    for (_, option) in changes(spec, user, &people) {
        arguments.extend(option);
    }
    if arguments.is_empty() {
        return Ok(());
    }
    // Nobody else makes the group of its own name, which may have gone with an earlier user.
    if spec.group.is_none() && people.group(&spec.name).is_none() {
        run(machine, id, "groupadd", &["--system", "--", &spec.name])?;
    }
    arguments.extend(["--".to_owned(), spec.name.clone()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run(machine, id, "usermod", &arguments)
}

/// Deleted, its files left alone; or shut, so that nothing can be begun as it by logging in.
pub(super) fn remove_user(
    machine: &mut Machine,
    id: &ResourceId,
    name: &str,
    delete: bool,
) -> Result<(), ApplyError> {
    machine.forget_accounts();
    match machine.people()?.user(name) {
        Some(user) if foreign("user", name, user.uid).is_none() => {
            if delete {
                run(machine, id, "userdel", &["--", name])
            } else {
                run(
                    machine,
                    id,
                    "usermod",
                    &["--lock", "--expiredate", "1", "--", name],
                )
            }
        }
        _ => Ok(()),
    }
}

/// Why an account is not ours to manage.
fn foreign(what: &str, name: &str, number: u32) -> Option<String> {
    (number == 0 || number >= PEOPLE).then(|| {
        format!(
            "{what} {name} has the number {number}: accounts of people and of root are left alone, \
             those from 1 to {} are accepted",
            PEOPLE - 1
        )
    })
}

/// What the tool is told to make a user; its own group is made with it where there is none yet.
fn creation(spec: &UserSpec, has_group: bool) -> Vec<String> {
    let mut words = vec![
        "--system",
        "--no-create-home",
        "--no-log-init",
        "--shell",
        NO_SHELL,
    ];
    words.extend([
        "--home-dir",
        spec.home.as_ref().map_or(NO_HOME, |home| home.as_str()),
    ]);
    if has_group || spec.group.is_some() {
        words.extend(["--no-user-group", "--gid", spec.primary()]);
    } else {
        words.push("--user-group");
    }
    let further = spec.groups.join(",");
    if !further.is_empty() {
        words.extend(["--groups", &further]);
    }
    words.extend(["--", &spec.name]);
    words.into_iter().map(str::to_owned).collect()
}

/// What differs, each with what makes it right.
fn changes(spec: &UserSpec, user: &UserSeen, people: &People) -> Vec<(String, Vec<String>)> {
    let mut changes = Vec::new();
    let mut change = |diff: String, option: &[&str]| {
        let option = option.iter().map(|word| (*word).to_owned()).collect();
        changes.push((diff, option));
    };
    let primary = spec.primary();
    if people
        .group(primary)
        .is_none_or(|group| group.gid != user.gid)
    {
        change(
            format!("group {}, not {primary}", user.gid),
            &["--gid", primary],
        );
    }
    let is_in = |name: &String| {
        let group = people.group(name);
        group.is_some_and(|group| group.members.contains(&spec.name))
    };
    let missing: Vec<&str> = spec
        .groups
        .iter()
        .filter(|name| !is_in(name))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(",");
        change(
            format!("not in {missing}"),
            &["--append", "--groups", &missing],
        );
    }
    if let Some(home) = &spec.home
        && user.home != home.as_str()
    {
        change(
            format!("home {:?}, not {home}", user.home),
            &["--home", home.as_str()],
        );
    }
    if !NO_SHELLS.contains(&user.shell.as_str()) {
        change(format!("shell {:?}", user.shell), &["--shell", NO_SHELL]);
    }
    if user.opens {
        change("has a password".to_owned(), &["--lock"]);
    }
    if user.expires {
        change("expires".to_owned(), &["--expiredate", ""]);
    }
    changes
}

fn run(
    machine: &mut Machine,
    id: &ResourceId,
    tool: &str,
    arguments: &[&str],
) -> Result<(), ApplyError> {
    let command = CommandLine {
        program: place(format!("/usr/sbin/{tool}")),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
    };
    let ended = machine.system.run(id, &command, TOOL);
    machine.forget_accounts();
    let ended = ended?;
    if ended.code == 0 {
        return Ok(());
    }
    Err(ApplyError::Step {
        program: command.program.to_string(),
        code: ended.code,
        output: ended.output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
         app:x:997:996::/var/lib/app:/usr/sbin/nologin\n\
         eve:x:1000:1000::/srv/eve:/bin/bash\n";
    const SHADOW: &str = "root:$y$hash:1::::::\napp:!:20000::::::\neve:$y$hash:1:::::10:\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:syslog,app\ntls:x:995:\napp:x:996:\nbroken\n";

    fn spec(groups: &[&str], home: Option<&str>) -> UserSpec {
        UserSpec {
            name: "app".to_owned(),
            group: None,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            home: home.map(|home| HostPath::new(home).unwrap()),
        }
    }

    fn machine(dir: &std::path::Path) -> Machine {
        let etc = dir.join("etc");
        std::fs::create_dir(&etc).unwrap();
        for (name, text) in [("passwd", PASSWD), ("shadow", SHADOW), ("group", GROUP)] {
            std::fs::write(etc.join(name), text).unwrap();
        }
        Machine::with_programs(dir)
    }

    #[test]
    fn an_account_that_is_as_wanted_is_right_and_what_differs_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let machine = machine(dir.path());
        let see = |spec: &UserSpec| observe_user(&machine, spec);
        assert_eq!(see(&spec(&["adm"], None)), Finding::Right);
        let expected = "not in tls; home \"/var/lib/app\", not /srv";
        let finding = see(&spec(&["adm", "tls"], Some("/srv")));
        assert_eq!(finding, Finding::Differs(expected.to_owned()));
        let mut other = spec(&[], None);
        other.name = "web".to_owned();
        assert_eq!(see(&other), Finding::Differs("missing".to_owned()));
        let group = |name: &str| {
            observe_group(
                &machine,
                &GroupSpec {
                    name: name.to_owned(),
                },
            )
        };
        assert_eq!(group("app"), Finding::Right);
        assert_eq!(group("web"), Finding::Differs("missing".to_owned()));
    }

    #[test]
    fn accounts_of_people_are_refused_before_any_tool_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = machine(dir.path());
        let mut eve = spec(&[], None);
        eve.name = "eve".to_owned();
        let id = ResourceId::new("user:eve").unwrap();
        let error = apply_user(&mut machine, &id, &eve).unwrap_err().to_string();
        assert!(
            error.contains("number 1000") && error.contains("1 to 999"),
            "{error}"
        );
        remove_user(&mut machine, &id, "eve", true).unwrap();
        remove_user(&mut machine, &id, "root", true).unwrap();
        remove_group(&mut machine, &id, "root").unwrap();
    }

    #[test]
    fn a_user_that_somebody_opened_is_shut_again() {
        let opened = PASSWD.replace("/var/lib/app:/usr/sbin/nologin", "/var/lib/app:/bin/bash");
        let shadow = SHADOW.replace("app:!:20000::::::", "app:$y$hash:20000:::::1:");
        let people = People::parse(&opened, &shadow, GROUP);
        let user = people.user("app").unwrap();
        let made = changes(&spec(&[], None), user, &people);
        let words: Vec<&str> = made
            .iter()
            .flat_map(|one| &one.1)
            .map(String::as_str)
            .collect();
        assert_eq!(words, ["--shell", NO_SHELL, "--lock", "--expiredate", ""]);
        let said: Vec<&str> = made.iter().map(|one| one.0.as_str()).collect();
        assert_eq!(said, ["shell \"/bin/bash\"", "has a password", "expires"]);
    }

    #[test]
    fn a_user_is_made_with_its_own_group_or_in_one_that_is_there() {
        let alone = creation(&spec(&["adm", "tls"], Some("/srv")), false).join(" ");
        assert_eq!(
            alone,
            "--system --no-create-home --no-log-init --shell /usr/sbin/nologin --home-dir /srv \
             --user-group --groups adm,tls -- app"
        );
        let with = creation(&spec(&[], None), true).join(" ");
        assert!(
            with.ends_with("--home-dir /nonexistent --no-user-group --gid app -- app"),
            "{with}"
        );
    }
}
