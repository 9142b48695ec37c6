use std::vec::Vec;

use super::window::{DedupWindow, Sighting, words_for};
use super::{MergeSettings, MissingRecords, SavedWriter};
use crate::wire::record_set::{SetIdentity, WriterId};

/// Maximum number of remembered ranges of undelivered records, of sets that were begun and not
/// delivered to their end. There is one for the set that is being delivered, and one for each
/// duplicate whose beginning lies before a stream's start or truncation point.
const MAX_PARTS: usize = 1024;

/// Maximum number of forgotten writers whose newest sequence is kept. None in a page, where the
/// code would take 1 KB of the module: there every set of a writer that enters after one was
/// forgotten counts as perhaps delivered.
const MAX_FORMER: usize = if cfg!(target_family = "wasm") {
    0
} else {
    1 << 16
};

/// Decision about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was not delivered yet, or it is in no set with an identity.
    First,
    /// It was delivered from another duplicate of its set.
    Duplicate,
    /// The dedup window does not reach back to it, or its writer was forgotten meanwhile: it may
    /// have been delivered.
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
    /// Newest sequences of writers that were forgotten, ordered by writer: those up to it may have
    /// been delivered. At most [`MAX_FORMER`].
    former: Vec<(WriterId, u64)>,
    /// True if writers were forgotten that are not in `former`.
    is_former_incomplete: bool,
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
            former: Vec::new(),
            is_former_incomplete: false,
        }
    }

    /// The same with what was saved, as much of it as the settings allow. `has_forgotten`: what
    /// [`has_forgotten`](Self::has_forgotten) returned when it was saved.
    #[must_use]
    pub fn restored(
        settings: MergeSettings,
        writers: &[SavedWriter],
        parts: &[MissingRecords],
        has_forgotten: bool,
    ) -> Self {
        let mut seen = Self::new(settings);
        seen.is_former_incomplete = has_forgotten;
        let (excess, kept) = writers.split_at(writers.len().saturating_sub(seen.max_writers));
        excess.iter().for_each(|writer| seen.forget(writer));
        seen.writers = kept.to_vec();
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

    /// Returns true if a writer was ever forgotten, by this value or by one that it continues.
    #[must_use]
    pub fn has_forgotten(&self) -> bool {
        self.is_former_incomplete || self.forgotten > 0
    }

    /// Records the delivery of record `slot` of the `slots` records of a set, and returns the
    /// decision about it. Do not call it for records without an identity: their duplicates cannot
    /// be recognised.
    pub fn check(&mut self, set: SetIdentity, slot: u32, slots: u32) -> Delivery {
        if self.parts.iter().any(|part| part.set == set) {
            return if self.take(set, slot) {
                self.first(set)
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
                self.first(set)
            }
        }
    }

    /// Returns the decision about a record that was not delivered as far as is known.
    fn first(&self, set: SetIdentity) -> Delivery {
        // Most often the writer is the last one.
        let mut writers = self.writers.iter().rev();
        let writer = writers.find(|known| known.writer == set.writer);
        let uncertain_to = writer.and_then(|writer| writer.uncertain_to);
        if uncertain_to.is_some_and(|last| set.sequence <= last) {
            Delivery::Unknown
        } else {
            Delivery::First
        }
    }

    /// Keeps of a writer that is forgotten the sequences that may have been delivered.
    fn forget(&mut self, writer: &SavedWriter) {
        self.forgotten += 1;
        let last = writer.uncertain_to.unwrap_or(0);
        let last = last.max(writer.window.newest());
        if MAX_FORMER == 0 {
            self.is_former_incomplete = true;
            return;
        }
        match self.former(writer.writer) {
            Ok(place) => self.former[place].1 = last,
            Err(place) if self.former.len() < MAX_FORMER => {
                self.former.insert(place, (writer.writer, last));
            }
            Err(_) => self.is_former_incomplete = true,
        }
    }

    /// Returns the place of a writer among those that were forgotten, or where it would be.
    fn former(&self, writer: WriterId) -> Result<usize, usize> {
        self.former.binary_search_by(|(it, _)| it.cmp(&writer))
    }

    /// Returns the state of a writer whose first set since it was forgotten, or ever, is this one.
    fn enter(&mut self, set: SetIdentity) -> SavedWriter {
        let mut former = None;
        if MAX_FORMER > 0
            && let Ok(place) = self.former(set.writer)
        {
            former = Some(self.former.remove(place).1);
        }
        let unknown = self.is_former_incomplete.then_some(u64::MAX);
        SavedWriter {
            writer: set.writer,
            window: DedupWindow::ending_with(set.sequence, self.max_words),
            uncertain_to: former.or(unknown),
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
                let entering = self.enter(set);
                if self.writers.len() >= self.max_writers {
                    let oldest = self.writers.remove(0);
                    self.forget(&oldest);
                }
                entering
            }
        };
        let seen = writer.window.note(set.sequence, self.max_words);
        self.writers.push(writer);
        seen
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU16;

    use super::*;

    fn identity(writer: u16, sequence: u64) -> SetIdentity {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&writer.to_be_bytes());
        SetIdentity {
            writer: WriterId(id),
            sequence,
        }
    }

    fn with_writers(writers: u16) -> MergeSettings {
        MergeSettings {
            writers: NonZeroU16::new(writers).expect("not zero"),
            ..MergeSettings::default()
        }
    }

    /// Of 600 writers each writes two sets, and both come from two streams.
    #[test]
    fn what_may_have_been_delivered_before_its_writer_was_forgotten_is_unknown() {
        let mut seen = Deduplicator::new(with_writers(256));
        for sequence in 0..2 {
            for writer in 0..600 {
                let delivery = seen.check(identity(writer, sequence), 0, 1);
                assert_eq!(delivery, Delivery::First, "{writer} {sequence}");
            }
        }
        for sequence in 0..2 {
            for writer in 0..600 {
                let delivery = seen.check(identity(writer, sequence), 0, 1);
                assert_eq!(delivery, Delivery::Unknown, "{writer} {sequence}");
            }
        }
        // A set that is newer than those is none of them.
        assert_eq!(seen.check(identity(7, 2), 0, 1), Delivery::First);
    }

    #[test]
    fn every_record_of_an_uncertain_set_is_unknown_once() {
        let mut seen = Deduplicator::new(with_writers(1));
        for writer in [1, 2] {
            for slot in 0..3 {
                assert_eq!(seen.check(identity(writer, 0), slot, 3), Delivery::First);
            }
        }
        for slot in 0..3 {
            assert_eq!(seen.check(identity(1, 0), slot, 3), Delivery::Unknown);
        }
        for slot in 0..3 {
            assert_eq!(seen.check(identity(1, 0), slot, 3), Delivery::Duplicate);
        }
    }

    #[test]
    fn beyond_the_memory_of_forgotten_writers_every_new_writer_is_uncertain() {
        let mut seen = Deduplicator::new(with_writers(1));
        seen.check(identity(0, 9), 0, 1);
        for writer in 1..=u16::MAX {
            assert_eq!(seen.check(identity(writer, 0), 0, 1), Delivery::First);
        }
        let mut other = identity(0, 0);
        other.writer.0[15] = 1;
        assert_eq!(seen.check(other, 0, 1), Delivery::First, "there is room");
        other.writer.0[15] = 2;
        assert_eq!(seen.check(other, 0, 1), Delivery::First, "it filled it");
        other.writer.0[15] = 3;
        assert_eq!(seen.check(other, 0, 1), Delivery::Unknown);
        assert!(seen.former.len() <= MAX_FORMER);
    }
}
