use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use distributedlog::Dlsn;

use super::StreamTrouble;
use crate::{LogReader, ReadEvent};
use distributedlog_store::{StoreError, StreamName};

/// The pauses before a stream that could not be read is tried again: the first, doubled up to the
/// longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The reader comes back with what it found.
type Waiting = Pin<Box<dyn Future<Output = Waited> + Send>>;

/// What came of waiting.
struct Waited {
    reader: LogReader,
    created_unix_ms: Option<u64>,
    result: Result<ReadEvent, StreamTrouble>,
}

/// One stream of a merged reader.
///
/// The invariant: everything before `position` was handed out, and nothing at or after it.
pub(super) struct Input {
    stream: StreamName,
    position: Dlsn,
    /// When the stream was created that the position is of, once that is known.
    created_unix_ms: Option<u64>,
    /// Whether the stream is known to be that one still: asked at first, and whenever it could not
    /// be read.
    checked: bool,
    state: State,
    /// The pause before the next read: none unless the last one failed.
    pause: Duration,
}

enum State {
    /// It may have more of what it read last.
    Holding(LogReader),
    /// It waits for the store, whoever is asking. Giving that up and beginning anew with each call
    /// would cost the store a read each.
    Waiting(Waiting),
    /// It was deleted.
    Deleted,
    /// The store was closed.
    Closed,
}

impl Input {
    /// An input where `reader` is, of a stream that was created then, if that is known.
    pub(super) fn new(reader: LogReader, created_unix_ms: Option<u64>) -> Self {
        Self {
            stream: reader.stream().clone(),
            position: reader.position(),
            created_unix_ms,
            checked: false,
            state: State::Holding(reader),
            pause: Duration::ZERO,
        }
    }

    pub(super) const fn stream(&self) -> &StreamName {
        &self.stream
    }

    pub(super) const fn position(&self) -> Dlsn {
        self.position
    }

    pub(super) const fn created_unix_ms(&self) -> Option<u64> {
        self.created_unix_ms
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
        let event = reader.next_buffered()?;
        self.position = reader.position();
        #[cfg(seeded_bugs)]
        if distributedlog::seeded_bugs::is_on(distributedlog::seeded_bugs::Bug::PositionTooEarly) {
            self.position = reader.read_up_to();
        }
        Some(event)
    }

    /// The next event, or why there is none. Never ready once it ended.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<ReadEvent, StreamTrouble>> {
        if let Some(event) = self.buffered() {
            return Poll::Ready(Ok(event));
        }
        // Whatever comes of it, the state is set anew below.
        let mut waiting: Waiting = match core::mem::replace(&mut self.state, State::Closed) {
            State::Holding(reader) if self.checked => Box::pin(wait(reader, self.created_unix_ms)),
            State::Holding(reader) => {
                Box::pin(check_and_wait(reader, self.created_unix_ms, self.pause))
            }
            State::Waiting(waiting) => waiting,
            ended @ (State::Deleted | State::Closed) => {
                self.state = ended;
                return Poll::Pending;
            }
        };
        let Poll::Ready(Waited {
            reader,
            created_unix_ms,
            result,
        }) = waiting.as_mut().poll(context)
        else {
            self.state = State::Waiting(waiting);
            return Poll::Pending;
        };
        self.position = reader.position();
        self.created_unix_ms = created_unix_ms;
        self.checked = !matches!(result, Err(StreamTrouble::Unreadable(_)));
        self.pause = if self.checked {
            Duration::ZERO
        } else {
            (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE)
        };
        self.state = if matches!(
            result,
            Err(StreamTrouble::Unreadable(StoreError::StreamNotFound(_)))
        ) {
            State::Deleted
        } else if matches!(result, Err(StreamTrouble::Unreadable(StoreError::Closed))) {
            State::Closed
        } else {
            State::Holding(reader)
        };
        Poll::Ready(result)
    }
}

/// Waits for the next event of a stream that was created then.
async fn wait(mut reader: LogReader, created_unix_ms: Option<u64>) -> Waited {
    match reader.next().await {
        // Another one may have its name by now.
        Err(StoreError::StreamNotFound(_)) if created_unix_ms.is_some() => {
            check(reader, created_unix_ms).await
        }
        result => Waited {
            reader,
            created_unix_ms,
            result: result.map_err(StreamTrouble::Unreadable),
        },
    }
}

/// Finds out what became of a stream that was created then and is not found any more.
async fn check(reader: LogReader, before: Option<u64>) -> Waited {
    match reader.created_unix_ms().await {
        Err(error) => Waited {
            reader,
            created_unix_ms: before,
            result: Err(StreamTrouble::Unreadable(error)),
        },
        Ok(now) => created_anew(&reader, now),
    }
}

fn created_anew(reader: &LogReader, now: u64) -> Waited {
    let reader = reader.restarted().of_stream_created(now);
    Waited {
        reader,
        created_unix_ms: Some(now),
        result: Err(StreamTrouble::CreatedAnew),
    }
}

/// The same after a pause, and only if the stream is the one that it was when the reader's position
/// was reached.
async fn check_and_wait(reader: LogReader, before: Option<u64>, pause: Duration) -> Waited {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    match reader.created_unix_ms().await {
        Err(error) => Waited {
            reader,
            created_unix_ms: before,
            result: Err(StreamTrouble::Unreadable(error)),
        },
        Ok(now) if before.is_some_and(|before| before != now) => created_anew(&reader, now),
        Ok(now) => wait(reader.of_stream_created(now), Some(now)).await,
    }
}
