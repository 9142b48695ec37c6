//! Machine with a merged reader, which saves the records that it delivered and its position, and
//! resumes there when it is restarted.

use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::Dlsn;
use distributedlog_reader::{
    MergePosition, MergeSettings, MergedEvent, MultiReader, ReadEvent, StreamError, StreamErrorKind,
};
use distributedlog_store::Entropy;
use distributedlog_store::{LogStore, StoreError, StreamName};
use distributedlog_testkit::Random;

use crate::net::{CrashKind, HostId, Network};
use crate::oracle::{RecordPositions, serial_of};
use crate::process::Process;
use crate::proxy::connect;
use crate::trace::Trace;

/// Largest size of a saved position: for each of 16 writers a window of 4,096 sequences (8 to a
/// byte, 4 characters to a byte) and 256 bytes, and 1 KiB for the streams.
const MAX_POSITION_BYTES: usize = 16 * (4096 / 8 * 4 + 256) + 1024;

/// Interval between checks of the existence of deleted streams.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Machine that runs a merged reader.
pub(crate) struct ReaderMachine {
    pub(crate) host: HostId,
    store: HostId,
    network: Network,
    trace: Trace,
    streams: Vec<StreamName>,
    entropy: Entropy,
    saved_state: SavedState,
    running: Option<Process>,
}

/// State that survives the process. Clones share the same state.
#[derive(Clone, Debug, Default)]
struct SavedState(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    random: Random,
    /// Payloads in the order of their delivery.
    delivered: Vec<Vec<u8>>,
    /// Saved position, and number of records delivered by then.
    saved: Option<(String, usize)>,
    malformed: u64,
    /// The reader gave up a stream that was not deleted.
    gave_up: bool,
    /// Probability that the position is saved after a record.
    save_chance: f64,
    /// Probability that the application is slow to handle a record.
    slow_chance: f64,
    forgotten: u64,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            random: Random::new(0),
            delivered: Vec::new(),
            saved: None,
            malformed: 0,
            gave_up: false,
            save_chance: 0.1,
            slow_chance: 0.0,
            forgotten: 0,
        }
    }
}

impl SavedState {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the probabilities anew. Some readers save often, some seldom; some are slower than the
    /// writers, so that records pile up in the store.
    fn draw_chances(&self) {
        let inner = &mut *self.inner();
        inner.save_chance = [0.02, 0.1, 0.5][inner.random.below(3) as usize];
        inner.slow_chance = [0.0, 0.02, 0.2][inner.random.below(3) as usize];
    }

    /// Draws if the application is slow to handle the last record.
    fn is_slow(&self) -> bool {
        let inner = &mut *self.inner();
        inner.slow_chance > 0.0 && inner.random.chance(inner.slow_chance)
    }
}

