use core::future::Future;
use core::num::NonZeroUsize;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use distributedlog::Dlsn;

use super::merger::{MergeInput, Taken};
use super::multi_reader::StreamErrorKind;
use crate::log_reader::task;
use crate::{LogReader, ReadEvent, RecordRun};
use distributedlog_store::{StoreError, StreamName};

/// Pause before a stream that could not be read is tried again: the first one, doubled with each
/// failure up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before a stream is tried again.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// A read of the store in progress. It owns the reader until it completes.
type PendingRead = Pin<Box<dyn Future<Output = ReadOutcome> + Send>>;

/// Outcome of a [`PendingRead`]: if it is none of an error, the reader has something buffered.
struct ReadOutcome {
    reader: LogReader,
    created_unix_ms: Option<u64>,
    result: Result<(), StreamErrorKind>,
}

/// One stream of a merged reader.
///
/// Invariant: every record before `position` was returned, and none at or after it.
pub(super) struct Input {
    stream: StreamName,
    position: Dlsn,
    /// Time of creation of the stream that the position belongs to, or `None` until it is known.
    created_unix_ms: Option<u64>,
    /// True while the stream is known to be the one that was created at that time. The reader asks
    /// the store before the first read, and again after a failed one.
    checked: bool,
    state: InputState,
    /// Pause before the next read: zero unless the last one failed.
    pause: Duration,
    /// True if reads go on while the reader is not polled.
    reads_in_tasks: bool,
}

enum InputState {
    /// No read is in progress; the reader may have buffered events.
    Idle(LogReader),
    /// A read is in progress. It outlives the call of `next` that started it: a new read with each
    /// call would cost the store a request each.
    Reading(PendingRead),
    /// The stream was deleted.
    Deleted,
    /// The store was closed.
    Closed,
}

impl Input {
    /// Creates an input at the reader's position, of the stream that was created at this time.
    pub(super) fn new(reader: LogReader, created_unix_ms: Option<u64>) -> Self {
        Self {
            stream: reader.stream().clone(),
            position: reader.position(),
            created_unix_ms,
            checked: false,
            state: InputState::Idle(reader),
            pause: Duration::ZERO,
            reads_in_tasks: false,
        }
    }

    /// Lets the store read ahead, up to this number of bytes, in tasks of the tokio runtime. Has no
    /// effect on a read in progress.
    pub(super) fn read_ahead(&mut self, bytes: usize) {
        self.reads_in_tasks = true;
        if let InputState::Idle(reader) = &mut self.state {
            reader.read_ahead(bytes);
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
        matches!(self.state, InputState::Deleted)
    }
}

impl MergeInput for Input {
    type Error = StreamErrorKind;

    fn is_ended(&self) -> bool {
        matches!(self.state, InputState::Deleted | InputState::Closed)
    }

    fn buffered(&mut self) -> Option<ReadEvent> {
        let InputState::Idle(reader) = &mut self.state else {
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

    fn buffered_run(&mut self, most: NonZeroUsize) -> Option<RecordRun> {
        let InputState::Idle(reader) = &mut self.state else {
            return None;
        };
        let run = reader.next_buffered_run(most)?;
        self.position = reader.position();
        Some(run)
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        most: Option<NonZeroUsize>,
    ) -> Poll<Result<Taken, StreamErrorKind>> {
        // Bounded: each turn but the last reads a batch that lies before the start as a whole.
        loop {
            if let Some(taken) = self.take(most) {
                return Poll::Ready(Ok(taken));
            }
            match self.poll_read(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Input {
    /// Reads the next batch. Always pending after the input has ended.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorKind>> {
        // `Closed` is a placeholder: each of the ways out below sets the state.
        let mut read: PendingRead = match core::mem::replace(&mut self.state, InputState::Closed) {
            InputState::Idle(reader) => {
                let (created, pause) = (self.created_unix_ms, self.pause);
                let checked = self.checked;
                let read = async move {
                    if checked {
                        return read_next(reader, created).await;
                    }
                    check_and_read(reader, created, pause).await
                };
                if self.reads_in_tasks {
                    Box::pin(task::run(read))
                } else {
                    Box::pin(read)
                }
            }
            InputState::Reading(read) => read,
            ended @ (InputState::Deleted | InputState::Closed) => {
                self.state = ended;
                return Poll::Pending;
            }
        };
        let Poll::Ready(ReadOutcome {
            reader,
            created_unix_ms,
            result,
        }) = read.as_mut().poll(context)
        else {
            self.state = InputState::Reading(read);
            return Poll::Pending;
        };
        self.position = reader.position();
        self.created_unix_ms = created_unix_ms;
        self.checked = !matches!(result, Err(StreamErrorKind::Unreadable(_)));
        self.pause = if self.checked {
            Duration::ZERO
        } else {
            (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE)
        };
        self.state = if matches!(
            result,
            Err(StreamErrorKind::Unreadable(StoreError::StreamNotFound(_)))
        ) {
            InputState::Deleted
        } else if matches!(result, Err(StreamErrorKind::Unreadable(StoreError::Closed))) {
            InputState::Closed
        } else {
            InputState::Idle(reader)
        };
        Poll::Ready(result)
    }
}

/// Reads the next batch of the stream that was created at this time; waits for it at the end.
async fn read_next(mut reader: LogReader, created_unix_ms: Option<u64>) -> ReadOutcome {
    match reader.filled().await {
        // Another stream may have the name by now.
        Err(StoreError::StreamNotFound(_)) if created_unix_ms.is_some() => {
            check_recreated(reader, created_unix_ms).await
        }
        result => ReadOutcome {
            reader,
            created_unix_ms,
            result: result.map_err(StreamErrorKind::Unreadable),
        },
    }
}

/// Checks whether a stream that was not found was created again.
async fn check_recreated(reader: LogReader, before: Option<u64>) -> ReadOutcome {
    match reader.created_unix_ms().await {
        Err(error) => ReadOutcome {
            reader,
            created_unix_ms: before,
            result: Err(StreamErrorKind::Unreadable(error)),
        },
        Ok(now) => recreated(&reader, now),
    }
}

/// Restarts the reader at the beginning of the stream that has the name now.
fn recreated(reader: &LogReader, now: u64) -> ReadOutcome {
    let reader = reader.restarted().of_stream_created(now);
    ReadOutcome {
        reader,
        created_unix_ms: Some(now),
        result: Err(StreamErrorKind::Recreated),
    }
}

/// Reads the next batch after a pause, if the stream is still the one that the reader's position
/// belongs to.
async fn check_and_read(reader: LogReader, before: Option<u64>, pause: Duration) -> ReadOutcome {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    match reader.created_unix_ms().await {
        Err(error) => ReadOutcome {
            reader,
            created_unix_ms: before,
            result: Err(StreamErrorKind::Unreadable(error)),
        },
        Ok(now) if before.is_some_and(|before| before != now) => recreated(&reader, now),
        Ok(now) => read_next(reader.of_stream_created(now), Some(now)).await,
    }
}
