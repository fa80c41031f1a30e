//! What is known of transactions on disk, in the executor's own folder.
//!
//! One small record per transaction says where it stands and names the rest: members of contents by
//! their digest, and sealed copies of what a change replaces. What no record names is wiped.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::Resource;
use email_engine_protocol::id::ResourceId;

use super::content::Content;
use super::standing::{Lost, Standing};
use crate::host::{Cabinet, RecordError};

/// The folder of it all.
pub(crate) const FOLDER: &str = "transactions";
/// Largest sealed copy: a body and what sealing adds to it.
const COPY_BYTES: u64 = email_engine_protocol::limits::BODY_BYTES + 4096;

type Stored = (ContentHash, Vec<Resource>, Vec<String>, Vec<String>);

/// The records.
#[derive(Clone, Debug)]
pub struct Shelf {
    cabinet: Cabinet,
}

fn key(id: &ResourceId) -> String {
    ContentHash::of(id.as_str().as_bytes()).to_string()[..16].to_owned()
}

fn standing_name(id: &ResourceId) -> String {
    format!("{FOLDER}/{}.standing", key(id))
}

fn content_name(id: &ResourceId, digest: &ContentHash) -> String {
    format!("{FOLDER}/{}.content-{digest}", key(id))
}

fn copy_name(id: &ResourceId, number: usize) -> String {
    format!("{FOLDER}/{}.previous-{number}", key(id))
}

impl Shelf {
    /// The records in a data folder.
    #[must_use]
    pub const fn new(cabinet: Cabinet) -> Self {
        Self { cabinet }
    }

