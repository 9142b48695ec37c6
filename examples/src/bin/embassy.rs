//! The writer as a device runs it: embassy's executor and clock, all tables in a `static`, no heap
//! in the writer. On a board, take its own executor and time driver, and a transport over its radio
//! or network stack; docs/embedded.md has the rest, and tests/firmware a whole firmware.
//!
//! ```sh
//! cargo run -p distributedlog-examples --bin embassy
//! ```

use core::task::{Context, Poll};
use std::sync::Mutex;

use distributedlog::async_writer::{MultiStreamWriter, Runner, State, WaiterSlot};
use distributedlog::writer::{Fixed, Settings, StreamCount, Writer};
use distributedlog::{
    Attempt, AttemptId, Dlsn, EmbassyClock, Instant, Outcome, StartRefused, Transport,
};
use embassy_executor::{Executor, Spawner};
use embassy_time::{Duration, Timer};
use futures_lite::future::or;

const STREAMS: usize = 2;
const SETS: usize = 3;
const RECORDS: usize = 16;
const SET_BYTES: usize = 1024;
/// One slot for each record, and one for the task that waits for the close.
const SLOTS: usize = RECORDS + 1;

type Tables = State<Fixed<STREAMS, SETS, RECORDS, SET_BYTES>, [WaiterSlot; SLOTS], EmbassyClock>;
/// On a device: `&'static RefCell<Tables>` in a `StaticCell`, or embassy's blocking mutex.
type Shared = std::sync::Arc<Mutex<Tables>>;

/// A link that answers each attempt after one poll. A device's own drives its peripheral here.
#[derive(Default)]
struct Link {
    sent: std::collections::VecDeque<AttemptId>,
    entries: i64,
}

impl Transport for Link {
    fn start(&mut self, _now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        self.sent.push_back(attempt.id);
        Ok(())
    }

    fn cancel(&mut self, _now: Instant, attempt: AttemptId) {
        self.sent.retain(|sent| *sent != attempt);
    }

    fn poll_finished(&mut self, _cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        match self.sent.pop_front() {
            Some(attempt) => {
                self.entries += 1;
                Poll::Ready((attempt, Ok(Dlsn::new(1, self.entries, 0))))
            }
            None => Poll::Pending,
        }
    }
}

#[embassy_executor::task]
async fn drive(runner: Runner<Shared, Link>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn measure(writer: MultiStreamWriter<Shared>) {
    for number in 0_u32..5 {
        let record = number.to_be_bytes();
        // A deadline of the application's own, without an allocator: whichever ends first.
        let write = async { Some(writer.write(&record).await) };
        let too_late = async {
            Timer::after(Duration::from_secs(5)).await;
            None
        };
        match or(write, too_late).await {
            Some(Ok(written)) => println!(
                "sample {number}: stream {} {}",
                written.stream.0, written.dlsn
            ),
            Some(Err(error)) => println!("sample {number}: {error}"),
            None => println!("sample {number}: no answer in time"),
        }
        Timer::after(Duration::from_millis(10)).await;
    }
    writer.close().await;
    // A device goes on for ever.
    std::process::exit(0);
}

fn start(spawner: Spawner) {
    let settings = Settings::builder()
        .buffer_size(SET_BYTES)
        .in_flight_sets(SETS)
        .pending_records(RECORDS)
        .build()
        .expect("valid for these tables");
    let streams = StreamCount::new(STREAMS).expect("a valid number of streams");
    let machine = Writer::new(settings, streams, Fixed::new()).expect("the tables fit");
    let slots = [const { WaiterSlot::EMPTY }; SLOTS];
    let state = State::new(machine, slots, EmbassyClock);
    let shared = std::sync::Arc::new(Mutex::new(state));
    let (writer, runner) = MultiStreamWriter::new(shared, Link::default());
    spawner.spawn(drive(runner).expect("the task runs once"));
    spawner.spawn(measure(writer).expect("the task runs once"));
}

fn main() -> ! {
    // On a device: a StaticCell.
    Box::leak(Box::new(Executor::new())).run(start)
}
