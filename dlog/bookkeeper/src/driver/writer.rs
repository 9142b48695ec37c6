//! A ledger that is being written: the state machine, its requests and its timer.

use core::fmt;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use distributedlog::Instant;
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, sleep_until};

use super::call::{Call, Done, Outcome, Replies};
use super::latest::Latest;
use super::shared::Core;
use crate::entry::{EntryCodec, MasterKey};
use crate::ledger::{
    AppendError, CloseReason, Fate, SendId, SendReply, Versioned, Writer, WriterOutput,
};
use crate::metadata::BookieId;
use crate::{EntryId, LedgerId};

/// Outcome of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The entry is durable, and so are all before it.
    Confirmed(EntryId),
    /// The entry was not confirmed, but is in the ledger: it was closed behind the entry.
    Written(EntryId),
    /// The entry is not in the ledger and never will be.
    NotWritten,
    /// It is not known whether the entry is in the ledger, because the ledger was deleted or the
    /// writer dropped.
    Unknown,
}

/// End of a ledger that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerEnd {
    /// Last entry of the ledger, or `None` if the ledger was deleted.
    pub last_entry: Option<EntryId>,
    /// Reason.
    pub reason: CloseReason,
    /// True if the stored end is before the last confirmed entry: bookies lost what they had
    /// acknowledged.
    pub lost_confirmed: bool,
}

/// Callback of an append, called once, in the order of the entries. It runs on the task of a
/// connection, or inside of the append: it must return without blocking.
type AppendDone = Box<dyn FnOnce(Appended) + Send>;

/// The writer of one ledger.
///
/// Dropping it leaves the ledger open, as a crash would: the next client recovers it. Appends that
/// have no outcome end as [`Appended::Unknown`].
pub struct LedgerWriter {
    shared: Arc<Shared>,
}

struct Shared {
    core: Arc<Core>,
    ledger: LedgerId,
    key: MasterKey,
    state: Mutex<State>,
    /// Notified when the timer is to be set anew, and when the writer was dropped.
    wake: Notify,
    end: Latest<Option<LedgerEnd>>,
}

struct State {
    machine: Writer,
    /// Callbacks of the entries that have no outcome, in their order.
    waiting: VecDeque<AppendDone>,
    /// True while a thread carries out outputs: others leave theirs to it, so that the order stays.
    is_busy: bool,
    /// Time for which the timer is set.
    armed: Option<Instant>,
    is_dropped: bool,
}

impl LedgerWriter {
    /// Returns the writer of a ledger that was just created.
    pub(super) fn new(
        core: &Arc<Core>,
        codec: EntryCodec,
        key: MasterKey,
        created: Versioned,
    ) -> Self {
        let ledger = codec.ledger();
        let mut machine = Writer::new(core.settings.writer, codec, created);
        machine.handle_candidates(core.clock.now(), core.bookies.candidates());
        let shared = Arc::new(Shared {
            core: Arc::clone(core),
            ledger,
            key,
            state: Mutex::new(State {
                machine,
                waiting: VecDeque::new(),
                is_busy: false,
                armed: None,
                is_dropped: false,
            }),
            wake: Notify::new(),
            end: Latest::new(None),
        });
        tokio::spawn(Arc::clone(&shared).watch());
        Self { shared }
    }

    /// Returns the number of the ledger.
    #[must_use]
    pub fn ledger(&self) -> LedgerId {
        self.shared.ledger
    }

    /// Appends an entry, and returns its number. `done` is called once with its outcome; outcomes
    /// come in the order of the entries.
    ///
    /// `done` runs on the task of a connection, or inside of this method, and must not block. It
    /// may append further entries.
    ///
    /// # Errors
    /// [`AppendError`]: nothing was sent, and `done` is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn append_with(
        &self,
        payload: &Bytes,
        done: impl FnOnce(Appended) + Send + 'static,
    ) -> Result<EntryId, AppendError> {
        self.shared.input(|state, now| {
            let entry = state.machine.append(now, payload)?;
            state.waiting.push_back(Box::new(done));
            Ok(entry)
        })
    }

    /// Appends an entry, and waits for its outcome.
    ///
    /// # Errors
    /// [`AppendError`]: nothing was sent.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the entry back once it has been polled.
    pub async fn append(&self, payload: &Bytes) -> Result<Appended, AppendError> {
        let (sender, outcome) = oneshot::channel();
        self.append_with(payload, move |appended| {
            sender.send(appended).ok();
        })?;
        Ok(outcome.await.unwrap_or(Appended::Unknown))
    }

    /// Stops taking entries, and closes the ledger behind those that are pending.
    pub fn close(&self) {
        self.shared.input(|state, now| state.machine.close(now));
    }

    /// Stops confirming entries, and closes the ledger behind the last confirmed one. That decides
    /// the outcome of the others.
    pub fn abort(&self) {
        self.shared.input(|state, now| state.machine.abort(now));
    }

    /// Waits until the ledger is closed, by this writer or by another client.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn ended(&self) -> LedgerEnd {
        let end = self.shared.end.wait_for(Option::is_some).await;
        end.expect("it was waited for")
    }

    /// Returns the last confirmed entry, or [`NO_ENTRY`](crate::NO_ENTRY).
    #[must_use]
    pub fn last_confirmed(&self) -> EntryId {
        self.shared.lock().machine.last_confirmed()
    }

    /// Returns the number of entries without an outcome.
    #[must_use]
    pub fn pending_entries(&self) -> usize {
        self.shared.lock().machine.pending_entries()
    }

    /// Returns the number of bookies of the ensemble that have failed and could not be replaced.
    #[must_use]
    pub fn failed_bookies(&self) -> usize {
        self.shared.lock().machine.failed_bookies()
    }

    /// Returns the metadata that is stored as far as the writer knows.
    #[must_use]
    pub fn metadata(&self) -> Versioned {
        self.shared.lock().machine.stored().clone()
    }
}

