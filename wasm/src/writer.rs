//! The writer's handle, as TypeScript sees it.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use distributedlog::async_writer::{GrowingSlots, MultiStreamWriter, Permit, State};
use distributedlog::writer::{
    EnqueueError, Heap, NoChanges, StreamCount, WriteError, WriteResult, Writer,
};
use distributedlog::{AttemptId, Cause, Dlsn, Failure, StatusCode, StreamIndex, WriteState};
use wasm_bindgen::prelude::*;

use crate::clock::PerformanceClock;
use crate::host::Host;
use crate::response::{ErrorResponse, NoResponse};
use crate::settings;
use crate::tasks::spawn_local;
use crate::transport::{FetchTransport, Inbox};

type Shared = Rc<RefCell<State<Heap, GrowingSlots, PerformanceClock, NoChanges>>>;

/// A writer and its runner, owned by the TypeScript half.
///
/// Records are named by the host's tokens, so that a promise costs no object here.
#[wasm_bindgen]
pub struct WriterHandle {
    writer: MultiStreamWriter<Shared>,
    host: Rc<Host>,
    inbox: Rc<RefCell<Inbox>>,
    permit: Rc<RefCell<Option<Permit<Shared>>>>,
    streams: u16,
}

#[wasm_bindgen]
impl WriterHandle {
    /// Starts a writer of `streams` streams, with settings as `settings::build` takes them.
    ///
    /// # Errors
    ///
    /// Returns the name of the setting that is refused, as a string.
    #[wasm_bindgen(constructor)]
    pub fn new(streams: usize, names: &str, values: &[f64], host: Host) -> Result<Self, JsValue> {
        let (settings, connections) = settings::build(names, values)?;
        let count = StreamCount::new(streams).map_err(|error| error.setting())?;
        let memory = Heap::new(&settings, count);
        // Not `expect`: it would link the formatting code, a quarter of the module's size.
        let Ok(machine) = Writer::<_, NoChanges>::with_features(settings, count, memory) else {
            unreachable!("the heap's tables are as large as the settings ask for")
        };
        let state = State::new(machine, GrowingSlots::new(), PerformanceClock);
        let state = Rc::new(RefCell::new(state));
        let host = Rc::new(host);
        let (transport, inbox) = FetchTransport::new(Rc::clone(&host), connections);
        let (writer, runner) = MultiStreamWriter::new(state, transport);
        spawn_local(runner.run());
        Ok(Self {
            writer,
            host,
            inbox,
            permit: Rc::default(),
            streams: streams as u16,
        })
    }

    /// Accepts a record if there is room. Returns 0 if it was accepted, and passes the result to
    /// the host later; 1 if there is no room now, 2 if it is too large, 3 if the writer is closed.
    #[must_use]
    pub fn write(&self, token: u32, record: &[u8]) -> u32 {
        let accepted = self.writer.try_write(record);
        self.accept(token, accepted)
    }

    /// Waits for room for a record of `len` bytes, then calls the host's `room`, which calls
    /// [`write_held`](Self::write_held). At most one call at a time.
    pub fn wait_for_room(&self, len: usize) {
        let (writer, host, permit) = (
            self.writer.clone(),
            Rc::clone(&self.host),
            Rc::clone(&self.permit),
        );
        spawn_local(async move {
            // An error means that the writer is closed: the host's next write returns 3.
            *permit.borrow_mut() = writer.reserve(len).await.ok();
            host.room();
        });
    }

    /// Does the same as [`write`](Self::write), in the room that
    /// [`wait_for_room`](Self::wait_for_room) reserved.
    #[must_use]
    pub fn write_held(&self, token: u32, record: &[u8]) -> u32 {
        let permit = self.permit.borrow_mut().take();
        let accepted = match permit {
            Some(permit) => permit.submit(record),
            None => self.writer.try_write(record),
        };
        self.accept(token, accepted)
    }

    /// Releases the room that [`wait_for_room`](Self::wait_for_room) reserved.
    pub fn release_held(&self) {
        // Dropped after the borrow has ended, because the drop wakes other waiters.
        let permit = self.permit.borrow_mut().take();
        drop(permit);
    }

    /// Transmits the partial set, and calls the host's `done` when all records accepted before have
    /// completed.
    pub fn flush(&self, token: u32) {
        let (writer, host) = (self.writer.clone(), Rc::clone(&self.host));
        spawn_local(async move {
            writer.flush().await;
            host.done(token);
        });
    }

    /// Accepts no more records, completes those it has within `within` milliseconds, and then calls
    /// the host's `done`.
    pub fn close(&self, token: u32, within: f64) {
        let (writer, host) = (self.writer.clone(), Rc::clone(&self.host));
        // The cast saturates: infinity becomes the longest duration, NaN and negatives become 0.
        let within = Duration::from_micros((within * 1_000.0) as u64);
        spawn_local(async move {
            writer.close_within(within).await;
            host.done(token);
        });
    }

    /// Reports that an attempt succeeded, at this position.
    pub fn succeeded(&self, attempt: f64, log_segment: i64, entry: i64, slot: i64) {
        Inbox::put(
            &self.inbox,
            AttemptId(attempt as u64),
            Ok(Dlsn::new(log_segment, entry, slot)),
        );
    }

