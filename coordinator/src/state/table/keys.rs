//! Keys without rows, copied in no time as [`Table`]s are.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Table;

/// Keys in their order. Serialises as an ordinary set does.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
#[serde(bound(
    serialize = "K: Ord + Serialize",
    deserialize = "K: Ord + Deserialize<'de>"
))]
pub struct Keys<K: Ord>(Table<K, ()>);

impl<K: Ord> Keys<K> {
    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one.
    #[must_use]
    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// The first.
    #[must_use]
    pub fn first(&self) -> Option<&K> {
        self.0.first_key_value().map(|(key, ())| key)
    }

    /// All.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator {
        self.0.keys()
    }
}

impl<K: Ord + Clone> Keys<K> {
    /// Puts a key; whether it was not there.
    pub fn insert(&mut self, key: K) -> bool {
        self.0.insert(key, ()).is_none()
    }

    /// Takes a key out; whether it was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.remove(key).is_some()
    }
}

impl<K: Ord> Clone for Keys<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Ord> Default for Keys<K> {
    fn default() -> Self {
        Self(Table::new())
    }
}

impl<K: Ord> PartialEq for Keys<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K: Ord> Eq for Keys<K> {}

impl<K: Ord + fmt::Debug> fmt::Debug for Keys<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone> Extend<K> for Keys<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        self.0.extend(keys.into_iter().map(|key| (key, ())));
    }
}

impl<K: Ord + Clone> FromIterator<K> for Keys<K> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key, ())).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_an_ordered_set_and_copies_stay_as_they_were() {
        let mut keys: Keys<u8> = [3, 1, 2].into_iter().collect();
        let copy = keys.clone();
        assert_eq!((keys.insert(3), keys.insert(4)), (false, true));
        assert_eq!((keys.remove(&1), keys.remove(&1)), (true, false));
        keys.extend([9, 0]);
        let set = BTreeSet::from([0, 2, 3, 4, 9]);
        assert!(keys.iter().eq(&set) && copy.iter().eq(&[1, 2, 3]));
        assert_eq!((keys.first(), keys.len()), (Some(&0), 5));
        assert!(keys.contains(&9) && !keys.contains(&1));
        let bytes = postcard::to_stdvec(&keys).unwrap();
        assert_eq!(bytes, postcard::to_stdvec(&set).unwrap());
        assert_eq!(postcard::from_bytes::<Keys<u8>>(&bytes).unwrap(), keys);
        assert_eq!(format!("{keys:?}"), format!("{set:?}"));
    }
}
