//! A thermometer: writes the processor's temperature every second to whichever of three streams
//! answers first.
#![no_std]
#![no_main]

use core::cell::RefCell;
use core::net::IpAddr;
use core::panic::PanicInfo;
use core::time::Duration;

use distributedlog::EmbassyClock;
use distributedlog::async_writer::{MultiStreamWriter, Runner, State, WaiterSlot};
use distributedlog::writer::{Fixed, Settings, Storage, StorageTables, StreamCount, Writer};
use distributedlog_embedded::{Buffers, Config, Endpoint, ProxyClient, ProxyTransport};
use embassy_executor::Spawner;
use embassy_net::dns::DnsSocket;
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_net::{Stack, StackResources};
use embassy_net_wiznet::chip::W5500;
use embassy_rp::adc::{Adc, Channel};
use embassy_rp::clocks::RoscRng;
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, SPI0};
use embassy_rp::spi::{Async, Spi};
use embassy_rp::{adc, bind_interrupts, dma, spi};
use embassy_time::{Delay, Ticker};
use embedded_hal_bus::spi::ExclusiveDevice;
use static_cell::{ConstStaticCell, StaticCell};

/// Host name or address of the write proxy.
const PROXY: &str = match option_env!("PROXY") {
    Some(proxy) => proxy,
    None => "proxy.example.com",
};
const PORT: u16 = 8000;
const STREAMS: [&str; 3] = ["thermometer-1", "thermometer-2", "thermometer-3"];

/// The proxy, and one more that owns a stream.
const HOSTS: usize = 2;
/// Maximum number of outstanding requests: two sets in flight, each at two streams.
const REQUESTS: usize = 4;
/// Length of the longest record set.
const SET_BYTES: usize = 512;
/// Maximum number of records that are not acknowledged yet.
const RECORDS: usize = 16;
/// Length of the longest frame of a proxy.
const INCOMING_BYTES: usize = 1024;
/// Buffer of a socket for each direction.
const SOCKET_BYTES: usize = 2048;

type Proxy = ProxyClient<'static, EmbassyClock, HOSTS, { STREAMS.len() }, REQUESTS>;
type Transport = ProxyTransport<'static, 'static, EmbassyClock, HOSTS, { STREAMS.len() }, REQUESTS>;
type WriterState =
    State<StorageTables<'static, [u8; SET_BYTES]>, &'static mut [WaiterSlot], EmbassyClock>;
type Spi0 = ExclusiveDevice<Spi<'static, SPI0, Async>, Output<'static>, Delay>;
type NetworkChip =
    embassy_net_wiznet::Runner<'static, W5500, Spi0, Input<'static>, Output<'static>>;

bind_interrupts!(struct Interrupts {
    ADC_IRQ_FIFO => adc::InterruptHandler;
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>;
});

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static CHIP: ConstStaticCell<embassy_net_wiznet::State<4, 4>> =
        ConstStaticCell::new(embassy_net_wiznet::State::new());
    // The sockets of the proxies, DHCP's and DNS's.
    static RESOURCES: StaticCell<StackResources<{ HOSTS + 2 }>> = StaticCell::new();

    let board = embassy_rp::init(Default::default());
    let mut random = RoscRng;
    let mut config = spi::Config::default();
    config.frequency = 25_000_000;
    let bus = Spi::new(
        board.SPI0,
        board.PIN_18,
        board.PIN_19,
        board.PIN_16,
        board.DMA_CH0,
        board.DMA_CH1,
        Interrupts,
        config,
    );
    let select = Output::new(board.PIN_17, Level::High);
    let (device, chip) = embassy_net_wiznet::new(
        // An address of the kind that anybody may choose.
        [0x02, 0x00, 0x00, 0x00, 0x00, 0x01],
        CHIP.take(),
        ExclusiveDevice::new(bus, select, Delay).expect("its pin cannot fail"),
        Input::new(board.PIN_21, Pull::Up),
        Output::new(board.PIN_20, Level::High),
    )
    .await
    .expect("the chip answers");
    spawner.spawn(run_chip(chip).expect("spawned once"));

    let (stack, network) = embassy_net::new(
        device,
        embassy_net::Config::dhcpv4(Default::default()),
        RESOURCES.init(StackResources::new()),
        random.next_u64(),
    );
    spawner.spawn(run_network(network).expect("spawned once"));
    stack.wait_config_up().await;

    let proxy = make_client(random.next_u64());
    spawner.spawn(run_client(proxy, stack).expect("spawned once"));
    let (writer, runner) =
        MultiStreamWriter::new(make_writer(random.next_u64()), proxy.transport());
    spawner.spawn(run_writer(runner).expect("spawned once"));

    let mut led = Output::new(board.PIN_25, Level::Low);
    let mut converter = Adc::new(board.ADC, Interrupts, adc::Config::default());
    let mut sensor = Channel::new_temp_sensor(board.ADC_TEMP_SENSOR);
    let mut seconds = Ticker::every(embassy_time::Duration::from_secs(1));
    loop {
        seconds.next().await;
        let Ok(reading) = converter.read(&mut sensor).await else {
            continue;
        };
        // Refused when there is no room: later readings are newer. The
        // result of the write is not needed, so its acknowledgement is dropped.
        drop(writer.try_write(&millidegrees(reading).to_be_bytes()));
        led.set_level(Level::from(proxy.is_connected()));
    }
}

