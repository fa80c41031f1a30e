//! A table that is copied in no time.
//!
//! Whoever needs the fleet as it is at one moment (a snapshot, a plan, a batch that may have to be taken back)
//! takes a copy of the whole state, and goes on while the original changes. With ordinary maps that copy cost
//! what the fleet is large: every batch of a fleet of 100,000 identities waited for a tenth of a second. Here a
//! copy shares everything with its original, and a change copies the path to its row.

mod keys;
mod queue;

use std::borrow::Borrow;
use std::fmt;
use std::ops::{Index, RangeBounds};

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

pub use keys::Keys;
pub use queue::Queue;

/// Rows by key, in the order of keys. Serialises as an ordinary map does.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
#[serde(bound(
    serialize = "K: Ord + Serialize, V: Serialize",
    deserialize = "K: Ord + Deserialize<'de>, V: Deserialize<'de>"
))]
pub struct Table<K: Ord, V>(RedBlackTreeMapSync<K, V>);

impl<K: Ord, V> Table<K, V> {
    /// Without rows.
    #[must_use]
    pub fn new() -> Self {
        Self(RedBlackTreeMapSync::new_sync())
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.size()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The row of this key.
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    /// Whether this key has a row.
    #[must_use]
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// The first row.
    #[must_use]
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.0.first()
    }

    /// The last row.
    #[must_use]
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.0.last()
    }

    /// All rows.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator {
        self.0.iter()
    }

    /// All keys.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator {
        self.0.keys()
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator {
        self.0.values()
    }

    /// The rows of these keys.
    ///
    /// # Panics
    /// When the range ends before it begins, as an ordinary map does.
    pub fn range<Q: Ord + ?Sized>(
        &self,
        range: impl RangeBounds<Q>,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.0.range(range)
    }

    /// Whether both are copies of one another that nobody changed since. Says so of some only: tables that were
    /// changed in the same way are none.
    #[must_use]
    pub fn is_copy_of(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }

    /// Loses all rows.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// The row of this key, to be changed: a copy of it when somebody else has a copy of the table.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        // The library copies the path to where a missing key would be.
        if !self.0.contains_key(key) {
            return None;
        }
        self.0.get_mut(key)
    }

    /// The row of this key, made if there is none.
    pub fn or_default(&mut self, key: &K) -> &mut V
    where
        V: Default,
    {
        if !self.0.contains_key(key) {
            self.0.insert_mut(key.clone(), V::default());
        }
        self.0.get_mut(key).expect("it was put there if it was not")
    }

    /// Puts a row, and gives the one that stood there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = self.0.get(&key).cloned();
        self.0.insert_mut(key, value);
        before
    }

    /// Takes a row out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let before = self.0.get(key).cloned()?;
        self.0.remove_mut(key);
        Some(before)
    }

    /// Takes the first row out.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        let (key, value) = self.0.first()?;
        let first = (key.clone(), value.clone());
        self.0.remove_mut(&first.0);
        Some(first)
    }

    /// Keeps the rows that fit.
    pub fn retain(&mut self, mut fits: impl FnMut(&K, &V) -> bool) {
        let gone = self.iter().filter(|(key, value)| !fits(key, value));
        for key in gone.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.0.remove_mut(&key);
        }
    }

    /// Changes every row.
    pub fn change_each(&mut self, mut change: impl FnMut(&K, &mut V)) {
        for key in self.keys().cloned().collect::<Vec<_>>() {
            if let Some(value) = self.0.get_mut(&key) {
                change(&key, value);
            }
        }
    }
}

impl<K: Ord, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Ord, V> Default for Table<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// Copies of one another are known to be equal without a look at their rows.
impl<K: Ord, V: Eq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.is_copy_of(other) || self.0 == other.0
    }
}

impl<K: Ord, V: Eq> Eq for Table<K, V> {}

