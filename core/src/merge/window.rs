#[cfg(feature = "std")]
use std::collections::VecDeque;

use crate::expect::expect_no_fmt;

/// Sequences of one word of the bitmap.
const WORD: u64 = 64;

/// Dedup window of one writer: a low-water mark and a bitmap that slides over its sequences.
///
/// The invariant: `known_from <= base`, `base` is a multiple of 64, every sequence in
/// `known_from..base` was seen, and nothing is known of those before `known_from`. A word of the
/// bitmap that is full moves into the known range, so that a writer without a missing set takes a
/// few words for any number of sets, and its duplicates are recognised however late they come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SetWindow<W> {
    pub(super) known_from: u64,
    pub(super) base: u64,
    /// One bit for each sequence from `base` on.
    pub(super) words: W,
}

/// Dedup window on the heap.
#[cfg(feature = "std")]
pub type DedupWindow = SetWindow<VecDeque<u64>>;

/// Words of a bitmap, in a queue. An index is below its length.
pub trait WordQueue: Default {
    /// Returns the number of words.
    fn word_count(&self) -> usize;
    /// Returns a word.
    fn word(&self, index: usize) -> u64;
    /// Sets bits of a word.
    fn set(&mut self, index: usize, bits: u64);
    /// Appends a word without bits. The caller does not exceed the capacity.
    fn push_empty(&mut self);
    /// Removes the first word.
    fn pop_front(&mut self) -> Option<u64>;
}

#[cfg(feature = "std")]
impl WordQueue for VecDeque<u64> {
    fn word_count(&self) -> usize {
        self.len()
    }

    fn word(&self, index: usize) -> u64 {
        self[index]
    }

    fn set(&mut self, index: usize, bits: u64) {
        self[index] |= bits;
    }

    fn push_empty(&mut self) {
        self.push_back(0);
    }

    fn pop_front(&mut self) -> Option<u64> {
        Self::pop_front(self)
    }
}

impl<const N: usize> WordQueue for heapless::Deque<u64, N> {
    fn word_count(&self) -> usize {
        self.len()
    }

    fn word(&self, index: usize) -> u64 {
        self.get(index).copied().unwrap_or_default()
    }

    fn set(&mut self, index: usize, bits: u64) {
        if let Some(word) = self.get_mut(index) {
            *word |= bits;
        }
    }

    fn push_empty(&mut self) {
        expect_no_fmt(self.push_back(0), "there is room for the window's words");
    }

    fn pop_front(&mut self) -> Option<u64> {
        Self::pop_front(self)
    }
}

/// Result of looking up a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// It was not seen before. It is now.
    First,
    /// It was seen before.
    Repeated,
    /// It lies before the window: nothing is known of it.
    Unknown,
}

/// Returns the number of bitmap words that keep at least `sequences` sequences, including the
/// newest. Words move out whole, hence one more.
#[cfg(feature = "std")]
pub(super) const fn words_for(sequences: u32) -> usize {
    sequences.div_ceil(WORD as u32) as usize + 1
}

impl<W: WordQueue> SetWindow<W> {
    /// A window that ends with the first sequence that was met: those before it may still come.
    pub(super) fn ending_with(first: u64, max_words: usize) -> Self {
        let base = (first / WORD).saturating_sub(max_words as u64 - 1) * WORD;
        Self {
            known_from: base,
            base,
            words: W::default(),
        }
    }

    /// Records a sequence, in a bitmap of at most `max_words` words. The bitmap bounds the work for
    /// any sequence.
    pub(super) fn note(&mut self, sequence: u64, max_words: usize) -> Sighting {
        if sequence < self.known_from {
            return Sighting::Unknown;
        }
        let Some(ahead) = sequence.checked_sub(self.base) else {
            return Sighting::Repeated;
        };
        let index = self.reach(ahead / WORD, max_words);
        let bit = 1 << (sequence % WORD);
        if self.words.word(index) & bit != 0 {
            return Sighting::Repeated;
        }
        self.words.set(index, bit);
        self.settle();
        debug_assert!(self.is_sound(), "the bitmap begins at a word");
        Sighting::First
    }

    /// Returns the newest sequence that was seen.
    #[cfg(feature = "std")]
    pub(super) fn newest(&self) -> u64 {
        let ends = (0..self.words.word_count()).map(|index| {
            let word = self.words.word(index);
            (word != 0).then(|| (index as u64 + 1) * WORD - u64::from(word.leading_zeros()))
        });
        let ahead = ends.flatten().last().unwrap_or(0);
        // Without a bit the newest is the last one before `base`.
        self.base.saturating_add(ahead).saturating_sub(1)
    }

    /// Makes the bitmap no longer than this, forgetting the oldest.
    #[cfg(feature = "std")]
    pub(super) fn fit(&mut self, max_words: usize) {
        let excess = self.words.word_count().saturating_sub(max_words);
        self.slide(excess as u64);
    }

