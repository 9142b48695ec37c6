//! Which proxy a request goes to, and what becomes of it there: hosts, hash ring, owners, redirects, retries.

mod action;
mod location;
mod operation;
mod ring;
mod settings;
mod view;

pub use action::{Action, Answer, SubmitError, Verdict};
pub use location::{Location, LocationError};
pub use operation::{Operation, Patience, Resend, Submission, Target};
pub use ring::{REPLICAS, StreamKey};
pub use settings::{Settings, SettingsBuilder, SettingsError};
pub use view::{Counters, HostAddress, HostView, Link, MAX_NAME_BYTES};

use core::net::SocketAddr;

use super::{HostId, RequestId};
use crate::wire::service::{Reply, WriteContext};
use crate::{Failure, Instant, Known};

/// Chooses for each request the proxy that it goes to, without sending anything itself.
///
/// **Order of calls.** Whatever happens is told by a `handle_*` method or a command; after each of them, and after
/// [`handle_timeout`](Self::handle_timeout), [`poll_action`](Self::poll_action) is called until it has nothing more, and the adapter
/// carries out what it says. [`poll_timeout`](Self::poll_timeout) says when to come back. `now` never goes back.
///
/// **Invariant.** Every request that [`submit`](Self::submit) took ends in exactly one [`Action::Complete`], no later than its deadline,
/// unless [`cancel`](Self::cancel) took it back; and its failure says [`Known::NotWritten`] only when no attempt may have written.
///
/// `HOSTS` is how many hosts can be known at once (at most 128), `STREAMS` how many streams' owners, `REQUESTS` how many requests can be
/// under way.
#[derive(Debug)]
pub struct Client<const HOSTS: usize = 16, const STREAMS: usize = 64, const REQUESTS: usize = 256> {
    settings: Settings,
    counters: Counters,
}

impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize> Client<HOSTS, STREAMS, REQUESTS> {
    /// A client that knows no host yet. `seed` is for jitter.
    #[must_use]
    pub const fn new(settings: Settings, seed: u64) -> Self {
        let _ = seed;
        Self {
            settings,
            counters: Counters {
                submitted: 0,
                succeeded: 0,
                failed: 0,
                cancelled: 0,
                sent: 0,
                redirects: 0,
                reroutes: 0,
                timeouts: 0,
                discarded: 0,
                owner_hits: 0,
                owner_misses: 0,
                evictions: 0,
                handshakes: 0,
                connects: 0,
                connect_failures: 0,
                disconnects: 0,
            },
        }
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// What is known of a host; [`None`] when it was forgotten.
    #[must_use]
    pub fn host(&self, host: HostId) -> Option<HostView<'_>> {
        let _ = host;
        None
    }

    /// Every host that is known.
    pub fn hosts(&self) -> impl Iterator<Item = HostView<'_>> {
        core::iter::empty()
    }

    /// Who owns the stream, as far as is known.
    #[must_use]
    pub fn owner(&self, stream: StreamKey) -> Option<HostId> {
        let _ = stream;
        None
    }

    /// How many requests are under way.
    #[must_use]
    pub const fn requests(&self) -> usize {
        0
    }

    /// Puts the streams into the table of owners before they are asked for, so that their places on the ring are computed together: each
    /// host costs [`REPLICAS`] hashes for any number of streams, instead of as many for each stream. Optional; those beyond `STREAMS` are
    /// left out.
    pub fn prepare(&mut self, streams: &[StreamKey]) {
        let _ = streams;
    }

    /// Takes a request. Its bytes stay with the caller, who encodes them when [`Action::Send`] asks for it.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; nothing was kept.
    pub fn submit(&mut self, now: Instant, submission: Submission) -> Result<RequestId, SubmitError> {
        let _ = (now, submission);
        Err(SubmitError::Closed)
    }

    /// Takes a request back: no `Complete` follows, but perhaps a `Discard`. What is known of it; [`None`] when it has ended.
    pub fn cancel(&mut self, now: Instant, request: RequestId) -> Option<Known> {
        let _ = (now, request);
        None
    }

    /// What goes into the request's `WriteContext` when it is sent now: the hosts it was sent to, the one it goes to among them; checksum;
    /// whether it is a record set. `texts` is room for the hosts. [`None`] when the request has ended.
    pub fn write_context<'c>(&'c self, request: RequestId, texts: &'c mut [&'c str; HOSTS]) -> Option<WriteContext<'c>> {
        let _ = (request, texts);
        None
    }

    /// What the adapter is to do next; [`None`] when there is nothing just now.
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. Changes with every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The time is `now`. Early and late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// Names were resolved to these hosts, and to no others: new ones join the ring and are connected to, missing ones leave it, what is
    /// under way at them may finish. How many did not fit into `HOSTS` or have too long a name, and were left out.
    pub fn handle_resolved(&mut self, now: Instant, hosts: &[HostAddress<'_>]) -> usize {
        let _ = (now, hosts);
        0
    }

    /// The name of a host that a proxy named was resolved. The host to connect to: the same one, or another that is known to be at that
    /// address already; in that case `host` is forgotten, nothing is to be connected, and its requests go to the other.
    pub fn handle_address(&mut self, now: Instant, host: HostId, address: SocketAddr) -> HostId {
        let _ = (now, address);
        host
    }

    /// The connection to the host is ready, for `capacity` requests at a time.
    pub fn handle_connected(&mut self, now: Instant, host: HostId, capacity: u32) {
        let _ = (now, host, capacity);
    }

    /// No connection to the host could be made, or its name could not be resolved.
    pub fn handle_connect_failed(&mut self, now: Instant, host: HostId) {
        let _ = (now, host);
    }

    /// The connection to the host ended. Tell first, by [`handle_failed`](Self::handle_failed), for which requests it is known what became
    /// of them; all others that were under way there may have been carried out.
    pub fn handle_disconnected(&mut self, now: Instant, host: HostId) {
        let _ = (now, host);
    }

    /// The host takes no more requests on its connection (Tdrain); it answers what is under way.
    pub fn handle_drain(&mut self, now: Instant, host: HostId) {
        let _ = (now, host);
    }

    /// The host answered a request.
    pub fn handle_reply(&mut self, now: Instant, host: HostId, request: RequestId, reply: &Reply<'_>) -> Verdict {
        let _ = (now, host, request, reply);
        Verdict::Unawaited
    }

    /// A request that was to be sent, or was sent, to the host ended there without an answer: it could not be encoded, was refused, or its
    /// connection is ending. [`Verdict::Final`] when this ends the request.
    pub fn handle_failed(&mut self, now: Instant, host: HostId, request: RequestId, failure: Failure) -> Verdict {
        let _ = (now, host, request, failure);
        Verdict::Unawaited
    }

    /// A discarded request's place on the host's connection is free again.
    pub fn handle_discarded(&mut self, now: Instant, host: HostId) {
        let _ = (now, host);
    }

    /// Asks every connected host now how it is and what it owns, instead of when the interval has passed.
    pub fn handshake(&mut self, now: Instant) {
        let _ = now;
    }

    /// Takes no more requests; those under way go on, until `deadline` at the latest: what is left then fails with
    /// [`Cause::Closed`](crate::Cause::Closed). Connections are closed when the last request has ended.
    pub fn close(&mut self, now: Instant, deadline: Instant) {
        let _ = (now, deadline);
    }

    /// Whether [`close`](Self::close) was called and nothing is under way or connected any more.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        false
    }
}