impl<K: Ord + fmt::Debug, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for Table<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, rows: I) {
        for (key, value) in rows {
            self.0.insert_mut(key, value);
        }
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(rows: I) -> Self {
        let mut table = Self::new();
        table.extend(rows);
        table
    }
}

impl<K: Ord + Clone, V: Clone, const N: usize> From<[(K, V); N]> for Table<K, V> {
    fn from(rows: [(K, V); N]) -> Self {
        rows.into_iter().collect()
    }
}

impl<'a, K: Ord, V> IntoIterator for &'a Table<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = <&'a RedBlackTreeMapSync<K, V> as IntoIterator>::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V> Index<&Q> for Table<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        &self.0[key]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What is done to a table.
    #[derive(Clone, Debug)]
    enum Step {
        Put(u8, u16),
        Take(u8),
        Change(u8, u16),
        Count(u8),
        First,
        Keep(u16),
        Add(u16),
        Copy,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (any::<u8>(), any::<u16>()).prop_map(|(key, value)| Step::Put(key, value)),
            any::<u8>().prop_map(Step::Take),
            (any::<u8>(), any::<u16>()).prop_map(|(key, value)| Step::Change(key, value)),
            any::<u8>().prop_map(Step::Count),
            Just(Step::First),
            any::<u16>().prop_map(Step::Keep),
            any::<u16>().prop_map(Step::Add),
            Just(Step::Copy),
        ]
    }

    type Both = (Table<u8, u16>, BTreeMap<u8, u16>);

    fn run((table, map): &mut Both, step: &Step) {
        match *step {
            Step::Put(key, value) => assert_eq!(table.insert(key, value), map.insert(key, value)),
            Step::Take(key) => assert_eq!(table.remove(&key), map.remove(&key)),
            Step::Change(key, value) => {
                let old = table.get_mut(&key).map(|row| std::mem::replace(row, value));
                assert_eq!(
                    old,
                    map.get_mut(&key).map(|row| std::mem::replace(row, value))
                );
            }
            Step::Count(key) => {
                let count = table.or_default(&key);
                *count = count.wrapping_add(1);
                let count = map.entry(key).or_default();
                *count = count.wrapping_add(1);
            }
            Step::First => assert_eq!(table.pop_first(), map.pop_first()),
            Step::Keep(most) => {
                table.retain(|_, row| *row <= most);
                map.retain(|_, row| *row <= most);
            }
            Step::Add(more) => {
                table.change_each(|_, row| *row = row.wrapping_add(more));
                map.values_mut()
                    .for_each(|row| *row = row.wrapping_add(more));
            }
            Step::Copy => {}
        }
    }

    fn assert_same((table, map): &Both, low: u8, high: u8) {
        assert!(table.iter().eq(map.iter()) && table.keys().rev().eq(map.keys().rev()));
        let (low, high) = (low.min(high), low.max(high));
        assert!(table.range(low..=high).eq(map.range(low..=high)));
        assert_eq!((table.len(), table.is_empty()), (map.len(), map.is_empty()));
        assert_eq!(table.get(&low), map.get(&low));
        assert_eq!(table.first_key_value(), map.first_key_value());
        assert_eq!(table.last_key_value(), map.last_key_value());
        let bytes = postcard::to_stdvec(table).unwrap();
        assert_eq!(bytes, postcard::to_stdvec(map).unwrap());
        assert_eq!(&postcard::from_bytes::<Table<_, _>>(&bytes).unwrap(), table);
        assert_eq!(format!("{table:?}"), format!("{map:?}"));
    }

    proptest! {
        #[test]
        fn a_table_is_an_ordered_map_and_copies_stay_as_they_were(
            steps in proptest::collection::vec(step(), 0..80), low: u8, high: u8,
        ) {
            let mut both = Both::default();
            let mut copies = Vec::new();
            for step in &steps {
                if matches!(step, Step::Copy) {
                    copies.push(both.clone());
                }
                run(&mut both, step);
            }
            assert_same(&both, low, high);
            for copy in &copies {
                assert_same(copy, low, high);
            }
        }
    }
}
