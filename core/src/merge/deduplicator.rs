use std::vec::Vec;

use super::window::{DedupWindow, Sighting, words_for};
use super::{MergeSettings, MissingRecords, SavedWriter};
use crate::wire::record_set::SetIdentity;

/// Maximum number of remembered ranges of undelivered records, of sets that were begun and not
/// delivered to their end. There is one for the set that is being delivered, and one for each
/// duplicate whose beginning lies before a stream's start or truncation point.
const MAX_PARTS: usize = 1024;

/// Decision about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was not delivered yet, or it is in no set with an identity.
    First,
    /// It was delivered from another duplicate of its set.
    Duplicate,
    /// The dedup window does not reach back to it: it may have been delivered.
    Unknown,
}

/// Remembers which record sets were delivered: one dedup window for each recent writer.
///
/// The invariant: a record that it calls a [duplicate](Delivery::Duplicate) was
/// [delivered](Delivery::First) before.
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
    /// Ordered by the time of their last set. The latest are looked up most, and few write at a
    /// time.
    writers: Vec<SavedWriter>,
    /// Undelivered records of sets that were begun, oldest first.
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

    /// Returns the state to save: writers in the order of their last set, and ranges of undelivered
    /// records.
    #[must_use]
    pub fn saved(&self) -> (&[SavedWriter], &[MissingRecords]) {
        (&self.writers, &self.parts)
    }

    /// Returns the number of writers that were forgotten for others.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Records the delivery of record `slot` of the `slots` records of a set, and returns the
    /// decision about it. Do not call it for records without an identity: their duplicates cannot
    /// be recognised.
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
        // The range behind the record is looked up next: it stays last, and is the last to be
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
