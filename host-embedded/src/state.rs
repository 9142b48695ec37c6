use core::task::Waker;

use distributedlog::client::routing::Client;
use distributedlog::client::session::{self, Call, SessionFeatures};
use distributedlog::client::{HostId, RequestId};
use distributedlog::{AttemptId, Instant, Outcome, StreamIndex};

use crate::link::Link;

/// Mux alone, and the replies to handshakes beside those to writes.
#[derive(Debug)]
pub(crate) struct ClientFeatures;

impl SessionFeatures for ClientFeatures {
    const FRAMED: bool = false;
}

/// State that the futures of a client share.
#[derive(Debug)]
pub(crate) struct ClientState<'a, const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize> {
    pub(crate) routing: Client<HOSTS, STREAMS, REQUESTS>,
    pub(crate) streams: &'a [&'a str],
    pub(crate) session_settings: session::Settings,
    pub(crate) links: [Link<REQUESTS>; HOSTS],
    /// Record sets of the outstanding attempts: one slot of `set_bytes` for each request.
    pub(crate) sets: &'a mut [u8],
    pub(crate) set_bytes: usize,
    pub(crate) requests: [Option<Pending>; REQUESTS],
    /// Last call of each request. Discarding needs it even after the request has ended.
    pub(crate) calls: [Option<Sent>; REQUESTS],
    /// Attempts that have finished and whose outcome the writer has not taken.
    pub(crate) finished: heapless::Deque<(AttemptId, Outcome), REQUESTS>,
    /// Seed of the next session's trace ids.
    pub(crate) next_seed: u64,
    pub(crate) wakers: Wakers,
}

/// Wakers of the client's two tasks.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    /// The task of `run`.
    pub(crate) driver: Option<Waker>,
    /// The task of the writer's runner.
    pub(crate) transport: Option<Waker>,
}

/// An outstanding attempt. Its record set is in the slot of its request's index.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) request: RequestId,
    pub(crate) attempt: AttemptId,
    pub(crate) stream: StreamIndex,
    pub(crate) len: usize,
}

/// A request on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) request: RequestId,
    pub(crate) host: HostId,
    pub(crate) call: Call,
}

impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>
    ClientState<'_, HOSTS, STREAMS, REQUESTS>
{
    /// Returns the time of the next timeout of the machines.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let sessions = self.links.iter().filter_map(Link::poll_timeout);
        self.routing
            .poll_timeout()
            .into_iter()
            .chain(sessions)
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.routing.handle_timeout(now);
        for link in &mut self.links {
            link.handle_timeout(now);
        }
    }
}