impl ReaderMachine {
    pub(crate) fn new(
        seed: u64,
        host: HostId,
        store: HostId,
        network: &Network,
        streams: &[StreamName],
        trace: &Trace,
    ) -> Self {
        let saved_state = SavedState::default();
        saved_state.inner().random = Random::new(seed ^ 0x5eed);
        Self {
            host,
            store,
            network: network.clone(),
            trace: trace.clone(),
            streams: streams.to_vec(),
            entropy: Entropy::seeded(seed),
            saved_state,
            running: None,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn start(&mut self) {
        self.network.set_up(self.host);
        let (network, host, store, entropy) = (
            self.network.clone(),
            self.host,
            self.store,
            self.entropy.clone(),
        );
        let (streams, saved_state, trace) = (
            self.streams.clone(),
            self.saved_state.clone(),
            self.trace.clone(),
        );
        self.running = Some(Process::start(async move {
            let store = Arc::new(connect(network, host, store, entropy).await) as Arc<dyn LogStore>;
            wait_for_streams(&store, &streams).await;
            read(&store, streams, &saved_state, &trace).await;
        }));
    }

    pub(crate) fn crash(&mut self, kind: CrashKind) {
        self.network.end_host(self.host, kind);
        self.running = None;
    }

    pub(crate) fn turn(&mut self) {
        if let Some(process) = &mut self.running {
            process.turn();
        }
    }

    pub(crate) fn advance_clock(&mut self, millis: u64) {
        if let Some(process) = &mut self.running {
            process.advance_clock(millis);
        }
    }

    /// Returns true if every one of these records was delivered; others may have been delivered
    /// too.
    pub(crate) fn has_delivered(&self, positions: &RecordPositions) -> bool {
        let inner = self.saved_state.inner();
        let delivered: BTreeSet<u64> = inner
            .delivered
            .iter()
            .map(|payload| serial_of(payload))
            .collect();
        positions.keys().all(|serial| delivered.contains(serial))
    }

    /// Returns the delivered payloads, in order.
    pub(crate) fn delivered(&self) -> Vec<Vec<u8>> {
        self.saved_state.inner().delivered.clone()
    }

    /// Returns the number of malformed sets.
    pub(crate) fn malformed(&self) -> u64 {
        self.saved_state.inner().malformed
    }

    /// Returns true if the reader gave up a stream that was not deleted, which it never should.
    pub(crate) fn has_given_up(&self) -> bool {
        self.saved_state.inner().gave_up
    }
}

/// Settings of a reader with little memory.
fn settings() -> MergeSettings {
    MergeSettings {
        sequences: NonZeroU32::new(4096).expect("not zero"),
        writers: NonZeroU16::new(16).expect("not zero"),
    }
}

/// Waits until all streams exist: a reader treats a stream that does not exist as deleted.
async fn wait_for_streams(store: &Arc<dyn LogStore>, streams: &[StreamName]) {
    while !all_exist(store, streams).await {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn all_exist(store: &Arc<dyn LogStore>, streams: &[StreamName]) -> bool {
    store
        .list()
        .await
        .is_ok_and(|there| streams.iter().all(|stream| there.contains(stream)))
}

/// Creates a reader of all streams, which resumes at the saved position if there is one.
fn begin(
    store: &Arc<dyn LogStore>,
    streams: &[StreamName],
    saved_state: &SavedState,
    trace: &Trace,
) -> MultiReader {
    let mut inner = saved_state.inner();
    let Some((position, count)) = inner.saved.clone() else {
        inner.delivered.clear();
        return MultiReader::new(
            store,
            streams.iter().map(|stream| (stream.clone(), Dlsn::INITIAL)),
            settings(),
        );
    };
    // Records after the saved position are delivered again, so drop them from the delivered
    // records.
    inner.delivered.truncate(count);
    trace.note(format_args!("reader: goes on behind record {count}"));
    resume(
        store,
        serde_json::from_str(&position).expect("it was saved as a position"),
        streams,
    )
}

/// Resumes at a position; streams that were deleted are read from their beginning.
fn resume(
    store: &Arc<dyn LogStore>,
    position: MergePosition,
    streams: &[StreamName],
) -> MultiReader {
    let position = streams.iter().fold(position, |position, stream| {
        position.with_stream(stream.clone(), Dlsn::INITIAL)
    });
    MultiReader::resume(store, &position, settings())
}

async fn read(
    store: &Arc<dyn LogStore>,
    streams: Vec<StreamName>,
    saved_state: &SavedState,
    trace: &Trace,
) {
    saved_state.draw_chances();
    let mut reader = begin(store, &streams, saved_state, trace);
    loop {
        if reader.streams().count() < streams.len() && all_exist(store, &streams).await {
            trace.note(format_args!(
                "reader: takes streams up again that were deleted"
            ));
            reader = resume(store, reader.position(), &streams);
        }
        // `next` is cancel safe: no event is lost if the timeout drops it.
        match tokio::time::timeout(POLL_INTERVAL, reader.next()).await {
            Err(_) => {}
            Ok(None) => tokio::time::sleep(POLL_INTERVAL).await,
            Ok(Some(event)) => handle_event(event, &reader, saved_state, trace),
        }
        if saved_state.is_slow() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn handle_event(
    event: Result<MergedEvent, StreamError>,
    reader: &MultiReader,
    saved_state: &SavedState,
    trace: &Trace,
) {
    let inner = &mut *saved_state.inner();
    match event {
        Ok(merged) => match merged.event {
            ReadEvent::Record(record) => {
                trace.count(|counts| counts.records_read += 1);
                trace.note(format_args!("reader: {} {}", merged.stream, record.dlsn));
                inner.delivered.push(record.payload.to_vec());
            }
            ReadEvent::Malformed(_) => inner.malformed += 1,
        },
        Err(fault) => {
            trace.note(format_args!("reader: {fault}"));
            let deleted = matches!(
                fault.kind,
                StreamErrorKind::Unreadable(StoreError::StreamNotFound(_))
            );
            inner.gave_up |= fault.ended && !deleted;
        }
    }
    inner.forgotten = reader.counters().writers_forgotten;
    if inner.random.chance(inner.save_chance) {
        let position = serde_json::to_string(&reader.position()).expect("positions have a text");
        assert!(
            position.len() <= MAX_POSITION_BYTES,
            "R12: a position of {} bytes",
            position.len()
        );
        inner.saved = Some((position, inner.delivered.len()));
    }
}
