//! R7: the write path does not allocate once its tables are as long as the load needs.

// A global allocator needs unsafe code.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ops::Range;
use std::alloc::System;

use distributedlog::writer::{
    Adaptive, Budget, Codec, Health, Heap, Identity, Settings, Storage as _, StreamCount, Writer,
    WriterId,
};
use distributedlog::{AttemptId, Dlsn, Instant};

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: it only counts, and passes every call on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations until the tables are long enough for 8 records in up to 8 sets.
const MOST_AT_FIRST: u64 = 24;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

/// Writes eight records of 100 bytes in each of these seconds, with a hedge for every set, all
/// answered.
fn write_sets(writer: &mut Writer<Heap>, attempts: &mut Vec<AttemptId>, seconds: Range<u64>) {
    let record = [7; 100];
    for second in seconds {
        let start = Instant::from_millis(1_000 * second);
        for _ in 0..8 {
            writer.write(start, &record).expect("there is room");
        }
        let hedge = start + core::time::Duration::from_millis(300);
        for now in [start, hedge] {
            writer.handle_timeout(now);
            while let Some(attempt) = writer.poll_transmit(now) {
                attempts.push(attempt.id);
            }
        }
        for attempt in attempts.drain(..).rev() {
            writer.handle_finished(hedge, attempt, Ok(Dlsn::INITIAL));
        }
        while writer.poll_cancel().is_some() {}
        while let Some(record) = writer.poll_completed() {
            writer.take(record).expect("announced").expect("written");
        }
    }
}

#[test]
fn writing_allocates_nothing_once_the_tables_are_as_long_as_the_load_needs() {
    let everything = Settings::builder()
        .original_features()
        .flush_when_idle(false)
        .request_timeout(core::time::Duration::from_millis(600))
        .attempt_reports(true)
        .budget(Budget::Share {
            share: 1.0,
            per_second: 10,
            burst: 10,
        })
        .health(Health::Probation {
            strikes: 3,
            first_backoff: core::time::Duration::from_millis(10),
            max_backoff: core::time::Duration::from_secs(1),
        })
        .adaptive(Adaptive::Quantile {
            quantile: 0.9,
            floor: core::time::Duration::from_millis(1),
            warm_up: 5,
        })
        .identity(Identity::Trailer {
            writer: WriterId([1; 16]),
            first_sequence: 0,
        });
    for settings in [
        Settings::builder().original_features(),
        Settings::builder().original_features().buffer_size(0),
        everything,
        everything.codec(Codec::Lz4),
    ] {
        let settings = settings.build().unwrap();
        let streams = StreamCount::new(5).unwrap();
        let mut writer = Writer::new(settings, streams, Heap::new(&settings, streams)).unwrap();
        let mut attempts = Vec::with_capacity(64);
        // The tables grow to what this load needs, and no further, and each set gets a buffer.
        let count = allocations(|| write_sets(&mut writer, &mut attempts, 0..10));
        assert!((1..=MOST_AT_FIRST).contains(&count), "{count} at first");
        let count = allocations(|| write_sets(&mut writer, &mut attempts, 10..1_010));
        assert_eq!(count, 0, "with {settings:?}");
        assert_eq!(writer.counters().records_written, 8_080);
    }
}

/// R7: what a burst needed is given back, and the tables grow again as they did at first.
#[test]
fn an_idle_writer_gives_its_tables_back_and_grows_them_again() {
    let settings = Settings::builder().original_features().buffer_size(0);
    let settings = settings.build().unwrap();
    let streams = StreamCount::new(5).unwrap();
    let mut writer = Writer::new(settings, streams, Heap::new(&settings, streams)).unwrap();
    let mut attempts = Vec::with_capacity(64);
    write_sets(&mut writer, &mut attempts, 0..10);
    assert!(writer.storage().records().len() >= 8 && writer.storage().sets().len() >= 8);

    // A record that waits keeps everything.
    let start = Instant::from_millis(100_000);
    let before = writer.write(start, b"r").expect("there is room");
    assert!(!writer.shrink());
    let attempt = writer.poll_transmit(start).expect("it is due").id;
    assert!(!writer.shrink());
    writer.handle_finished(start, attempt, Ok(Dlsn::INITIAL));
    assert_eq!(writer.poll_completed(), Some(before));
    assert!(!writer.shrink(), "its result was not taken");
    writer.take(before).expect("announced").expect("written");

    assert!(writer.shrink() && writer.shrink());
    let storage = writer.storage();
    let lengths = (
        storage.records().len(),
        storage.sets().len(),
        storage.buffers().len(),
    );
    assert_eq!(lengths, (0, 0, 1));

    // No id is used twice, and the tables are what they were at first.
    let after = writer.write(start, b"r").expect("there is room");
    assert!(after != before && writer.take(before).is_none());
    let attempt = writer.poll_transmit(start).expect("it is due").id;
    writer.handle_finished(start, attempt, Ok(Dlsn::INITIAL));
    assert_eq!(writer.poll_completed(), Some(after));
    writer.take(after).expect("announced").expect("written");
    let count = allocations(|| write_sets(&mut writer, &mut attempts, 101..111));
    assert!((1..=MOST_AT_FIRST).contains(&count), "{count}");
    let count = allocations(|| write_sets(&mut writer, &mut attempts, 111..211));
    assert_eq!(count, 0);
}
