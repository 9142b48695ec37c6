use core::future::Future;
use core::hash::{BuildHasher, Hasher};
use core::num::NonZeroUsize;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::hash::RandomState;
use std::sync::Arc;

use tokio::time::Instant;

use super::error::ReadError;
use super::fault::{FaultKind, StreamFault};
use crate::event::ReadEvent;
use crate::merge::{MergeInput, Taken};
use crate::position::Mark;
use crate::run::RecordRun;
use crate::source::{Failure, Fetcher, Item};

/// Pause before a stream that could not be read is tried again: the first one, doubled with each
/// failure up to [`MAX_PAUSE`]. A quarter of it is drawn at random, so that the streams of many
/// readers do not come back in step.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before a stream is tried again.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// A read in progress. It owns the fetcher until it completes.
type PendingRead = Pin<Box<dyn Future<Output = (Fetcher, Result<(), Failure>)> + Send>>;

/// One stream of a reader.
///
/// Invariant: every record before `position` was returned, and none at or after it.
pub(super) struct Tail {
    pub(super) stream: Arc<str>,
    pub(super) position: Mark,
    state: TailState,
    /// Failure or end that was met behind the last event.
    met: Option<Item>,
    follow: bool,
    give_up: GiveUp,
    /// Pause before the next read: zero unless the last one failed.
    pause: Duration,
    /// Time of the first failure since the last progress.
    failing_since: Option<Instant>,
    /// True if there was nothing behind `position` when it was last asked.
    pub(super) caught_up: bool,
    /// Time at which the last record returned was written. `None` before the first.
    pub(super) last_written_unix_ms: Option<u64>,
    /// Number of connections made.
    pub(super) connections: u64,
}

/// Time for which a stream may fail without any progress.
#[derive(Clone)]
pub(super) struct GiveUp {
    /// `None`: for ever.
    pub(super) after: Option<Duration>,
    /// `None`: the time is the same after the source has answered. Otherwise it ends then, and the
    /// streams of a reader share the knowledge that it has.
    pub(super) until_answered: Option<Arc<AtomicBool>>,
}

impl GiveUp {
    fn note_answer(&self) {
        if let Some(answered) = &self.until_answered {
            answered.store(true, Ordering::Relaxed);
        }
    }

    fn is_due(&self, failing: Duration) -> bool {
        let ended = |answered: &Arc<AtomicBool>| answered.load(Ordering::Relaxed);
        !self.until_answered.as_ref().is_some_and(ended)
            && self.after.is_some_and(|after| failing >= after)
    }
}

enum TailState {
    /// No read is in progress; there may be items that were read.
    Idle(Fetcher),
    /// A read is in progress. It outlives the call of `next` that started it.
    Reading(PendingRead),
    /// The stream was read to its end.
    Complete,
    /// The stream will not be read to its end, for this reason.
    Unread(StreamFault),
}

/// A tail's report, besides records.
pub(super) enum TailError {
    /// The reader goes on.
    Fault(StreamFault),
    /// The reader cannot go on.
    Fatal(ReadError),
}

impl Tail {
    pub(super) fn new(
        stream: Arc<str>,
        position: Mark,
        fetcher: Fetcher,
        follow: bool,
        give_up: GiveUp,
    ) -> Self {
        Self {
            stream,
            position,
            state: TailState::Idle(fetcher),
            met: None,
            follow,
            give_up,
            pause: Duration::ZERO,
            failing_since: None,
            caught_up: false,
            last_written_unix_ms: None,
            connections: 0,
        }
    }

    /// Returns the reason why the stream was not read to its end, if it will not be.
    pub(super) const fn unread(&self) -> Option<&StreamFault> {
        match &self.state {
            TailState::Unread(fault) => Some(fault),
            TailState::Idle(_) | TailState::Reading(_) | TailState::Complete => None,
        }
    }

    /// Number of bytes that were read and not taken.
    pub(super) fn buffered_bytes(&self) -> usize {
        match &self.state {
            TailState::Idle(fetcher) => fetcher.buffered_bytes(),
            // A read starts when the buffer has no whole record.
            TailState::Reading(_) | TailState::Complete | TailState::Unread(_) => 0,
        }
    }

    /// Handles what was met behind the last event, or the failure of a read. `None` if the tail has
    /// reached the end of its stream.
    fn handle(&mut self, met: Item) -> Option<TailError> {
        match met {
            Item::CaughtUp(next) => {
                self.position = next;
                self.caught_up = true;
                self.state = TailState::Complete;
                None
            }
            Item::Failed(failure) => Some(self.fail(failure)),
            Item::Event(..) | Item::Reached { .. } => None,
        }
    }

