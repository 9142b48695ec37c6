//! One log segment that is being written: a ledger, and the appends that are gathered into its
//! entries.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use distributedlog::Dlsn;
use distributedlog_bookkeeper::driver::{Appended, Latest, LedgerEnd, LedgerWriter};
use distributedlog_bookkeeper::ledger::{AppendError, CloseReason};
use distributedlog_bookkeeper::namespace::EnvelopedEntry;
use distributedlog_bookkeeper::{EntryId, NO_ENTRY};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::batch::{Append, Batch, Buffer, Numbered, control_record};
use super::gathering::{Gathering, UnixClock};
use crate::{StoreError, StreamName};

/// Writes one log segment. Shared by the lease and the callbacks of its entries.
pub(super) struct SegmentWriter {
    stream: StreamName,
    sequence_number: i64,
    gathering: Gathering,
    ledger: LedgerWriter,
    begun: Instant,
    state: Mutex<State>,
    /// Last entry that readers may see.
    readable: Latest<EntryId>,
    /// Notified when nothing is in flight any more.
    idle: Notify,
    /// Returns the time in milliseconds since 1970.
    clock: UnixClock,
}

struct State {
    buffer: Buffer,
    /// Entries without an outcome, control records included.
    in_flight: usize,
    /// Appends of the entries that were sent and may have no outcome, in their order.
    sent: VecDeque<(Instant, Sent)>,
    /// True while a task watches the time of the oldest append.
    is_timed: bool,
    position: u32,
    /// Smallest transaction id that the next record may have.
    txid: i64,
    /// Transaction id of the last record that was sent.
    last_txid: i64,
    /// True if records get the last transaction id, not the time.
    is_txid_held: bool,
    bytes: u64,
    last_record: Option<(EntryId, i64)>,
    /// True if an entry of an application was sent behind the last control record.
    needs_control: bool,
    /// Time from which on nothing is in flight.
    idle_since: Instant,
    /// True while a task waits to send a control record.
    awaits_control: bool,
    /// True if nothing was in flight for so long that a control record is due.
    is_control_due: bool,
    /// True if a task is about to send what is gathered.
    is_deferred: bool,
    /// True while a thread sends: others leave their appends to it, so that the order stays.
    is_sending: bool,
    /// True if the ledger takes nothing until an entry has its outcome.
    is_full: bool,
    /// True if nothing is accepted any more.
    is_closed: bool,
}

/// End of a segment that was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentEnd {
    pub(super) ledger: LedgerEnd,
    /// Entry and slot of the last record of an application that was confirmed.
    pub(super) last_record: Option<(EntryId, i64)>,
    pub(super) record_count: u32,
    pub(super) last_txid: i64,
}

impl SegmentWriter {
    /// Returns the writer of a segment that was just started with `first_txid`.
    pub(super) fn new(
        stream: StreamName,
        sequence_number: i64,
        gathering: Gathering,
        ledger: LedgerWriter,
        first_txid: i64,
        clock: UnixClock,
    ) -> Arc<Self> {
        Arc::new(Self {
            stream,
            sequence_number,
            gathering,
            ledger,
            begun: Instant::now(),
            state: Mutex::new(State {
                buffer: Buffer::default(),
                in_flight: 0,
                sent: VecDeque::new(),
                is_timed: false,
                position: 0,
                txid: first_txid,
                last_txid: first_txid,
                is_txid_held: false,
                bytes: 0,
                last_record: None,
                needs_control: false,
                idle_since: Instant::now(),
                awaits_control: false,
                is_control_due: false,
                is_deferred: false,
                is_sending: false,
                is_full: false,
                is_closed: false,
            }),
            readable: Latest::new(NO_ENTRY),
            idle: Notify::new(),
            clock,
        })
    }

    pub(super) const fn sequence_number(&self) -> i64 {
        self.sequence_number
    }

    pub(super) const fn ledger(&self) -> &LedgerWriter {
        &self.ledger
    }

    /// Returns the last entry that readers may see.
    pub(super) const fn readable(&self) -> &Latest<EntryId> {
        &self.readable
    }

    /// Returns the bytes of all records, and their number.
    pub(super) fn size(&self) -> (u64, u32) {
        let state = self.lock();
        (state.bytes, state.position)
    }

    /// Returns the bytes of the appends that no entry has taken yet.
    pub(super) fn queued_bytes(&self) -> usize {
        self.lock().buffer.bytes()
    }

    /// Returns true if the segment has an entry that every recovery finds.
    pub(super) fn is_confirmed(&self) -> bool {
        #[cfg(seeded_bugs)]
        if super::seeded_bugs::is_on(super::seeded_bugs::Bug::RollsTooEarly) {
            return true;
        }
        self.ledger.last_confirmed() != NO_ENTRY
    }

