//! Users and groups of this machine. Ours are made here, so the files are asked and no directory
//! elsewhere.

use std::fs;

use super::child::{self, ChildError};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// All users in this text of passwd(5); a line that is none is skipped.
fn parse(text: &str) -> Vec<User> {
    let users = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { name, uid, gid })
    });
    users.collect()
}

pub(super) fn users() -> Vec<User> {
    parse(&fs::read_to_string("/etc/passwd").unwrap_or_default())
}

pub(super) fn user(name: &str) -> Option<User> {
    users().into_iter().find(|user| user.name == name)
}

/// A system user that nobody logs in as, with a group of its own.
pub(super) fn create(name: &str) -> Result<(), ChildError> {
    if user(name).is_some() {
        return Ok(());
    }
    let group_exists = fs::read_to_string("/etc/group")
        .unwrap_or_default()
        .lines()
        .any(|line| line.split(':').next() == Some(name));
    let mut command = child::program("useradd");
    command.args(["--system", "--no-create-home", "--home-dir", "/nonexistent"]);
    command.args(["--shell", "/usr/sbin/nologin"]);
    if group_exists {
        command.args(["--gid", name]);
    } else {
        command.arg("--user-group");
    }
    child::run(command.arg(name)).map(drop)
}

/// Removes a user and the group of its name.
pub(super) fn remove(name: &str) -> Result<(), ChildError> {
    if user(name).is_none() {
        return Ok(());
    }
    child::run(child::program("userdel").arg(name)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_and_other_lines_skipped() {
        let users = parse("root:x:0:0:root::/bin/sh\n+::::::\n\nmail:x:8:12:::\n");
        let mail = User {
            name: "mail".to_owned(),
            uid: 8,
            gid: 12,
        };
        assert_eq!(users.len(), 2);
        assert_eq!(users[1], mail);
    }
}