impl Drop for LedgerWriter {
    fn drop(&mut self) {
        let unresolved = {
            let mut state = self.shared.lock();
            state.is_dropped = true;
            core::mem::take(&mut state.waiting)
        };
        self.shared.wake.notify_one();
        for done in unresolved {
            done(Appended::Unknown);
        }
    }
}

impl fmt::Debug for LedgerWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerWriter")
            .field("ledger", &self.shared.ledger)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic can come from a callback alone, which runs without the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Gives something to the machine, and carries out what follows.
    fn input<R>(self: &Arc<Self>, change: impl FnOnce(&mut State, Instant) -> R) -> R {
        let result = change(&mut self.lock(), self.core.clock.now());
        self.carry_out();
        result
    }

    /// Carries out the machine's outputs, in their order, on one thread at a time.
    fn carry_out(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.is_busy {
            return; // The other thread looks again before it is done.
        }
        state.is_busy = true;
        while !state.is_dropped
            && let Some(output) = state.machine.poll_output()
        {
            let ends_append = matches!(
                output,
                WriterOutput::Confirmed { .. } | WriterOutput::Resolved { .. }
            );
            let done = if ends_append {
                state.waiting.pop_front()
            } else {
                None
            };
            drop(state);
            self.carry_out_one(output, done);
            state = self.lock();
        }
        state.is_busy = false;
        let due = state.machine.poll_timeout();
        if due.is_some_and(|due| state.armed.is_none_or(|armed| due < armed)) {
            state.armed = due;
            self.wake.notify_one();
        }
    }

    fn carry_out_one(self: &Arc<Self>, output: WriterOutput, done: Option<AppendDone>) {
        match output {
            WriterOutput::Send { send, bookie, body } => self.send(&bookie, send, body),
            WriterOutput::SetMetadata(next) => {
                let shared = Arc::clone(self);
                tokio::spawn(async move {
                    let reply = shared.core.nodes.set(shared.ledger, &next).await;
                    shared.input(|state, now| state.machine.handle_set(now, reply));
                });
            }
            WriterOutput::ReadMetadata { after } => {
                let shared = Arc::clone(self);
                tokio::spawn(async move {
                    sleep(after).await;
                    let reply = shared.core.nodes.read(shared.ledger).await;
                    shared.input(|state, now| state.machine.handle_metadata(now, reply));
                });
            }
            WriterOutput::Confirmed { entry } => report(done, Appended::Confirmed(entry)),
            WriterOutput::Resolved { entry, fate } => report(
                done,
                match fate {
                    Fate::Written => Appended::Written(entry),
                    Fate::NotWritten => Appended::NotWritten,
                    Fate::Unknown => Appended::Unknown,
                },
            ),
            WriterOutput::BookieFailed { bookie, failure } => {
                tracing::warn!(ledger = self.ledger, %bookie, ?failure, "a bookie failed");
                self.core.bookies.failed(&bookie, failure);
                let candidates = self.core.bookies.candidates();
                let now = self.core.clock.now();
                self.lock().machine.handle_candidates(now, candidates);
            }
            WriterOutput::EnsembleChanged => {
                tracing::info!(ledger = self.ledger, "the ensemble of a ledger changed");
            }
            WriterOutput::Closed {
                last_entry,
                reason,
                lost_confirmed,
            } => {
                self.end.set(Some(LedgerEnd {
                    last_entry,
                    reason,
                    lost_confirmed,
                }));
                self.wake.notify_one();
            }
        }
    }

    fn send(self: &Arc<Self>, bookie: &BookieId, send: SendId, body: Bytes) {
        // The number is the connection's business.
        let request = send.add(0, self.ledger, self.key, body);
        let call = Call {
            operation: request.operation,
            priority: request.priority,
            // The machine watches the time: late acknowledgements count.
            timeout: None,
            done: Done::new(self, send),
        };
        self.core.pool.send(bookie, call);
    }

    /// Watches the time and the bookies until the ledger has ended or the writer was dropped.
    async fn watch(self: Arc<Self>) {
        let changes = self.core.bookies.changes();
        let mut known = changes.get();
        loop {
            let armed = {
                let mut state = self.lock();
                if state.is_dropped || self.end.get().is_some() {
                    return;
                }
                state.armed = state.machine.poll_timeout();
                state.armed
            };
            let timer = async {
                match armed {
                    Some(at) => sleep_until(self.core.clock.at(at)).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = timer => self.input(|state, now| state.machine.handle_timeout(now)),
                () = self.wake.notified() => {}
                bookies = changes.wait_for(|it| !Arc::ptr_eq(it, &known)) => {
                    known = bookies;
                    let candidates = self.core.bookies.candidates();
                    self.input(|state, now| state.machine.handle_candidates(now, candidates));
                }
            }
        }
    }
}

impl Replies for Shared {
    type Tag = SendId;

    fn replied(self: &Arc<Self>, send: SendId, outcome: Outcome) {
        let reply = match outcome {
            Ok(response) => SendReply::Status(response.status()),
            Err(_) => SendReply::Lost,
        };
        self.input(|state, now| state.machine.handle_reply(now, send, reply));
    }
}

fn report(done: Option<AppendDone>, appended: Appended) {
    if let Some(done) = done {
        done(appended);
    }
}
