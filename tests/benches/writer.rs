//! Cost of the multi stream writer alone, over a transport that answers at once.
//!
//! `cargo bench -p distributedlog-tests --bench writer`
#![allow(
    missing_docs,
    reason = "criterion's macros make items without documentation"
)]

use core::hint::black_box;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use distributedlog::async_writer::{HeapSlots, MultiStreamWriter, State};
use distributedlog::writer::{
    Adaptive, Budget, Codec, Health, Heap, Identity, Settings, SettingsBuilder, StreamCount,
    Writer, WriterId,
};
use distributedlog::{Dlsn, Instant};
use distributedlog_testkit::NullTransport;
use distributedlog_tokio::TokioClock;

const RECORD: [u8; 100] = [7; 100];
const BATCH: u64 = 1_024;

fn machine(builder: SettingsBuilder) -> Writer<Heap> {
    let settings = builder.build().expect("valid settings");
    let streams = StreamCount::new(5).expect("five streams");
    Writer::new(settings, streams, Heap::new(&settings, streams))
        .expect("the heap has what the settings ask for")
}

/// Answers everything that is transmitted and takes every result.
fn answer(writer: &mut Writer<Heap>, now: Instant) {
    // A fixed array, so that nothing but the writer is measured.
    let mut attempts = [None; 64];
    loop {
        let mut count = 0;
        while count < attempts.len()
            && let Some(attempt) = writer.poll_transmit(now)
        {
            black_box(attempt.record_set);
            attempts[count] = Some(attempt.id);
            count += 1;
        }
        if count == 0 {
            break;
        }
        for attempt in attempts[..count].iter().flatten() {
            writer.handle_finished(now, *attempt, Ok(Dlsn::INITIAL));
        }
        while let Some(record) = writer.poll_completed() {
            black_box(writer.take(record));
        }
    }
}

/// Every policy is on.
fn everything(builder: SettingsBuilder) -> SettingsBuilder {
    builder
        .budget(Budget::Share {
            share: 0.05,
            per_second: 10,
            burst: 100,
        })
        .health(Health::Probation {
            strikes: 3,
            first_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
        })
        .adaptive(Adaptive::Quantile {
            quantile: 0.95,
            floor: Duration::from_millis(1),
            warm_up: 20,
        })
        .identity(Identity::Trailer {
            writer: WriterId([7; 16]),
            first_sequence: 0,
        })
}

fn the_machine(c: &mut Criterion) {
    let mut group = c.benchmark_group("machine");
    group.throughput(Throughput::Elements(BATCH));
    let single = Settings::builder().original_features().buffer_size(0);
    let batched = Settings::builder()
        .original_features()
        .flush_when_idle(false);
    let cases = [
        ("one-record sets", single),
        ("one-record sets, every policy", everything(single)),
        ("16 KiB sets", batched),
        ("16 KiB sets, every policy", everything(batched)),
        ("16 KiB sets, LZ4", batched.codec(Codec::Lz4)),
    ];
    for (name, builder) in cases {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            let mut writer = machine(builder);
            let mut now = Instant::ZERO;
            b.iter(|| {
                for number in 0..BATCH {
                    // Time goes by as it would at a million records a second.
                    now += Duration::from_micros(1);
                    writer
                        .write(now, black_box(&RECORD))
                        .expect("room is made after every 128 records");
                    if number % 128 == 127 {
                        answer(&mut writer, now);
                    }
                }
                writer.flush();
                answer(&mut writer, now);
            });
        });
    }
    group.finish();
}

fn the_async_writer(c: &mut Criterion) {
    let mut group = c.benchmark_group("async_writer");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    for (name, builder) in [
        (
            "one-record sets",
            Settings::builder()
                .original_features()
                .buffer_size(0)
                .in_flight_sets(1_024),
        ),
        ("16 KiB sets", Settings::builder().original_features()),
    ] {
        for tasks in [1_u64, 64, 1_024] {
            let records = 4_096;
            group.throughput(Throughput::Elements(records));
            group.bench_function(BenchmarkId::new(name, format!("{tasks} tasks")), |b| {
                b.iter_custom(|rounds| {
                    runtime.block_on(write_from_tasks(builder, tasks, records, rounds))
                });
            });
        }
    }
    group.finish();
}

async fn write_from_tasks(
    builder: SettingsBuilder,
    tasks: u64,
    records: u64,
    rounds: u64,
) -> Duration {
    let settings = builder.build().expect("valid settings");
    let streams = StreamCount::new(5).expect("five streams");
    let machine = Writer::new(settings, streams, Heap::new(&settings, streams))
        .expect("the heap has what is needed");
    let state = Arc::new(Mutex::new(State::new(
        machine,
        HeapSlots::new(),
        TokioClock::new(),
    )));
    let (writer, runner) = MultiStreamWriter::new(state, NullTransport::new());
    let runner = tokio::spawn(runner.run());
    let start = std::time::Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let writer = writer.clone();
        set.spawn(async move {
            for _ in 0..rounds * records / tasks {
                writer
                    .write(black_box(&RECORD))
                    .await
                    .expect("a null transport writes everything");
            }
        });
    }
    set.join_all().await;
    let took = start.elapsed();
    writer.close().await;
    runner.await.expect("the runner ends after the close");
    took
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500))
        .sample_size(20);
    targets = the_machine, the_async_writer
}
criterion_main!(benches);
