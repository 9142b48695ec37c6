use std::vec::Vec;

use super::window::{DedupWindow, Sighting, words_for};
use super::{MergeSettings, MissingRecords, SavedWriter};
use crate::wire::record_set::SetIdentity;

/// How many parts of sets that were begun and not delivered to their end are remembered. There is
/// one for the set that is being delivered, and one for each copy whose beginning lies before a
/// stream's start or truncation point.
const MAX_PARTS: usize = 1024;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was not delivered yet, or says nothing of copies.
    First,
    /// It was delivered from another copy.
    Duplicate,
    /// Whether it was delivered is not known any more.
    Unknown,
}

/// Which sets were delivered: one window for each writer that was met lately.
///
/// The invariant: what it calls a [copy](Delivery::Duplicate) was [delivered](Delivery::First) before.
///
/// ```
/// use distributedlog::merge::{MergeSettings, Deduplicator, Delivery};
/// use distributedlog::wire::record_set::{SetIdentity, WriterId};
///
/// let mut seen = Deduplicator::new(MergeSettings::default());
/// let set = SetIdentity { writer: WriterId([7; 16]), sequence: 0 };
/// assert_eq!(seen.check(set, 0, 2), Delivery::First);
/// assert_eq!(seen.check(set, 1, 2), Delivery::First);
/// assert_eq!(seen.check(set, 0, 2), Delivery::Duplicate);
/// ```
#[derive(Debug)]
pub struct Deduplicator {
    max_words: usize,
    max_writers: usize,
    /// In the order in which they were last met. The last ones are asked for most, and few write
    /// at a time.
    writers: Vec<SavedWriter>,
    /// What is missing of sets whose identity was seen, oldest first.
    parts: Vec<MissingRecords>,
    forgotten: u64,
}

impl Deduplicator {
    /// Nothing was delivered yet.
    #[must_use]
    pub const fn new(settings: MergeSettings) -> Self {
        Self {
            max_words: words_for(settings.sequences.get()),
            max_writers: settings.writers.get() as usize,
            writers: Vec::new(),
            parts: Vec::new(),
            forgotten: 0,
        }
    }

    /// The same with what was saved, as much of it as the settings allow.
    #[must_use]
    pub fn restored(
        settings: MergeSettings,
        writers: &[SavedWriter],
        parts: &[MissingRecords],
    ) -> Self {
        let mut seen = Self::new(settings);
        seen.writers = writers[writers.len().saturating_sub(seen.max_writers)..].to_vec();
        seen.writers
            .iter_mut()
            .for_each(|writer| writer.window.fit(seen.max_words));
        seen.parts = parts[parts.len().saturating_sub(MAX_PARTS)..].to_vec();
        seen
    }

    /// What to save: writers in the order in which they were last met, and parts.
    #[must_use]
    pub fn saved(&self) -> (&[SavedWriter], &[MissingRecords]) {
        (&self.writers, &self.parts)
    }

    /// How many writers were forgotten for others.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Takes note of record `slot` of the `slots` records of a set, and says what becomes of it.
    /// Records without an identity are not asked about: nothing tells their copies.
    pub fn check(&mut self, set: SetIdentity, slot: u32, slots: u32) -> Delivery {
        if self.parts.iter().any(|part| part.set == set) {
            return if self.take(set, slot) {
                Delivery::First
            } else {
                Delivery::Duplicate
            };
        }
        match self.note(set) {
            Sighting::Repeated => Delivery::Duplicate,
            Sighting::Unknown => Delivery::Unknown,
            Sighting::First => {
                if self.parts.len() >= MAX_PARTS {
                    self.parts.remove(0);
                }
                self.parts.push(MissingRecords {
                    set,
                    start: 0,
                    end: slots,
                });
                self.take(set, slot);
                Delivery::First
            }
        }
    }

    /// Takes a record out of what is missing of its set; whether it was missing.
    fn take(&mut self, set: SetIdentity, slot: u32) -> bool {
        let Some(index) = self
            .parts
            .iter()
            .position(|part| part.set == set && (part.start..part.end).contains(&slot))
        else {
            return false;
        };
        let part = self.parts.remove(index);
        // What comes behind it is what is asked for next: it stays last, and is the last to be
        // forgotten.
        let around = [
            MissingRecords { end: slot, ..part },
            MissingRecords {
                start: slot + 1,
                ..part
            },
        ];
        self.parts
            .extend(around.into_iter().filter(|part| part.start < part.end));
        true
    }

    fn note(&mut self, set: SetIdentity) -> Sighting {
        let mut writer = match self
            .writers
            .iter()
            .rposition(|known| known.writer == set.writer)
        {
            Some(place) => self.writers.remove(place),
            None => {
                if self.writers.len() >= self.max_writers {
                    self.writers.remove(0);
                    self.forgotten += 1;
                }
                SavedWriter {
                    writer: set.writer,
                    window: DedupWindow::ending_with(set.sequence, self.max_words),
                }
            }
        };
        let seen = writer.window.note(set.sequence, self.max_words);
        self.writers.push(writer);
        seen
    }
}
