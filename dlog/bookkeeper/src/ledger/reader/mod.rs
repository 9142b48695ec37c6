//! Reading the entries of a ledger.

mod lac;
mod types;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use distributedlog::Instant;

use super::ReadAnswer;
use super::ensemble::{IndexSet, Quorums};
use crate::EntryId;
use crate::entry::EntryCodec;
use crate::metadata::{BookieId, LedgerMetadata};

pub use lac::LacReader;
pub use types::{ReadError, ReadRequest, ReaderOutput, ReaderSettings};

/// Reads entries of a ledger that are known to be confirmed: all of a closed one, or up to the last
/// add confirmed of an open one.
///
/// The bookies of an entry are asked one after the other: the next one after an answer that is no
/// entry, or when the speculative timeout has passed; the first valid body wins. Entries are
/// returned in the order in which they were asked for. Nothing is ever fenced.
pub struct Reader {
    settings: ReaderSettings,
    codec: EntryCodec,
    quorums: Quorums,
    metadata: LedgerMetadata,
    slots: VecDeque<Slot>,
    outputs: VecDeque<ReaderOutput>,
}

/// One entry that is being read.
struct Slot {
    entry: EntryId,
    /// Its bookies in the order of asking, and how many were asked.
    bookies: Vec<BookieId>,
    asked: usize,
    /// Bookies that answered, by their place in the order, and those that have no such entry.
    answered: IndexSet,
    absent: IndexSet,
    /// Time at which the next bookie is asked.
    speculate_at: Instant,
    result: Option<Result<crate::entry::Entry, ReadError>>,
}

impl Reader {
    /// Returns a reader of the ledger with this metadata.
    ///
    /// # Errors
    /// [`ReadError::EnsembleTooLarge`] for an ensemble of more than 64 bookies.
    pub fn new(
        settings: ReaderSettings,
        codec: EntryCodec,
        metadata: LedgerMetadata,
    ) -> Result<Self, ReadError> {
        let quorums = Quorums::of(&metadata);
        if !quorums.fits() {
            return Err(ReadError::EnsembleTooLarge);
        }
        Ok(Self {
            settings,
            codec,
            quorums,
            metadata,
            slots: VecDeque::new(),
            outputs: VecDeque::new(),
        })
    }

    /// Replaces the metadata of an open ledger that has changed. Entries that are being read are
    /// asked of the bookies that were known when they were asked for.
    pub fn handle_metadata(&mut self, metadata: LedgerMetadata) {
        if metadata.ensemble_size == self.quorums.ensemble {
            self.metadata = metadata;
        }
    }

    /// Asks for an entry. Returns false if as many entries are being read as the settings allow:
    /// nothing was asked then.
    pub fn read(&mut self, now: Instant, entry: EntryId) -> bool {
        if self.slots.len() >= self.settings.max_entries.max(1) {
            return false;
        }
        let ensemble = &self.metadata.segment_of(entry).ensemble;
        let order = self.quorums.write_set(entry);
        let bookies = order.map(|index| ensemble[index].clone()).collect();
        self.slots.push_back(Slot {
            entry,
            bookies,
            asked: 0,
            answered: IndexSet::default(),
            absent: IndexSet::default(),
            speculate_at: now,
            result: None,
        });
        let last = self.slots.len() - 1;
        self.ask_next(now, last);
        true
    }

    /// Takes the reply to a [`ReaderOutput::Read`]. A bookie that does not answer in time is
    /// reported as [`ReadAnswer::Unknown`].
    pub fn handle_reply(&mut self, now: Instant, request: ReadRequest, answer: ReadAnswer) {
        let Some(position) = self.slots.iter().position(|it| it.entry == request.entry) else {
            return; // Another bookie was faster.
        };
        let slot = &mut self.slots[position];
        if slot.result.is_some() {
            return;
        }
        slot.answered.insert(request.place);
        match answer {
            ReadAnswer::Body(body) => match self.codec.decode(slot.entry, &body) {
                Ok(entry) => slot.result = Some(Ok(entry)),
                // Bookies check neither digest nor ids: this one is damaged, another is not.
                Err(error) => self.outputs.push_back(ReaderOutput::Damaged {
                    entry: request.entry,
                    bookie: slot.bookies[request.place].clone(),
                    error,
                }),
            },
            ReadAnswer::Absent => slot.absent.insert(request.place),
            ReadAnswer::Unauthorized => slot.result = Some(Err(ReadError::Unauthorized)),
            ReadAnswer::Unknown => {}
        }
        if slot.result.is_none() {
            self.ask_next(now, position);
        }
        self.deliver();
    }

    /// Asks the next bookie for entries whose speculative timeout has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        for position in 0..self.slots.len() {
            let slot = &self.slots[position];
            if slot.result.is_none() && slot.asked < slot.bookies.len() && slot.speculate_at <= now
            {
                self.ask_next(now, position);
            }
        }
    }

    /// Returns the next time at which [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waits = |it: &&Slot| it.result.is_none() && it.asked < it.bookies.len();
        self.slots
            .iter()
            .filter(waits)
            .map(|it| it.speculate_at)
            .min()
    }

    /// Returns true while an entry that was asked for has no result.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Returns the next thing to do or to know, or `None`.
    pub fn poll_output(&mut self) -> Option<ReaderOutput> {
        self.outputs.pop_front()
    }

    /// Asks the next bookie for an entry. Behind the last one, the entry cannot be read as soon as
    /// all have answered.
    fn ask_next(&mut self, now: Instant, position: usize) {
        let slot = &mut self.slots[position];
        if let Some(bookie) = slot.bookies.get(slot.asked) {
            self.outputs.push_back(ReaderOutput::Read {
                request: ReadRequest {
                    entry: slot.entry,
                    place: slot.asked,
                },
                bookie: bookie.clone(),
            });
            slot.asked += 1;
            slot.speculate_at = now + self.settings.speculative_timeout;
        } else if slot.answered.len() == slot.bookies.len() {
            // Absence is an answer only if no bookie said anything else.
            let all_absent = slot.absent.len() == slot.bookies.len();
            slot.result = Some(Err(if all_absent {
                ReadError::NoEntry { entry: slot.entry }
            } else {
                ReadError::Unreadable { entry: slot.entry }
            }));
        }
    }

    /// Returns results in the order in which their entries were asked for.
    fn deliver(&mut self) {
        while let Some(Slot {
            result: Some(result),
            ..
        }) = self.slots.front()
        {
            self.outputs.push_back(match result {
                Ok(entry) => ReaderOutput::Entry(entry.clone()),
                Err(error) => ReaderOutput::Failed(*error),
            });
            self.slots.pop_front();
        }
    }
}
