//! Which messages of a file were put off before: each counts once.

/// Slots of a half when it is largest: 4 MiB.
const SLOTS: usize = 1 << 19;
/// Slots of one that was just begun.
const FIRST_SLOTS: usize = 1 << 10;

/// The messages of one file that were deferred of late. A message is one sender, one recipient and one
/// time of queueing, known by 64 bits of their hash.
///
/// Two halves of at most 393,216 messages: when the younger one is full, it becomes the older one, and what
/// that was is forgotten. So at least that many messages are remembered, which is more than an accounting
/// file of 50 MB has records, in at most 8 MiB.
///
/// How far the count may be off: a message counts once more in the next file, and once more in the same one
/// when that many others were deferred since it was last; and two of a million messages are taken for one
/// with a probability below 3 in 100 million. Of one file, because whoever begins anew can then find out by
/// reading it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deferrals {
    young: Half,
    old: Half,
}

impl Deferrals {
    /// Whether a message is remembered.
    #[must_use]
    pub fn knows(&self, message: u64) -> bool {
        self.young.has(message) || self.old.has(message)
    }

    /// Remembers a message, and says whether it was not known. One that is deferred again and again is
    /// never forgotten.
    pub fn is_first(&mut self, message: u64) -> bool {
        if self.young.has(message) {
            return false;
        }
        let is_first = !self.old.has(message);
        if self.young.is_full() {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(message);
        is_first
    }
}

/// A set of numbers, one beside the other; 0 is a free slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Half {
    slots: Vec<u64>,
    taken: usize,
}

impl Half {
    fn has(&self, message: u64) -> bool {
        !self.slots.is_empty() && self.slots[self.place(message)] != 0
    }

    fn insert(&mut self, message: u64) {
        if self.taken >= room(self.slots.len()) {
            let larger = (self.slots.len() * 2).max(FIRST_SLOTS);
            let smaller = std::mem::replace(&mut self.slots, vec![0; larger]);
            for known in smaller.into_iter().filter(|known| *known != 0) {
                let place = self.place(known);
                self.slots[place] = known;
            }
        }
        let place = self.place(message);
        self.taken += usize::from(self.slots[place] == 0);
        self.slots[place] = mark(message);
    }

    const fn is_full(&self) -> bool {
        self.taken >= room(SLOTS)
    }

    /// Where a message stands, or would.
    fn place(&self, message: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mark = mark(message);
        // Messages are hashes already.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low bits are what is wanted"
        )]
        let mut place = mark as usize & mask;
        while self.slots[place] != 0 && self.slots[place] != mark {
            place = (place + 1) & mask;
        }
        place
    }
}

/// How many of so many slots are taken at most: the rest keeps the way to a free one short.
const fn room(slots: usize) -> usize {
    slots / 4 * 3
}

/// A message as it stands in a slot.
const fn mark(message: u64) -> u64 {
    if message == 0 { 1 } else { message }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// As hashes are: all over.
    const fn message(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn hundreds_of_thousands_that_are_deferred_again_and_again_count_once_each() {
        let mut deferrals = Deferrals::default();
        for round in 0..3 {
            let first = (1..=300_000).filter(|number| deferrals.is_first(message(*number)));
            assert_eq!(first.count(), if round == 0 { 300_000 } else { 0 });
        }
    }

    #[test]
    fn what_is_not_deferred_again_is_forgotten_in_the_end_and_memory_stays_flat() {
        let mut deferrals = Deferrals::default();
        for number in 1..=2_000_000 {
            assert!(deferrals.is_first(message(number)), "{number}");
            assert!(!deferrals.is_first(message(1)) || number == 1);
        }
        let slots = [&deferrals.young, &deferrals.old].map(|half| half.slots.len());
        assert!(slots.iter().all(|slots| *slots <= SLOTS), "{slots:?}");
        assert!(deferrals.knows(message(1)), "it came again and again");
        assert!(!deferrals.knows(message(2)));
        let kept = room(SLOTS) as u64;
        assert!((2_000_000 - kept + 2..=2_000_000).all(|one| deferrals.knows(message(one))));
    }

    proptest! {
        #[test]
        fn it_is_a_set(many in prop::collection::vec(prop_oneof![1..50_u64, any::<u64>()], 0..4000)) {
            let mut deferrals = Deferrals::default();
            let mut known = BTreeSet::new();
            for message in many {
                // Nothing and one are one, as any two hashes may be.
                let message = message.max(1);
                prop_assert_eq!(deferrals.knows(message), known.contains(&message));
                prop_assert_eq!(deferrals.is_first(message), known.insert(message));
            }
        }
    }
}
