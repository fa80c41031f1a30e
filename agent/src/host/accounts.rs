//! Names of users and groups to numbers, read from the machine's own files: a static binary has no
//! name service switch.

use email_engine_protocol::desired::HostPath;

use super::rooted::{FileError, Rooted};

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

/// The number of a user.
///
/// # Errors
/// When there is none.
pub(super) fn user_id(tree: &Rooted, name: &str) -> Result<u32, AccountError> {
    number(tree, "/etc/passwd", name)?.ok_or_else(|| AccountError::UnknownUser(name.to_owned()))
}

/// The number of a group.
///
/// # Errors
/// When there is none.
pub(super) fn group_id(tree: &Rooted, name: &str) -> Result<u32, AccountError> {
    number(tree, "/etc/group", name)?.ok_or_else(|| AccountError::UnknownGroup(name.to_owned()))
}

fn number(tree: &Rooted, file: &str, name: &str) -> Result<Option<u32>, FileError> {
    let path = HostPath::new(file).expect("a fixed absolute path");
    let bytes = tree.read(&path, LIMIT)?;
    Ok(find(&String::from_utf8_lossy(&bytes), name))
}

/// Third field of the line whose first field is `name` (passwd(5) and group(5) alike).
fn find(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1))
            .flatten()?
            .parse()
            .ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_field_of_the_named_line_is_the_number() {
        let text = "root:x:0:0:root:/root:/bin/bash\npmta:x:997:996::/var/spool/pmta:/bin/false\n";
        assert_eq!(find(text, "pmta"), Some(997));
        assert_eq!(find(text, "root"), Some(0));
        assert_eq!(find(text, "pmt"), None);
        assert_eq!(find("broken", "broken"), None);
    }
}
