//! What the processes do: they acquire streams, append, read, truncate, delete.

use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_store::{Acquired, Entry, Lease, LogStore, ReadLimit, StoreError};
use distributedlog_testkit::Random;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::oracle::{Begun, START};
use super::process::Process;
use super::records::record;
use super::world::World;

/// Grace of an append's timeout.
const GRACE: Duration = Duration::from_secs(1);

/// Starts the tasks of a process.
pub(super) fn start(world: &Arc<World>, process: &Arc<Process>, random: &mut Random) {
    for _ in 0..1 + random.below(2) {
        let (world, of) = (Arc::clone(world), Arc::clone(process));
        let random = Random::new(random.bits());
        process.add_task(tokio::spawn(write(world, of, random)));
    }
    for _ in 0..1 + random.below(2) {
        let (world, of) = (Arc::clone(world), Arc::clone(process));
        let random = Random::new(random.bits());
        process.add_task(tokio::spawn(read(world, of, random)));
    }
    if world.plan.deletes {
        let (world, of) = (Arc::clone(world), Arc::clone(process));
        let random = Random::new(random.bits());
        process.add_task(tokio::spawn(delete(world, of, random)));
    }
}

fn pause(random: &mut Random, mean: Duration) -> tokio::time::Sleep {
    sleep(random.between(Duration::ZERO, mean * 2))
}

/// Acquires streams and appends to them.
async fn write(world: Arc<World>, process: Arc<Process>, mut random: Random) {
    while !world.is_stopping() {
        let stream = random.index(world.plan.streams);
        if let Some(lease) = acquire(&world, &process, stream).await {
            let rounds = 1 + random.below(30);
            use_lease(&world, &process, stream, &lease, rounds, &mut random).await;
        }
        pause(&mut random, Duration::from_millis(100)).await;
    }
}

/// Acquires a stream, and creates it first if it does not exist.
pub(super) async fn acquire(
    world: &Arc<World>,
    process: &Arc<Process>,
    stream: usize,
) -> Option<Lease> {
    let name = world.name(stream);
    let acquired = process.store.acquire(&name, &process.owner).await;
    world.note(format_args!(
        "acquire {} {name}: {acquired:?}",
        process.owner.shard
    ));
    match acquired {
        Ok(Acquired::Granted(lease)) => Some(lease),
        Ok(Acquired::OwnedBy(_)) => None,
        Err(StoreError::StreamNotFound(_)) => {
            let moment = world.oracle().moment(stream);
            if moment.is_some() {
                let created = process.store.create(&name).await;
                world.note(format_args!("create {name}: {created:?}"));
            }
            None
        }
        Err(_) => None,
    }
}

async fn use_lease(
    world: &Arc<World>,
    process: &Arc<Process>,
    stream: usize,
    lease: &Lease,
    rounds: u64,
    random: &mut Random,
) {
    let mut last = None;
    for _ in 0..rounds {
        if world.is_stopping() {
            break;
        }
        let count = if random.one_in(5) {
            1 + random.index(40)
        } else {
            1
        };
        for _ in 0..count {
            let records = if random.one_in(4) {
                1 + random.index(4)
            } else {
                1
            };
            last = Some(append(world, process, stream, lease, records));
        }
        if !random.one_in(4)
            && let Some(last) = last.take()
            && matches!(last.await, Ok(Err(StoreError::Fenced(_))))
        {
            return;
        }
        if world.plan.truncates && random.one_in(20) {
            truncate(world, process, stream, random).await;
        }
        pause(random, world.plan.pace).await;
    }
    if random.below(3) > 0 {
        let released = process.store.release(lease).await;
        world.note(format_args!(
            "release {} {}: {released:?}",
            process.owner.shard, lease.stream
        ));
    }
}

async fn truncate(world: &Arc<World>, process: &Arc<Process>, stream: usize, random: &mut Random) {
    let before = world.oracle().position(stream, random.bits());
    if let Some(before) = before {
        world.oracle().begin_truncate(stream, before);
        let name = world.name(stream);
        let truncated = process.store.truncate(&name, before).await;
        world.oracle().end_truncate(stream, before);
        world.note(format_args!("truncate {name} {before:?}: {truncated:?}"));
    }
}

