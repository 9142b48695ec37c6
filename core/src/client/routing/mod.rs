//! Routing of requests to proxies: hosts, hash ring, owners, redirects, retries.

mod action;
mod hosts;
mod links;
mod location;
mod names;
mod operation;
mod poll;
mod reply;
mod requests;
mod ring;
mod route;
mod rules;
mod sets;
mod settings;
mod streams;
mod submit;
mod time;
mod view;

pub use action::{Action, AttemptOutcome, SubmitError, Success};
pub use location::{Location, LocationError};
pub use operation::{Operation, Resend, RetryPolicy, Submission, Target};
pub use ring::{REPLICAS, StreamKey};
pub use sets::MAX_HOSTS;
pub use settings::{Settings, SettingsBuilder, SettingsError};
pub use view::{Counters, HostAddress, HostView, Link, MAX_NAME_BYTES};

use hosts::Hosts;
use requests::Requests;
use sets::HostSet;
use streams::Streams;

use super::{HostId, RequestId};
use crate::Instant;
use crate::random::Random;
#[cfg(feature = "std")]
use crate::tables::Heap;
use crate::tables::{Inline, Memory, Queue};

/// Chooses for each request the proxy that it goes to, without sending anything itself.
///
/// **Order of calls.** Report every event with a `handle_*` method. After each of them, after each
/// command and after [`handle_timeout`](Self::handle_timeout), call
/// [`poll_action`](Self::poll_action) until it returns `None`, and carry out its actions.
/// [`poll_timeout`](Self::poll_timeout) returns the time of the next `handle_timeout`. `now` never
/// goes back.
///
/// **Invariant.** Every request that [`submit`](Self::submit) took ends in exactly one
/// [`Action::Complete`], no later than its deadline, unless [`cancel`](Self::cancel) removed it;
/// and its failure says [`WriteState::NotWritten`](crate::WriteState::NotWritten) only when no
/// attempt may have written.
///
/// **Routing.** A request about a stream goes to the stream's owner if that is known (from
/// handshakes, redirects and successes), and otherwise to the first host clockwise on a consistent
/// hash ring that it has not tried. The effect of a reply's code is the table of DistributedLog's
/// own client; after a lost connection, or a reply that leaves open if the request was carried out,
/// [`Resend`] decides.
///
/// `HOSTS` is the maximum number of known hosts (at most [`MAX_HOSTS`]), `STREAMS` that of streams
/// whose owners are known, `REQUESTS` that of requests in flight. Memory is about 490 bytes for
/// each host, 48 and 8 for each host for each stream, and 210 for each request:
/// `size_of::<Client<2, 4, 8>>()` is 3,184 on a 64-bit machine. [`new`](Self::new) is `const`, so
/// that a client can live in a `static`. With `M` = `Heap` (feature `std`) the tables are on the
/// heap and grow as they are needed, up to these numbers.
#[derive(Debug)]
pub struct Client<
    const HOSTS: usize = 16,
    const STREAMS: usize = 64,
    const REQUESTS: usize = 256,
    M: Memory = Inline,
> {
    settings: Settings,
    counters: Counters,
    random: Random,
    /// Latest `now` seen; earlier values are ignored.
    now: Instant,
    hosts: Hosts<HOSTS, M>,
    /// Hosts with actions that the adapter has not polled yet.
    hosts_with_actions: HostSet,
    streams: Streams<HOSTS, STREAMS, M>,
    requests: Requests<REQUESTS, M>,
    /// Requests to be sent, and requests that ended and whose `Complete` was not polled yet.
    ready: Queue,
    /// Requests that wait until some host can be tried.
    parked: Queue,
    /// `true` once names were resolved for the first time.
    resolved: bool,
    /// Time by which requests in flight must end, once the client was closed.
    closing: Option<Instant>,
}

impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>
    Client<HOSTS, STREAMS, REQUESTS>
{
    /// A client that knows no host yet. `seed` is for jitter.
    #[must_use]
    pub const fn new(settings: Settings, seed: u64) -> Self {
        Self::start(settings, seed)
    }
}

#[cfg(feature = "std")]
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>
    Client<HOSTS, STREAMS, REQUESTS, Heap>
{
    /// Like [`new`](Client::new), with tables on the heap: none is allocated yet.
    #[must_use]
    pub const fn on_heap(settings: Settings, seed: u64) -> Self {
        Self::start(settings, seed)
    }
}

impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize, M: Memory>
    Client<HOSTS, STREAMS, REQUESTS, M>
{
    const CAPACITIES: () = {
        assert!(HOSTS >= 1 && HOSTS <= MAX_HOSTS, "HOSTS is 1 to MAX_HOSTS");
        assert!(
            STREAMS >= 1 && STREAMS < u32::MAX as usize,
            "STREAMS is at least 1"
        );
        // The client's own handshakes are numbered after the requests.
        assert!(
            REQUESTS >= 1 && REQUESTS < u32::MAX as usize - MAX_HOSTS,
            "REQUESTS is at least 1"
        );
    };

    const fn start(settings: Settings, seed: u64) -> Self {
        const { Self::CAPACITIES };
        Self {
            settings,
            counters: Counters::NONE,
            random: Random::new(seed),
            now: Instant::ZERO,
            hosts: Hosts::new(),
            hosts_with_actions: HostSet::NONE,
            streams: Streams::new(),
            requests: Requests::new(),
            ready: Queue::EMPTY,
            parked: Queue::EMPTY,
            resolved: false,
            closing: None,
        }
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }
}