/// Converts a reading of the sensor, by the data sheet: 27 °C at 706 mV, and -1.721 mV for each
/// degree.
fn millidegrees(reading: u16) -> i32 {
    let microvolts = i32::from(reading) * 806;
    27_000 - (microvolts - 706_000) * 1000 / 1721
}

/// Creates the client of the proxies.
fn make_client(seed: u64) -> &'static Proxy {
    static CLIENT: StaticCell<Proxy> = StaticCell::new();
    static PROXIES: StaticCell<[Endpoint<'static>; 1]> = StaticCell::new();
    static SETS: ConstStaticCell<[u8; REQUESTS * SET_BYTES]> =
        ConstStaticCell::new([0; REQUESTS * SET_BYTES]);
    static INCOMING: ConstStaticCell<[u8; HOSTS * INCOMING_BYTES]> =
        ConstStaticCell::new([0; HOSTS * INCOMING_BYTES]);
    static OUTGOING: ConstStaticCell<[u8; HOSTS * (SET_BYTES + 512)]> =
        ConstStaticCell::new([0; HOSTS * (SET_BYTES + 512)]);

    let proxy = match PROXY.parse::<IpAddr>() {
        Ok(address) => Endpoint::Address((address, PORT).into()),
        Err(_) => Endpoint::Name(PROXY, PORT),
    };
    let mut config = Config::new("thermometer", PROXIES.init([proxy]), &STREAMS);
    // embassy-net's flush waits for the peer's acknowledgement.
    config.flush = false;
    config.seed = seed;
    let buffers = Buffers {
        sets: SETS.take(),
        incoming: INCOMING.take(),
        outgoing: OUTGOING.take(),
    };
    CLIENT.init_with(|| Proxy::new(config, EmbassyClock, buffers).expect("the buffers are large"))
}

/// Creates the writer.
fn make_writer(seed: u64) -> &'static RefCell<WriterState> {
    static STATE: StaticCell<RefCell<WriterState>> = StaticCell::new();
    static TABLES: ConstStaticCell<Fixed<{ STREAMS.len() }, 3, RECORDS, SET_BYTES>> =
        ConstStaticCell::new(Fixed::new());
    static SLOTS: ConstStaticCell<[WaiterSlot; RECORDS + 2]> =
        ConstStaticCell::new([const { WaiterSlot::EMPTY }; RECORDS + 2]);

    let settings = Settings::builder()
        .in_flight_sets(2)
        .pending_records(RECORDS)
        .buffer_size(256)
        .request_timeout(Duration::from_secs(60))
        .first_speculative_timeout(Duration::from_millis(200))
        .seed(seed);
    let settings = settings.build().expect("within the bounds");
    let streams = StreamCount::new(STREAMS.len()).expect("between 1 and the most");
    let machine = Writer::new(settings, streams, TABLES.take().tables());
    let machine = machine.expect("the tables are as long as the settings say");
    STATE.init_with(|| {
        RefCell::new(State::new(
            machine,
            SLOTS.take().as_mut_slice(),
            EmbassyClock,
        ))
    })
}

#[embassy_executor::task]
async fn run_chip(chip: NetworkChip) -> ! {
    chip.run().await
}

#[embassy_executor::task]
async fn run_network(
    mut network: embassy_net::Runner<'static, embassy_net_wiznet::Device<'static>>,
) -> ! {
    network.run().await
}

#[embassy_executor::task]
async fn run_client(proxy: &'static Proxy, stack: Stack<'static>) {
    static SOCKETS: StaticCell<TcpClientState<HOSTS, SOCKET_BYTES, SOCKET_BYTES>> =
        StaticCell::new();
    let tcp = TcpClient::new(stack, SOCKETS.init_with(TcpClientState::new));
    match proxy.run(&tcp, &DnsSocket::new(stack)).await {}
}

#[embassy_executor::task]
async fn run_writer(runner: Runner<&'static RefCell<WriterState>, Transport>) {
    runner.run().await;
}

/// Restarts the board.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
