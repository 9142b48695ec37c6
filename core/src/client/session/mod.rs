//! One connection to a write proxy: frames, handshake, pings, what is in flight.

mod envelope;
mod event;
mod settings;

pub use envelope::Envelope;
pub use event::{Call, EncodeError, Event, Lost, SessionError};
pub use settings::{Protocol, Settings, SettingsBuilder, SettingsError};

use super::RequestId;
use crate::Instant;
use crate::wire::service::Request;

/// One connection to a write proxy, without its socket.
///
/// **Order of calls.** [`new`](Self::new) when the socket is connected; then, whenever something happens:
/// - bytes came in → [`handle_received`](Self::handle_received) until it consumes nothing; its [`Event`]s go to whoever waits;
/// - the clock passed [`poll_timeout`](Self::poll_timeout) → [`handle_timeout`](Self::handle_timeout);
/// - something is to be sent → [`encode_request`](Self::encode_request), [`discard`](Self::discard);
/// - after each of these → [`poll_transmit`](Self::poll_transmit) until it writes nothing.
///
/// All bytes written by `poll_transmit` and `encode_request` form **one** stream, in the order of the calls; the adapter sends them in that
/// order and says how many the socket took ([`handle_transmitted`](Self::handle_transmitted)). When the connection ends, for whatever
/// reason, [`poll_lost`](Self::poll_lost) tells what was under way.
///
/// **Invariant.** A request is told to have not been written only if no byte of its frame was taken by the socket, or the peer said so.
///
/// `REQUESTS` is how many requests can be in flight, discarded ones included until the peer is done with them.
#[derive(Debug)]
pub struct Session<const REQUESTS: usize = 1024> {
    settings: Settings,
}

impl<const REQUESTS: usize> Session<REQUESTS> {
    /// A session on a connection that was just made. `seed` is for trace ids.
    #[must_use]
    pub fn new(now: Instant, settings: Settings, seed: u64) -> Self {
        let _ = (now, seed);
        Self { settings }
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the handshake is over.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        true
    }

    /// How many requests can be in flight at once on this connection: 1 for framed thrift, `REQUESTS` for mux.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        REQUESTS
    }

    /// How many requests are in flight, discarded ones included.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        0
    }

    /// Reads at most one frame from the front of `bytes`: how many bytes it took, and what they meant. The event borrows `bytes`, not the
    /// session. `(0, None)` asks for more bytes: call again with the same ones and what came after them.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when the connection cannot go on; a frame above the limit is refused from its first four bytes.
    pub fn handle_received<'b>(&mut self, now: Instant, bytes: &'b [u8]) -> Result<(usize, Option<Event<'b>>), SessionError> {
        let _ = (now, bytes);
        Ok((0, None))
    }

    /// Writes control frames into `out`, whole ones only: how many bytes. 0 means that there is nothing to send, or that `out` is shorter
    /// than [`MAX_CONTROL_BYTES`](Self::MAX_CONTROL_BYTES).
    pub fn poll_transmit(&mut self, out: &mut [u8]) -> usize {
        let _ = out;
        0
    }

    /// The longest control frame; a buffer of this size always gets one.
    pub const MAX_CONTROL_BYTES: usize = 64;

    /// Bytes that [`encode_request`](Self::encode_request) writes for this request.
    #[must_use]
    pub fn encoded_len(&self, message: &Request<'_>, envelope: &Envelope) -> usize {
        let _ = (message, envelope);
        0
    }

    /// Writes the whole frame of a request into `out` and takes it under way: how many bytes, and its name for [`discard`](Self::discard).
    /// The bytes must be sent.
    ///
    /// # Errors
    ///
    /// [`EncodeError`]; nothing was written and nothing kept, and the request may go elsewhere.
    pub fn encode_request(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Request<'_>,
        envelope: &Envelope,
        out: &mut [u8],
    ) -> Result<(usize, Call), EncodeError> {
        let _ = (now, request, message, envelope, out);
        Err(EncodeError::NotReady)
    }

    /// Nobody waits for this call's answer any more: the peer is told (mux), and its place stays taken until the peer is done with it
    /// ([`Event::Discarded`]). A call that has ended is ignored.
    pub fn discard(&mut self, now: Instant, call: Call) {
        let _ = (now, call);
    }

    /// The socket took `count` more bytes of the outgoing stream.
    pub fn handle_transmitted(&mut self, now: Instant, count: usize) {
        let _ = (now, count);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. Changes with every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The time is `now`. Early and late calls are harmless.
    ///
    /// # Errors
    ///
    /// [`SessionError::Unresponsive`] when the peer was silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        let _ = now;
        Ok(())
    }

    /// The next request that was under way, when the connection has ended; discarded ones are left out. Call until [`None`], then drop the
    /// session.
    pub fn poll_lost(&mut self) -> Option<Lost> {
        None
    }
}
