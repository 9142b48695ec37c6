use std::collections::VecDeque;

use bytes::Bytes;

use super::types::{ReadAnswer, RecoveryError, RecoveryOutput, RecoveryRequest};
use super::{BookieId, EntryCodec, Segment, SendReply};
use crate::ledger::ensemble::{IndexSet, Quorums};
use crate::wire::Status;
use crate::{EntryId, NO_ENTRY};

/// Entries behind the last one that is known to be confirmed.
pub(super) struct Tail {
    quorums: Quorums,
    /// Bookies that entries are read from: the stored ensemble. A bookie that replaces one of them
    /// has none of the entries, so its absence of an entry says nothing.
    ensemble: Vec<BookieId>,
    /// Bookies of the last entry that is known to be confirmed, which may be of an older ensemble.
    base_ensemble: Vec<BookieId>,
    /// Bookies that entries are written back to, with the number of each at its index.
    targets: Vec<(BookieId, u32)>,
    /// Bookies that failed to take an entry and were replaced.
    failed: Vec<BookieId>,
    /// Segments that begin with replaced bookies; they are stored when the ledger is closed.
    pub(super) segments: Vec<Segment>,
    slots: VecDeque<Slot>,
    /// First entry that is not read yet.
    next: EntryId,
    /// Last entry that the ack quorum has, and the bytes of all payloads up to it.
    pub(super) confirmed: EntryId,
    pub(super) length: Option<u64>,
    /// The first entry that cannot have been confirmed.
    end: Option<EntryId>,
}

/// One entry that is being read or written back.
struct Slot {
    entry: EntryId,
    absent: IndexSet,
    heard: IndexSet,
    found: Option<Found>,
    is_base: bool,
}

struct Found {
    length: u64,
    payload: Bytes,
    /// The body that is written back, once it is.
    body: Option<Bytes>,
    acks: IndexSet,
    failed: IndexSet,
}

impl Tail {
    pub(super) fn new(
        quorums: Quorums,
        base: EntryId,
        ensemble: Vec<BookieId>,
        base_ensemble: Vec<BookieId>,
    ) -> Self {
        let targets = ensemble.iter().cloned().map(|bookie| (bookie, 0)).collect();
        Self {
            quorums,
            ensemble,
            base_ensemble,
            targets,
            failed: Vec::new(),
            segments: Vec::new(),
            slots: VecDeque::new(),
            next: base + 1,
            confirmed: base,
            length: (base == NO_ENTRY).then_some(0),
            end: None,
        }
    }

