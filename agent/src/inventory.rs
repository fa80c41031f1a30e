//! What the agent owns on its host: written before it creates, erased after a verified removal.
//!
//! Only what is listed here is ever removed. A thing is known by what it is (a path, a package), not
//! by the resource's id, so that a resource that moves leaves nothing behind.

use std::collections::BTreeMap;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{
    Engine, FileContent, HostConfig, HostPath, OnRemove, Policy, Resource, Spec, SqlCell,
};
use email_engine_protocol::id::ResourceId;
use serde::{Deserialize, Serialize};

use crate::host::{Cabinet, RecordError, RowPlace};
use crate::resources;

const RECORD: &str = "inventory";

/// Something on the host that can be owned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Thing {
    /// A folder.
    Directory(HostPath),
    /// A file.
    File(HostPath),
    /// A package by name.
    Package(String),
    /// A unit by name.
    Service(String),
    /// A command leaves nothing that could be taken back.
    Step(ResourceId),
    /// What is kept of a transaction goes with it; its files are things of their own.
    Transaction(ResourceId),
    /// What was set of a suspension is listed apart, with what unsets it.
    Suspension(ResourceId),
    /// A symbolic link.
    Symlink(HostPath),
    /// A group by name.
    Group(String),
    /// A user by name.
    User(String),
    /// A kernel setting by name.
    Sysctl(String),
    /// The addresses that are put on an interface; on that of the default route without a name.
    IpAddress(Option<String>),
    /// A database with its user.
    Database {
        /// Which product serves it.
        engine: Engine,
        /// Its name.
        name: String,
        /// Its user.
        user: String,
    },
    /// A row of a table.
    SqlRow {
        /// Which one.
        place: Box<RowPlace>,
        /// What is set when it is let go and stays.
        farewell: Vec<SqlCell>,
    },
    /// The firewall's table.
    Firewall,
    /// A folder that an archive was unpacked to.
    Archive(HostPath),
    /// A folder with a certificate and its key.
    Certificate(HostPath),
    /// A question leaves nothing that could be taken back.
    HealthCheck(ResourceId),
    /// A source of packages by name.
    PackageRepository(String),
    /// What a script changed is not taken back.
    SqlScript(ResourceId),
    /// What is thrown away is gone.
    Discard(ResourceId),
}

impl Thing {
    /// What a resource owns.
    #[must_use]
    pub fn of(resource: &Resource) -> Self {
        match &resource.spec {
            Spec::Directory(spec) => Self::Directory(spec.path.clone()),
            Spec::File(spec) => Self::File(spec.path.clone()),
            Spec::Package(spec) => Self::Package(spec.name.clone()),
            Spec::VendorPackage(spec) => Self::Package(spec.package.name.clone()),
            Spec::PackageRepository(spec) => Self::PackageRepository(spec.name.clone()),
            Spec::Service(spec) => Self::Service(spec.unit.clone()),
            Spec::HealthCheck(_) => Self::HealthCheck(resource.id.clone()),
            Spec::SqlScript(_) => Self::SqlScript(resource.id.clone()),
            Spec::Discard(_) => Self::Discard(resource.id.clone()),
            Spec::Step(_) => Self::Step(resource.id.clone()),
            Spec::Transaction(_) => Self::Transaction(resource.id.clone()),
            Spec::Suspension(_) => Self::Suspension(resource.id.clone()),
            Spec::Symlink(spec) => Self::Symlink(spec.path.clone()),
            Spec::Group(spec) => Self::Group(spec.name.clone()),
            Spec::User(spec) => Self::User(spec.name.clone()),
            Spec::Sysctl(spec) => Self::Sysctl(spec.key.clone()),
            Spec::IpAddress(spec) => Self::IpAddress(spec.interface.clone()),
            Spec::Archive(spec) => Self::Archive(spec.path.clone()),
            Spec::Certificate(spec) => Self::Certificate(spec.path.clone()),
            Spec::Database(spec) => Self::Database {
                engine: spec.engine,
                name: spec.name.clone(),
                user: spec.user.clone(),
            },
            Spec::Firewall(_) => Self::Firewall,
            Spec::SqlRow(spec) => Self::SqlRow {
                place: Box::new(RowPlace::of(spec)),
                farewell: spec.deactivate.clone(),
            },
        }
    }

