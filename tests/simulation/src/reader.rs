//! A machine with a merged reader, which keeps what it delivered and where it was, and goes on there when it is started again.

use core::num::{NonZeroU16, NonZeroU32};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::Dlsn;
use distributedlog_testkit::Random;
use dlog::Entropy;
use dlog::reader::{MergePosition, MergeSettings, MultiReader, ReadEvent};
use dlog::store::{LogStore, StreamName};

use crate::net::{Death, HostId, Network};
use crate::process::Process;
use crate::proxy::connect;
use crate::trace::Trace;

/// What a saved position may take: for each of sixteen writers a window of 4,096 sequences in text, and the streams.
const MAX_POSITION_BYTES: usize = 16 * (4096 / 8 * 4 + 256) + 1024;

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
    ended: bool,
    forgotten: u64,
}

impl Default for Inner {
    fn default() -> Self {
        Self { random: Random::new(0), delivered: Vec::new(), saved: None, malformed: 0, ended: false, forgotten: 0 }
    }
}

impl Kept {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReaderMachine {
    pub(crate) fn new(seed: u64, host: HostId, store: HostId, network: &Network, streams: &[StreamName], trace: &Trace) -> Self {
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
        let (network, host, store, entropy) = (self.network.clone(), self.host, self.store, self.entropy.clone());
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

    /// How many records it has delivered and kept.
    pub(crate) fn delivered_count(&self) -> usize {
        self.kept.inner().delivered.len()
    }

    /// The payloads that it delivered, in order.
    pub(crate) fn delivered(&self) -> Vec<Vec<u8>> {
        self.kept.inner().delivered.clone()
    }

    /// How many sets it could not read.
    pub(crate) fn malformed(&self) -> u64 {
        self.kept.inner().malformed
    }

    /// Whether it gave up reading, which it has no reason for.
    pub(crate) fn has_ended(&self) -> bool {
        self.kept.inner().ended
    }
}

/// A reader takes a stream that does not exist for one that was deleted, so it begins when all of them are there.
async fn wait_for(store: &Arc<dyn LogStore>, streams: &[StreamName]) {
    loop {
        if let Ok(there) = store.list().await
            && streams.iter().all(|stream| there.contains(stream))
        {
            return;
        }
        tokio::time::sleep(core::time::Duration::from_millis(50)).await;
    }
}

async fn read(store: &Arc<dyn LogStore>, streams: Vec<StreamName>, kept: &Kept, trace: &Trace) {
    let settings = MergeSettings { sequences: NonZeroU32::new(4096).expect("not zero"), writers: NonZeroU16::new(16).expect("not zero") };
    let mut reader = {
        let mut inner = kept.inner();
        match &inner.saved {
            Some((position, count)) => {
                let (count, position) = (*count, serde_json::from_str::<MergePosition>(position).expect("it was saved as a position"));
                // What was delivered after that is delivered again, so whoever keeps it starts from the same point.
                inner.delivered.truncate(count);
                trace.note(format_args!("reader: goes on behind record {count}"));
                MultiReader::resume(store, &position, settings)
            }
            None => {
                inner.delivered.clear();
                MultiReader::new(store, streams.into_iter().map(|stream| (stream, Dlsn::INITIAL)), settings)
            }
        }
    };
    while let Some(event) = reader.next().await {
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
            Err(fault) => trace.note(format_args!("reader: {} cannot be read", fault.stream)),
        }
        inner.forgotten = reader.counters().writers_forgotten;
        if inner.random.chance(0.1) {
            let position = serde_json::to_string(&reader.position()).expect("positions have a text");
            assert!(position.len() <= MAX_POSITION_BYTES, "R12: a position of {} bytes", position.len());
            inner.saved = Some((position, inner.delivered.len()));
        }
    }
    kept.inner().ended = true;
}
