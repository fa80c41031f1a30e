//! Rows in the order in which they came, copied in no time as [`Table`]s are.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Table;

/// The oldest is first. Serialises as a list does.
pub struct Queue<T>(Table<u64, T>);

impl<T> Queue<T> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The oldest.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.0.first_key_value().map(|(_, row)| row)
    }

    /// The newest.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.0.last_key_value().map(|(_, row)| row)
    }

    /// All, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.0.values()
    }
}

impl<T: Clone> Queue<T> {
    /// Puts a row behind the newest.
    pub fn push(&mut self, row: T) {
        let next = self.0.last_key_value().map_or(0, |(last, _)| last + 1);
        self.0.insert(next, row);
    }

    /// Takes the oldest out.
    pub fn pop_first(&mut self) -> Option<T> {
        self.0.pop_first().map(|(_, row)| row)
    }

    /// Keeps the rows that fit.
    pub fn retain(&mut self, mut fits: impl FnMut(&T) -> bool) {
        self.0.retain(|_, row| fits(row));
    }

    /// Loses all rows.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(Table::new())
    }
}

/// The numbers of rows are not compared: a node that read a snapshot counts from there on.
impl<T: PartialEq> PartialEq for Queue<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for Queue<T> {}

impl<T: fmt::Debug> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Clone> FromIterator<T> for Queue<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        Self((0..).zip(rows).collect())
    }
}

impl<T: Serialize> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de, T: Clone + Deserialize<'de>> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_leave_in_the_order_in_which_they_came() {
        let mut queue: Queue<u8> = [3, 1, 2].into_iter().collect();
        let copy = queue.clone();
        assert_eq!(queue.pop_first(), Some(3));
        queue.push(3);
        assert_eq!(
            (queue.first(), queue.last(), queue.len()),
            (Some(&1), Some(&3), 3)
        );
        queue.retain(|row| *row != 2);
        assert!(queue.iter().eq(&[1, 3]));
        assert!(copy.iter().eq(&[3, 1, 2]), "a copy stays as it was");
        queue.clear();
        assert_eq!((queue.is_empty(), queue.pop_first()), (true, None));
    }

    #[test]
    fn what_is_read_again_is_the_same_whatever_left_before() {
        let mut queue: Queue<u8> = (0..9).collect();
        queue.pop_first();
        let bytes = postcard::to_stdvec(&queue).unwrap();
        assert_eq!(
            bytes,
            postcard::to_stdvec(&(1..9).collect::<Vec<u8>>()).unwrap()
        );
        let mut read: Queue<u8> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(read, queue);
        assert_eq!(format!("{read:?}"), format!("{queue:?}"));
        read.push(9);
        queue.push(9);
        assert_eq!(read, queue);
        read.push(10);
        assert_ne!(read, queue);
    }
}