    /// The same without what may change while it stays the same thing.
    fn bare(&self) -> Self {
        match self {
            Self::Database { engine, name, .. } => Self::Database {
                engine: *engine,
                name: name.clone(),
                user: String::new(),
            },
            Self::SqlRow { place, .. } => Self::SqlRow {
                place: place.clone(),
                farewell: Vec::new(),
            },
            other => other.clone(),
        }
    }

    /// Its path, for files, folders and links.
    #[must_use]
    pub const fn path(&self) -> Option<&HostPath> {
        match self {
            Self::Archive(path)
            | Self::Certificate(path)
            | Self::Directory(path)
            | Self::File(path)
            | Self::Symlink(path) => Some(path),
            Self::Database { .. }
            | Self::Discard(_)
            | Self::Firewall
            | Self::Group(_)
            | Self::HealthCheck(_)
            | Self::IpAddress(_)
            | Self::Package(_)
            | Self::PackageRepository(_)
            | Self::Service(_)
            | Self::SqlRow { .. }
            | Self::SqlScript(_)
            | Self::Sysctl(_)
            | Self::User(_)
            | Self::Step(_)
            | Self::Suspension(_)
            | Self::Transaction(_) => None,
        }
    }
}

/// What is known about an owned thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The resource that it was last.
    pub id: ResourceId,
    /// What happens to it when it is no longer wanted.
    pub on_remove: OnRemove,
    /// Whether it holds a secret and is overwritten before it goes.
    pub secret: bool,
    /// The spec that was last applied and seen to be right.
    pub applied: Option<ContentHash>,
}

/// Everything that is owned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    items: BTreeMap<Thing, Item>,
}

impl Inventory {
    /// Reads the inventory.
    ///
    /// # Errors
    /// When it is damaged or unreadable.
    pub fn read(cabinet: &Cabinet) -> Result<Self, RecordError> {
        let items: Option<Vec<(Thing, Item)>> = cabinet.read(RECORD)?;
        Ok(Self {
            items: items.unwrap_or_default().into_iter().collect(),
        })
    }

