use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use distributedlog::async_writer::{MultiStreamWriter, Permit, State, WaiterSlot};
use distributedlog::writer::{EnqueueError, Heap, StreamCount, WriteError, WriteResult, Writer};
use distributedlog::{AttemptId, Cause, Dlsn, StreamIndex, WriteState};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::answer::{Answer, NoAnswer};
use crate::clock::PerformanceClock;
use crate::host::Host;
use crate::settings::WriterSettings;
use crate::transport::{FetchTransport, Inbox};

type Shared = Rc<RefCell<State<Heap, Box<[WaiterSlot]>, PerformanceClock>>>;

/// A writer and its runner, for the TypeScript half to hold.
///
/// Records are named by the other side's tokens, so that a promise costs no object here.
#[wasm_bindgen]
pub struct WriterHandle {
    writer: MultiStreamWriter<Shared>,
    host: Rc<Host>,
    inbox: Rc<RefCell<Inbox>>,
    permit: Rc<RefCell<Option<Permit<Shared>>>>,
    streams: u16,
}

/// Seats beyond those of the records: one for room, and those of flushes and closes, which grow.
const EXTRA_WAITER_SLOTS: usize = 16;

#[wasm_bindgen]
impl WriterHandle {
    /// Starts a writer of so many streams.
    ///
    /// # Errors
    ///
    /// The name of the setting that is refused.
    #[wasm_bindgen(constructor)]
    pub fn new(streams: usize, settings: &WriterSettings, host: Host) -> Result<Self, JsValue> {
        let (settings, connections) = settings.build()?;
        let count = StreamCount::new(streams).map_err(|error| error.setting())?;
        let memory = Heap::new(&settings, count);
        // Not `expect`: it would print the error, and printing is a quarter of the module's size.
        let Ok(machine) = Writer::new(settings, count, memory) else {
            unreachable!("the heap's tables are as large as the settings ask for")
        };
        let waiter_slots: Box<[WaiterSlot]> = (0..settings.pending_records() + EXTRA_WAITER_SLOTS)
            .map(|_| WaiterSlot::EMPTY)
            .collect();
        let state = Rc::new(RefCell::new(State::new(
            machine,
            waiter_slots,
            PerformanceClock,
        )));
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

    /// Takes a record if there is room: 0 when it was taken (the host is told of the result), 1
    /// when there is no room just now, 2 when it is too large, 3 when the writer is closed.
    #[must_use]
    pub fn write(&self, token: u32, record: &[u8]) -> u32 {
        let taken = self.writer.try_write(record);
        self.take(token, taken)
    }

    /// Waits for room for a record of so many bytes; then the host is told, and calls
    /// [`write_held`](Self::write_held). Once at a time.
    pub fn wait_for_room(&self, len: usize) {
        let (writer, host, permit) = (
            self.writer.clone(),
            Rc::clone(&self.host),
            Rc::clone(&self.permit),
        );
        spawn_local(async move {
            // It fails when the writer is closed: the next attempt of the host says so.
            *permit.borrow_mut() = writer.reserve(len).await.ok();
            host.room();
        });
    }

    /// As [`write`](Self::write), in the room that was waited for.
    #[must_use]
    pub fn write_held(&self, token: u32, record: &[u8]) -> u32 {
        let permit = self.permit.borrow_mut().take();
        let taken = match permit {
            Some(permit) => permit.submit(record),
            None => self.writer.try_write(record),
        };
        self.take(token, taken)
    }

    /// Gives the room back that was waited for.
    pub fn release_held(&self) {
        // Dropped after the borrow has ended: others are woken.
        let permit = self.permit.borrow_mut().take();
        drop(permit);
    }

    /// Transmits what fills; the host is told when all that was taken before has completed.
    pub fn flush(&self, token: u32) {
        let (writer, host) = (self.writer.clone(), Rc::clone(&self.host));
        spawn_local(async move {
            writer.flush().await;
            host.done(token);
        });
    }

    /// Takes no more records, completes those that there are, at the latest after so many
    /// milliseconds; the host is told when all has ended.
    pub fn close(&self, token: u32, within: f64) {
        let (writer, host) = (self.writer.clone(), Rc::clone(&self.host));
        // An infinity becomes the longest duration there is.
        let within = Duration::from_micros((within * 1_000.0) as u64);
        spawn_local(async move {
            writer.close_within(within).await;
            host.done(token);
        });
    }

    /// An attempt was answered with a position.
    pub fn succeeded(&self, attempt: f64, log_segment: i64, entry: i64, slot: i64) {
        Inbox::put(
            &self.inbox,
            AttemptId(attempt as u64),
            Ok(Dlsn::new(log_segment, entry, slot)),
        );
    }

    /// An attempt was answered with something else. `code` is 0 and `retry_after_ms` negative where
    /// the answer has none; `known` is what the answer says.
    pub fn refused(&self, attempt: f64, http: u16, code: i32, known: &str, retry_after_ms: f64) {
        let known = match known {
            "not_written" => Some(WriteState::NotWritten),
            "rejected" => Some(WriteState::Rejected),
            "unknown" => Some(WriteState::Unknown),
            _ => None,
        };
        let retry_after = (retry_after_ms >= 0.0)
            .then(|| Duration::from_micros((retry_after_ms * 1_000.0) as u64));
        let answer = Answer {
            http,
            code: (code != 0).then_some(code),
            known,
            retry_after,
        };
        Inbox::put(
            &self.inbox,
            AttemptId(attempt as u64),
            Err(answer.failure()),
        );
    }

    /// An attempt was not answered: `unreachable`, `forbidden`, `malformed`, or anything else for a
    /// connection that was lost.
    pub fn unanswered(&self, attempt: f64, why: &str) {
        let why = match why {
            "unreachable" => NoAnswer::Unreachable,
            "forbidden" => NoAnswer::Forbidden,
            "malformed" => NoAnswer::Malformed,
            _ => NoAnswer::Lost,
        };
        Inbox::put(&self.inbox, AttemptId(attempt as u64), Err(why.failure()));
    }

    /// The longest record that is taken, in bytes.
    #[must_use]
    pub fn max_record_bytes(&self) -> usize {
        self.writer.max_record_bytes()
    }

    /// What was done so far, in the order of [`counter_names`](Self::counter_names).
    #[must_use]
    pub fn counters(&self) -> Box<[f64]> {
        counters(&self.writer)
    }

    /// The names of the counters, with commas between them.
    #[must_use]
    pub fn counter_names() -> String {
        COUNTERS.into()
    }

    /// What was done with a stream: whether it takes its turn (0 or 1), its latency in milliseconds
    /// (negative: not known), and the attempts that were made, that won, that failed, and that
    /// were given up.
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
    fn take(
        &self,
        token: u32,
        taken: Result<impl Future<Output = WriteResult> + 'static, EnqueueError>,
    ) -> u32 {
        match taken {
            Ok(acknowledgement) => {
                let host = Rc::clone(&self.host);
                spawn_local(async move { tell(&host, token, acknowledgement.await) });
                0
            }
            Err(EnqueueError::Full) => 1,
            Err(EnqueueError::TooLarge { .. }) => 2,
            // There are no others, and what cannot be taken is not written.
            Err(_) => 3,
        }
    }
}

fn tell(host: &Host, token: u32, result: WriteResult) {
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
        }) => {
            let known = match known {
                WriteState::NotWritten => "notWritten",
                WriteState::Rejected => "rejected",
                WriteState::Unknown => "unknown",
            };
            let code = match last_cause {
                Some(Cause::Status(code)) => code.as_i32(),
                Some(_) | None => 0,
            };
            host.failed(
                token,
                reason.name(),
                known,
                last_cause.map(|cause| cause.name().to_owned()),
                code,
                attempts,
            );
        }
    }
}

macro_rules! counters {
    ($first:ident $(, $name:ident)*) => {
        const COUNTERS: &str = concat!(stringify!($first) $(, ",", stringify!($name))*);

        fn counters(writer: &MultiStreamWriter<Shared>) -> Box<[f64]> {
            let counters = writer.counters();
            Box::new([counters.$first as f64 $(, counters.$name as f64)*])
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
