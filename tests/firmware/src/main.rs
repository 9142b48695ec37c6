//! A firmware that writes to the real write proxy, on QEMU's LM3S6965 (a Cortex-M3 with 64 KiB of
//! RAM).
//!
//! It gets its address by DHCP, connects over thriftmux and writes 1,000 records through the multi
//! stream writer to five streams. Over the serial port it reports its progress, one line each, and
//! the test answers:
//!
//! - `ready` → the proxy's port;
//! - `healthy done` → `go` once a stream was stalled;
//! - `restart the proxy` → the test kills it and starts another one, without an answer: the
//!   firmware notices on its own;
//! - `cut the link` → `go` once the network card's link is down; `mend the link` once the
//!   connection was given up for it.
//!
//! For each acknowledged record it prints `stored NUMBER STREAM DLSN`. It exits with a status by
//! semihosting.
#![no_std]
#![no_main]

mod console;
mod nic;
mod scenario;
#[macro_use]
mod talk;
mod time;

use core::cell::RefCell;
use core::net::{Ipv4Addr, SocketAddr};
use core::panic::PanicInfo;

use console::Console;
use cortex_m_semihosting::debug;
use distributedlog::EmbassyClock;
use distributedlog::async_writer::{MultiStreamWriter, Runner};
use distributedlog_embedded::{Buffers, Config, Endpoint, NoDns, ProxyClient, ProxyTransport};
use embassy_executor::Spawner;
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_net::{Stack, StackResources};
use nic::Nic;
use scenario::{SET_BYTES, WriterState};
use static_cell::{ConstStaticCell, StaticCell};

/// Address of the host in QEMU's own network.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const HARDWARE_ADDRESS: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
/// The streams of the tutorial.
const STREAMS: [&str; 5] = [
    "basic-stream-3",
    "basic-stream-4",
    "basic-stream-5",
    "basic-stream-6",
    "basic-stream-7",
];

/// A device has one proxy. With a store of its own, the proxy owns every stream.
const HOSTS: usize = 1;
/// Maximum number of outstanding requests: two sets in flight, each at a few streams.
const REQUESTS: usize = 8;
/// Length of the longest frame of the peer.
const INCOMING_BYTES: usize = 1024;
/// Buffer of the network stack for each direction, in bytes.
const SOCKET_BYTES: usize = 2048;

/// The client of the proxy.
pub type Proxy = ProxyClient<'static, EmbassyClock, HOSTS, { STREAMS.len() }, REQUESTS>;
type Transport = ProxyTransport<'static, 'static, EmbassyClock, HOSTS, { STREAMS.len() }, REQUESTS>;

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static RESOURCES: StaticCell<StackResources<3>> = StaticCell::new();
    static WRITER_STATE: StaticCell<RefCell<WriterState>> = StaticCell::new();

    let peripherals = cortex_m::Peripherals::take().expect("taken once");
    time::start(peripherals.SYST);
    Console::start();
    say!("ready");
    let port = talk::read_line::<8>()
        .await
        .parse()
        .expect("the test sends the proxy's port");

    let (stack, network) = embassy_net::new(
        Nic::start(HARDWARE_ADDRESS),
        embassy_net::Config::dhcpv4(Default::default()),
        RESOURCES.init(StackResources::new()),
        1,
    );
    spawner.spawn(keep_network(network).expect("spawned once"));
    stack.wait_config_up().await;
    say!("address {}", stack.config_v4().expect("it is up").address);

    let proxy = proxy_at(SocketAddr::from((HOST, port)));
    spawner.spawn(keep_connected(proxy, stack).expect("spawned once"));
    let state = WRITER_STATE.init_with(scenario::writer_state);
    let (writer, runner) = MultiStreamWriter::new(&*state, proxy.transport());
    spawner.spawn(run(runner).expect("spawned once"));

    let good = scenario::play(&writer, proxy, &STREAMS).await;
    say!("{}", if good { "done" } else { "failed" });
    debug::exit(if good {
        debug::EXIT_SUCCESS
    } else {
        debug::EXIT_FAILURE
    });
}

/// Creates the client of the proxy at this address.
fn proxy_at(address: SocketAddr) -> &'static Proxy {
    static PROXY: StaticCell<Proxy> = StaticCell::new();
    static PROXIES: StaticCell<[Endpoint<'static>; 1]> = StaticCell::new();
    static SETS: ConstStaticCell<[u8; REQUESTS * SET_BYTES]> =
        ConstStaticCell::new([0; REQUESTS * SET_BYTES]);
    static INCOMING: ConstStaticCell<[u8; INCOMING_BYTES]> =
        ConstStaticCell::new([0; INCOMING_BYTES]);
    static OUTGOING: ConstStaticCell<[u8; SET_BYTES + 512]> =
        ConstStaticCell::new([0; SET_BYTES + 512]);

    let proxies = PROXIES.init([Endpoint::Address(address)]);
    let mut config = Config::new("firmware", proxies, &STREAMS);
    // embassy-net's flush waits for the peer's acknowledgement.
    config.flush = false;
    let buffers = Buffers {
        sets: SETS.take(),
        incoming: INCOMING.take(),
        outgoing: OUTGOING.take(),
    };
    PROXY.init_with(|| Proxy::new(config, EmbassyClock, buffers).expect("the buffers are large"))
}

#[embassy_executor::task]
async fn keep_connected(proxy: &'static Proxy, stack: Stack<'static>) {
    static SOCKETS: StaticCell<TcpClientState<HOSTS, SOCKET_BYTES, SOCKET_BYTES>> =
        StaticCell::new();
    let tcp = TcpClient::new(stack, SOCKETS.init_with(TcpClientState::new));
    match proxy.run(&tcp, &NoDns).await {}
}

#[embassy_executor::task]
async fn keep_network(mut runner: embassy_net::Runner<'static, Nic>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn run(runner: Runner<&'static RefCell<WriterState>, Transport>) {
    runner.run().await;
}

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    say!("{panic}");
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::nop();
    }
}

#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    say!("hard fault: {frame:?}");
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::nop();
    }
}
