//! What a client reports to the application's log.

use core::cell::Cell;
use core::future::Future;
use core::net::{IpAddr, SocketAddr};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Mutex;

use distributedlog::{Clock, Instant};
use distributedlog_embedded::{Buffers, Config, Endpoint, ProxyClient};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use embedded_nal_async::{AddrType, Dns, TcpConnect};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut lines = LINES.lock().expect("no test panics with it");
        lines.push(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

/// Time passes with each sleep, which ends when it is polled again.
struct SleepClock(Cell<Instant>);
struct Sleep(bool);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if core::mem::replace(&mut self.0, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Clock for SleepClock {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        self.0.get()
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        self.0.set(at.max(self.0.get()));
        Sleep(false)
    }
}

/// Refuses the first connection, and closes the others.
struct Stack(Cell<u32>);
struct Closed;

impl TcpConnect for Stack {
    type Error = ErrorKind;
    type Connection<'a> = Closed;

    async fn connect(&self, _: SocketAddr) -> Result<Closed, ErrorKind> {
        self.0.set(self.0.get() + 1);
        (self.0.get() > 1).then_some(Closed).ok_or(ErrorKind::Other)
    }
}

impl ErrorType for Closed {
    type Error = ErrorKind;
}

impl Read for Closed {
    async fn read(&mut self, _: &mut [u8]) -> Result<usize, ErrorKind> {
        Ok(0)
    }
}

impl Write for Closed {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Fails the first lookup.
struct Names(Cell<u32>);

impl Dns for Names {
    type Error = ();

    async fn get_host_by_name(&self, _: &str, _: AddrType) -> Result<IpAddr, ()> {
        self.0.set(self.0.get() + 1);
        let address = IpAddr::from([10, 0, 0, 1]);
        (self.0.get() > 1).then_some(address).ok_or(())
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, ()> {
        Err(())
    }
}

#[test]
fn the_log_names_what_kept_a_device_from_its_proxy() {
    log::set_logger(&Lines).expect("set once");
    log::set_max_level(log::LevelFilter::Debug);
    let (mut sets, mut incoming, mut outgoing) = ([0; 1024], [0; 1024], [0; 1024]);
    let buffers = Buffers {
        sets: &mut sets,
        incoming: &mut incoming,
        outgoing: &mut outgoing,
    };
    let proxies = [Endpoint::Name("proxy.example", 8000)];
    let mut config = Config::new("device", &proxies, &["stream-1"]);
    config.resolve_backoff = Duration::from_millis(1);
    let clock = SleepClock(Cell::new(Instant::ZERO));
    let client = ProxyClient::<_, 1, 1, 2>::new(config, clock, buffers).expect("it fits");
    let (stack, names) = (Stack(Cell::new(0)), Names(Cell::new(0)));
    let mut run = pin!(client.run(&stack, &names));
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        let _ = run.as_mut().poll(&mut cx);
        if stack.0.get() > 2 {
            break;
        }
    }
    let lines = LINES.lock().expect("no test panics with it");
    let expected = [
        "WARN no address for proxy.example",
        "WARN no connection to host 0",
        "INFO connected to host 0",
        "WARN connection to host 0 ended: connection-lost",
    ];
    assert_eq!(lines[..4], expected, "{lines:?}");
}