    pub(super) fn handle_read(
        &mut self,
        codec: &EntryCodec,
        request: RecoveryRequest,
        answer: ReadAnswer,
    ) -> Result<(), RecoveryError> {
        let quorums = self.quorums;
        let Some(slot) = self.slots.iter_mut().find(|it| it.entry == request.entry) else {
            return Ok(());
        };
        if slot.found.is_some() {
            return Ok(());
        }
        slot.heard.insert(request.index);
        match answer {
            ReadAnswer::Body(body) => {
                if let Ok(entry) = codec.decode(slot.entry, &body) {
                    slot.found = Some(Found {
                        length: entry.length,
                        payload: entry.payload,
                        body: None,
                        acks: IndexSet::default(),
                        failed: IndexSet::default(),
                    });
                }
            }
            ReadAnswer::Absent => slot.absent.insert(request.index),
            ReadAnswer::Unauthorized => return Err(RecoveryError::Unauthorized),
            #[cfg(seeded_bugs)]
            ReadAnswer::Unknown
                if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::SilenceIsAbsence) =>
            {
                slot.absent.insert(request.index);
            }
            ReadAnswer::Unknown => {}
        }
        let enough = quorums.write - quorums.ack + 1;
        #[cfg(seeded_bugs)]
        let enough = if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::OneAbsenceIsEnd) {
            1
        } else {
            enough
        };
        // Fewer than the ack quorum can have the entry: it was never confirmed. Silence and failed
        // disks never count as absence.
        if slot.found.is_none() && slot.absent.len() >= enough && !slot.is_base {
            let entry = slot.entry;
            self.end = Some(self.end.map_or(entry, |end| end.min(entry)));
        }
        Ok(())
    }

    pub(super) fn handle_written(
        &mut self,
        request: RecoveryRequest,
        reply: SendReply,
        candidates: &[BookieId],
    ) -> Result<(), RecoveryError> {
        if self.targets[request.index].1 != request.generation {
            return Ok(()); // Of a bookie that was replaced.
        }
        let spare = self.quorums.write - self.quorums.ack;
        let Some(found) = self.found(request.entry) else {
            return Ok(());
        };
        match reply {
            SendReply::Status(Status::Ok) => {
                found.acks.insert(request.index);
                Ok(())
            }
            SendReply::Status(Status::Unauthorized) => Err(RecoveryError::Unauthorized),
            SendReply::Status(_) | SendReply::Lost => {
                found.failed.insert(request.index);
                // The ack quorum is enough: a bookie is replaced only if it is missing.
                if found.failed.len() > spare {
                    return self.replace(request.index, request.entry, candidates);
                }
                Ok(())
            }
        }
    }

    fn found(&mut self, entry: EntryId) -> Option<&mut Found> {
        self.slots
            .iter_mut()
            .find(|it| it.entry == entry)?
            .found
            .as_mut()
    }

    /// Replaces a target from the first entry on that is not confirmed. What it had acknowledged of
    /// those does not count any more.
    fn replace(
        &mut self,
        index: usize,
        entry: EntryId,
        candidates: &[BookieId],
    ) -> Result<(), RecoveryError> {
        let is_free = |it: &&BookieId| {
            self.targets.iter().all(|target| target.0 != **it)
                && !self.ensemble.contains(it)
                && !self.failed.contains(it)
        };
        let Some(new) = candidates.iter().find(is_free).cloned() else {
            return Err(RecoveryError::NotEnoughBookies { entry });
        };
        let generation = self.targets[index].1 + 1;
        let (old, _) = core::mem::replace(&mut self.targets[index], (new, generation));
        // Bounded by the candidates: none is chosen twice.
        self.failed.push(old);
        let ensemble = self.targets.iter().map(|target| target.0.clone()).collect();
        let segment = Segment {
            first_entry: self.confirmed + 1,
            ensemble,
        };
        match self.segments.last_mut() {
            Some(last) if last.first_entry == segment.first_entry => *last = segment,
            Some(_) | None => self.segments.push(segment),
        }
        for found in self.slots.iter_mut().filter_map(|it| it.found.as_mut()) {
            found.acks.remove(index);
            found.failed.remove(index);
            // Written again to every target that has not acknowledged it.
            found.body = None;
        }
        Ok(())
    }

    /// Reads on and writes back. Returns true at the end of the ledger, when everything before it
    /// is confirmed and its length is known.
    pub(super) fn advance(
        &mut self,
        codec: &EntryCodec,
        read_ahead: usize,
        outputs: &mut VecDeque<RecoveryOutput>,
    ) -> Result<bool, RecoveryError> {
        loop {
            self.write_back(codec, outputs);
            let before = self.confirmed;
            self.confirm();
            if self.is_complete() {
                return Ok(true);
            }
            self.read_on(read_ahead.max(1), outputs);
            if before == self.confirmed {
                break;
            }
        }
        self.undecided()
            .map_or(Ok(false), |entry| Err(RecoveryError::Undecided { entry }))
    }

    fn is_complete(&self) -> bool {
        self.end == Some(self.confirmed + 1) && self.length.is_some()
    }

    /// The first entry that was not found, if all of its bookies were heard and it is not the end.
    fn undecided(&self) -> Option<EntryId> {
        let first = self.slots.iter().find(|it| it.found.is_none())?;
        let is_end = self.end.is_some_and(|end| first.entry >= end);
        (first.heard.len() == self.quorums.write && !is_end).then_some(first.entry)
    }

    /// Writes entries back whose predecessors are all there: what lies behind a hole is not part of
    /// the ledger.
    fn write_back(&mut self, codec: &EntryCodec, outputs: &mut VecDeque<RecoveryOutput>) {
        for (expected, slot) in (self.confirmed + 1..).zip(&mut self.slots) {
            let Some(found) = &mut slot.found else {
                return;
            };
            if slot.entry != expected || self.end.is_some_and(|end| slot.entry >= end) {
                return;
            }
            if found.body.is_some() {
                continue;
            }
            let body = codec.encode(slot.entry, self.confirmed, found.length, &found.payload);
            for index in self.quorums.write_set(slot.entry) {
                if found.acks.contains(index) || found.failed.contains(index) {
                    continue;
                }
                let (bookie, generation) = self.targets[index].clone();
                outputs.push_back(RecoveryOutput::WriteBack {
                    request: RecoveryRequest {
                        entry: slot.entry,
                        index,
                        generation,
                    },
                    bookie,
                    body: body.clone(),
                });
            }
            found.body = Some(body);
        }
    }

    /// Copies with which an entry that was found is confirmed.
    fn enough(&self) -> usize {
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::NoWriteBack) {
            return 0;
        }
        self.quorums.ack
    }

    fn confirm(&mut self) {
        while let Some(slot) = self.slots.front()
            && let Some(found) = &slot.found
        {
            if slot.is_base {
                self.length = Some(found.length);
            } else if found.acks.len() >= self.enough() {
                self.confirmed = slot.entry;
                self.length = Some(found.length);
            } else {
                return;
            }
            self.slots.pop_front();
        }
    }

    /// Reads entries up to the bound, from all of their bookies at once: with one that is silent
    /// the others decide.
    fn read_on(&mut self, read_ahead: usize, outputs: &mut VecDeque<RecoveryOutput>) {
        while self.end.is_none() && self.slots.len() < read_ahead {
            self.read(self.next, false, outputs);
            self.next += 1;
        }
        // Nothing behind the last confirmed entry was there: its own header has the length.
        let is_read = self.slots.iter().any(|slot| slot.is_base);
        if self.end == Some(self.confirmed + 1) && self.length.is_none() && !is_read {
            self.slots.clear();
            self.read(self.confirmed, true, outputs);
        }
    }

    fn read(&mut self, entry: EntryId, is_base: bool, outputs: &mut VecDeque<RecoveryOutput>) {
        for index in self.quorums.write_set(entry) {
            outputs.push_back(RecoveryOutput::Read {
                request: RecoveryRequest {
                    entry,
                    index,
                    generation: 0,
                },
                bookie: if is_base {
                    &self.base_ensemble
                } else {
                    &self.ensemble
                }[index]
                    .clone(),
            });
        }
        self.slots.push_back(Slot {
            entry,
            absent: IndexSet::default(),
            heard: IndexSet::default(),
            found: None,
            is_base,
        });
    }
}
