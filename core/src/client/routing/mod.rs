//! Which proxy a request goes to, and what becomes of it there: hosts, hash ring, owners,
//! redirects, retries.

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
mod timers;
mod view;

pub use action::{Action, AttemptOutcome, SubmitError, Success};
pub use location::{Location, LocationError};
pub use operation::{Operation, Resend, RetryPolicy, Submission, Target};
pub use ring::{REPLICAS, StreamKey};
pub use sets::MAX_HOSTS;
pub use settings::{Settings, SettingsBuilder, SettingsError};
pub use view::{Counters, HostAddress, HostView, Link, MAX_NAME_BYTES};

use hosts::Hosts;
use requests::{Queue, Requests};
use sets::HostSet;
use streams::Streams;
use timers::Timers;

use super::{HostId, RequestId};
use crate::Instant;
use crate::random::Random;

/// Chooses for each request the proxy that it goes to, without sending anything itself.
///
/// **Order of calls.** Whatever happens is told by a `handle_*` method or a command; after each of
/// them, and after [`handle_timeout`](Self::handle_timeout), [`poll_action`](Self::poll_action) is
/// called until it has nothing more, and the adapter carries out what it says.
/// [`poll_timeout`](Self::poll_timeout) says when to come back. `now` never goes back.
///
/// **Invariant.** Every request that [`submit`](Self::submit) took ends in exactly one
/// [`Action::Complete`], no later than its deadline, unless [`cancel`](Self::cancel) took it back;
/// and its failure says [`WriteState::NotWritten`](crate::WriteState::NotWritten) only when no attempt
/// may have written.
///
/// **Routing.** A request about a stream goes to the stream's owner when that is known (from
/// handshakes, redirects and successes), and otherwise to the first host clockwise on a consistent
/// hash ring that it has not tried. What an answer leads to is the table of DistributedLog's own
/// client; a lost connection or an answer that leaves it open whether the request was carried out
/// follows [`Resend`].
///
/// `HOSTS` is how many hosts can be known at once (at most [`MAX_HOSTS`]), `STREAMS` how many
/// streams' owners, `REQUESTS` how many requests can be under way. Memory is about 490 bytes a
/// host, 48 and 8 for each host a stream, 210 a request: `size_of::<Client<2, 4, 8>>()` is 3,184 on
/// a 64-bit machine. [`new`](Self::new) is `const`, so that a client can live in a `static`.
#[derive(Debug)]
pub struct Client<const HOSTS: usize = 16, const STREAMS: usize = 64, const REQUESTS: usize = 256> {
    settings: Settings,
    counters: Counters,
    random: Random,
    /// The latest time that was told.
    now: Instant,
    hosts: Hosts<HOSTS>,
    /// Hosts about which the adapter is to be told something.
    hosts_with_actions: HostSet,
    streams: Streams<HOSTS, STREAMS>,
    requests: Requests<REQUESTS>,
    timers: Timers<REQUESTS>,
    /// Requests that are to be sent, or to be told how they ended.
    ready: Queue,
    /// Requests that wait until some host can be tried.
    parked: Queue,
    /// Whether names were ever resolved.
    resolved: bool,
    /// By when what is under way must have ended, once the client was closed.
    closing: Option<Instant>,
}

impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>
    Client<HOSTS, STREAMS, REQUESTS>
{
    const CAPACITIES: () = {
        assert!(HOSTS >= 1 && HOSTS <= MAX_HOSTS, "HOSTS is 1 to MAX_HOSTS");
        assert!(
            STREAMS >= 1 && STREAMS < u32::MAX as usize,
            "STREAMS is at least 1"
        );
        // The client's own handshakes are numbered behind the requests.
        assert!(
            REQUESTS >= 1 && REQUESTS < u32::MAX as usize - MAX_HOSTS,
            "REQUESTS is at least 1"
        );
    };

    /// A client that knows no host yet. `seed` is for jitter.
    #[must_use]
    pub const fn new(settings: Settings, seed: u64) -> Self {
        const { Self::CAPACITIES };
        Self {
            settings,
            counters: Counters::NONE,
            random: Random::new(seed),
            now: Instant::ZERO,
            hosts: Hosts::new(),
            hosts_with_actions: HostSet::EMPTY,
            streams: Streams::new(),
            requests: Requests::new(),
            timers: Timers::new(),
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
