//! Runs a seed.

use core::time::Duration;
use std::sync::Arc;

use distributedlog_testkit::Random;
use tokio::runtime::Builder;

use super::end;
use super::faults::Faults;
use super::oracle::OutcomeCounts;
use super::plan::Plan;
use super::world::World;
use crate::trace::Trace;

/// Summary of a run, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamsReport {
    /// Hash of all events in their order.
    pub hash: u64,
    /// Number of appends.
    pub appends: u64,
    /// Numbers of records by outcome.
    pub records: OutcomeCounts,
    /// Records that readers saw.
    pub records_read: u64,
    /// Number of faults.
    pub faults: u64,
    /// Number of processes that were started.
    pub processes: u64,
    /// Requests to ZooKeeper.
    pub requests: u64,
    /// Duration on the simulated clock.
    pub virtual_ms: u64,
}

impl StreamsReport {
    /// Adds another run.
    pub const fn add(&mut self, other: &Self) {
        self.hash ^= other.hash;
        self.appends += other.appends;
        self.records.written += other.records.written;
        self.records.not_written += other.records.not_written;
        self.records.unknown += other.records.unknown;
        self.records_read += other.records_read;
        self.faults += other.faults;
        self.processes += other.processes;
        self.requests += other.requests;
        self.virtual_ms += other.virtual_ms;
    }
}

/// Runs a seed.
///
/// # Panics
/// If a promise is broken.
#[must_use]
pub fn run_streams(seed: u64, prints: bool) -> StreamsReport {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(run(seed, prints))
}

async fn run(seed: u64, prints: bool) -> StreamsReport {
    let mut random = Random::new(seed);
    let plan = Plan::new(&mut random);
    let trace = Trace::new(prints);
    let begun = tokio::time::Instant::now();
    let world = World::new(random.bits(), plan, trace.clone());
    world.note(format_args!("{:?}", world.plan));
    // It ends with the runtime.
    tokio::spawn(Arc::clone(&world).keep_time());
    let mut faults = Faults::new(random.bits());
    for number in 1..=world.plan.processes {
        faults.start(&world, number).await;
    }
    world.pass(Duration::from_millis(500)).await;
    faults.run(&world).await;
    faults.heal(&world).await;
    end::check(&world, &mut random).await;
    let oracle = world.oracle();
    StreamsReport {
        hash: trace.hash(),
        appends: world.appends(),
        records: oracle.counts(),
        records_read: oracle.records_read,
        faults: faults.count,
        processes: super::world::lock(&world.processes).len() as u64,
        requests: world.cluster.ensemble.requests(),
        virtual_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
