use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;

use std::rc::Rc;

use distributedlog::StreamIndex;
use distributedlog::writer::{EnqueueError, Settings};
use distributedlog_testkit::Faults;
use futures_lite::future::poll_once;

use crate::{ms, single, stage};

/// Canonical for R7, for the async writer.
#[test]
fn write_waits_for_room_and_try_write_says_full_at_once() {
    let mut stage = stage(single().in_flight_sets(1).build().unwrap(), 1, 1);
    let _flying = stage.writer.try_write(b"1").unwrap();
    stage.executor.settle();
    let _filling = stage.writer.try_write(b"2").unwrap();
    assert_eq!(
        stage.writer.try_write(b"3").unwrap_err(),
        EnqueueError::Full
    );
    let written = stage.executor.run(stage.writer.write(b"4")).unwrap();
    assert_eq!(written.dlsn.entry_id, 2);
    assert_eq!(
        stage.writer.counters().refused_full,
        1,
        "who waits is not counted as refused again and again"
    );
}

#[test]
fn waiting_tasks_get_room_in_order_of_arrival() {
    let mut stage = stage(single().in_flight_sets(1).build().unwrap(), 1, 7);
    let order = Rc::new(RefCell::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..40_u8 {
        let (writer, order) = (stage.writer.clone(), Rc::clone(&order));
        tasks.push(stage.executor.spawn(async move {
            let accepted = writer.submit(&[number]).await.unwrap();
            order.borrow_mut().push(number);
            accepted.await.unwrap();
        }));
        // Each is polled once before the next one is created.
        stage.executor.settle();
    }
    let clock = stage.executor.clock();
    while !tasks.iter().all(|task| stage.executor.is_finished(*task)) {
        clock.advance(clock.next_timer().unwrap());
        stage.executor.settle();
    }
    assert_eq!(*order.borrow(), (0..40).collect::<Vec<_>>());
}

/// Counts the polls of its future.
struct Counted<F>(Pin<Box<F>>, Rc<Cell<u32>>);

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut core::task::Context<'_>,
    ) -> core::task::Poll<F::Output> {
        self.1.set(self.1.get() + 1);
        self.0.as_mut().poll(cx)
    }
}

#[test]
fn room_for_one_record_wakes_one_waiting_task() {
    // No thundering herd: 50 writes over a window of one set are polled a few times each, not once
    // for every set that ends.
    let mut stage = stage(single().in_flight_sets(1).build().unwrap(), 1, 3);
    let polls = Rc::new(Cell::new(0));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let writer = stage.writer.clone();
            let write = Counted(
                Box::pin(async move { writer.write(b"record").await.map(drop).unwrap() }),
                Rc::clone(&polls),
            );
            stage.executor.spawn(write)
        })
        .collect();
    stage.executor.run(async {
        let clock = stage.writer.clone();
        while clock.counters().records_written < 50 {
            clock.flush().await;
            futures_lite::future::yield_now().await;
        }
    });
    stage.executor.settle();
    assert!(tasks.iter().all(|task| stage.executor.is_finished(*task)));
    // One poll to queue, one to be accepted, one to receive the result.
    assert!(polls.get() <= 3 * 50, "{} polls", polls.get());
}

#[test]
fn a_task_that_is_woken_for_room_and_dropped_passes_the_room_on() {
    let mut stage = stage(single().in_flight_sets(1).build().unwrap(), 1, 1);
    let _flying = stage.writer.try_write(b"1").unwrap();
    stage.executor.settle();
    let _filling = stage.writer.try_write(b"2").unwrap();
    let mut first = Box::pin(stage.writer.submit(b"3"));
    let mut second = Box::pin(stage.writer.submit(b"4"));
    assert!(stage.executor.run(poll_once(&mut first)).is_none());
    assert!(stage.executor.run(poll_once(&mut second)).is_none());
    // The first set's answer makes room: the first task in the queue is woken, but dropped.
    let clock = stage.executor.clock();
    clock.advance(clock.next_timer().unwrap());
    stage.executor.settle();
    clock.advance(clock.next_timer().unwrap());
    stage.executor.settle();
    drop(first);
    let _accepted = stage.executor.run(second).unwrap();
}

#[test]
fn more_tasks_than_slots_all_get_room() {
    // The kit's writer has 64 slots for waiting tasks.
    let mut stage = stage(single().in_flight_sets(1).build().unwrap(), 1, 5);
    let tasks: Vec<_> = (0..300_u16)
        .map(|number| {
            let writer = stage.writer.clone();
            stage.executor.spawn(async move {
                let _accepted = writer.submit(&number.to_be_bytes()).await.unwrap();
            })
        })
        .collect();
    let clock = stage.executor.clock();
    stage.executor.settle();
    while !tasks.iter().all(|task| stage.executor.is_finished(*task)) {
        clock.advance(
            clock
                .next_timer()
                .expect("a task still waits for a set to end"),
        );
        stage.executor.settle();
    }
    stage.executor.run(stage.writer.flush());
    assert_eq!(stage.streams.sets_stored(), 300);
}

