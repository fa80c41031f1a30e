//! Content that rendering depends on, and content that was rendered.

mod artifact;
mod part;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::Settings;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::Role;
use email_engine_protocol::time::Timestamp;

use crate::powermta::providers::{Catalogue, CatalogueError};

pub use artifact::Artifact;
pub use part::RolePart;

/// A body that is stored beside the state, by hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRecord {
    /// Its size in bytes.
    pub length: u64,
    /// How many targets and artifacts need it; dropped at zero.
    pub references: u32,
}

/// What a host may be given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Release {
    /// Hash of the role bundle.
    pub bundle: ContentHash,
    /// Version of the planner.
    pub planner_version: u32,
    /// Revision of the settings.
    pub settings: u64,
}

/// A role bundle: templates and role files by path, such as `powermta/role.toml`. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleBundle {
    /// Texts by path.
    pub files: BTreeMap<String, String>,
    /// When it was put.
    pub put_at: Timestamp,
    #[serde(skip)]
    catalogue: Derived<Result<Arc<Catalogue>, CatalogueError>>,
    #[serde(skip)]
    submission: Derived<SubmissionParts>,
    #[serde(skip)]
    passwords: Derived<BTreeMap<Role, Vec<PartPasswords>>>,
}

/// What of a bundle serves submission under TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubmissionParts {
    /// A PowerMTA host is given its certificate as a file.
    pub certificate: bool,
    /// Hosts of these roles are given the authority to trust.
    pub authority: BTreeSet<Role>,
}

impl SubmissionParts {
    /// A role file that cannot be read gives nobody anything; the planner says what is wrong with it.
    fn of(files: &BTreeMap<String, String>) -> Self {
        #[derive(Deserialize)]
        struct Entries {
            #[serde(default)]
            file: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            each: Option<String>,
        }
        let has = |role: Role, each: &str| {
            let text = files.get(&format!("{role}/role.toml"));
            let entries = text.and_then(|text| toml::from_str::<Entries>(text).ok());
            let each = Some(each.to_owned());
            entries.is_some_and(|entries| entries.file.iter().any(|entry| entry.each == each))
        };
        Self {
            certificate: has(Role::Powermta, "certificate"),
            authority: [Role::Api, Role::Mailwizz]
                .into_iter()
                .filter(|role| has(*role, "authority"))
                .collect(),
        }
    }
}

impl RoleBundle {
    /// A bundle of these files.
    #[must_use]
    pub fn new(files: BTreeMap<String, String>, put_at: Timestamp) -> Self {
        Self {
            files,
            put_at,
            catalogue: Derived::default(),
            submission: Derived::default(),
            passwords: Derived::default(),
        }
    }

    /// Databases of a role whose user has a password, by engine and name. Those of a part count where
    /// `has` says that the host has it.
    #[must_use]
    pub fn passwords(&self, role: Role, has: impl Fn(&RolePart) -> bool) -> BTreeSet<String> {
        let read = || {
            let of = |role: Role| (role, passwords_of(&self.files, role));
            Role::ALL.into_iter().map(of).collect()
        };
        let all = self.passwords.0.get_or_init(read);
        let parts = all.get(&role).into_iter().flatten();
        let with = parts.filter(|one| one.part.as_ref().is_none_or(&has));
        with.flat_map(|one| one.databases.iter().cloned()).collect()
    }

    /// What of it serves submission under TLS.
    #[must_use]
    pub fn submission(&self) -> &SubmissionParts {
        let read = || SubmissionParts::of(&self.files);
        self.submission.0.get_or_init(read)
    }

    /// What it knows of receivers. Read when it is first asked for: every plan of every host asks.
    ///
    /// # Errors
    /// When a file of the catalogue is not of the form.
    pub fn catalogue(&self) -> Result<Arc<Catalogue>, CatalogueError> {
        let read = || Catalogue::load(&self.files).map(Arc::new);
        self.catalogue.0.get_or_init(read).clone()
    }
}

/// Databases with a password that one file of a role has.
struct PartPasswords {
    /// For which hosts; for all when absent.
    part: Option<RolePart>,
    databases: BTreeSet<String>,
}

/// Of a role file that cannot be read none; the planner says what is wrong with it.
fn passwords_of(files: &BTreeMap<String, String>, role: Role) -> Vec<PartPasswords> {
    #[derive(Default, Deserialize)]
    struct Entries {
        #[serde(default)]
        database: Vec<Entry>,
        #[serde(default)]
        part: Vec<RolePart>,
    }
    #[derive(Deserialize)]
    struct Entry {
        engine: String,
        name: String,
        login: String,
    }
    let read = |path: &str| -> Entries {
        let text = files.get(path);
        let entries = text.and_then(|text| toml::from_str(text).ok());
        entries.unwrap_or_default()
    };
    let names = |entries: Vec<Entry>| {
        let with_password = entries.into_iter().filter(|one| one.login == "password");
        with_password
            .map(|Entry { engine, name, .. }| format!("{engine}/{name}"))
            .collect()
    };
    let whole = read(&format!("{role}/role.toml"));
    let mut all = vec![PartPasswords {
        part: None,
        databases: names(whole.database),
    }];
    for part in whole.part {
        let databases = names(read(&part.file).database);
        let part = Some(part);
        all.push(PartPasswords { part, databases });
    }
    all
}

/// What follows from the rest of a value and is worked out once. It is no part of the value: neither
/// compared nor written nor shown, and a copy works it out for itself.
struct Derived<T>(OnceLock<T>);

impl<T> Clone for Derived<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> fmt::Debug for Derived<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derived")
    }
}

impl<T> Default for Derived<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> PartialEq for Derived<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Derived<T> {}

/// One revision of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsRevision {
    /// The settings.
    pub settings: Settings,
    /// When they were put.
    pub put_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::builtin_bundle;

    #[test]
    fn a_bundle_serves_submission_as_far_as_its_role_files_do() {
        let files = builtin_bundle();
        let parts = |files: &BTreeMap<String, String>| {
            let bundle = RoleBundle::new(files.clone(), Timestamp(1));
            bundle.submission().clone()
        };
        let all = SubmissionParts {
            certificate: true,
            authority: [Role::Api, Role::Mailwizz].into(),
        };
        assert_eq!(parts(&files), all);
        let mut older = files;
        let text = older["powermta/role.toml"].replace("each = \"certificate\"", "");
        older.insert("powermta/role.toml".to_owned(), text);
        older.insert("api/role.toml".to_owned(), "[[file".to_owned());
        let fewer = SubmissionParts {
            certificate: false,
            authority: [Role::Mailwizz].into(),
        };
        assert_eq!(parts(&older), fewer);
    }
}
