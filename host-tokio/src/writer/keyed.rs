//! A writer for records with keys: those of one key keep their order.

use core::future::Future;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use distributedlog::keys::{NameHash, stream_of_key};
use distributedlog::writer::{EnqueueError, Identity, Order, Settings, WriteResult};

use super::shared_transport::Deliveries;
use super::{Acknowledgement, Closed, MultiStreamWriter, Submit, Write};
use crate::ProxyTransport;

/// Writes each record to the stream of its key, so that the records of a key keep their order.
///
/// Every key belongs to one of the streams, the same in every writer to the same streams
/// ([`stream_of_key`]). The records of a stream's keys are sent one set after the other, and the
/// next one when the one before has completed (R20): while the stream is healthy, all of them are
/// there, in the order of the calls. One attempt that fails, or is not answered within the max
/// speculative timeout, moves the keys of that stream to another one, until the stream has answered
/// a probe first. Then a key's later records are in another stream than its earlier ones, which
/// were acknowledged before: what each stream has of a key is in order at any time.
///
/// Its cost: a stream takes one set for each round trip, so that throughput comes from large
/// sets ([`buffer_size`](crate::MultiStreamWriterBuilder::buffer_size)); a stalled stream delays
/// its keys by the max speculative timeout once, where the [`MultiStreamWriter`] hedges sooner.
///
/// A record whose write failed as unknown may still appear behind later ones of its key. Who must
/// not have that stops writing the key at the first error.
///
/// A cheap handle, `Send` and `Sync`: clones share one writer, which one task drives.
///
/// ```no_run
/// use distributedlog_tokio::MultiStreamWriter;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let streams = ["orders-1", "orders-2", "orders-3"];
/// let builder = MultiStreamWriter::builder(streams).proxies("inet!proxy-1:8000,proxy-2:8000");
/// let writer = builder.build_keyed().await?;
///
/// writer.write(b"customer-17", b"an order").await?;
/// writer.write(b"customer-17", b"its cancellation").await?;
/// writer.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KeyedWriter {
    lanes: Arc<[MultiStreamWriter]>,
    names: Arc<[NameHash]>,
}

impl KeyedWriter {
    pub(super) fn new(lanes: Vec<MultiStreamWriter>, streams: &[String]) -> Self {
        Self {
            lanes: lanes.into(),
            names: streams.iter().map(|name| NameHash::of(name)).collect(),
        }
    }

    /// Writes a record: waits for space, then for the reply.
    ///
    /// # Errors
    ///
    /// As [`MultiStreamWriter::write`].
    ///
    /// # Cancel safety
    ///
    /// As [`MultiStreamWriter::write`].
    pub fn write<'a>(&'a self, key: &[u8], record: &'a [u8]) -> Write<'a> {
        self.lane(key).write(record)
    }

    /// Waits for space and takes the record; the [`Acknowledgement`] returns the result. Records of
    /// a key are in the order in which their `submit` was ready.
    ///
    /// # Errors
    ///
    /// As [`MultiStreamWriter::submit`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the record is not written.
    pub fn submit<'a>(&'a self, key: &[u8], record: &'a [u8]) -> Submit<'a> {
        self.lane(key).submit(record)
    }

    /// Takes the record if there is space for its key at present.
    ///
    /// # Errors
    ///
    /// As [`MultiStreamWriter::try_write`].
    pub fn try_write(&self, key: &[u8], record: &[u8]) -> Result<Acknowledgement, EnqueueError> {
        self.lane(key).try_write(record)
    }

    /// Writes records with their keys, and returns their results in the same order once all have
    /// completed.
    ///
    /// # Cancel safety
    ///
    /// As [`MultiStreamWriter::write_batch`].
    pub async fn write_batch<K: AsRef<[u8]>, R: AsRef<[u8]>>(
        &self,
        records: impl IntoIterator<Item = (K, R)>,
    ) -> Vec<WriteResult> {
        let mut accepted = Vec::new();
        for (key, record) in records {
            accepted.push(self.submit(key.as_ref(), record.as_ref()).await);
        }
        super::results(accepted).await
    }

    /// Waits until all records that were accepted before have completed, with any result.
    ///
    /// # Cancel safety
    ///
    /// The records are flushed even if the future is dropped once it was polled.
    pub async fn flush(&self) {
        each(self.lanes.iter().map(MultiStreamWriter::flush)).await;
    }