    /// Reports an error response to an attempt. `code` is 0, `known` empty and `retry_after_ms`
    /// negative where the response has none.
    pub fn refused(&self, attempt: f64, http: u16, code: i32, known: &str, retry_after_ms: f64) {
        let known = match known {
            "not_written" => Some(WriteState::NotWritten),
            "rejected" => Some(WriteState::Rejected),
            "unknown" => Some(WriteState::Unknown),
            _ => None,
        };
        let retry_after = (retry_after_ms >= 0.0)
            .then(|| Duration::from_micros((retry_after_ms * 1_000.0) as u64));
        let response = ErrorResponse {
            http,
            code: (code != 0).then_some(code),
            known,
            retry_after,
        };
        self.fail_attempt(attempt, response.failure());
    }

    /// Reports that an attempt had no usable response. `reason` is `unreachable`, `forbidden` or
    /// `malformed`; everything else counts as a lost connection.
    pub fn unanswered(&self, attempt: f64, reason: &str) {
        let reason = match reason {
            "unreachable" => NoResponse::Unreachable,
            "forbidden" => NoResponse::Forbidden,
            "malformed" => NoResponse::Malformed,
            _ => NoResponse::Lost,
        };
        self.fail_attempt(attempt, reason.failure());
    }

    /// Returns the size of the largest record that is accepted, in bytes.
    #[must_use]
    pub fn max_record_bytes(&self) -> usize {
        self.writer.max_record_bytes()
    }

    /// Returns the counters, in the order of `COUNTERS` in `wasm/npm/src/writer.ts`.
    #[must_use]
    pub fn counters(&self) -> Box<[f64]> {
        counters(&self.writer)
    }

    /// Returns six figures of a stream: 1 if it is healthy, otherwise 0; its latency in
    /// milliseconds, negative if unknown; and the numbers of attempts made, won, failed and given
    /// up.
    #[must_use]
    pub fn stream(&self, stream: u16) -> Box<[f64]> {
        debug_assert!(stream < self.streams);
        let Some(status) = self.writer.stream_status(StreamIndex(stream)) else {
            return Box::default();
        };
        let counters = status.counters;
        let latency = status
            .latency
            .map_or(-1.0, |latency| latency.as_micros() as f64 / 1_000.0);
        let numbers = [
            counters.attempts,
            counters.won,
            counters.failed,
            counters.given_up,
        ]
        .map(|count| count as f64);
        [f64::from(u8::from(status.healthy)), latency]
            .into_iter()
            .chain(numbers)
            .collect()
    }
}

impl WriterHandle {
    /// Reports the failure of an attempt. Its cause becomes the lower 32 bits of the attempt's
    /// number, by which the host finds the error that it made: core keeps the last cause of each
    /// set, and so no record is given the cause of another one's failure.
    fn fail_attempt(&self, attempt: f64, failure: Failure) {
        let attempt = attempt as u64;
        let cause = Cause::Status(StatusCode::from_i32(attempt as i32));
        Inbox::put(
            &self.inbox,
            AttemptId(attempt),
            Err(Failure::new(cause, failure.known, failure.advice)),
        );
    }

    /// Spawns the task that reports the result of an accepted record. Returns the code of
    /// [`write`](Self::write).
    fn accept(
        &self,
        token: u32,
        accepted: Result<impl Future<Output = WriteResult> + 'static, EnqueueError>,
    ) -> u32 {
        match accepted {
            Ok(acknowledgement) => {
                let host = Rc::clone(&self.host);
                spawn_local(async move { report(&host, token, acknowledgement.await) });
                0
            }
            Err(EnqueueError::Full) => 1,
            Err(EnqueueError::TooLarge { .. }) => 2,
            // `Closed`: the only other reason.
            Err(_) => 3,
        }
    }
}

/// Passes the result of a write to the host.
fn report(host: &Host, token: u32, result: WriteResult) {
    match result {
        Ok(written) => {
            let Dlsn {
                log_segment_sequence_no,
                entry_id,
                slot_id,
            } = written.dlsn;
            host.written(
                token,
                u32::from(written.stream.0),
                log_segment_sequence_no,
                entry_id,
                slot_id,
                written.attempts,
            );
        }
        Err(WriteError {
            known,
            reason,
            last_cause,
            attempts,
            ..
        }) => {
            let known = match known {
                WriteState::NotWritten => "notWritten",
                WriteState::Rejected => "rejected",
                WriteState::Unknown => "unknown",
            };
            let attempt = match last_cause {
                Some(Cause::Status(attempt)) => Some(attempt.as_i32()),
                Some(_) | None => None,
            };
            host.failed(token, reason.name(), known, attempt, attempts);
        }
    }
}

macro_rules! counters {
    ($($name:ident),*) => {
        fn counters(writer: &MultiStreamWriter<Shared>) -> Box<[f64]> {
            let counters = writer.counters();
            Box::new([$(counters.$name as f64),*])
        }
    };
}

counters!(
    records,
    bytes,
    records_written,
    records_failed,
    sets,
    sets_written,
    attempts,
    retries,
    hedges_sent,
    hedges_won,
    hedges_wasted,
    cancelled,
    late_answers,
    failures,
    budget_exhausted,
    pushbacks,
    probation_entries,
    probation_exits
);