#[test]
fn a_permit_holds_room_until_it_is_used_or_dropped() {
    let mut stage = stage(single().in_flight_sets(2).build().unwrap(), 1, 1);
    let permit = stage.executor.run(stage.writer.reserve(10)).unwrap();
    let other = stage.executor.run(stage.writer.reserve(10)).unwrap();
    let _filling = stage
        .writer
        .try_write(b"waits for a place in flight")
        .unwrap();
    assert_eq!(
        stage.writer.try_write(b"x").unwrap_err(),
        EnqueueError::Full
    );
    let record = permit.submit(b"permitted").unwrap();
    drop(other);
    let written = stage.executor.run(record).unwrap();
    assert_eq!(
        stage
            .streams
            .record_at(written.stream, written.dlsn)
            .unwrap(),
        b"permitted"
    );

    let small = stage.executor.run(stage.writer.reserve(3)).unwrap();
    assert_eq!(
        small.submit(b"four").unwrap_err(),
        EnqueueError::TooLarge { len: 4, max: 3 }
    );
    let far_too_large = stage.writer.max_record_bytes() + 1;
    assert!(matches!(
        stage
            .executor
            .run(stage.writer.reserve(far_too_large))
            .unwrap_err(),
        EnqueueError::TooLarge { .. }
    ));
}

#[test]
fn a_record_that_is_too_large_is_refused_at_once_even_if_others_wait() {
    let mut stage = stage(single().in_flight_sets(1).build().unwrap(), 1, 1);
    let _flying = stage.writer.try_write(b"1").unwrap();
    stage.executor.settle();
    let _filling = stage.writer.try_write(b"2").unwrap();
    let mut waits = Box::pin(stage.writer.submit(b"3"));
    assert!(stage.executor.run(poll_once(&mut waits)).is_none());
    let huge = vec![0; stage.writer.max_record_bytes() + 1];
    let before = stage.writer.counters();
    let refused = stage
        .executor
        .run(poll_once(Box::pin(stage.writer.write(&huge))))
        .expect("without waiting")
        .unwrap_err();
    assert!(refused.to_string().contains("more than the"), "{refused}");
    assert_eq!(stage.writer.counters().records, before.records);
}

#[test]
fn many_concurrent_flushes_all_complete() {
    let settings = Settings::builder()
        .original_features()
        .flush_when_idle(false)
        .flush_interval(ms(400))
        .build()
        .unwrap();
    let mut stage = stage(settings, 3, 1);
    stage.faults.set(
        StreamIndex(0),
        Faults {
            answer_delay: (ms(30), ms(30)),
            ..Faults::NONE
        },
    );
    let tasks: Vec<_> = (0..200_u8)
        .map(|number| {
            let writer = stage.writer.clone();
            stage.executor.spawn(async move {
                let record = writer.submit(&[number]).await.unwrap();
                writer.flush().await;
                // The record has completed before the flush: its result is there at once.
                poll_once(record).await.expect("flushed").unwrap();
            })
        })
        .collect();
    stage.executor.run(stage.writer.flush());
    stage.executor.run(stage.writer.close());
    stage.executor.settle();
    assert!(tasks.iter().all(|task| stage.executor.is_finished(*task)));
}

#[test]
fn acknowledgements_that_are_held_hold_no_room_once_their_records_completed() {
    const HELD: usize = 1_000;
    let settings = single().pending_records(16).attempt_reports(true);
    let mut stage = stage(settings.build().unwrap(), 3, 5);
    let writer = stage.writer.clone();
    let mut held = stage.executor.run(async {
        let mut held = std::collections::VecDeque::new();
        for number in 0..HELD {
            let payload = number.to_be_bytes();
            let acknowledgement = match number % 3 {
                0 => writer.submit(&payload).await.unwrap(),
                1 => {
                    let permit = writer.reserve(payload.len()).await.unwrap();
                    permit.submit(&payload).unwrap()
                }
                _ => loop {
                    if let Ok(accepted) = writer.try_write(&payload) {
                        break accepted;
                    }
                    // Lets the runner go on.
                    writer.flush().await;
                },
            };
            held.push_back(acknowledgement);
        }
        writer.flush().await;
        held
    });
    // The results come in any order, some are dropped, and further records are written meanwhile.
    let mut taken = 0;
    while let (Some(last), first) = (held.pop_back(), held.pop_front()) {
        stage.executor.run(async {
            let (result, reports) = last.with_attempts().await;
            assert!(
                result.is_ok() && reports.len() == 1,
                "{result:?} {reports:?}"
            );
            taken += 1;
            let written = writer.write(b"between").await;
            if let (Some(first), 0) = (first, taken % 2) {
                assert!(first.await.is_ok());
            }
            written.unwrap();
        });
    }
    assert_eq!(taken, HELD / 2);
}

#[test]
fn a_task_that_waits_for_room_gets_that_of_a_result_nobody_takes() {
    let mut stage = stage(single().pending_records(4).build().unwrap(), 1, 1);
    let writer = stage.writer.clone();
    let held: Vec<_> = (0..4).map(|_| writer.try_write(b"held").unwrap()).collect();
    assert!(writer.try_write(b"fifth").is_err());
    let waiting = stage.writer.write(b"fifth");
    assert!(stage.executor.run(waiting).is_ok());
    for held in held {
        assert!(stage.executor.run(held).is_ok());
    }
}