    /// Returns `true` if the invariant holds, also for a window that was decoded.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let end = (self.base / WORD).checked_add(self.words.word_count() as u64);
        self.known_from <= self.base
            && self.base.is_multiple_of(WORD)
            && end.is_some_and(|end| end <= u64::MAX / WORD + 1)
    }

    /// Slides and grows until the bitmap has the word that is now the `word`th; which one it is
    /// then.
    fn reach(&mut self, word: u64, max_words: usize) -> usize {
        let beyond = (word + 1).saturating_sub(max_words as u64);
        self.slide(beyond);
        let index = expect_no_fmt(usize::try_from(word - beyond), "below max_words");
        while self.words.word_count() <= index {
            self.words.push_empty();
        }
        index
    }

    /// Moves `count` words out at the front. What was not seen in them is not known any more, nor
    /// is anything before it.
    fn slide(&mut self, count: u64) {
        let held = count.min(self.words.word_count() as u64);
        for _ in 0..held {
            let word = self.words.pop_front().expect("as many are held");
            if word != u64::MAX {
                // Behind the last sequence that is missing; the bits from the highest zero on are
                // ones.
                self.known_from = self.base + (WORD - u64::from(word.leading_ones()));
            }
            self.base += WORD;
        }
        if count > held {
            self.base += (count - held) * WORD;
            self.known_from = self.base;
        }
    }

    /// Moves words that are full into the known range: nothing is forgotten by that.
    fn settle(&mut self) {
        while self.words.word_count() > 0
            && self.words.word(0) == u64::MAX
            && let Some(base) = self.base.checked_add(WORD)
        {
            self.words.pop_front();
            self.base = base;
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    /// Two words and one for sliding: 128 sequences at least.
    const WORDS: usize = words_for(128);

    fn window(sequences: impl IntoIterator<Item = u64>) -> DedupWindow {
        let mut window = DedupWindow::ending_with(0, WORDS);
        for sequence in sequences {
            window.note(sequence, WORDS);
        }
        window
    }

    #[test]
    fn each_sequence_is_first_once_in_any_order() {
        let mut window = window([]);
        for sequence in [5, 0, 127, 64, 63, 1] {
            assert_eq!(window.note(sequence, WORDS), Sighting::First, "{sequence}");
            assert_eq!(
                window.note(sequence, WORDS),
                Sighting::Repeated,
                "{sequence}"
            );
        }
    }

    #[test]
    fn a_writer_without_gaps_is_remembered_from_its_first_set_on_in_next_to_no_memory() {
        let mut window = window(0..1_000_000);
        assert!(window.words.len() <= 1, "{} words", window.words.len());
        for sequence in [0, 1, 499_999, 999_999] {
            assert_eq!(window.note(sequence, WORDS), Sighting::Repeated);
        }
    }

    #[test]
    fn at_the_windows_edge_no_unknown_sequence_is_taken_for_a_duplicate() {
        // Sequence 0 is missing for ever, and every odd one.
        for newest in (2..2_000).step_by(2) {
            let mut window = window((2..=newest).step_by(2));
            let promised = newest.saturating_sub(127).max(2);
            for sequence in promised..=newest {
                let expected = if sequence % 2 == 0 {
                    Sighting::Repeated
                } else {
                    Sighting::First
                };
                assert_eq!(
                    window.clone().note(sequence, WORDS),
                    expected,
                    "{sequence} of {newest}"
                );
            }
            for sequence in 0..promised {
                let seen = window.note(sequence, WORDS);
                assert!(
                    sequence % 2 == 0 && sequence >= 2 || seen != Sighting::Repeated,
                    "{sequence} of {newest} never came, and is {seen:?}"
                );
            }
        }
    }

    #[test]
    fn sequences_before_the_first_one_met_are_known_as_far_back_as_promised() {
        for first in [0, 1, 127, 128, 5_000, u64::MAX] {
            let mut window = DedupWindow::ending_with(first, WORDS);
            window.note(first, WORDS);
            for sequence in (first.saturating_sub(127)..first).rev() {
                assert_eq!(
                    window.note(sequence, WORDS),
                    Sighting::First,
                    "{sequence} after {first}"
                );
                assert_eq!(
                    window.note(sequence, WORDS),
                    Sighting::Repeated,
                    "{sequence} after {first}"
                );
            }
        }
    }

    #[test]
    fn behind_a_gap_that_left_the_window_everything_is_known() {
        let mut window = window((0..1_000).filter(|sequence| *sequence != 70));
        assert_eq!(window.note(69, WORDS), Sighting::Unknown);
        assert_eq!(window.note(70, WORDS), Sighting::Unknown);
        for sequence in 71..1_000 {
            assert_eq!(
                window.note(sequence, WORDS),
                Sighting::Repeated,
                "{sequence}"
            );
        }
    }

    #[test]
    fn a_leap_to_the_last_sequence_there_is_forgets_and_goes_on() {
        let mut window = window(0..10);
        assert_eq!(window.note(u64::MAX, WORDS), Sighting::First);
        assert_eq!(window.note(5, WORDS), Sighting::Unknown);
        for sequence in u64::MAX - 70..u64::MAX {
            assert_eq!(window.note(sequence, WORDS), Sighting::First);
        }
        assert_eq!(window.note(u64::MAX, WORDS), Sighting::Repeated);
        assert!(window.is_sound());
    }

    #[test]
    fn a_bitmap_made_smaller_forgets_and_confuses_nothing() {
        let mut window = DedupWindow::ending_with(0, 100);
        for sequence in (0..6_000).step_by(2) {
            window.note(sequence, 100);
        }
        window.fit(WORDS);
        assert!(window.words.len() <= WORDS && window.is_sound());
        assert_eq!(window.note(1, WORDS), Sighting::Unknown);
        assert_eq!(
            (window.note(5_998, WORDS), window.note(5_997, WORDS)),
            (Sighting::Repeated, Sighting::First)
        );
    }
}
