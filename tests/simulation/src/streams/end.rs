//! The end of a run: everything works again, and everything promised is there.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_bookkeeper::LedgerId;
use distributedlog_bookkeeper::driver::{LedgerOptions, Settings};
use distributedlog_bookkeeper::zookeeper::Op;
use distributedlog_store::{Acquired, Lease, LogStore, ReadLimit, StoreError};
use distributedlog_testkit::Random;
use tokio::time::{Instant, sleep, timeout};

use super::nodes;
use super::oracle::START;
use super::process::{Process, unix_ms};
use super::workload::{append, delete_once, read_once};
use super::world::{World, lock};

/// Time within which everything works once there are no faults any more.
const LIMIT: Duration = Duration::from_secs(90);

/// Number of the process that looks at what is left.
const LAST: u16 = 99;

/// Checks the world after its last fault.
pub(super) async fn check(world: &Arc<World>, random: &mut Random) {
    world.pass(Duration::from_secs(5)).await;
    world.stop();
    for process in world.alive() {
        for task in process.take_tasks() {
            let ended = timeout(LIMIT, task).await;
            assert!(ended.is_ok(), "I8 a task of a process does not end");
        }
    }
    world
        .pass(world.plan.settings.append_timeout + Duration::from_secs(2))
        .await;
    for stream in 0..world.plan.streams {
        write_again(world, stream).await;
    }
    // Some end in order, others do not.
    for process in world.alive() {
        if random.one_in(2) {
            let closed = timeout(LIMIT, process.store.close()).await;
            assert!(closed.is_ok(), "I8 a store does not close");
        } else {
            world.may_leave.fetch_add(1, Ordering::Relaxed);
        }
        process.kill(&world.cluster);
        for session in process.sessions() {
            world.cluster.ensemble.expire(session);
        }
    }
    let settings = world.plan.settings.clone();
    let last = Process::start(&world.cluster, settings, LAST, (0, world.start)).await;
    let last = last.expect("ZooKeeper answers");
    lock(&world.processes).push(Arc::clone(&last));
    let mut allocated = Vec::new();
    for stream in 0..world.plan.streams {
        allocated.extend(leave_allocation(world, stream).await);
        let lease = own(world, &last, stream).await;
        // Deletes what is left of segments that are truncated or expired.
        let age = world.plan.settings.retention;
        let cutoff = age.map_or(i64::MIN, |age| unix_ms(world.elapsed().saturating_sub(age)));
        let purged = last.store.truncate(&world.name(stream), START).await;
        purged.expect("it can be truncated");
        nodes::check_purged(&world.cluster, &world.name(stream), cutoff);
        read_all(world, &last, stream, random).await;
        let written = append(world, &last, stream, &lease, 1).await;
        assert!(matches!(written, Ok(Ok(_))), "I8 {written:?}");
        last.store.release(&lease).await.expect("it is released");
        read_all(world, &last, stream, random).await;
    }
    last.store.close().await.expect("it closes");
    sleep(Duration::from_secs(1)).await;
    let names: Vec<_> = (0..world.plan.streams).map(|it| world.name(it)).collect();
    let may_leave = world.may_leave.load(Ordering::Relaxed);
    let counts = world.oracle().segment_counts();
    nodes::check_end(&world.cluster, &names, &counts, may_leave);
    nodes::check_gone(&world.cluster, &allocated);
}

/// An earlier owner died between the allocation of a ledger and the start of its segment. Returns
/// the ledger: the next owner deletes it.
async fn leave_allocation(world: &Arc<World>, stream: usize) -> Option<LedgerId> {
    let allocation = nodes::paths(&world.name(stream)).allocation();
    let node = world.cluster.ensemble.node(&allocation)?;
    if let Some(ledger) = nodes::number(&node.data) {
        return Some(ledger);
    }
    let Ok(sessions) = world.cluster.sessions(LIMIT).await;
    let client = world.cluster.client(Settings::default(), sessions).await;
    let client = client.expect("ZooKeeper answers");
    client.bookies_known().await;
    let mut options = LedgerOptions::default();
    // One bookie may be lost, of three.
    (
        options.ensemble_size,
        options.write_quorum,
        options.ack_quorum,
    ) = (1, 1, 1);
    let ledger = client.create(&options).await.expect("there are bookies");
    world.cluster.ensemble.apply(&[Op::Set {
        path: allocation,
        data: ledger.ledger().to_string().into_bytes(),
        version: None,
    }]);
    Some(ledger.ledger())
}

