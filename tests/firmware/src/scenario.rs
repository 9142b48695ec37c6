//! The records that the firmware writes, and the conditions of success.

use core::cell::RefCell;
use core::time::Duration;

use distributedlog::EmbassyClock;
use distributedlog::async_writer::{Acknowledgement, MultiStreamWriter, State, WaiterSlot};
use distributedlog::wire::record_set::WriterId;
use distributedlog::writer::{
    Fixed, Identity, Settings, Storage, StorageTables, StreamCount, Writer,
};
use embassy_futures::join::join;
use static_cell::ConstStaticCell;

use crate::{Proxy, say, talk};

/// Total number of records.
const RECORDS: u32 = 1000;
/// Records written before the test stalls a stream.
const HEALTHY: u32 = 300;
/// Records written before the test restarts the proxy.
const BEFORE_RESTART: u32 = 700;
/// Records written before the connection must be lost. The rest waits for that, so that the restart
/// always falls between records.
const UNTIL_LOST: u32 = 900;
/// Records written before the test cuts the link to the network. It restores the link once the
/// connection is lost.
const BEFORE_CUT: u32 = 950;
/// Maximum number of records accepted and not yet acknowledged.
const PENDING: usize = 16;

/// Length of the longest record set.
pub const SET_BYTES: usize = 512;
/// One for each record, one for the task that waits for room, and one for the close.
const WAITER_SLOTS: usize = PENDING + 2;

pub type WriterState =
    State<StorageTables<'static, [u8; SET_BYTES]>, &'static mut [WaiterSlot], EmbassyClock>;
type Handle = MultiStreamWriter<&'static RefCell<WriterState>>;
type Queue = heapless::Deque<(u32, Acknowledgement<&'static RefCell<WriterState>>), PENDING>;

/// Creates the writer and the slots of its tasks. The tables are in a `static` and never pass over
/// the stack.
pub fn writer_state() -> RefCell<WriterState> {
    static TABLES: ConstStaticCell<Fixed<5, 3, PENDING, SET_BYTES>> =
        ConstStaticCell::new(Fixed::new());
    static SLOTS: ConstStaticCell<[WaiterSlot; WAITER_SLOTS]> =
        ConstStaticCell::new([const { WaiterSlot::EMPTY }; WAITER_SLOTS]);
    let settings = Settings::builder()
        .original_features()
        .buffer_size(256)
        .in_flight_sets(2)
        .pending_records(PENDING)
        .request_timeout(Duration::from_secs(50))
        .first_speculative_timeout(Duration::from_millis(200))
        .max_speculative_timeout(Duration::from_secs(2))
        .identity(Identity::Trailer {
            writer: WriterId(*b"firmware in qemu"),
            first_sequence: 0,
        })
        .seed(7);
    let settings = settings.build().expect("within the bounds");
    let streams = StreamCount::new(5).expect("between 1 and the most");
    let writer = Writer::new(settings, streams, TABLES.take().tables())
        .expect("the tables are as long as the settings say");
    RefCell::new(State::new(
        writer,
        SLOTS.take().as_mut_slice(),
        EmbassyClock,
    ))
}

/// Writes all records. Returns `true` if all were acknowledged, with hedges and over lost
/// connections.
pub async fn play(writer: &Handle, proxy: &Proxy, streams: &[&str]) -> bool {
    let mut progress = Progress {
        writer,
        streams,
        queue: Queue::new(),
        stored: 0,
    };
    let mut good = progress.write(0..HEALTHY).await;
    say!("healthy done");
    let _: heapless::String<8> = talk::read_line().await;
    good &= progress.write(HEALTHY..BEFORE_RESTART).await;
    say!("restart the proxy");
    let before = proxy.counters().disconnects;
    good &= progress.write(BEFORE_RESTART..UNTIL_LOST).await;
    until_lost(proxy, before).await;
    good &= progress.write(UNTIL_LOST..BEFORE_CUT).await;
    say!("cut the link");
    let _: heapless::String<8> = talk::read_line().await;
    let before = proxy.counters().disconnects;
    let (written, ()) = join(progress.write(BEFORE_CUT..RECORDS), async {
        until_lost(proxy, before).await;
        say!("mend the link");
    })
    .await;
    good &= written;
    writer.close().await;

    let (counters, client) = (writer.counters(), proxy.counters());
    say!("{counters:?}");
    say!("{client:?}");
    good && progress.stored == RECORDS
        && counters.hedges_won > 0
        && client.disconnects >= 2
        && client.connects >= 3
}

/// Waits until more than `before` connections have been lost.
async fn until_lost(proxy: &Proxy, before: u64) {
    while proxy.counters().disconnects == before {
        embassy_time::Timer::after_millis(10).await;
    }
}

struct Progress<'a> {
    writer: &'a Handle,
    streams: &'a [&'a str],
    queue: Queue,
    stored: u32,
}

impl Progress<'_> {
    /// Writes these records and waits for their results. Returns `true` if all were acknowledged.
    async fn write(&mut self, numbers: core::ops::Range<u32>) -> bool {
        let mut good = true;
        for number in numbers {
            if self.queue.is_full() {
                good &= self.take().await;
            }
            let mut record = heapless::String::<32>::new();
            let _ = core::fmt::write(&mut record, format_args!("record-{number}"));
            match self.writer.submit(record.as_bytes()).await {
                Ok(acknowledgement) => drop(self.queue.push_back((number, acknowledgement))),
                Err(refusal) => {
                    say!("refused {number}: {refusal}");
                    good = false;
                }
            }
        }
        while !self.queue.is_empty() {
            good &= self.take().await;
        }
        good
    }

    /// Waits for the result of the oldest record and prints it.
    async fn take(&mut self) -> bool {
        let Some((number, acknowledgement)) = self.queue.pop_front() else {
            return true;
        };
        match acknowledgement.await {
            Ok(written) => {
                self.stored += 1;
                say!(
                    "stored {number} {} {}",
                    self.streams[usize::from(written.stream.0)],
                    written.dlsn.to_text()
                );
                true
            }
            Err(error) => {
                say!("lost {number}: {error}");
                false
            }
        }
    }
}
