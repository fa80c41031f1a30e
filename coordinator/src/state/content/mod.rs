//! Content that rendering depends on, and content that was rendered.

mod artifact;
mod layers;
mod part;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::Settings;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::time::Timestamp;

use crate::powermta::providers::{Catalogue, CatalogueError};

pub use artifact::Artifact;
pub(crate) use layers::fault as layer_fault;
pub use layers::{OVERRIDES, View};
pub use part::RolePart;

use layers::Listed;

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
    listed: Derived<BTreeMap<String, Listed>>,
}

impl RoleBundle {
    /// A bundle of these files.
    #[must_use]
    pub fn new(files: BTreeMap<String, String>, put_at: Timestamp) -> Self {
        Self {
            files,
            put_at,
            catalogue: Derived::default(),
            listed: Derived::default(),
        }
    }

    /// What it knows of receivers. Read when it is first asked for: every plan of every host asks.
    ///
    /// # Errors
    /// When a file of the catalogue is not of the form.
    pub fn catalogue(&self) -> Result<Arc<Catalogue>, CatalogueError> {
        let read = || Catalogue::load(&self.files).map(Arc::new);
        self.catalogue.get_or_init(read).clone()
    }
}

/// What follows from the rest of a value and is worked out once. It is no part of the value: neither
/// compared nor written nor shown, and a copy works it out for itself.
struct Derived<T>(OnceLock<T>);

impl<T> Derived<T> {
    fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(make)
    }
}

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
