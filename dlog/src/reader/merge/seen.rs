use std::collections::HashMap;

use distributedlog::wire::record_set::{SetIdentity, WriterId};
use serde::{Deserialize, Serialize};

use super::MergeSettings;
use super::window::{Seen, Window, words_for};
use crate::reader::Record;

/// How many parts of sets that were begun and not delivered to their end are remembered. There is one for the set that is being delivered,
/// and one for each copy whose beginning lies before a stream's start or truncation point.
const MAX_PARTS: usize = 1024;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was not delivered yet, or says nothing of copies.
    Deliver,
    /// It was delivered from another copy.
    Copy,
    /// Whether it was delivered is not known any more.
    DeliverUnknown,
}

/// Which sets were delivered: one window for each writer that was met lately.
#[derive(Debug)]
pub(crate) struct SeenSets {
    max_words: usize,
    max_writers: usize,
    writers: HashMap<WriterId, Remembered>,
    /// Counts uses, to tell which writer was met longest ago.
    uses: u64,
    /// What is missing of sets whose identity was seen, oldest first.
    parts: Vec<Part>,
    forgotten: u64,
}

#[derive(Debug)]
struct Remembered {
    window: Window,
    last_use: u64,
}

/// A writer as it is saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedWriter {
    pub(super) writer: WriterId,
    pub(super) window: Window,
}

/// Records `start..end` of a set were not delivered, others of it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) set: SetIdentity,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl SeenSets {
    pub(crate) fn new(settings: MergeSettings) -> Self {
        Self {
            max_words: words_for(settings.sequences.get()),
            max_writers: usize::from(settings.writers.get()),
            writers: HashMap::new(),
            uses: 0,
            parts: Vec::new(),
            forgotten: 0,
        }
    }

    /// The same with what was saved, as much of it as the settings allow.
    pub(super) fn restored(settings: MergeSettings, writers: &[SavedWriter], parts: &[Part]) -> Self {
        let mut seen = Self::new(settings);
        for SavedWriter { writer, window } in &writers[writers.len().saturating_sub(seen.max_writers)..] {
            let mut window = window.clone();
            window.fit(seen.max_words);
            seen.uses += 1;
            seen.writers.insert(*writer, Remembered { window, last_use: seen.uses });
        }
        seen.parts = parts[parts.len().saturating_sub(MAX_PARTS)..].to_vec();
        seen
    }

    /// What to save: writers in the order in which they were last met, and parts.
    pub(super) fn saved(&self) -> (Vec<SavedWriter>, Vec<Part>) {
        let mut writers: Vec<_> = self.writers.iter().collect();
        writers.sort_unstable_by_key(|(_, remembered)| remembered.last_use);
        let saved = |(writer, remembered): (&WriterId, &Remembered)| SavedWriter { writer: *writer, window: remembered.window.clone() };
        (writers.into_iter().map(saved).collect(), self.parts.clone())
    }

    /// How many writers were forgotten for others.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Takes note of a record, and says what becomes of it.
    pub(crate) fn judge(&mut self, record: &Record) -> Verdict {
        let Some(set) = record.set else {
            return Verdict::Deliver;
        };
        if self.parts.iter().any(|part| part.set == set) {
            return if self.take(set, record.set_slot) { Verdict::Deliver } else { Verdict::Copy };
        }
        match self.note(set) {
            Seen::Again => Verdict::Copy,
            Seen::Unknown => Verdict::DeliverUnknown,
            Seen::First => {
                if self.parts.len() >= MAX_PARTS {
                    self.parts.remove(0);
                }
                self.parts.push(Part { set, start: 0, end: record.set_slots });
                self.take(set, record.set_slot);
                Verdict::Deliver
            }
        }
    }

    /// Takes a record out of what is missing of its set; whether it was missing.
    fn take(&mut self, set: SetIdentity, slot: u32) -> bool {
        let Some(index) = self.parts.iter().position(|part| part.set == set && (part.start..part.end).contains(&slot)) else {
            return false;
        };
        let part = self.parts.remove(index);
        // What comes behind it is what is asked for next: it stays last, and is the last to be forgotten.
        let around = [Part { end: slot, ..part }, Part { start: slot + 1, ..part }];
        self.parts.extend(around.into_iter().filter(|part| part.start < part.end));
        true
    }

    fn note(&mut self, set: SetIdentity) -> Seen {
        self.uses += 1;
        if !self.writers.contains_key(&set.writer) && self.writers.len() >= self.max_writers {
            let oldest = self.writers.iter().min_by_key(|(_, remembered)| remembered.last_use).map(|(writer, _)| *writer);
            self.writers.remove(&oldest.expect("there is at least one"));
            self.forgotten += 1;
        }
        let fresh = || Remembered { window: Window::ending_with(set.sequence, self.max_words), last_use: 0 };
        let remembered = self.writers.entry(set.writer).or_insert_with(fresh);
        remembered.last_use = self.uses;
        remembered.window.note(set.sequence, self.max_words)
    }
}
