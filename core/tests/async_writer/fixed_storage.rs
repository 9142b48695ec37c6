//! One thread without an allocator of the writer's own, and transports that call the writer.

use core::cell::RefCell;
use core::task::{Context, Poll};

use distributedlog::async_writer::{Acknowledgement, MultiStreamWriter, State, WaiterSlot};
use distributedlog::writer::{Fixed, Settings, StreamCount, Writer};
use distributedlog::{Attempt, AttemptId, Instant, Outcome, StartRefused, Transport};
use distributedlog_testkit::{Executor, Latency, MemoryStreams, SharedState, VirtualClock, writer};
use futures_lite::future::zip;

use crate::{ms, single};

type TestStorage = Fixed<3, 3, 8, 256>;

#[test]
fn a_writer_with_fixed_storage_works_in_a_cell() {
    let mut executor = Executor::new(1);
    let streams = MemoryStreams::new(executor.clock(), 3, Latency::Constant(ms(1)), 1);
    let machine = Writer::new(
        Settings::builder().original_features().build().unwrap(),
        StreamCount::new(3).unwrap(),
        TestStorage::new(),
    )
    .unwrap();
    let waiter_slots = [const { WaiterSlot::EMPTY }; 8 + 4];
    let state = RefCell::new(State::new(machine, waiter_slots, executor.clock()));
    let (writer, runner) = MultiStreamWriter::new(&state, streams.clone());
    let user = async {
        for number in 0..100_u8 {
            let written = writer.write(&[number; 30]).await.unwrap();
            assert_eq!(
                streams.record_at(written.stream, written.dlsn),
                Some(vec![number; 30])
            );
        }
        writer.close().await;
    };
    executor.run(zip(runner.run(), user));
}

/// A transport whose user writes through the same writer while it does its I/O.
struct Reentrant {
    inner: MemoryStreams,
    writer: std::rc::Rc<RefCell<Option<MultiStreamWriter<SharedState<VirtualClock>>>>>,
    acknowledgements: Vec<Acknowledgement<SharedState<VirtualClock>>>,
}

impl Transport for Reentrant {
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        self.inner.start(now, attempt)
    }

    fn cancel(&mut self, now: Instant, attempt: AttemptId) {
        self.inner.cancel(now, attempt);
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        if self.acknowledgements.len() < 5
            && let Some(writer) = &*self.writer.borrow()
        {
            self.acknowledgements.push(
                writer
                    .try_write(b"while it sends")
                    .expect("the lock is free"),
            );
        }
        self.inner.poll_finished(cx)
    }
}

#[test]
fn the_lock_is_free_while_the_transport_does_its_io() {
    // A fault of the original: its `write` holds the monitor while it flushes and sends. Here a
    // mutex that is held during I/O would deadlock.
    let mut executor = Executor::new(1);
    let streams = MemoryStreams::new(executor.clock(), 3, Latency::Constant(ms(1)), 1);
    let slot = std::rc::Rc::new(RefCell::new(None));
    let transport = Reentrant {
        inner: streams.clone(),
        writer: std::rc::Rc::clone(&slot),
        acknowledgements: Vec::new(),
    };
    let (handle, runner) = writer(single().build().unwrap(), 3, executor.clock(), transport);
    *slot.borrow_mut() = Some(handle.clone());
    executor.spawn(runner.run());
    executor.run(handle.write(b"first")).unwrap();
    executor.run(handle.flush());
    assert_eq!(streams.sets_stored(), 6);
    *slot.borrow_mut() = None;
}
