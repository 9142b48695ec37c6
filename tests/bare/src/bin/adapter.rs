//! A device over the traits of embedded-nal-async: the async writer, its runner and the client of
//! write proxies, over a network stack that never connects. Linking it gives the flash that they
//! take without a stack and an executor.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::cell::RefCell;
use core::future::{Future, Ready, ready};
use core::hint::black_box;
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::pin;
use core::task::{Context, Waker};

use distributedlog::async_writer::{MultiStreamWriter, State, WaiterSlot};
use distributedlog::writer::{Fixed, Settings, StreamCount, Writer};
use distributedlog::{Clock, Instant};
use distributedlog_embedded::{Buffers, Config, Endpoint, NoDns, ProxyClient};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use embedded_nal_async::TcpConnect;

const STREAMS: [&str; 4] = ["stream-1", "stream-2", "stream-3", "stream-4"];
const RECORDS: usize = 12;
const SET_BYTES: usize = 1024;
const REQUESTS: usize = 4;

/// A stack whose connections end at once, which the compiler does not know.
struct Stack;
struct Connection;

impl TcpConnect for Stack {
    type Error = ErrorKind;
    type Connection<'a> = Connection;

    async fn connect(&self, _: SocketAddr) -> Result<Connection, ErrorKind> {
        black_box(Ok(Connection))
    }
}

impl ErrorType for Connection {
    type Error = ErrorKind;
}

impl Read for Connection {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        black_box(buf);
        black_box(Ok(0))
    }
}

impl Write for Connection {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        black_box(buf);
        black_box(Ok(0))
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        black_box(Ok(()))
    }
}

/// A clock whose time the compiler does not know.
#[derive(Clone, Copy)]
struct NoClock;

impl Clock for NoClock {
    type Sleep = Ready<()>;

    fn now(&self) -> Instant {
        black_box(Instant::ZERO)
    }

    fn sleep_until(&self, at: Instant) -> Ready<()> {
        black_box(at);
        ready(())
    }
}

const fn settings() -> Settings {
    let settings = Settings::builder()
        .in_flight_sets(2)
        .pending_records(RECORDS)
        .buffer_size(512)
        .seed(7)
        .build();
    match settings {
        Ok(settings) => settings,
        Err(_) => panic!("the settings are not within their bounds"),
    }
}

/// Polls the device's three futures this many times.
fn run_device(turns: u32) {
    const SETTINGS: Settings = settings();
    let (mut sets, mut incoming, mut outgoing) =
        ([0; REQUESTS * SET_BYTES], [0; 1024], [0; SET_BYTES + 512]);
    let buffers = Buffers {
        sets: &mut sets,
        incoming: &mut incoming,
        outgoing: &mut outgoing,
    };
    let proxies = [Endpoint::Address(SocketAddr::from((
        Ipv4Addr::LOCALHOST,
        8000,
    )))];
    let config = Config::new("device", &proxies, &STREAMS);
    let Ok(client) = ProxyClient::<_, 1, 4, REQUESTS>::new(config, NoClock, buffers) else {
        return;
    };
    let Ok(streams) = StreamCount::new(STREAMS.len()) else {
        return;
    };
    let Ok(machine) = Writer::new(SETTINGS, streams, Fixed::<4, 3, RECORDS, SET_BYTES>::new())
    else {
        return;
    };
    let slots = [const { WaiterSlot::EMPTY }; RECORDS + 2];
    let state = RefCell::new(State::new(machine, slots, NoClock));
    let (writer, runner) = MultiStreamWriter::new(&state, client.transport());
    let work = async {
        loop {
            let _ = black_box(writer.write(black_box(b"record")).await);
        }
    };
    let (mut work, mut runner, mut run) = (
        pin!(work),
        pin!(runner.run()),
        pin!(client.run(&Stack, &NoDns)),
    );
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..turns {
        let _: core::task::Poll<()> = work.as_mut().poll(&mut cx);
        let _ = runner.as_mut().poll(&mut cx);
        let _ = run.as_mut().poll(&mut cx);
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    run_device(3);
    println!("ok");
}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    loop {
        run_device(black_box(u32::MAX));
    }
}

distributedlog_bare::stops_on_panic!();
