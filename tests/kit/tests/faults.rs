//! Tests of the kit's own tools.

use core::time::Duration;

use distributedlog::writer::{Reason, Settings};
use distributedlog::{Cause, Clock, Failure, Instant, StreamIndex, WriteState};
use distributedlog_testkit::{
    Executor, FaultControl, Faults, Faulty, Latency, MemoryStreams, SharedState, VirtualClock,
    writer,
};

const STREAM: StreamIndex = StreamIndex(0);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

struct Stage {
    executor: Executor,
    writer: distributedlog::async_writer::MultiStreamWriter<SharedState<VirtualClock>>,
    streams: MemoryStreams,
    faults: FaultControl,
}

/// One stream that answers after 2 ms, and a writer that tries it once.
fn stage() -> Stage {
    let settings = Settings::original()
        .to_builder()
        .buffer_size(0)
        .build()
        .unwrap();
    let mut executor = Executor::new(1);
    let streams = MemoryStreams::new(executor.clock(), 1, Latency::Constant(ms(2)), 1);
    let (transport, faults) = Faulty::new(streams.clone(), executor.clock(), 1, 1);
    let (writer, runner) = writer(settings, 1, executor.clock(), transport);
    executor.spawn(runner.run());
    Stage {
        executor,
        writer,
        streams,
        faults,
    }
}

#[test]
fn a_stalled_stream_stores_nothing_and_never_answers() {
    let mut stage = stage();
    stage.faults.set(STREAM, Faults::stalled());
    let error = stage
        .executor
        .run(stage.writer.write(b"record"))
        .unwrap_err();
    assert_eq!(
        (error.reason, error.known),
        (Reason::TimedOut, WriteState::Unknown)
    );
    assert_eq!(stage.executor.clock().now(), Instant::from_millis(500));
    assert_eq!(stage.streams.sets_stored(), 0);
}

#[test]
fn a_failing_stream_fails_with_the_configured_failure() {
    let mut stage = stage();
    stage
        .faults
        .set(STREAM, Faults::failing(Failure::not_sent(Cause::Refused)));
    let error = stage
        .executor
        .run(stage.writer.write(b"record"))
        .unwrap_err();
    assert_eq!(
        (error.known, error.last_cause),
        (WriteState::NotWritten, Some(Cause::Refused))
    );
    assert_eq!(stage.streams.sets_stored(), 0);
}

#[test]
fn a_lost_answer_leaves_the_record_stored_and_its_state_unknown() {
    let mut stage = stage();
    stage.faults.set(
        STREAM,
        Faults {
            lose_answer: 1.0,
            ..Faults::NONE
        },
    );
    let error = stage
        .executor
        .run(stage.writer.write(b"record"))
        .unwrap_err();
    assert_eq!(
        (error.known, error.last_cause),
        (WriteState::Unknown, Some(Cause::ConnectionLost))
    );
    assert_eq!(
        stage.streams.stored(STREAM)[0].records(),
        [b"record".to_vec()]
    );
}

#[test]
fn a_swallowed_answer_leaves_the_record_stored_without_a_result() {
    let mut stage = stage();
    stage.faults.set(
        STREAM,
        Faults {
            swallow_answer: 1.0,
            ..Faults::NONE
        },
    );
    let error = stage
        .executor
        .run(stage.writer.write(b"record"))
        .unwrap_err();
    assert_eq!(
        (error.known, error.reason),
        (WriteState::Unknown, Reason::TimedOut)
    );
    assert_eq!(stage.streams.sets_stored(), 1);
}

#[test]
fn delays_reorder_what_was_sent_one_after_the_other() {
    let mut stage = stage();
    stage.faults.set(
        STREAM,
        Faults {
            delay: (ms(0), ms(50)),
            ..Faults::NONE
        },
    );
    let acknowledged: Vec<_> = (0..20_u8)
        .map(|number| stage.writer.try_write(&[number]).unwrap())
        .collect();
    stage.executor.run(stage.writer.flush());
    let entries: Vec<_> = acknowledged
        .into_iter()
        .map(|record| stage.executor.run(record).unwrap().dlsn.entry_id)
        .collect();
    let mut sorted = entries.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    assert_ne!(entries, sorted);
}

#[test]
fn a_delayed_answer_arrives_later() {
    let mut stage = stage();
    stage.faults.set(
        STREAM,
        Faults {
            answer_delay: (ms(30), ms(30)),
            ..Faults::NONE
        },
    );
    stage.executor.run(stage.writer.write(b"record")).unwrap();
    assert_eq!(stage.executor.clock().now(), Instant::from_millis(32));
}

#[test]
fn timers_fire_in_order_and_dropped_ones_do_not() {
    let mut executor = Executor::new(9);
    let clock = executor.clock();
    let dropped = clock.sleep_until(Instant::from_millis(1));
    let order = std::rc::Rc::new(core::cell::RefCell::new(Vec::new()));
    for millis in [30, 10, 20] {
        let (clock, order) = (clock.clone(), std::rc::Rc::clone(&order));
        executor.spawn(async move {
            clock.sleep_until(Instant::from_millis(millis)).await;
            order.borrow_mut().push(clock.now().as_micros() / 1000);
        });
    }
    drop(dropped);
    executor.run(clock.sleep_until(Instant::from_millis(30)));
    executor.settle();
    assert_eq!(*order.borrow(), [10, 20, 30]);
    assert_eq!(clock.next_timer(), None);
}
