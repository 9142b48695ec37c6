//! A machine with a merged reader, which keeps what it delivered and where it was, and goes on
//! there when it is started again.

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

use crate::net::{Death, HostId, Network};
use crate::oracle::{Places, serial_of};
use crate::process::Process;
use crate::proxy::connect;
use crate::trace::Trace;

/// What a saved position may take: for each of sixteen writers a window of 4,096 sequences in text,
/// and the streams.
const MAX_POSITION_BYTES: usize = 16 * (4096 / 8 * 4 + 256) + 1024;

/// How often it looks whether streams that were deleted are there again.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A machine with a merged reader.
pub(crate) struct ReaderMachine {
    pub(crate) host: HostId,
    store: HostId,
    network: Network,
    trace: Trace,
    streams: Vec<StreamName>,
    entropy: Entropy,
    kept: Kept,
    running: Option<Process>,
}

/// What survives the process. Clones are the same.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    random: Random,
    /// The payloads in the order of their delivery.
    delivered: Vec<Vec<u8>>,
    /// The position as it was saved, and how much was delivered by then.
    saved: Option<(String, usize)>,
    malformed: u64,
    /// Whether it gave a stream up that was not deleted.
    gave_up: bool,
    /// How probable it is that the position is saved after a record.
    saves: f64,
    /// How probable it is that a record takes whoever reads it a while.
    slow: f64,
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
            saves: 0.1,
            slow: 0.0,
            forgotten: 0,
        }
    }
}

impl Kept {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Some save their position often, some seldom; some are slower than the writers, so that the
    /// store has much for them at once.
    fn draw_habits(&self) {
        let inner = &mut *self.inner();
        inner.saves = [0.02, 0.1, 0.5][inner.random.below(3) as usize];
        inner.slow = [0.0, 0.02, 0.2][inner.random.below(3) as usize];
    }

    /// Whether whoever reads takes a while for what was read now.
    fn is_slow(&self) -> bool {
        let inner = &mut *self.inner();
        inner.slow > 0.0 && inner.random.chance(inner.slow)
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
        let kept = Kept::default();
        kept.inner().random = Random::new(seed ^ 0x5eed);
        Self {
            host,
            store,
            network: network.clone(),
            trace: trace.clone(),
            streams: streams.to_vec(),
            entropy: Entropy::seeded(seed),
            kept,
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
        let (streams, kept, trace) = (self.streams.clone(), self.kept.clone(), self.trace.clone());
        self.running = Some(Process::start(async move {
            let store = Arc::new(connect(network, host, store, entropy).await) as Arc<dyn LogStore>;
            wait_for(&store, &streams).await;
            read(&store, streams, &kept, &trace).await;
        }));
    }

    pub(crate) fn crash(&mut self, death: Death) {
        self.network.end_host(self.host, death);
        self.running = None;
    }

    pub(crate) fn turn(&mut self) {
        if let Some(process) = &mut self.running {
            process.turn();
        }
    }

    pub(crate) fn oversleep(&mut self, millis: u64) {
        if let Some(process) = &mut self.running {
            process.oversleep(millis);
        }
    }

    /// Whether it has delivered all of these records, beside others.
    pub(crate) fn has_delivered(&self, places: &Places) -> bool {
        let inner = self.kept.inner();
        let delivered: BTreeSet<u64> = inner
            .delivered
            .iter()
            .map(|payload| serial_of(payload))
            .collect();
        places.keys().all(|serial| delivered.contains(serial))
    }

    /// The payloads that it delivered, in order.
    pub(crate) fn delivered(&self) -> Vec<Vec<u8>> {
        self.kept.inner().delivered.clone()
    }

    /// How many sets it could not read.
    pub(crate) fn malformed(&self) -> u64 {
        self.kept.inner().malformed
    }

    /// Whether it gave a stream up that was not deleted, which it has no reason for.
    pub(crate) fn has_given_up(&self) -> bool {
        self.kept.inner().gave_up
    }
}

/// The same number of writers and sets as a real one with little memory.
fn settings() -> MergeSettings {
    MergeSettings {
        sequences: NonZeroU32::new(4096).expect("not zero"),
        writers: NonZeroU16::new(16).expect("not zero"),
    }
}

/// A reader takes a stream that does not exist for one that was deleted, so it begins when there is
/// one.
async fn wait_for(store: &Arc<dyn LogStore>, streams: &[StreamName]) {
    while !are_there(store, streams).await {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn are_there(store: &Arc<dyn LogStore>, streams: &[StreamName]) -> bool {
    store
        .list()
        .await
        .is_ok_and(|there| streams.iter().all(|stream| there.contains(stream)))
}

/// A reader of all streams that goes on where the last one was whose position was saved.
fn begin(
    store: &Arc<dyn LogStore>,
    streams: &[StreamName],
    kept: &Kept,
    trace: &Trace,
) -> MultiReader {
    let mut inner = kept.inner();
    let Some((position, count)) = inner.saved.clone() else {
        inner.delivered.clear();
        return MultiReader::new(
            store,
            streams.iter().map(|stream| (stream.clone(), Dlsn::INITIAL)),
            settings(),
        );
    };
    // What was delivered after that is delivered again, so whoever keeps it starts from the same
    // point.
    inner.delivered.truncate(count);
    trace.note(format_args!("reader: goes on behind record {count}"));
    resume(
        store,
        serde_json::from_str(&position).expect("it was saved as a position"),
        streams,
    )
}

/// A reader that goes on there; streams that had been deleted are read from their beginning.
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

async fn read(store: &Arc<dyn LogStore>, streams: Vec<StreamName>, kept: &Kept, trace: &Trace) {
    kept.draw_habits();
    let mut reader = begin(store, &streams, kept, trace);
    loop {
        if reader.streams().count() < streams.len() && are_there(store, &streams).await {
            trace.note(format_args!(
                "reader: takes streams up again that were deleted"
            ));
            reader = resume(store, reader.position(), &streams);
        }
        // Nothing is lost by asking again.
        match tokio::time::timeout(LOOK_EVERY, reader.next()).await {
            Err(_) => {}
            Ok(None) => tokio::time::sleep(LOOK_EVERY).await,
            Ok(Some(event)) => take(event, &reader, kept, trace),
        }
        if kept.is_slow() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn take(event: Result<MergedEvent, StreamError>, reader: &MultiReader, kept: &Kept, trace: &Trace) {
    let inner = &mut *kept.inner();
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
    if inner.random.chance(inner.saves) {
        let position = serde_json::to_string(&reader.position()).expect("positions have a text");
        assert!(
            position.len() <= MAX_POSITION_BYTES,
            "R12: a position of {} bytes",
            position.len()
        );
        inner.saved = Some((position, inner.delivered.len()));
    }
}
