use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use futures_util::stream::{self, StreamExt};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::machine::WriteRate;
use crate::service::Service;
use distributedlog_store::{Owner, RetentionInfo, StoreError, StreamName, StreamSummary};

/// Maximum number of streams in the catalogue, about 200 bytes each: those after it are not sorted.
const MAX_STREAMS: usize = 1 << 18;
/// Number of streams that the store, and then the machine, is asked for at once: both hold a lock
/// meanwhile that appends need.
const CHUNK: usize = 256;
/// Number of streams up to which all are described where the store has no streams in short.
const MAX_DESCRIBED: usize = 1_000;
/// Number of descriptions that the store is asked for at the same time.
const DESCRIBED_AT_ONCE: usize = 8;
/// Shortest time for which a catalogue is used.
const MIN_AGE: Duration = Duration::from_secs(1);

/// The streams in short, collected when somebody asks for them, and used for a while: pages of many
/// readers cost one pass over the streams.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    kept: Mutex<Option<Kept>>,
    /// True if a stream was created or deleted since.
    is_stale: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    collected: Instant,
    /// Time that collecting took.
    took: Duration,
    snapshot: Arc<Snapshot>,
}

/// The streams at one time.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Sorted by name.
    pub(super) rows: Vec<Row>,
    /// True if the rows are all streams.
    pub(super) is_complete: bool,
    /// True if all rows have details.
    pub(super) has_details: bool,
    /// Owners, each with the number of its streams.
    pub(super) owners: Vec<(Arc<Owner>, usize)>,
    orders: [OnceLock<Vec<u32>>; 3],
}

/// One stream.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: StreamName,
    pub(super) details: Option<Details>,
    /// `None` if this proxy does not own it.
    pub(super) rate: Option<WriteRate>,
}

/// What the store says about a stream.
#[derive(Clone, Debug)]
pub(super) struct Details {
    pub(super) created_ms: u64,
    pub(super) bytes: u64,
    pub(super) records: u64,
    pub(super) segments: u64,
    pub(super) first_ms: Option<u64>,
    pub(super) last_ms: Option<u64>,
    pub(super) owner: Option<Arc<Owner>>,
    pub(super) retention: Option<RetentionInfo>,
}

/// Orders besides that of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Bytes,
    LastWrite,
    Rate,
}

impl Catalogue {
    /// Makes the next reader collect the streams again.
    pub(super) fn expire(&self) {
        self.is_stale.store(true, Ordering::Relaxed);
    }

    /// Returns the streams as they were a moment ago: a tenth of the time, at most, is spent on
    /// collecting them, however many ask.
    pub(super) async fn snapshot(&self, service: &Service) -> Result<Arc<Snapshot>, StoreError> {
        // One collects, and the others wait for it.
        let mut kept = self.kept.lock().await;
        if let Some(kept) = &*kept {
            let age = if self.is_stale.load(Ordering::Relaxed) {
                kept.took * 2
            } else {
                MIN_AGE.max(kept.took * 10)
            };
            if kept.collected.elapsed() < age {
                return Ok(kept.snapshot.clone());
            }
        }
        self.is_stale.store(false, Ordering::Relaxed);
        let began = Instant::now();
        let snapshot = Arc::new(collect(service).await?);
        *kept = Some(Kept {
            collected: Instant::now(),
            took: began.elapsed(),
            snapshot: snapshot.clone(),
        });
        Ok(snapshot)
    }
}

impl Snapshot {
    /// Returns the indexes of the rows in ascending order of a measure; of equal ones in that of
    /// their names. Sorts them if nobody has asked yet.
    pub(super) fn order(&self, measure: Measure) -> &[u32] {
        self.orders[measure as usize].get_or_init(|| {
            let count = u32::try_from(self.rows.len()).expect("at most MAX_STREAMS");
            let mut order: Vec<u32> = (0..count).collect();
            // Stable: the rows are sorted by name.
            order.sort_by(|one, other| {
                let key = |index: &u32| self.rows[*index as usize].measure(measure);
                key(one).total_cmp(&key(other))
            });
            order
        })
    }
}

impl Row {
    /// Returns the measure of the row as a number; a row that has none comes first.
    fn measure(&self, measure: Measure) -> f64 {
        let details = self.details.as_ref();
        match measure {
            Measure::Bytes => details.map_or(-1.0, |details| details.bytes as f64),
            Measure::LastWrite => details
                .and_then(|details| details.last_ms)
                .map_or(-1.0, |ms| ms as f64),
            Measure::Rate => self.rate.map_or(-1.0, |rate| rate.bytes_per_s),
        }
    }
}

