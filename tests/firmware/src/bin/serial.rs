//! A device without a network: it sends its record sets to a gateway as lines over the serial port.
//! Its transport, an example of your own, is in `serial/line.rs`. Its own output (`stored NUMBER
//! STREAM DLSN`, `done`) goes over the same port. The gateway of the test is in
//! `tests/tests/firmware.rs`.
#![no_std]
#![no_main]

#[path = "../console.rs"]
mod console;
#[path = "serial/line.rs"]
mod line;
#[path = "../time.rs"]
mod time;

use core::cell::RefCell;
use core::fmt::Write as _;
use core::panic::PanicInfo;
use core::time::Duration;

use console::Console;
use cortex_m_semihosting::debug;
use distributedlog::EmbassyClock;
use distributedlog::async_writer::{MultiStreamWriter, Runner, State, WaiterSlot};
use distributedlog::writer::{Fixed, Settings, StreamCount, Writer};
use embassy_executor::Spawner;
use line::LineTransport;
use static_cell::StaticCell;

const RECORDS: u32 = 100;
const STREAMS: [&str; 3] = ["device-1", "device-2", "device-3"];

type WriterState = State<Fixed<3, 3, 8, 256>, [WaiterSlot; 10], EmbassyClock>;

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static WRITER_STATE: StaticCell<RefCell<WriterState>> = StaticCell::new();
    time::start(cortex_m::Peripherals::take().expect("taken once").SYST);
    let settings = Settings::builder()
        .original_features()
        .buffer_size(64)
        .in_flight_sets(2)
        .pending_records(8)
        .request_timeout(Duration::from_secs(50));
    let settings = settings
        .first_speculative_timeout(Duration::from_millis(200))
        .max_speculative_timeout(Duration::from_secs(1));
    let settings = settings.seed(3).build().expect("within the bounds");
    let state = WRITER_STATE.init_with(|| {
        let streams = StreamCount::new(STREAMS.len()).expect("between 1 and the most");
        let writer = Writer::new(settings, streams, Fixed::new())
            .expect("the tables are as long as the settings say");
        RefCell::new(State::new(
            writer,
            [const { WaiterSlot::EMPTY }; 10],
            EmbassyClock,
        ))
    });
    let (writer, runner) = MultiStreamWriter::new(&*state, LineTransport::new(STREAMS));
    spawner.spawn(run(runner).expect("spawned once"));

    for number in 0..RECORDS {
        let mut record = heapless::String::<16>::new();
        let _ = core::fmt::write(&mut record, format_args!("record-{number}"));
        match writer.write(record.as_bytes()).await {
            Ok(written) => {
                let _ = writeln!(
                    Console,
                    "stored {} {} {}",
                    number,
                    STREAMS[usize::from(written.stream.0)],
                    written.dlsn.to_text()
                );
            }
            Err(error) => {
                let _ = writeln!(Console, "lost {}: {}", number, error);
                debug::exit(debug::EXIT_FAILURE);
            }
        }
    }
    let _ = writeln!(Console, "{:?}", writer.counters());
    let _ = writeln!(Console, "done");
    debug::exit(debug::EXIT_SUCCESS);
}

#[embassy_executor::task]
async fn run(runner: Runner<&'static RefCell<WriterState>, LineTransport<3>>) {
    runner.run().await;
}

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Console, "{}", panic);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::nop();
    }
}