    /// Takes no more records, flushes, waits until everything has completed, and closes the
    /// connections. Returns how many records were written meanwhile and how many were not.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the writer closes even if the future is dropped.
    pub async fn close(&self) -> Closed {
        total(each(self.lanes.iter().map(MultiStreamWriter::close)).await)
    }

    /// As [`close`](Self::close); what is not completed within `time` completes with
    /// [`Reason::Closed`](distributedlog::writer::Reason::Closed).
    pub async fn close_within(&self, time: Duration) -> Closed {
        total(each(self.lanes.iter().map(|lane| lane.close_within(time))).await)
    }

    /// Returns the writer that the records of a key go through. It is for what has no method here:
    /// room that is reserved, counters, the last failure.
    #[must_use]
    pub fn lane(&self, key: &[u8]) -> &MultiStreamWriter {
        let index = stream_of_key(key, &self.names);
        &self.lanes[index.expect("a writer has a stream")]
    }

    /// Returns the writers behind it, one for each stream in the order of the builder.
    #[must_use]
    pub fn lanes(&self) -> &[MultiStreamWriter] {
        &self.lanes
    }

    /// Returns the name of the stream that a key belongs to.
    #[must_use]
    pub fn stream_of(&self, key: &[u8]) -> Arc<str> {
        let index = stream_of_key(key, &self.names).expect("a writer has a stream");
        let index = u16::try_from(index).expect("a writer has at most 256 streams");
        self.lanes[0].stream_name(distributedlog::StreamIndex(index))
    }

    /// Returns `true` if the writer takes no more records.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lanes.iter().any(MultiStreamWriter::is_closed)
    }
}

/// Returns the settings of the writer of one stream's keys, of `lanes` writers with these settings:
/// each has its part of the memory, and an identity of its own.
pub(super) fn lane_settings(settings: &Settings, lane: u8, lanes: usize) -> Settings {
    let mut builder = settings.to_builder().order(Order::Kept { home: lane });
    builder = builder.pending_records((settings.pending_records() / lanes).max(1));
    // A set that fills and one in flight.
    let least = 2 * settings.set_bytes();
    builder = builder.buffered_bytes((settings.buffered_bytes() / lanes).max(least));
    if let Identity::Trailer {
        mut writer,
        first_sequence,
    } = settings.identity()
    {
        writer.0[15] ^= lane;
        builder = builder.identity(Identity::Trailer {
            writer,
            first_sequence,
        });
    }
    builder.build().expect("parts of valid settings are valid")
}

/// Polls the runners of all lanes in one task, until each has ended.
pub(super) async fn run_lanes(
    mut runners: Vec<Option<Lane>>,
    deliveries: Deliveries<ProxyTransport>,
) {
    core::future::poll_fn(|cx| {
        // Bounded, so that busy writers leave time to other tasks.
        for _ in 0..PASSES {
            for runner in &mut runners {
                if let Some(future) = runner
                    && future.as_mut().poll(cx).is_ready()
                {
                    *runner = None;
                }
            }
            if runners.iter().all(Option::is_none) {
                return Poll::Ready(());
            }
            if !deliveries.take() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Maximum number of times that all lanes are polled in one poll of their task.
const PASSES: usize = 16;

/// Future that drives the writer of one stream's keys.
pub(super) type Lane = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls all futures until each is ready.
async fn each<F: Future + Unpin>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<(F, Option<F::Output>)> = futures.map(|future| (future, None)).collect();
    core::future::poll_fn(|cx| {
        let mut pending = false;
        for (future, output) in &mut futures {
            if output.is_none() {
                match Pin::new(future).poll(cx) {
                    Poll::Ready(ready) => *output = Some(ready),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    let outputs = futures.into_iter().map(|(_, output)| output);
    outputs
        .map(|output| output.expect("it was ready"))
        .collect()
}

fn total(lanes: Vec<Closed>) -> Closed {
    let add = |all: Closed, lane: Closed| Closed {
        written: all.written + lane.written,
        failed: all.failed + lane.failed,
    };
    let none = Closed {
        written: 0,
        failed: 0,
    };
    lanes.into_iter().fold(none, add)
}
