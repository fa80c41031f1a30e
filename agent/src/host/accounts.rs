//! Names of users and groups to numbers, read from the machine's own files: a static binary has no
//! name service switch.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use email_engine_protocol::desired::HostPath;

use super::people::{People, first};
use super::tree::rooted::{FileError, Rooted};

const LIMIT: u64 = 4 * 1024 * 1024;

/// Why a name has no number.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The files could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// No such group.
    #[error("group {0:?} does not exist")]
    UnknownGroup(String),
    /// No such user.
    #[error("user {0:?} does not exist")]
    UnknownUser(String),
}

/// The numbers of a user and of its own group.
///
/// # Errors
/// When there is no such user.
pub(super) fn of_user(tree: &Rooted, name: &str) -> Result<(u32, u32), AccountError> {
    let path = HostPath::new("/etc/passwd").expect("a fixed absolute path");
    let bytes = tree.read(&path, LIMIT)?;
    let text = String::from_utf8_lossy(&bytes);
    let numbers = first(&text, |fields| {
        let number = |at: usize| fields.get(at)?.parse().ok();
        Some((number(2)?, number(3)?))
    });
    let numbers = numbers.get(name).copied().flatten();
    numbers.ok_or_else(|| AccountError::UnknownUser(name.to_owned()))
}

type Numbers = BTreeMap<String, Option<u32>>;

/// Users and groups as they were read last: once for many files.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: RefCell<Option<Numbers>>,
    groups: RefCell<Option<Numbers>>,
    people: RefCell<Option<Arc<People>>>,
}

impl Accounts {
    /// The number of a user.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn user_id(&self, tree: &Rooted, name: &str) -> Result<u32, AccountError> {
        let found = number(&self.users, tree, "/etc/passwd", name)?;
        found.ok_or_else(|| AccountError::UnknownUser(name.to_owned()))
    }

    /// The number of a group.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn group_id(&self, tree: &Rooted, name: &str) -> Result<u32, AccountError> {
        let found = number(&self.groups, tree, "/etc/group", name)?;
        found.ok_or_else(|| AccountError::UnknownGroup(name.to_owned()))
    }

    /// All that the files say.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn people(&self, tree: &Rooted) -> Result<Arc<People>, FileError> {
        let mut known = self.people.borrow_mut();
        if let Some(people) = &*known {
            return Ok(people.clone());
        }
        Ok(known.insert(Arc::new(People::read(tree)?)).clone())
    }

    /// They are read anew when they are needed next.
    pub(super) fn forget(&self) {
        self.users.take();
        self.groups.take();
        self.people.take();
    }
}

fn number(
    known: &RefCell<Option<Numbers>>,
    tree: &Rooted,
    file: &str,
    name: &str,
) -> Result<Option<u32>, FileError> {
    let mut known = known.borrow_mut();
    let numbers = match known.take() {
        Some(numbers) => numbers,
        None => {
            let path = HostPath::new(file).expect("a fixed absolute path");
            parse(&String::from_utf8_lossy(&tree.read(&path, LIMIT)?))
        }
    };
    Ok(known.insert(numbers).get(name).copied().flatten())
}

/// The third field of each line, in passwd(5) and group(5) alike.
fn parse(text: &str) -> Numbers {
    first(text, |fields| fields.get(2)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_field_of_the_named_line_is_the_number() {
        let text = "root:x:0:0:root:/root:/bin/bash\npmta:x:997:996::/var/spool/pmta:/bin/false\n";
        let numbers = parse(&format!("{text}pmta:x:1:1::/:/bin/sh\nbroken\n"));
        assert_eq!(numbers["pmta"], Some(997));
        assert_eq!(numbers["root"], Some(0));
        assert_eq!(numbers["broken"], None);
    }

    #[test]
    fn they_are_read_once_until_they_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let passwd = dir.path().join("etc/passwd");
        std::fs::write(&passwd, "one:x:1:1::/:/bin/sh\n").unwrap();
        let tree = Rooted::open(dir.path()).unwrap();
        let accounts = Accounts::default();
        assert_eq!(accounts.user_id(&tree, "one").unwrap(), 1);
        std::fs::write(&passwd, "one:x:2:1::/:/bin/sh\ntwo:x:3:1::/:/bin/sh\n").unwrap();
        assert_eq!(accounts.user_id(&tree, "one").unwrap(), 1);
        assert!(accounts.user_id(&tree, "two").is_err());
        accounts.forget();
        assert_eq!(accounts.user_id(&tree, "one").unwrap(), 2);
        assert_eq!(accounts.user_id(&tree, "two").unwrap(), 3);
        assert_eq!(of_user(&tree, "two").unwrap(), (3, 1));
        assert!(of_user(&tree, "tw").is_err());
    }
}
