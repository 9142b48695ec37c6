//! One run: the cluster, the processes, the faults and the end.

use core::fmt::Arguments;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::Dlsn;
use distributedlog_bookkeeper::namespace::Binding;
use distributedlog_bookkeeper::zookeeper::{Access, CreateMode, Op};
use distributedlog_store::{StoreError, StreamName};
use distributedlog_testkit::Random;
use distributedlog_testkit::bookies::ModelCluster;
use tokio::time::Instant;

use super::nodes;
use super::oracle::{Begun, Oracle};
use super::plan::Plan;
use super::process::{NAMESPACE, Process, unix_ms};
use crate::seeds::panicked;
use crate::trace::Trace;

/// Everything that the tasks of a run share.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) cluster: ModelCluster,
    pub(super) processes: Mutex<Vec<Arc<Process>>>,
    oracle: Mutex<Oracle>,
    trace: Trace,
    pub(super) start: Instant,
    is_stopping: AtomicBool,
    calls: AtomicU64,
    /// Appends without an outcome: the time by which they have one, and their process.
    pending: Mutex<BTreeMap<u64, (Instant, Arc<Process>)>>,
    /// True while a deletion of the stream is under way.
    deletions: Vec<AtomicBool>,
    /// True from the loss of a bookie with its disk on.
    pub(super) has_lost: AtomicBool,
    /// Ledgers that may be left: crashes and lost requests.
    pub(super) may_leave: AtomicU64,
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan, trace: Trace) -> Arc<Self> {
        let cluster = ModelCluster::new(seed, plan.bookies);
        let create = |path: &str, data: &[u8]| Op::Create {
            path: path.to_owned(),
            data: data.to_vec(),
            mode: CreateMode::Persistent,
            access: Access::Anyone,
        };
        let binding = Binding::new("zk", "/ledgers").encode();
        cluster.ensemble.apply(&[
            create("/messaging", b""),
            create(NAMESPACE, binding.as_bytes()),
        ]);
        Arc::new(Self {
            oracle: Mutex::new(Oracle::new(plan.streams, plan.settings.retention)),
            deletions: (0..plan.streams).map(|_| AtomicBool::new(false)).collect(),
            plan,
            cluster,
            processes: Mutex::default(),
            trace,
            start: Instant::now(),
            is_stopping: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            pending: Mutex::default(),
            has_lost: AtomicBool::new(false),
            may_leave: AtomicU64::new(0),
        })
    }

    pub(super) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        lock(&self.oracle)
    }

    pub(super) fn name(&self, stream: usize) -> StreamName {
        self.oracle().streams[stream].name.clone()
    }

    /// Returns the time since the run began.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn note(&self, what: Arguments<'_>) {
        let now = self.start.elapsed().as_millis();
        self.trace.set_now(u64::try_from(now).unwrap_or(u64::MAX));
        self.trace.note(what);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn appends(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(super) fn alive(&self) -> Vec<Arc<Process>> {
        let processes = lock(&self.processes);
        processes
            .iter()
            .filter(|it| it.is_alive())
            .cloned()
            .collect()
    }

    /// Returns the right to delete a stream, or `None` if another has it.
    pub(super) fn deletion(&self, stream: usize) -> Option<Deletion<'_>> {
        let is_taken = &self.deletions[stream];
        let was_taken = is_taken.swap(true, Ordering::Relaxed);
        // Not `then_some`, whose argument is dropped otherwise: that would release the other's.
        (!was_taken).then(|| Deletion(is_taken))
    }

    pub(super) fn begin_append(&self, call: u64, due: Instant, process: &Arc<Process>) {
        lock(&self.pending).insert(call, (due, Arc::clone(process)));
    }

    pub(super) fn end_append(&self, begun: &Begun, result: &Result<Dlsn, StoreError>) {
        let (_, call) = begun.lease;
        self.note(format_args!("append {call} {:?}: {result:?}", begun.ids));
        assert!(
            lock(&self.pending).remove(&call).is_some(),
            "R1 an append ends once"
        );
        let counted = self.oracle().end(begun, result);
        if let Some(at) = counted {
            let name = self.name(begun.stream);
            let lost = usize::from(self.has_lost.load(Ordering::Relaxed));
            nodes::check_copies(&self.cluster, &name, at, lost);
        }
    }

    /// Checks that no append of a process that lives waits for longer than it may.
    pub(super) fn check_times(&self) {
        let now = Instant::now();
        let mut pending = lock(&self.pending);
        pending.retain(|_, it| it.1.is_alive());
        let late = pending.iter().find(|it| it.1.0 < now);
        let late = late.map(|(call, (due, _))| (*call, now - *due));
        assert!(late.is_none(), "I8 append {late:?} has no outcome in time");
    }

    pub(super) fn random_process(&self, random: &mut Random) -> Option<Arc<Process>> {
        let alive = self.alive();
        alive.get(random.index(alive.len())).cloned()
    }

    /// Lets the ensemble's clock follow.
    pub(super) async fn keep_time(self: Arc<Self>) {
        loop {
            self.cluster.ensemble.set_unix_ms(unix_ms(self.elapsed()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Passes time, and lets the checks follow.
    pub(super) async fn pass(&self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let now = Instant::now();
            self.check_times();
            // A promise was broken on another task.
            assert!(panicked().is_none(), "the run ends");
            if now >= end {
                return;
            }
            tokio::time::sleep_until(end.min(now + Duration::from_millis(50))).await;
        }
    }
}

/// The right to delete a stream, as long as it lives.
pub(super) struct Deletion<'a>(&'a AtomicBool);

impl Drop for Deletion<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A broken promise panics with locks held, and ends the run.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