    /// Returns the smallest transaction id that a later record may have.
    pub(super) fn min_txid(&self) -> i64 {
        self.lock().txid
    }

    /// Returns the transaction id of the next records.
    fn next_txid(&self, state: &State) -> i64 {
        if state.is_txid_held {
            state.txid
        } else {
            state.txid.max((self.clock)())
        }
    }

    /// Gives all further records the transaction id of this moment: the next segment is about to
    /// start, and its records must not have smaller ones than those that are still sent here.
    pub(super) fn hold_txid(&self) {
        let mut state = self.lock();
        state.txid = self.next_txid(&state);
        state.is_txid_held = true;
    }

    /// Ends [`hold_txid`](Self::hold_txid): the next segment could not start.
    pub(super) fn release_txid(&self) {
        self.lock().is_txid_held = false;
    }

    /// Takes an append, or returns it if the segment takes none any more.
    pub(super) fn append(self: &Arc<Self>, append: Append) -> Result<(), Append> {
        {
            let mut state = self.lock();
            if state.is_closed {
                return Err(append);
            }
            if !state.is_timed {
                state.is_timed = true;
                // It may have waited for this segment.
                let due = append.since + patience(self.gathering.timeout);
                tokio::spawn(watch_time(Arc::downgrade(self), due));
            }
            state.buffer.push(append);
            // Clients whose records were in one entry send their next ones at the same time: what
            // comes in the same turn of the runtime shares an entry, if another is on its way.
            if (1..self.gathering.pipeline).contains(&state.in_flight) {
                if !state.is_deferred {
                    state.is_deferred = true;
                    tokio::spawn(send_deferred(Arc::clone(self)));
                }
                return Ok(());
            }
        }
        self.send();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held: callbacks run without it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is due, on one thread at a time.
    fn send(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.is_sending {
            return; // The other thread looks again before it is done.
        }
        state.is_sending = true;
        while let Some(due) = self.next_due(&mut state) {
            drop(state);
            let sent = match due {
                Due::Batch(batch, numbered) => self.send_batch(batch, numbered),
                Due::Control(position, txid) => self.send_control(position, txid),
            };
            state = self.lock();
            match sent {
                Ok(()) => {}
                Err(Unsent { batch, error }) => {
                    state.in_flight -= 1;
                    if let Some(batch) = batch {
                        state.buffer.put_back(batch.appends);
                    }
                    // The ledger is closed: what is left goes to the next segment.
                    state.is_closed |= error != AppendError::Full;
                    state.is_full = true;
                }
            }
        }
        state.is_sending = false;
        let waits_for_control = state.is_idle_for_control() && !state.awaits_control;
        if waits_for_control {
            state.awaits_control = true;
            let segment = Arc::downgrade(self);
            tokio::spawn(send_control_when_idle(
                segment,
                self.gathering.control_delay,
            ));
        }
        let is_idle = state.in_flight == 0 && (state.buffer.is_empty() || state.is_full);
        drop(state);
        if is_idle {
            self.idle.notify_waiters();
        }
    }

    /// Takes what is to be sent now.
    fn next_due(&self, state: &mut State) -> Option<Due> {
        if state.is_full && state.in_flight > 0 {
            return None;
        }
        if state.is_full && state.is_closed {
            return None;
        }
        state.is_full = false;
        if state.buffer.is_empty() {
            if !state.is_control_due || !state.is_idle_for_control() {
                return None;
            }
            (state.needs_control, state.is_control_due) = (false, false);
            #[cfg(seeded_bugs)]
            if super::seeded_bugs::is_on(super::seeded_bugs::Bug::NoControlRecord) {
                return None;
            }
            state.in_flight += 1;
            return Some(Due::Control(state.position, state.last_txid));
        }
        let has_room = state.in_flight < self.gathering.pipeline;
        if !has_room && state.buffer.bytes() < self.gathering.entry_bytes {
            return None;
        }
        let batch = state.buffer.take_batch()?;
        let txid = self.next_txid(state);
        state.txid = txid;
        let numbered = batch.number(state.position, txid);
        state.in_flight += 1;
        Some(Due::Batch(batch, numbered))
    }

    fn send_batch(self: &Arc<Self>, batch: Batch, numbered: Numbered) -> Result<(), Unsent> {
        let Numbered {
            records,
            slots,
            last_slot,
            position,
        } = numbered;
        let encoded = EnvelopedEntry::encode(&records, self.gathering.compression);
        let payload = match encoded {
            Ok(payload) => payload,
            // Appends are checked before they are taken.
            Err(error) => {
                for append in batch.appends {
                    (append.done)(Err(StoreError::InvalidEntry {
                        detail: error.to_string(),
                    }));
                }
                self.lock().in_flight -= 1;
                return Ok(());
            }
        };
        let txid = records.last().map_or(0, |it| it.txid);
        let bytes = batch.bytes as u64;
        let since = batch
            .appends
            .first()
            .map_or_else(Instant::now, |it| it.since);
        let slot: Sent = Arc::new(Mutex::new(Some(batch)));
        let taken = Arc::clone(&slot);
        self.lock().sent.push_back((since, Arc::clone(&slot)));
        let this = Arc::clone(self);
        let sent = self.ledger.append_with(&payload, move |appended| {
            let batch = take(&taken);
            this.handle_outcome(appended, batch, &slots, last_slot);
        });
        match sent {
            Ok(_) => {
                let mut state = self.lock();
                state.position = position;
                state.last_txid = txid;
                state.bytes += bytes;
                state.needs_control |= last_slot.is_some();
                Ok(())
            }
            Err(error) => {
                self.lock().sent.pop_back();
                Err(Unsent {
                    batch: take(&slot),
                    error,
                })
            }
        }
    }

    fn send_control(self: &Arc<Self>, position: u32, txid: i64) -> Result<(), Unsent> {
        let record = control_record(position, txid);
        let Ok(payload) = EnvelopedEntry::encode(&[record], self.gathering.compression) else {
            self.lock().in_flight -= 1;
            return Ok(());
        };
        let this = Arc::clone(self);
        let sent = self.ledger.append_with(&payload, move |appended| {
            this.handle_outcome(appended, None, &[], None);
        });
        sent.map(|_| ())
            .map_err(|error| Unsent { batch: None, error })
    }

    /// Takes the outcome of an entry: reports it to the appends, and sends what has waited for it.
    fn handle_outcome(
        self: &Arc<Self>,
        appended: Appended,
        batch: Option<Batch>,
        slots: &[i64],
        last_slot: Option<i64>,
    ) {
        {
            let mut state = self.lock();
            state.in_flight -= 1;
            state.idle_since = Instant::now();
            while let Some((_, sent)) = state.sent.front()
                && sent
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .is_none()
            {
                state.sent.pop_front();
            }
            if let (Appended::Confirmed(entry) | Appended::Written(entry), Some(slot)) =
                (appended, last_slot)
            {
                state.last_record = Some((entry, slot));
            }
        }
        if let Appended::Confirmed(entry) = appended {
            self.readable.set(entry);
        }
        let appends = batch.map(|it| it.appends).unwrap_or_default();
        for (append, &slot) in appends.into_iter().zip(slots) {
            (append.done)(self.result(appended, slot));
        }
        self.send();
    }

    /// Reports the appends that have waited for their outcome too long. Returns the time at which
    /// the next one has, or `None` if none waits.
    ///
    /// A while before, the ledger is closed behind what is confirmed: that decides the outcome.
    fn expire(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let timeout = self.gathering.timeout;
        let patience = patience(timeout);
        let (mut unknown, mut unsent) = (Vec::new(), Vec::new());
        let (next, is_stuck) = {
            let mut state = self.lock();
            while let Some((since, _)) = state.sent.front()
                && *since + timeout <= now
            {
                let sent = state.sent.pop_front().and_then(|(_, sent)| take(&sent));
                unknown.extend(sent.into_iter().flat_map(|it| it.appends));
            }
            if let Some(due) = now.checked_sub(timeout) {
                unsent = state.buffer.take_until(due);
            }
            let sent = state.sent.front().map(|(since, _)| *since);
            let oldest = sent.into_iter().chain(state.buffer.oldest()).min();
            state.is_timed = oldest.is_some();
            // An append that waited for this segment was not stuck here.
            let is_stuck = oldest.is_some_and(|since| since.max(self.begun) + patience <= now);
            let next = oldest.map(|since| match since.max(self.begun) + patience {
                at if at <= now => since + timeout,
                at => at.min(since + timeout),
            });
            (next, is_stuck)
        };
        if is_stuck {
            self.ledger.abort();
        }
        let outcome = Appended::Unknown;
        #[cfg(seeded_bugs)]
        let outcome = if super::seeded_bugs::is_on(super::seeded_bugs::Bug::TimeoutIsNotWritten) {
            Appended::NotWritten
        } else {
            outcome
        };
        for append in unknown {
            (append.done)(self.result(outcome, 0));
        }
        for append in unsent {
            (append.done)(self.result(Appended::NotWritten, 0));
        }
        next
    }

    fn result(&self, appended: Appended, slot: i64) -> Result<Dlsn, StoreError> {
        match appended {
            Appended::Confirmed(entry) | Appended::Written(entry) => Ok(Dlsn {
                log_segment_sequence_no: self.sequence_number,
                entry_id: entry,
                slot_id: slot,
            }),
            Appended::NotWritten => Err(StoreError::Unreachable {
                address: format!("log stream {}", self.stream),
                detail: format!(
                    "ledger {} was closed before the record",
                    self.ledger.ledger()
                ),
            }),
            Appended::Unknown => Err(StoreError::Disconnected {
                address: format!("log stream {}", self.stream),
                detail: format!("the end of ledger {} is not known", self.ledger.ledger()),
            }),
        }
    }

    /// Takes the appends that were sent and have no outcome.
    #[cfg(seeded_bugs)]
    pub(super) fn take_sent(&self) -> Vec<Append> {
        let sent = core::mem::take(&mut self.lock().sent);
        let batches = sent.iter().filter_map(|(_, sent)| take(sent));
        batches.flat_map(|it| it.appends).collect()
    }

    /// Takes no appends any more, and returns those that were not sent.
    pub(super) fn take_unsent(&self) -> Vec<Append> {
        let mut state = self.lock();
        state.is_closed = true;
        state.buffer.take_all().into()
    }

    /// Takes no appends any more, waits until all that were taken have their outcome, closes the
    /// ledger, and returns the end. Appends that could not be sent stay:
    /// [`take_unsent`](Self::take_unsent).
    ///
    /// # Cancel safety
    /// Dropping the future leaves the segment closed for appends.
    pub(super) async fn close(self: &Arc<Self>) -> SegmentEnd {
        self.lock().is_closed = true;
        self.send();
        loop {
            let idle = self.idle.notified();
            let is_idle = {
                let state = self.lock();
                state.in_flight == 0 && (state.buffer.is_empty() || state.is_full)
            };
            if is_idle {
                break;
            }
            idle.await;
        }
        self.ledger.close();
        self.ended().await
    }

    /// Waits until the ledger is closed, by whomever.
    pub(super) async fn ended(&self) -> SegmentEnd {
        let ledger = self.ledger.ended().await;
        let mut state = self.lock();
        state.is_closed = true;
        SegmentEnd {
            ledger,
            last_record: state.last_record,
            record_count: state.position,
            last_txid: state.last_txid,
        }
    }
}

impl State {
    /// Returns true if readers do not see the last entry and no other one will confirm it soon.
    fn is_idle_for_control(&self) -> bool {
        self.needs_control && self.in_flight == 0 && self.buffer.is_empty() && !self.is_closed
    }
}

/// Sends a control record when nothing was in flight for a while. Readers see an entry when another
/// one confirms it: with more to come soon that is the next one.
async fn send_control_when_idle(segment: Weak<SegmentWriter>, delay: Duration) {
    loop {
        let Some(segment) = segment.upgrade() else {
            return;
        };
        let due = {
            let mut state = segment.lock();
            let due = state.idle_since + delay;
            // Who finds it idle the next time begins to wait again.
            state.awaits_control = state.is_idle_for_control() && due > Instant::now();
            state.is_control_due = state.is_idle_for_control() && !state.awaits_control;
            state.awaits_control.then_some(due)
        };
        let Some(due) = due else {
            segment.send();
            return;
        };
        drop(segment);
        sleep_until(due).await;
    }
}

/// Sends when all tasks that are ready have run once.
async fn send_deferred(segment: Arc<SegmentWriter>) {
    tokio::task::yield_now().await;
    segment.lock().is_deferred = false;
    segment.send();
}

/// Reports appends in time, from `next` on, as long as one waits and the segment is there.
async fn watch_time(segment: Weak<SegmentWriter>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let Some(segment) = segment.upgrade() else {
            return;
        };
        match segment.expire(Instant::now()) {
            Some(at) => next = at,
            None => return,
        }
    }
}

/// Time after which an append without an outcome is stuck, and the segment is ended.
fn patience(timeout: Duration) -> Duration {
    timeout * 3 / 4
}

/// Something to send.
enum Due {
    Batch(Batch, Numbered),
    Control(u32, i64),
}

/// Refusal of the ledger: nothing was sent.
struct Unsent {
    batch: Option<Batch>,
    error: AppendError,
}

/// Appends of an entry that was sent; [`None`] once they have their outcome.
type Sent = Arc<Mutex<Option<Batch>>>;

fn take(slot: &Mutex<Option<Batch>>) -> Option<Batch> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl SegmentEnd {
    /// Returns true if this writer closed the ledger with everything in it: the segment can be
    /// completed from what the writer knows.
    pub(super) fn is_orderly(&self) -> bool {
        #[cfg(seeded_bugs)]
        if super::seeded_bugs::is_on(super::seeded_bugs::Bug::CompletionByWriter) {
            return true;
        }
        matches!(self.ledger.reason, CloseReason::Finished) && !self.ledger.lost_confirmed
    }
}