/// Appends one entry. The receiver gets what the append's caller got.
pub(super) fn append(
    world: &Arc<World>,
    process: &Arc<Process>,
    stream: usize,
    lease: &Lease,
    count: usize,
) -> oneshot::Receiver<Result<Dlsn, StoreError>> {
    let ids = world.oracle().begin(stream, count, world.elapsed());
    let records: Vec<_> = ids.iter().map(|&id| record(id)).collect();
    let begun = Begun {
        stream,
        lease: (lease.epoch, world.next_call()),
        slots: records.iter().map(|it| it.slots).collect(),
        ids,
    };
    let (sender, receiver) = oneshot::channel();
    let (world, of) = (Arc::clone(world), Arc::clone(process));
    let (since, limit) = (Instant::now(), world.plan.settings.append_timeout + GRACE);
    world.begin_append(begun.lease.1, since + limit, process);
    let done = move |result: Result<Dlsn, StoreError>| {
        if !of.is_alive() {
            return; // Nobody hears it.
        }
        let took = since.elapsed();
        assert!(took <= limit, "I8 an append took {took:?}: {result:?}");
        world.end_append(&begun, &result);
        _ = sender.send(result);
    };
    let entry = Entry { records };
    process.store.append(lease, entry, Box::new(done));
    receiver
}

/// Follows streams from their beginning, and reads them anew.
async fn read(world: Arc<World>, process: Arc<Process>, mut random: Random) {
    while !world.is_stopping() {
        let stream = random.index(world.plan.streams);
        let mut from = START;
        for _ in 0..1 + random.below(60) {
            if world.is_stopping() {
                return;
            }
            match read_once(&world, &process, stream, from, &mut random).await {
                Some((next, _)) => from = next,
                None => break,
            }
        }
        pause(&mut random, Duration::from_millis(200)).await;
    }
}

/// Reads once. Returns the next position, and true if there was nothing.
pub(super) async fn read_once(
    world: &Arc<World>,
    process: &Arc<Process>,
    stream: usize,
    from: Dlsn,
    random: &mut Random,
) -> Option<(Dlsn, bool)> {
    let moment = {
        let back = process.back();
        world.oracle().read_moment(stream, back, world.elapsed())
    };
    let limit = ReadLimit {
        max_bytes: 1 << random.below(14),
        wait: Duration::from_millis(if random.one_in(2) {
            random.below(2_000)
        } else {
            0
        }),
        created_unix_ms: None,
    };
    let name = world.name(stream);
    let read = process.store.read(&name, from, limit).await;
    if !process.is_alive() {
        return None;
    }
    match read {
        Ok(batch) => {
            world.note(format_args!(
                "read {} {name} {from:?}: {} to {:?}",
                process.owner.shard,
                batch.entries.len(),
                batch.next
            ));
            if let Some(moment) = moment {
                let at = (from, world.elapsed());
                world.oracle().check_read(stream, moment, at, &batch);
            }
            Some((batch.next, batch.entries.is_empty()))
        }
        Err(error) => {
            world.note(format_args!("read {name} {from:?}: {error}"));
            // Also while segments are deleted, and when who deletes them dies meanwhile.
            assert!(!matches!(error, StoreError::Corrupt { .. }), "I1 {error}");
            None
        }
    }
}

/// Deletes streams, and creates them again.
async fn delete(world: Arc<World>, process: Arc<Process>, mut random: Random) {
    while !world.is_stopping() {
        sleep(random.between(Duration::from_secs(1), Duration::from_secs(10))).await;
        let stream = random.index(world.plan.streams);
        delete_once(&world, &process, stream).await;
    }
}

pub(super) async fn delete_once(world: &Arc<World>, process: &Arc<Process>, stream: usize) {
    let name = world.name(stream);
    let Some(_turn) = world.deletion(stream) else {
        return; // Another one deletes it.
    };
    let was_whole = world.oracle().moment(stream).is_some();
    world.oracle().begin_delete(stream);
    let shard = process.owner.shard;
    world.note(format_args!("delete {shard} {name}"));
    let deleted = process.store.delete(&name).await;
    world.note(format_args!("delete {shard} {name}: {deleted:?}"));
    match deleted {
        Ok(()) | Err(StoreError::StreamNotFound(_)) => {
            world.oracle().end_delete(stream, world.elapsed());
            let created = process.store.create(&name).await;
            world.note(format_args!("create {name}: {created:?}"));
        }
        // Another process owns it: nothing was deleted.
        Err(StoreError::NotReady { .. }) if was_whole => world.oracle().give_up_delete(stream),
        Err(_) => {}
    }
}