/// Collects all streams, a chunk at a time.
async fn collect(service: &Service) -> Result<Snapshot, StoreError> {
    let mut collected = Collected::default();
    match collect_summaries(service, &mut collected).await {
        Err(StoreError::Unsupported { .. }) => {
            collected = Collected::default();
            collect_names(service, &mut collected).await?;
        }
        result => result?,
    }
    for rows in collected.rows.chunks_mut(CHUNK) {
        let rates = service.rates(rows.iter().map(|row| &row.name));
        for (row, rate) in rows.iter_mut().zip(rates) {
            row.rate = rate;
        }
        tokio::task::yield_now().await;
    }
    let has_details = collected.rows.iter().all(|row| row.details.is_some());
    let mut owners: Vec<_> = collected.owners.into_values().collect();
    owners.sort_by(|(one, _), (other, _)| one.address.cmp(&other.address));
    Ok(Snapshot {
        rows: collected.rows,
        is_complete: collected.is_complete,
        has_details,
        owners,
        orders: Default::default(),
    })
}

#[derive(Default)]
struct Collected {
    rows: Vec<Row>,
    is_complete: bool,
    /// Each owner once, with the number of its streams.
    owners: HashMap<Owner, (Arc<Owner>, usize)>,
}

impl Collected {
    fn add(&mut self, name: StreamName, summary: Option<StreamSummary>) {
        let details = summary.map(|summary| {
            let owner = summary.owner.as_ref().map(|owner| self.intern(owner));
            Details::new(&summary, owner)
        });
        self.rows.push(Row {
            name,
            details,
            rate: None,
        });
    }

    fn intern(&mut self, owner: &Owner) -> Arc<Owner> {
        if let Some((shared, streams)) = self.owners.get_mut(owner) {
            *streams += 1;
            return shared.clone();
        }
        let shared = Arc::new(owner.clone());
        self.owners.insert(owner.clone(), (shared.clone(), 1));
        shared
    }
}

impl Details {
    pub(super) fn new(summary: &StreamSummary, owner: Option<Arc<Owner>>) -> Self {
        Self {
            created_ms: summary.created_unix_ms,
            bytes: summary.payload_bytes,
            records: summary.records,
            segments: summary.segments,
            first_ms: summary.first_unix_ms,
            last_ms: summary.last_unix_ms,
            owner,
            retention: summary.retention,
        }
    }
}

async fn collect_summaries(service: &Service, collected: &mut Collected) -> Result<(), StoreError> {
    let store = service.store();
    // Bounded: each round is a page of the store further on.
    loop {
        let after = collected.rows.last().map(|row| row.name.clone());
        let page = store.summaries(after.as_ref(), CHUNK).await?;
        collected.is_complete = !page.more;
        let is_empty = page.streams.is_empty();
        for summary in page.streams {
            collected.add(summary.name.clone(), Some(summary));
        }
        if is_empty || !page.more || collected.rows.len() >= MAX_STREAMS {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// Collects the names, and the descriptions of the streams if they are few.
async fn collect_names(service: &Service, collected: &mut Collected) -> Result<(), StoreError> {
    let store = service.store();
    let mut names: Vec<StreamName> = Vec::new();
    // Bounded: each round is a page of the store further on.
    loop {
        let page = store.list_page(names.last(), "", CHUNK * 4).await?;
        collected.is_complete = !page.more;
        let is_empty = page.names.is_empty();
        names.extend(page.names);
        if is_empty || !page.more || names.len() >= MAX_STREAMS {
            break;
        }
        tokio::task::yield_now().await;
    }
    let described = if names.len() <= MAX_DESCRIBED {
        describe(service, &names).await
    } else {
        vec![None; names.len()]
    };
    for (name, summary) in names.into_iter().zip(described) {
        collected.add(name, summary);
    }
    Ok(())
}

/// Asks the store for each of these streams, a few at a time. `None` for those that it cannot
/// describe: they may have been deleted meanwhile.
pub(super) async fn describe(
    service: &Service,
    names: &[StreamName],
) -> Vec<Option<StreamSummary>> {
    let store = service.store();
    stream::iter(names.to_vec())
        .map(|name| async move {
            let mut summary = StreamSummary::from(store.describe(&name).await.ok()?);
            summary.retention = store.retention(Some(&name)).await.ok();
            Some(summary)
        })
        .buffered(DESCRIBED_AT_ONCE)
        .collect()
        .await
}
