use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use distributedlog::Dlsn;

use crate::reader::{LogReader, ReadEvent};
use crate::store::{StoreError, StreamName};

/// The pauses before a stream that could not be read is tried again: the first, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The reader comes back with what it found.
type Waiting = Pin<Box<dyn Future<Output = (LogReader, Result<ReadEvent, StoreError>)> + Send>>;

/// One stream of a merged reader.
///
/// The invariant: everything before `position` was handed out, and nothing at or after it.
pub(super) struct Input {
    stream: StreamName,
    position: Dlsn,
    state: State,
    /// The pause before the next read: none unless the last one failed.
    pause: Duration,
}

enum State {
    /// It may have more of what it read last.
    Holding(LogReader),
    /// It waits for the store, whoever is asking. Giving that up and beginning anew with each call would cost the store a read each.
    Waiting(Waiting),
    /// It was deleted.
    Deleted,
    /// The store was closed.
    Closed,
}

impl Input {
    pub(super) fn new(reader: LogReader) -> Self {
        Self { stream: reader.stream().clone(), position: reader.position(), state: State::Holding(reader), pause: Duration::ZERO }
    }

    pub(super) const fn stream(&self) -> &StreamName {
        &self.stream
    }

    pub(super) const fn position(&self) -> Dlsn {
        self.position
    }

    pub(super) const fn is_deleted(&self) -> bool {
        matches!(self.state, State::Deleted)
    }

    pub(super) const fn is_ended(&self) -> bool {
        matches!(self.state, State::Deleted | State::Closed)
    }

    /// The next of what was read already.
    pub(super) fn buffered(&mut self) -> Option<ReadEvent> {
        let State::Holding(reader) = &mut self.state else {
            return None;
        };
        let event = reader.pop()?;
        self.position = reader.position();
        Some(event)
    }

    /// The next event, or why there is none. Never ready once it ended.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<ReadEvent, StoreError>> {
        if let Some(event) = self.buffered() {
            return Poll::Ready(Ok(event));
        }
        // Whatever comes of it, the state is set anew below.
        let mut waiting = match core::mem::replace(&mut self.state, State::Closed) {
            State::Holding(reader) => wait(reader, self.pause),
            State::Waiting(waiting) => waiting,
            ended @ (State::Deleted | State::Closed) => {
                self.state = ended;
                return Poll::Pending;
            }
        };
        let Poll::Ready((reader, result)) = waiting.as_mut().poll(context) else {
            self.state = State::Waiting(waiting);
            return Poll::Pending;
        };
        self.position = reader.position();
        self.pause = if result.is_ok() { Duration::ZERO } else { (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE) };
        self.state = if matches!(result, Err(StoreError::StreamNotFound(_))) {
            State::Deleted
        } else if matches!(result, Err(StoreError::Closed)) {
            State::Closed
        } else {
            State::Holding(reader)
        };
        Poll::Ready(result)
    }
}

fn wait(mut reader: LogReader, pause: Duration) -> Waiting {
    Box::pin(async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let event = reader.next().await;
        (reader, event)
    })
}
