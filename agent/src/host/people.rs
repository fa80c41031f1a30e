//! What the machine's own files say of users and groups (passwd(5), shadow(5), group(5)).

use std::collections::BTreeMap;

use email_engine_protocol::desired::HostPath;
use zeroize::Zeroizing;

use super::tree::rooted::{FileError, Rooted};

const LIMIT: u64 = 4 * 1024 * 1024;

/// A user as the files have it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserSeen {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
    pub(crate) shell: String,
    /// Whether there is a password to log in with.
    pub(crate) opens: bool,
    pub(crate) expires: bool,
}

/// A group as the file has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GroupSeen {
    pub(crate) gid: u32,
    pub(crate) members: Vec<String>,
}

/// All of them. Of two lines with one name the first counts; a line that is none counts as nobody's.
#[derive(Debug)]
pub(crate) struct People {
    users: BTreeMap<String, Option<UserSeen>>,
    groups: BTreeMap<String, GroupSeen>,
}

impl People {
    /// Reads the files. Nothing of a password is kept.
    pub(super) fn read(tree: &Rooted) -> Result<Self, FileError> {
        let read = |file: &str| {
            let path = HostPath::new(file).expect("a fixed absolute path");
            tree.read(&path, LIMIT).map(Zeroizing::new)
        };
        let (passwd, shadow) = (read("/etc/passwd")?, read("/etc/shadow")?);
        let group = read("/etc/group")?;
        let (passwd, group) = (
            String::from_utf8_lossy(&passwd),
            String::from_utf8_lossy(&group),
        );
        // What is not UTF-8 is copied here, and wiped as well.
        let shadow = Zeroizing::new(String::from_utf8_lossy(&shadow).into_owned());
        Ok(Self::parse(&passwd, &shadow, &group))
    }

    pub(crate) fn parse(passwd: &str, shadow: &str, group: &str) -> Self {
        let shadow = first(shadow, |fields| {
            let is_shut = fields.get(1).is_some_and(|password| is_shut(password));
            let expires = fields.get(7).is_some_and(|date| !date.is_empty());
            Some((!is_shut, expires))
        });
        let user = |fields: &[&str]| {
            let field = |at: usize| fields.get(at).copied().unwrap_or_default();
            let (opens, expires) = match field(1) {
                // Without a line in shadow(5) nobody gets in by it.
                "x" => shadow.get(field(0)).copied().flatten().unwrap_or_default(),
                password => (!is_shut(password), false),
            };
            Some(UserSeen {
                uid: field(2).parse().ok()?,
                gid: field(3).parse().ok()?,
                home: field(5).to_owned(),
                shell: field(6).to_owned(),
                opens,
                expires,
            })
        };
        let groups = first(group, |fields| {
            let members = fields.get(3).copied().unwrap_or_default().split(',');
            let members = members.filter(|member| !member.is_empty());
            Some(GroupSeen {
                gid: fields.get(2)?.parse().ok()?,
                members: members.map(str::to_owned).collect(),
            })
        });
        let groups = groups.into_iter();
        Self {
            users: first(passwd, user),
            groups: groups
                .filter_map(|(name, group)| Some((name, group?)))
                .collect(),
        }
    }

    pub(crate) fn user(&self, name: &str) -> Option<&UserSeen> {
        self.users.get(name)?.as_ref()
    }

    pub(crate) fn group(&self, name: &str) -> Option<&GroupSeen> {
        self.groups.get(name)
    }
}

/// Nobody gets in by such a password (crypt(5)).
fn is_shut(password: &str) -> bool {
    password.starts_with(['!', '*'])
}

/// By its first field, what the first line of each name says.
pub(super) fn first<T>(
    text: &str,
    read: impl Fn(&[&str]) -> Option<T>,
) -> BTreeMap<String, Option<T>> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let name = fields.first().copied().unwrap_or_default();
        if !found.contains_key(name) {
            found.insert(name.to_owned(), read(&fields));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_name_counts_and_a_broken_one_is_nobody() {
        let passwd = "app:x:997:996::/var/lib/app:/bin/false\napp::0:0::/:/bin/sh\n\
                      odd:x:one:1::/:/bin/false\nodd:x:5:5::/:/bin/false\nshort:x:7\n:x:1:1::/:/x\n";
        let shadow = "app:!:20000::::::\napp:$y$hash:1::::::\n";
        let people = People::parse(passwd, shadow, "adm:x:4:syslog,,app\nadm:x:9:\nbroken\n");
        let app = people.user("app").unwrap();
        assert_eq!(
            (app.uid, app.gid, app.opens, app.expires),
            (997, 996, false, false)
        );
        assert_eq!(people.user("odd"), None);
        assert_eq!(people.user("short"), None);
        assert_eq!(people.user("nobody"), None);
        let adm = people.group("adm").unwrap();
        assert_eq!((adm.gid, adm.members.len()), (4, 2));
        assert_eq!(people.group("broken"), None);
    }

    #[test]
    fn who_can_log_in_with_a_password_opens() {
        for (passwd, shadow, opens, expires) in [
            ("x", "a:$y$hash:1:::::10:", true, true),
            ("x", "a:!$y$hash:1::::::", false, false),
            ("x", "a:*:1::::::", false, false),
            ("x", "a::1::::::", true, false),
            // Without a line there is no password, and without a field an empty one.
            ("x", "b:$y$hash:1::::::", false, false),
            ("x", "a", true, false),
            ("", "", true, false),
            ("*", "a:$y$hash:1::::::", false, false),
        ] {
            let people = People::parse(&format!("a:{passwd}:5:5::/:/bin/false"), shadow, "");
            let user = people.user("a").unwrap();
            assert_eq!(
                (user.opens, user.expires),
                (opens, expires),
                "{passwd:?} {shadow:?}"
            );
        }
    }
}
