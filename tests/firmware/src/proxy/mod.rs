//! The client of a write proxy on a device: core's machines, one connection, no allocator.
//!
//! [`Proxy`] is what the tasks share: the routing machine, the session of the connection, and what
//! is under way. The [transport](Carrier) puts attempts in, the [connection](connection) moves
//! bytes, and [`keep_time`](connection::keep_time) tells the machines what time it is.

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

/// A device has one proxy. Where others own a stream, that proxy writes on: there is no place to
/// remember them.
const HOSTS: usize = 1;
const STREAMS: usize = 5;
/// Requests under way: two sets in flight, each at a few streams.
const REQUESTS: usize = 8;
/// A record set as long as the writer makes them.
pub const SET_BYTES: usize = 512;
/// Encoded requests that the socket has not taken yet.
const OUTGOING_BYTES: usize = 4 * 1024;
/// The longest frame of the peer.
pub const INCOMING_BYTES: usize = 1024;

/// What the tasks of the client share.
pub struct Proxy {
    state: RefCell<State>,
    /// There is something to connect to, or nothing any more.
    wanted: Signal<NoopRawMutex, ()>,
    /// There is something to send.
    outgoing: Signal<NoopRawMutex, ()>,
    /// The next time out may be another one.
    timeouts: Signal<NoopRawMutex, ()>,
    /// An attempt has finished.
    finished: Signal<NoopRawMutex, ()>,
}

struct State {
    client: Client<HOSTS, STREAMS, REQUESTS>,
    streams: [&'static str; STREAMS],
    /// The host that is to be connected, or is.
    host: Option<HostId>,
    /// The session on the connection that there is.
    session: Option<Session<REQUESTS>>,
    greeting: Option<(RequestId, Call)>,
    outgoing: &'static mut heapless::Vec<u8, OUTGOING_BYTES>,
    requests: &'static mut [Option<Pending>; REQUESTS],
    /// Where each request was sent last: what a discard needs, even after the request has ended.
    calls: [Option<(RequestId, Call)>; REQUESTS],
    finished: heapless::Deque<(AttemptId, Outcome), REQUESTS>,
    connections: u64,
    /// The peer did not answer in time: its connection is to be given up.
    unresponsive: bool,
}

/// What is too large to pass over the stack on its way to its place.
struct Room {
    outgoing: heapless::Vec<u8, OUTGOING_BYTES>,
    requests: [Option<Pending>; REQUESTS],
}

/// An attempt that is under way.
struct Pending {
    request: RequestId,
    attempt: AttemptId,
    stream: StreamIndex,
    data: heapless::Vec<u8, SET_BYTES>,
}

impl Proxy {
    /// A client of the proxy at this address, for these streams.
    ///
    /// # Panics
    ///
    /// When it is made a second time: there is memory for one.
    pub fn new(address: SocketAddr, streams: [&'static str; STREAMS]) -> Self {
        static ROOM: ConstStaticCell<Room> = ConstStaticCell::new(Room {
            outgoing: heapless::Vec::new(),
            requests: [const { None }; REQUESTS],
        });
        let room = ROOM.take();
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
            greeting: None,
            outgoing: &mut room.outgoing,
            requests: &mut room.requests,
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

    /// What the client did so far.
    pub fn counters(&self) -> routing::Counters {
        self.state.borrow().client.counters()
    }

    /// Works on the state, carries out what the routing machine wants then, and tells the tasks.
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
