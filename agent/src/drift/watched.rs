//! Which watch stands for which managed names. No system calls here.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::id::ResourceId;

/// Managed names in one folder. Two paths may lead to the same folder.
pub(super) type Names = BTreeMap<String, BTreeSet<ResourceId>>;

/// What was touched since it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// These resources.
    pub ids: BTreeSet<ResourceId>,
    /// Events were lost: anything may have been.
    pub lost: bool,
}

impl Touched {
    fn is_empty(&self) -> bool {
        self.ids.is_empty() && !self.lost
    }
}

/// Folders by watch number, and what was touched in them.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) folders: BTreeMap<i32, Names>,
    touched: Touched,
    pub(super) closing: bool,
}

impl Watched {
    /// A name in a folder changed; without a name the folder itself went away. True when this is the
    /// first touch since the last [`take`](Self::take): time to wake somebody.
    pub(super) fn touch(&mut self, watch: i32, name: Option<&str>) -> bool {
        let was_empty = self.touched.is_empty();
        if let Some(names) = self.folders.get(&watch) {
            match name {
                Some(name) => self
                    .touched
                    .ids
                    .extend(names.get(name).into_iter().flatten().cloned()),
                None => self.touched.ids.extend(names.values().flatten().cloned()),
            }
        }
        was_empty && !self.touched.is_empty()
    }

    /// Events were lost.
    pub(super) fn lose(&mut self) -> bool {
        let was_empty = self.touched.is_empty();
        self.touched.lost = true;
        was_empty
    }

    pub(super) fn take(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ResourceId {
        ResourceId::new(text).unwrap()
    }

    #[test]
    fn only_managed_names_wake_and_only_once() {
        let names: Names = [("config", "file:/a/config"), ("key", "file:/a/key")]
            .into_iter()
            .map(|(name, of)| (name.to_owned(), BTreeSet::from([id(of)])))
            .collect();
        let mut watched = Watched::default();
        watched.folders.insert(7, names);
        assert!(!watched.touch(7, Some(".config.swp")));
        assert!(!watched.touch(8, Some("config")));
        assert!(watched.touch(7, Some("config")));
        assert!(!watched.touch(7, Some("key")));
        assert_eq!(watched.take().ids.len(), 2);
        assert!(watched.touch(7, None));
        assert_eq!(watched.take().ids.len(), 2);
        assert!(watched.lose());
        assert!(watched.take().lost);
        assert_eq!(watched.take(), Touched::default());
    }
}
