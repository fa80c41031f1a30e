//! Users and groups that services run as: without a password and without a shell.

use serde::{Deserialize, Serialize};

use super::super::names;
use super::super::{ConfigError, HostPath, Resource};

/// Further groups that a user may be in.
const GROUPS: usize = 32;

const NAME: &str = "the name of a user or group that services run as, and not root: a lower-case letter \
     or '_', then lower-case letters, digits, '_' and '-', at most 32 characters";
const SORTED: &str = "further groups in order, each once, at most 32, none of them the primary one";
const HOME: &str = "a folder without ':'";

/// A system group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Its name.
    pub name: String,
}

/// A system user: no password, no shell, a number below those of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSpec {
    /// Its name.
    pub name: String,
    /// Its primary group; one of its own name when absent.
    pub group: Option<String>,
    /// Further groups that it is in at least, in order.
    pub groups: Vec<String>,
    /// Its home folder, which is not made; none when absent.
    pub home: Option<HostPath>,
}

impl UserSpec {
    /// The name of its primary group.
    #[must_use]
    pub fn primary(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.name)
    }

    /// Every group that it needs.
    pub fn all_groups(&self) -> impl Iterator<Item = &str> {
        let further = self.groups.iter().map(String::as_str);
        std::iter::once(self.primary()).chain(further)
    }
}

pub(super) fn check_group(resource: &Resource, group: &GroupSpec) -> Result<(), ConfigError> {
    names::check(resource, "name", &group.name, is_name(&group.name), NAME)
}

pub(super) fn check_user(resource: &Resource, user: &UserSpec) -> Result<(), ConfigError> {
    names::check(resource, "name", &user.name, is_name(&user.name), NAME)?;
    for group in user.all_groups() {
        names::check(resource, "group", group, is_name(group), NAME)?;
    }
    let is_sorted = user.groups.is_sorted_by(|one, next| one < next);
    let is_listed = user.groups.iter().any(|group| group == user.primary());
    let good = is_sorted && !is_listed && user.groups.len() <= GROUPS;
    names::check(resource, "groups", &user.groups.join(","), good, SORTED)?;
    let home = user.home.as_ref().map_or("", HostPath::as_str);
    names::check(resource, "home", home, !home.contains(':'), HOME)
}

fn is_name(name: &str) -> bool {
    let begins = |b: u8| b.is_ascii_lowercase() || b == b'_';
    name.len() <= 32
        && name != "root"
        && name.bytes().next().is_some_and(begins)
        && name
            .bytes()
            .all(|b| begins(b) || b.is_ascii_digit() || b == b'-')
}