    /// Every transaction that is known. A damaged record is said and counts as lost.
    pub fn standings(&self) -> BTreeMap<ResourceId, Standing> {
        let names = self.cabinet.list(FOLDER).unwrap_or_else(|error| {
            tracing::error!(%error, "what is known of transactions cannot be read");
            Vec::new()
        });
        let mut found = BTreeMap::new();
        for name in names.iter().filter(|name| name.ends_with(".standing")) {
            match self.cabinet.read::<Standing>(&format!("{FOLDER}/{name}")) {
                Ok(Some(standing)) => {
                    found.insert(standing.id.clone(), standing);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "a record is lost: the content is judged anew");
                }
            }
        }
        found
    }

    /// Where a transaction stands whose record is damaged: nowhere, but with the names that its contents
    /// hold. Nothing when it has no record, or a whole one. From now on that is its record.
    pub fn salvage(&self, id: &ResourceId, attempt: u32) -> Option<Standing> {
        let name = standing_name(id);
        let error = self.cabinet.read::<Standing>(&name).err()?;
        let holds = self.holds(id).unwrap_or_else(|error| {
            tracing::error!(transaction = %id, %error, "nobody knows what is in force");
            None
        });
        let standing = Standing {
            lost: Some(Lost { holds, attempt }),
            ..Standing::new(id.clone())
        };
        // What could not be read this time may be whole.
        if matches!(error, RecordError::Damaged { .. })
            && let Err(error) = self.write(&standing)
        {
            tracing::error!(transaction = %id, %error, "what is left of it is not noted");
        }
        Some(standing)
    }

    /// The names of every content that is kept, whichever is in force; nothing when none is kept.
    fn holds(&self, id: &ResourceId) -> Result<Option<Vec<String>>, RecordError> {
        let contents = format!("{}.content-", key(id));
        let mut known: Option<BTreeSet<String>> = None;
        for name in self.cabinet.list(FOLDER)? {
            if name.starts_with(&contents)
                && let Some(stored) = self.cabinet.read::<Stored>(&format!("{FOLDER}/{name}"))?
            {
                known.get_or_insert_default().extend(stored.3);
            }
        }
        Ok(known.map(|names| names.into_iter().collect()))
    }

    /// Makes a standing durable.
    ///
    /// # Errors
    /// When the disk refuses; then the one before stands.
    pub fn write(&self, standing: &Standing) -> Result<(), RecordError> {
        self.cabinet.write(&standing_name(&standing.id), standing)
    }

    /// Makes a content durable.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_content(&self, id: &ResourceId, content: &Content) -> Result<(), RecordError> {
        let Content {
            digest,
            members,
            restart,
            holds,
        } = content;
        self.cabinet.write(
            &content_name(id, digest),
            &(digest, members, restart, holds),
        )
    }

    /// The content that is good, if there is one. One that is damaged is said and counts as lost.
    #[must_use]
    pub fn good(&self, standing: &Standing) -> Option<Content> {
        let good = standing.good.as_ref()?;
        let stored = self.cabinet.read(&content_name(&standing.id, &good.digest));
        let stored: Option<Stored> = stored.unwrap_or_else(|error| {
            tracing::error!(transaction = %standing.id, %error, "the good content is lost");
            None
        });
        stored.map(|(digest, members, restart, holds)| Content {
            digest,
            members,
            restart,
            holds,
        })
    }

    /// Makes a sealed copy durable.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_copy(
        &self,
        id: &ResourceId,
        number: usize,
        sealed: &[u8],
    ) -> Result<(), RecordError> {
        self.cabinet.write_plain(&copy_name(id, number), sealed)
    }

    /// A sealed copy.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn copy(&self, id: &ResourceId, number: usize) -> Result<Option<Vec<u8>>, RecordError> {
        self.cabinet.read_plain(&copy_name(id, number), COPY_BYTES)
    }

    /// Wipes what a standing no longer names: copies when no change is on its way, and every
    /// content but the good one.
    ///
    /// # Errors
    /// When something stays.
    pub fn tidy(&self, standing: &Standing) -> Result<(), RecordError> {
        let key = key(&standing.id);
        let mut named: Vec<ContentHash> = Vec::new();
        named.extend(standing.good.as_ref().map(|good| good.digest));
        named.extend(standing.journal.as_ref().map(|journal| journal.wanted));
        for name in self.cabinet.list(FOLDER)? {
            let Some(part) = name.strip_prefix(&key) else {
                continue;
            };
            let stale = match part.strip_prefix(".content-") {
                Some(digest) => !named.iter().any(|kept| kept.to_string() == digest),
                None => part.starts_with(".previous-") && standing.journal.is_none(),
            };
            if stale {
                self.cabinet.wipe(&format!("{FOLDER}/{name}"))?;
            }
        }
        Ok(())
    }

    /// Wipes what no record names, because its first record was never written.
    ///
    /// # Errors
    /// When something stays.
    pub fn sweep(&self) -> Result<(), RecordError> {
        let names = self.cabinet.list(FOLDER)?;
        let has_record = |name: &String| {
            let key = name.split('.').next().unwrap_or_default();
            names.contains(&format!("{key}.standing"))
        };
        for name in names.iter().filter(|name| !has_record(name)) {
            self.cabinet.wipe(&format!("{FOLDER}/{name}"))?;
        }
        Ok(())
    }

    /// Forgets a transaction and wipes everything of it.
    ///
    /// # Errors
    /// When something stays.
    pub fn forget(&self, id: &ResourceId) -> Result<(), RecordError> {
        let key = key(id);
        for name in self.cabinet.list(FOLDER)? {
            if name.starts_with(&key) && !name.ends_with(".standing") {
                self.cabinet.wipe(&format!("{FOLDER}/{name}"))?;
            }
        }
        // Last: as long as it is there, the rest is known to be ours.
        self.cabinet.remove(&standing_name(id))
    }
}

/// Forgets every transaction, known or not.
///
/// # Errors
/// When something stays.
pub fn forget_all(cabinet: &Cabinet) -> Result<(), RecordError> {
    for name in cabinet.list(FOLDER)? {
        cabinet.wipe(&format!("{FOLDER}/{name}"))?;
    }
    Ok(())
}