/// One of the processes that were disturbed writes to a stream within the limit.
async fn write_again(world: &Arc<World>, stream: usize) {
    let end = Instant::now() + LIMIT;
    let name = world.name(stream);
    let mut last = String::new();
    loop {
        for process in world.alive() {
            assert!(Instant::now() < end, "I8 {name} cannot be written: {last}");
            if world.oracle().moment(stream).is_none() {
                delete_once(world, &process, stream).await;
            }
            match process.store.acquire(&name, &process.owner).await {
                Ok(Acquired::Granted(lease)) => {
                    let written = append(world, &process, stream, &lease, 1).await;
                    world.note(format_args!("again {name}: {written:?}"));
                    if let Ok(Ok(at)) = written {
                        seen_elsewhere(world, &process, stream, at).await;
                        owned_elsewhere(world, &process, stream, &lease).await;
                        return;
                    }
                    last = format!("{written:?}");
                }
                Err(StoreError::StreamNotFound(_)) => {
                    let created = process.store.create(&name).await;
                    last = format!("{created:?}");
                }
                other => last = format!("{}: {other:?}", process.owner.shard),
            }
        }
        world.pass(Duration::from_millis(200)).await;
    }
}

/// A stream that its owner releases can be acquired by another process, while the first one lives.
async fn owned_elsewhere(world: &Arc<World>, owner: &Arc<Process>, stream: usize, lease: &Lease) {
    let released = owner.store.release(lease).await;
    world.note(format_args!("release at the end: {released:?}"));
    let alive = world.alive();
    if let Some(other) = alive.iter().find(|it| !Arc::ptr_eq(it, owner)) {
        own(world, other, stream).await;
    }
}

/// A record that was acknowledged is read by another process, without another one behind it.
async fn seen_elsewhere(world: &Arc<World>, writer: &Arc<Process>, stream: usize, at: Dlsn) {
    let alive = world.alive();
    let Some(reader) = alive.iter().find(|it| !Arc::ptr_eq(it, writer)) else {
        return;
    };
    let limit = ReadLimit {
        max_bytes: 1,
        wait: LIMIT,
        created_unix_ms: None,
    };
    let began = Instant::now();
    let name = world.name(stream);
    // A process that was cut off until now may see an older state first.
    loop {
        let read = reader.store.read(&name, at, limit);
        let read = timeout(LIMIT, read).await;
        if let Ok(Ok(batch)) = &read
            && batch.entries.iter().any(|it| it.dlsn <= at)
        {
            return;
        }
        assert!(
            began.elapsed() < LIMIT,
            "I1 another process does not read {at:?} of {name}: {read:?}"
        );
        world.pass(Duration::from_millis(200)).await;
    }
}

/// A process acquires a stream within the limit.
async fn own(world: &Arc<World>, process: &Arc<Process>, stream: usize) -> Lease {
    let end = Instant::now() + LIMIT;
    let name = world.name(stream);
    loop {
        let acquired = process.store.acquire(&name, &process.owner).await;
        if let Ok(Acquired::Granted(lease)) = acquired {
            return lease;
        }
        assert!(
            Instant::now() < end,
            "I8 {name} cannot be acquired: {acquired:?}"
        );
        sleep(Duration::from_millis(200)).await;
    }
}

/// Reads a stream from its beginning to its end, and checks that nothing is missing.
async fn read_all(world: &Arc<World>, process: &Arc<Process>, stream: usize, random: &mut Random) {
    let mut from = START;
    let end = Instant::now() + LIMIT;
    loop {
        match read_once(world, process, stream, from, random).await {
            Some((next, true)) if next == from => {
                world.oracle().check_end(stream, next, world.elapsed());
                return;
            }
            Some((next, _)) => from = next,
            None => sleep(Duration::from_millis(100)).await,
        }
        assert!(Instant::now() < end, "I8 stream {stream} cannot be read");
    }
}
