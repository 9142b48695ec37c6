//! The client of a write proxy on a device: core's machines, one connection, no allocator.
//!
//! [`Proxy`] is the state that the tasks share: the routing machine, the session of the connection,
//! and the outstanding requests. The [transport](Carrier) adds attempts, the
//! [connection](connection) moves bytes, and [`keep_time`](connection::keep_time) handles timeouts.

mod actions;
pub mod connection;
mod transport;

use core::cell::RefCell;
use core::net::SocketAddr;

use distributedlog::client::routing::{self, Client, HostAddress};
use distributedlog::client::session::{self, Call, Protocol, Session};
use distributedlog::client::{HostId, RequestId};
use distributedlog::{AttemptId, Clock, Outcome, StreamIndex};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use static_cell::ConstStaticCell;
pub use transport::Carrier;

use crate::time::DeviceClock;

/// A device has one proxy. It sends writes on to the owners of other streams, so that the device
/// need not know them.
const HOSTS: usize = 1;
const STREAMS: usize = 5;
/// Maximum number of outstanding requests: two sets in flight, each at a few streams.
const REQUESTS: usize = 8;
/// Length of the longest record set of the writer.
pub const SET_BYTES: usize = 512;
/// Capacity for encoded requests that the socket has not accepted yet.
const OUTGOING_BYTES: usize = 4 * 1024;
/// Length of the longest frame of the peer.
pub const INCOMING_BYTES: usize = 1024;

/// State that the tasks of the client share.
pub struct Proxy {
    state: RefCell<State>,
    /// Signals a host to connect to, or the end of one.
    wanted: Signal<NoopRawMutex, ()>,
    /// Signals bytes to send.
    outgoing: Signal<NoopRawMutex, ()>,
    /// Signals a possible change of the next timeout.
    timeouts: Signal<NoopRawMutex, ()>,
    /// Signals a finished attempt.
    finished: Signal<NoopRawMutex, ()>,
}

struct State {
    client: Client<HOSTS, STREAMS, REQUESTS>,
    streams: [&'static str; STREAMS],
    /// The host to connect to, or the connected one.
    host: Option<HostId>,
    /// The session of the current connection.
    session: Option<Session<REQUESTS>>,
    handshake: Option<(RequestId, Call)>,
    outgoing: &'static mut heapless::Vec<u8, OUTGOING_BYTES>,
    requests: &'static mut [Option<Pending>; REQUESTS],
    /// The last call of each request. Discarding needs it even after the request has ended.
    calls: [Option<(RequestId, Call)>; REQUESTS],
    finished: heapless::Deque<(AttemptId, Outcome), REQUESTS>,
    connections: u64,
    /// The peer did not answer in time, and its connection is to be given up.
    unresponsive: bool,
}

/// Buffers that are too large to pass over the stack.
struct Buffers {
    outgoing: heapless::Vec<u8, OUTGOING_BYTES>,
    requests: [Option<Pending>; REQUESTS],
}

/// An outstanding attempt.
struct Pending {
    request: RequestId,
    attempt: AttemptId,
    stream: StreamIndex,
    data: heapless::Vec<u8, SET_BYTES>,
}

impl Proxy {
    /// Creates a client of the proxy at this address, for these streams.
    ///
    /// # Panics
    ///
    /// If it is called a second time: there is memory for one client.
    pub fn new(address: SocketAddr, streams: [&'static str; STREAMS]) -> Self {
        static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers {
            outgoing: heapless::Vec::new(),
            requests: [const { None }; REQUESTS],
        });
        let buffers = BUFFERS.take();
        let settings = routing::Settings::builder()
            .connect_timeout(core::time::Duration::from_secs(2))
            .build();
        let mut client = Client::new(settings.expect("the defaults and a timeout above 0"), 1);
        client.handle_resolved(
            DeviceClock.now(),
            &[HostAddress {
                name: "",
                address,
                shard: -1,
            }],
        );
        let state = State {
            client,
            streams,
            host: None,
            session: None,
            handshake: None,
            outgoing: &mut buffers.outgoing,
            requests: &mut buffers.requests,
            calls: [None; REQUESTS],
            finished: heapless::Deque::new(),
            connections: 0,
            unresponsive: false,
        };
        let proxy = Self {
            state: RefCell::new(state),
            wanted: Signal::new(),
            outgoing: Signal::new(),
            timeouts: Signal::new(),
            finished: Signal::new(),
        };
        proxy.with(|_| {});
        proxy
    }

    /// Returns the counters of the client's work so far.
    pub fn counters(&self) -> routing::Counters {
        self.state.borrow().client.counters()
    }

    /// Runs `work` on the state, performs the actions that the routing machine wants then, and
    /// signals the tasks.
    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.borrow_mut();
        let result = work(&mut state);
        state.carry_out(DeviceClock.now());
        self.wanted.signal(());
        self.outgoing.signal(());
        self.timeouts.signal(());
        if !state.finished.is_empty() {
            self.finished.signal(());
        }
        result
    }
}

fn session_settings() -> session::Settings {
    let builder = session::Settings::builder()
        .protocol(Protocol::ThriftMux)
        .client_id("firmware")
        .max_frame_bytes(INCOMING_BYTES);
    builder
        .build()
        .expect("a short name, and room for every answer")
}