    fn fail(&mut self, failure: Failure) -> TailError {
        self.caught_up = false;
        match failure {
            Failure::Fatal(error) => {
                let fault = self.fault(FaultKind::Unavailable, error.to_string());
                self.state = TailState::Unread(fault);
                TailError::Fatal(error)
            }
            Failure::Deleted => {
                let detail = "it was read up to there".to_owned();
                let fault = self.fault(FaultKind::Deleted, detail);
                self.state = TailState::Unread(fault.clone());
                TailError::Fault(fault)
            }
            Failure::Missing(detail) => {
                self.give_up.note_answer();
                let fault = self.fault(FaultKind::Missing, detail);
                if self.follow {
                    self.back_off(None);
                } else {
                    self.state = TailState::Unread(fault.clone());
                }
                TailError::Fault(fault)
            }
            Failure::Transient {
                detail,
                retry_after,
                at_once,
                answered,
            } => {
                if answered {
                    self.give_up.note_answer();
                }
                self.retry(detail, retry_after, at_once)
            }
        }
    }

    /// Decides whether a failed read is tried again.
    fn retry(&mut self, detail: String, retry_after: Option<Duration>, at_once: bool) -> TailError {
        let fault = self.fault(FaultKind::Unavailable, detail);
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if self.give_up.is_due(since.elapsed()) {
            self.state = TailState::Unread(fault.clone());
            if self.follow {
                return TailError::Fatal(ReadError::Unavailable {
                    stream: self.stream.to_string(),
                    detail: fault.detail,
                });
            }
        } else if !(at_once && self.pause.is_zero()) {
            self.back_off(retry_after);
        }
        TailError::Fault(fault)
    }

    fn back_off(&mut self, retry_after: Option<Duration>) {
        let doubled = (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE);
        self.pause = doubled.max(retry_after.unwrap_or_default());
    }

    fn fault(&self, kind: FaultKind, detail: String) -> StreamFault {
        StreamFault {
            stream: Arc::clone(&self.stream),
            kind,
            detail,
        }
    }

    fn progress(&mut self) {
        self.pause = Duration::ZERO;
        self.failing_since = None;
    }
}

impl MergeInput for Tail {
    type Error = TailError;

    fn is_ended(&self) -> bool {
        matches!(self.state, TailState::Complete | TailState::Unread(_))
    }

    fn buffered(&mut self) -> Option<ReadEvent> {
        if self.met.is_some() {
            return None;
        }
        // Bounded: each turn takes an item out of the buffer.
        loop {
            let TailState::Idle(fetcher) = &mut self.state else {
                return None;
            };
            match fetcher.pop()? {
                Item::Event(event, position) => {
                    if let ReadEvent::Record(record) = &event {
                        self.last_written_unix_ms = Some(record.written_unix_ms);
                    }
                    self.position = position;
                    self.caught_up = false;
                    self.progress();
                    return Some(event);
                }
                Item::Reached { next, at_end } => {
                    self.position = next;
                    // The first line of a response says nothing of what follows.
                    if at_end {
                        self.caught_up = true;
                        self.progress();
                    }
                }
                met @ (Item::CaughtUp(_) | Item::Failed(_)) => {
                    self.met = Some(met);
                    return None;
                }
            }
        }
    }

    fn buffered_run(&mut self, most: NonZeroUsize) -> Option<RecordRun> {
        if self.met.is_some() {
            return None;
        }
        let TailState::Idle(fetcher) = &mut self.state else {
            return None;
        };
        let (run, position) = fetcher.pop_run(most)?;
        self.last_written_unix_ms = Some(run.written_unix_ms);
        self.position = position;
        self.caught_up = false;
        self.progress();
        Some(run)
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        most: Option<NonZeroUsize>,
    ) -> Poll<Result<Taken, TailError>> {
        // Bounded: a turn ends with records, or with a read, which is pending or has filled the
        // buffer with at most its size.
        loop {
            if let Some(taken) = self.take(most) {
                return Poll::Ready(Ok(taken));
            }
            if let Some(met) = self.met.take() {
                if let Some(error) = self.handle(met) {
                    return Poll::Ready(Err(error));
                }
                return Poll::Pending;
            }
            // `Complete` is a placeholder: each of the ways out below sets the state.
            let mut read = match core::mem::replace(&mut self.state, TailState::Complete) {
                TailState::Idle(fetcher) => read(fetcher, self.position.clone(), self.pause),
                TailState::Reading(read) => read,
                ended @ (TailState::Complete | TailState::Unread(_)) => {
                    self.state = ended;
                    return Poll::Pending;
                }
            };
            let Poll::Ready((fetcher, result)) = read.as_mut().poll(context) else {
                self.state = TailState::Reading(read);
                return Poll::Pending;
            };
            self.connections = fetcher.connections();
            self.state = TailState::Idle(fetcher);
            match result {
                Ok(()) => self.give_up.note_answer(),
                Err(failure) => return Poll::Ready(Err(self.fail(failure))),
            }
        }
    }
}

fn read(mut fetcher: Fetcher, position: Mark, pause: Duration) -> PendingRead {
    Box::pin(async move {
        if !pause.is_zero() {
            tokio::time::sleep(jittered(pause)).await;
        }
        let result = fetcher.fill(&position).await;
        (fetcher, result)
    })
}

/// Draws a pause from three quarters of `pause` to all of it.
fn jittered(pause: Duration) -> Duration {
    // The seeds of hash maps are random; a pause needs no better numbers.
    let random = RandomState::new().build_hasher().finish() % 1024;
    let share = 3072 + u32::try_from(random).expect("below 1024");
    pause * share / 4096
}