    /// Writes it durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, cabinet: &Cabinet) -> Result<(), RecordError> {
        cabinet.write(RECORD, &self.items.iter().collect::<Vec<_>>())
    }

    /// Takes every resource of a state into the inventory, and says whether that changed anything.
    /// What is held from the beginning was never touched by us, and is not ours to remove later.
    pub fn claim(&mut self, config: &HostConfig) -> bool {
        let mut changed = self.follow(config);
        for resource in &config.resources {
            let thing = Thing::of(resource);
            let secret = match &resource.spec {
                Spec::Certificate(_) => true,
                Spec::File(file) => match &file.content {
                    FileContent::Artifact(artifact) => artifact.secret,
                    FileContent::Body { .. } => false,
                    FileContent::Secret(_) | FileContent::Variable { .. } => true,
                },
                _ => false,
            };
            let known = self.items.get(&thing);
            if known.is_none() && resource.policy == Policy::Hold {
                continue;
            }
            let item = Item {
                id: resource.id.clone(),
                on_remove: resource.on_remove,
                secret,
                applied: known.and_then(|known| known.applied),
            };
            if known != Some(&item) {
                self.items.insert(thing, item);
                changed = true;
            }
        }
        changed
    }

    /// What is the same thing under a state, but for its user or what is set at its end, takes the place
    /// of what was listed for it. Says whether there was any.
    fn follow(&mut self, config: &HostConfig) -> bool {
        let named = |thing: &Thing| matches!(thing, Thing::Database { .. } | Thing::SqlRow { .. });
        let wanted = config.resources.iter().map(Thing::of).filter(named);
        let wanted: BTreeMap<Thing, Thing> = wanted.map(|thing| (thing.bare(), thing)).collect();
        let others = self.items.keys().filter(|thing| named(thing));
        let moved: Vec<(Thing, Thing)> = others
            .filter_map(|thing| Some((thing.clone(), wanted.get(&thing.bare())?.clone())))
            .filter(|(was, shall)| was != shall)
            .collect();
        for (was, shall) in &moved {
            if let Some(item) = self.items.remove(was) {
                self.items.entry(shall.clone()).or_insert(item);
            }
        }
        !moved.is_empty()
    }

    /// Remembers that a resource was seen right, and says whether that is news.
    pub fn mark_applied(&mut self, resource: &Resource) -> bool {
        let hash = resources::spec_hash(&resource.spec);
        match self.items.get_mut(&Thing::of(resource)) {
            Some(item) if item.applied != Some(hash) => {
                item.applied = Some(hash);
                true
            }
            _ => false,
        }
    }

    /// Whether a resource was seen right as it is wanted now: then a difference is drift.
    #[must_use]
    pub fn was_applied(&self, resource: &Resource) -> bool {
        self.items
            .get(&Thing::of(resource))
            .and_then(|item| item.applied)
            .is_some_and(|applied| applied == resources::spec_hash(&resource.spec))
    }

    /// Owned things that a state does not name.
    #[must_use]
    pub fn orphans(&self, config: &HostConfig) -> Vec<(Thing, Item)> {
        let wanted: std::collections::BTreeSet<Thing> = config
            .resources
            .iter()
            .map(|one| Thing::of(one).bare())
            .collect();
        self.items
            .iter()
            .filter(|(thing, _)| !wanted.contains(&thing.bare()))
            .map(|(thing, item)| (thing.clone(), item.clone()))
            .collect()
    }

    /// Forgets a thing that is gone or is no longer ours.
    pub fn forget(&mut self, thing: &Thing) {
        self.items.remove(thing);
    }

    /// Everything that is owned, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Thing, &Item)> {
        self.items.iter()
    }

    /// How many things are owned.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is owned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconciler::plan::tests::{config, directory, file};

    #[test]
    fn what_is_owned_is_known_by_what_it_is() {
        let mut moving = file("/old");
        moving.id = ResourceId::new("file:moving").unwrap();
        let mut inventory = Inventory::default();
        assert!(inventory.claim(&config(vec![moving.clone(), directory("/d")])));
        assert!(!inventory.claim(&config(vec![moving.clone(), directory("/d")])));
        let mut moved = file("/new");
        moved.id = moving.id;
        let next = config(vec![moved, directory("/d")]);
        assert!(inventory.claim(&next));
        let orphans: Vec<Thing> = inventory.orphans(&next).into_iter().map(|o| o.0).collect();
        assert_eq!(orphans, [Thing::File(HostPath::new("/old").unwrap())]);
        inventory.forget(&orphans[0]);
        assert_eq!(inventory.len(), 2);
    }

    #[test]
    fn a_changed_wish_is_not_yet_applied() {
        let wanted = file("/a");
        let mut inventory = Inventory::default();
        inventory.claim(&config(vec![wanted.clone()]));
        assert!(!inventory.was_applied(&wanted));
        assert!(inventory.mark_applied(&wanted));
        assert!(!inventory.mark_applied(&wanted));
        assert!(inventory.was_applied(&wanted));
        let mut changed = wanted;
        if let Spec::File(spec) = &mut changed.spec {
            spec.mode = 0o600;
        }
        inventory.claim(&config(vec![changed.clone()]));
        assert!(!inventory.was_applied(&changed));
    }

    #[test]
    fn what_was_held_from_the_beginning_is_never_ours() {
        let mut held = file("/theirs");
        held.policy = Policy::Hold;
        let mut inventory = Inventory::default();
        assert!(!inventory.claim(&config(vec![held])));
        assert!(inventory.orphans(&config(Vec::new())).is_empty());
    }

    #[test]
    fn it_survives_on_disk_and_damage_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let cabinet = Cabinet::open(dir.path()).unwrap();
        let mut inventory = Inventory::default();
        inventory.claim(&config(vec![file("/a"), directory("/d")]));
        inventory.write(&cabinet).unwrap();
        assert_eq!(Inventory::read(&cabinet).unwrap(), inventory);
        std::fs::write(dir.path().join(RECORD), "EEA1 nonsense").unwrap();
        assert!(Inventory::read(&cabinet).is_err());
    }
}
