//! Trace of a run: a hash of all events, their counts, and their text on request.

use core::fmt::{Arguments, Write};
use core::hash::Hasher;
use std::hash::DefaultHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Trace of a run. Clones share the same trace.
#[derive(Clone, Debug)]
pub(crate) struct Trace(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    prints: bool,
    now: u64,
    hasher: DefaultHasher,
    line: String,
    counts: Counts,
}

/// Number of events of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Turns of processes.
    pub turns: u64,
    /// Segments that the network delivered: bytes, ends and resets.
    pub deliveries: u64,
    /// Disk operations that change something.
    pub disk_operations: u64,
    /// Calls of writers: attempts started, ended and cancelled, records accepted and completed.
    pub writer_events: u64,
    /// Records that merged readers delivered.
    pub records_read: u64,
}

impl Counts {
    /// Returns the total: the steps of a run.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.turns + self.deliveries + self.disk_operations + self.writer_events + self.records_read
    }

    pub(crate) const fn merge(&mut self, other: &Self) {
        self.turns += other.turns;
        self.deliveries += other.deliveries;
        self.disk_operations += other.disk_operations;
        self.writer_events += other.writer_events;
        self.records_read += other.records_read;
    }
}

impl Trace {
    pub(crate) fn new(prints: bool) -> Self {
        let (hasher, line) = (DefaultHasher::new(), String::new());
        Self(Arc::new(Mutex::new(Inner {
            prints,
            now: 0,
            hasher,
            line,
            counts: Counts::default(),
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_now(&self, now: u64) {
        self.inner().now = now;
    }

    /// Adds an event to the hash, and prints it if the run prints its trace.
    pub(crate) fn note(&self, what: Arguments<'_>) {
        let inner = &mut *self.inner();
        inner.line.clear();
        write!(inner.line, "{:>6} {what}", inner.now).expect("strings take everything");
        inner.hasher.write(inner.line.as_bytes());
        if inner.prints {
            println!("{}", inner.line);
        }
    }

    pub(crate) fn count(&self, add: impl FnOnce(&mut Counts)) {
        add(&mut self.inner().counts);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.inner().counts
    }

    /// Returns the hash of all events in their order.
    pub(crate) fn hash(&self) -> u64 {
        self.inner().hasher.finish()
    }
}

/// Returns a hash of bytes.
pub(crate) fn hash_of(bytes: &[u8]) -> u32 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish() as u32
}
