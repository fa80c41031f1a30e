//! How many questions may be on the way through the resolver at the same time, and each list's part of them.
//!
//! A run knows nothing of the buffers between it and the resolver, and what does not fit is lost without a
//! word. So it begins with few and has one more with each answer. Losses by chance change nothing: a way that
//! loses some everywhere would be slow for no reason. Many in a row are a full buffer: then it has less, and
//! what it had again after some seconds.

use super::pace::Micros;

/// Where a run begins: what fits into any buffer.
const FIRST: usize = 32;
/// What is left however much is lost.
const LEAST: usize = 16;
/// Questions that went one after the other, and how many of them are lost by more than chance.
const COHORT: u64 = 64;
/// See there.
const TOO_MANY: u32 = 16;
/// In what time it would be twice as wide, once it was too much.
const TWICE: Micros = 2_000_000;

/// Most questions on the way.
#[derive(Clone, Debug)]
pub(super) struct Window {
    size: usize,
    most: usize,
    is_opening: bool,
    grown_at: Micros,
    went: u64,
    /// Questions before this one went when it was wider.
    narrowed_at: u64,
    cohort: u64,
    lost_of_cohort: u32,
}

impl Window {
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            size: FIRST.min(most),
            most,
            is_opening: true,
            grown_at: 0,
            went: 0,
            narrowed_at: 0,
            cohort: 0,
            lost_of_cohort: 0,
        }
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// One went: its number.
    pub(super) const fn went(&mut self) -> u64 {
        let number = self.went;
        self.went += 1;
        number
    }

    /// One was answered, while so many were on the way. What is not used is not widened.
    pub(super) fn answered(&mut self, on_the_way: usize, now: Micros) {
        let is_used = on_the_way * 2 >= self.size;
        let step = TWICE / u64::try_from(self.size).unwrap_or(u64::MAX).max(1);
        let is_time = self.is_opening || now >= self.grown_at + step;
        if self.size < self.most && is_used && is_time {
            self.size += 1;
            self.grown_at = now;
        }
    }

    /// A question was lost on a way that others came through.
    pub(super) fn lost(&mut self, number: u64, now: Micros) {
        if number < self.narrowed_at {
            return;
        }
        let cohort = number / COHORT;
        if cohort != self.cohort {
            (self.cohort, self.lost_of_cohort) = (cohort, 0);
        }
        self.lost_of_cohort += 1;
        if self.lost_of_cohort >= TOO_MANY {
            self.size = (self.size * 7 / 10).max(LEAST.min(self.most));
            self.is_opening = false;
            self.grown_at = now;
            self.narrowed_at = self.went;
            self.lost_of_cohort = 0;
        }
    }
}

/// What each list may have on the way, if it may have that many at all: the most that lets all of them have it
/// at the same time. So a list that holds what it has for long takes nothing from another.
pub(super) fn level(bounds: &mut [usize], window: usize) -> usize {
    bounds.sort_unstable();
    let (mut left, mut lists) = (window, bounds.len());
    for bound in &*bounds {
        if bound.saturating_mul(lists) > left {
            return (left / lists).max(1);
        }
        left -= bound;
        lists -= 1;
    }
    bounds.last().copied().unwrap_or(window).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_opens_with_answers_and_only_while_it_is_used() {
        let mut window = Window::new(100);
        assert_eq!(window.size(), 32);
        for _ in 0..10 {
            window.answered(window.size(), 0);
        }
        assert_eq!(window.size(), 42);
        for _ in 0..1_000 {
            window.answered(5, 0);
        }
        assert_eq!(window.size(), 42);
        for _ in 0..1_000 {
            window.answered(window.size(), 0);
        }
        assert_eq!(window.size(), 100);
        assert_eq!(Window::new(3).size(), 3);
    }

    #[test]
    fn losses_by_chance_leave_it_as_it_is_and_a_burst_narrows_it_once() {
        let mut window = Window::new(512);
        for _ in 0..1_000 {
            window.answered(window.size(), 0);
        }
        for number in (0..10_000).map(|_| window.went()).collect::<Vec<_>>() {
            // One in ten.
            if number % 10 == 3 {
                window.lost(number, 0);
            }
        }
        assert_eq!(window.size(), 512);
        let burst: Vec<u64> = (0..400).map(|_| window.went()).collect();
        for number in burst {
            window.lost(number, 1_000);
        }
        assert_eq!(window.size(), 358);
        // From here on it is felt for, in time and not by answers.
        for _ in 0..1_000 {
            window.answered(window.size(), 1_000 + TWICE / 358);
        }
        assert_eq!(window.size(), 359);
        for _ in 0..20 {
            let burst: Vec<u64> = (0..400).map(|_| window.went()).collect();
            for number in burst {
                window.lost(number, 2_000 + TWICE);
            }
        }
        assert_eq!(window.size(), LEAST);
    }

    proptest! {
        #[test]
        fn all_lists_together_fit_and_none_gets_less_than_an_equal_part(
            mut bounds in prop::collection::vec(1..200usize, 1..40),
            window in 40..2_000usize,
        ) {
            let level = level(&mut bounds, window);
            let together: usize = bounds.iter().map(|bound| level.min(*bound)).sum();
            prop_assert!(together <= window);
            prop_assert!(bounds.iter().all(|bound| level.min(*bound) >= (window / bounds.len()).min(*bound)));
            // And nothing more would fit.
            let more: usize = bounds.iter().map(|bound| (level + 1).min(*bound)).sum();
            prop_assert!(more > window || more == together);
        }
    }
}
