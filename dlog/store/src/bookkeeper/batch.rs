//! Appends that wait, and the entries that they are gathered into.

use std::collections::VecDeque;

use distributedlog_bookkeeper::namespace::{LogRecord, MAX_ENTRY_BYTES, RecordKind};
use tokio::time::Instant;

use crate::{AppendDone, Entry, EntryRecord};

/// Payload of a control record.
const CONTROL: &[u8] = b"control";

/// An append without an outcome.
pub(super) struct Append {
    pub(super) entry: Entry,
    /// Time at which it came.
    pub(super) since: Instant,
    pub(super) done: AppendDone,
}

impl Append {
    /// Bytes of the records with their headers.
    pub(super) fn bytes(&self) -> usize {
        entry_bytes(&self.entry)
    }

    /// Returns true if the append asks for a control record alone.
    fn is_control(&self) -> bool {
        self.entry.records.iter().all(is_control)
    }
}

/// Bytes of an entry's records with their headers.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    const HEADER_BYTES: usize = 20;
    let record = |it: &EntryRecord| HEADER_BYTES + it.payload.len();
    entry.records.iter().map(record).sum()
}

const fn is_control(record: &EntryRecord) -> bool {
    record.slots == 0 && !record.is_record_set
}

/// Appends that wait for their entry, in their order.
#[derive(Default)]
pub(super) struct Buffer {
    appends: VecDeque<Append>,
    bytes: usize,
}

/// Appends that share an entry of the ledger.
pub(super) struct Batch {
    pub(super) appends: Vec<Append>,
    pub(super) bytes: usize,
}

impl Buffer {
    pub(super) fn push(&mut self, append: Append) {
        self.bytes += append.bytes();
        self.appends.push_back(append);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes as many appends as fit an entry, at least one. A control record has an entry of its
    /// own, as everywhere in DistributedLog.
    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        let mut batch = Batch {
            appends: Vec::new(),
            bytes: 0,
        };
        while let Some(next) = self.appends.front() {
            let alone = next.is_control() || batch.appends.first().is_some_and(Append::is_control);
            let fits = batch.bytes + next.bytes() <= MAX_ENTRY_BYTES && !alone;
            if !batch.appends.is_empty() && !fits {
                break;
            }
            batch.bytes += next.bytes();
            batch.appends.extend(self.appends.pop_front());
        }
        self.bytes -= batch.bytes;
        (!batch.appends.is_empty()).then_some(batch)
    }

    /// Puts appends back in front, in their order: nothing of them was sent.
    pub(super) fn put_back<I>(&mut self, appends: I)
    where
        I: IntoIterator<Item = Append, IntoIter: DoubleEndedIterator>,
    {
        for append in appends.into_iter().rev() {
            self.bytes += append.bytes();
            self.appends.push_front(append);
        }
    }

    /// Returns the time at which the oldest append came.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.appends.front().map(|it| it.since)
    }

    /// Takes the appends that came until a time.
    pub(super) fn take_until(&mut self, until: Instant) -> Vec<Append> {
        let count = self
            .appends
            .iter()
            .take_while(|it| it.since <= until)
            .count();
        let taken: Vec<Append> = self.appends.drain(..count).collect();
        self.bytes -= taken.iter().map(Append::bytes).sum::<usize>();
        taken
    }

    /// Takes everything.
    pub(super) fn take_all(&mut self) -> VecDeque<Append> {
        self.bytes = 0;
        core::mem::take(&mut self.appends)
    }
}

/// Records of a batch with their positions in the segment, and the slot of each append's first
/// record.
pub(super) struct Numbered {
    pub(super) records: Vec<LogRecord>,
    pub(super) slots: Vec<i64>,
    /// Slot of the last record of an application, or `None` if there is none.
    pub(super) last_slot: Option<i64>,
    /// Number of records of applications in the segment up to the end of the batch.
    pub(super) position: u32,
}

impl Batch {
    /// Numbers the records behind `position` records of the segment.
    pub(super) fn number(&self, mut position: u32, txid: i64) -> Numbered {
        let mut records = Vec::new();
        let mut slots = Vec::with_capacity(self.appends.len());
        let (mut slot, mut last_slot) = (0, None);
        for append in &self.appends {
            slots.push(slot);
            for record in &append.entry.records {
                let (kind, taken) = match (is_control(record), record.is_record_set) {
                    (true, _) => (RecordKind::Control, 0),
                    (false, true) => (RecordKind::RecordSet, record.slots),
                    (false, false) => (RecordKind::User, 1),
                };
                let first = if taken == 0 {
                    position
                } else {
                    position.saturating_add(1)
                };
                records.push(LogRecord {
                    kind,
                    position: first,
                    txid,
                    payload: if taken == 0 {
                        CONTROL.into()
                    } else {
                        record.payload.clone()
                    },
                });
                position = position.saturating_add(taken);
                #[cfg(seeded_bugs)]
                let taken = if super::seeded_bugs::is_on(super::seeded_bugs::Bug::SetsTakeOneSlot) {
                    taken.min(1)
                } else {
                    taken
                };
                slot += i64::from(taken.max(1));
                if taken > 0 {
                    last_slot = Some(slot - 1);
                }
            }
        }
        Numbered {
            records,
            slots,
            last_slot,
            position,
        }
    }
}

/// The control record behind `position` records.
pub(super) fn control_record(position: u32, txid: i64) -> LogRecord {
    LogRecord {
        kind: RecordKind::Control,
        position,
        txid,
        payload: CONTROL.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(payload: usize, slots: u32, is_record_set: bool) -> Append {
        let record = EntryRecord {
            payload: vec![7; payload].into(),
            slots,
            is_record_set,
        };
        Append {
            entry: Entry {
                records: vec![record],
            },
            since: Instant::now(),
            done: Box::new(|_| ()),
        }
    }

    #[test]
    fn appends_share_an_entry_until_it_is_full_and_control_records_stay_alone() {
        let mut buffer = Buffer::default();
        for (payload, slots) in [(10, 1), (20, 1), (0, 0), (600_000, 1), (600_000, 1)] {
            buffer.push(append(payload, slots, false));
        }
        let mut sizes = Vec::new();
        while let Some(batch) = buffer.take_batch() {
            sizes.push(batch.appends.len());
        }
        assert_eq!(sizes, [2, 1, 1, 1]);
        assert_eq!((buffer.bytes(), buffer.is_empty()), (0, true));
    }

    #[test]
    fn a_batch_that_was_not_sent_goes_first_again() {
        let mut buffer = Buffer::default();
        buffer.push(append(1, 1, false));
        let batch = buffer.take_batch().expect("there is one");
        buffer.push(append(2, 1, false));
        buffer.put_back(batch.appends);
        let order: Vec<usize> = buffer.take_all().iter().map(Append::bytes).collect();
        assert_eq!(order, [21, 22]);
    }

    #[test]
    fn records_of_sets_count_in_slots_and_positions() {
        let mut buffer = Buffer::default();
        buffer.push(append(5, 1, false));
        buffer.push(append(50, 3, true));
        buffer.push(append(5, 1, false));
        let batch = buffer.take_batch().expect("there is one");
        let numbered = batch.number(10, 77);
        assert_eq!(numbered.slots, [0, 1, 4]);
        let positions: Vec<u32> = numbered.records.iter().map(|it| it.position).collect();
        assert_eq!(positions, [11, 12, 15]);
        assert_eq!((numbered.position, numbered.last_slot), (15, Some(4)));
    }
}
