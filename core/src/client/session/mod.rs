//! One connection to a write proxy: frames, handshake, pings, what is in flight.

mod control;
mod encode;
mod envelope;
mod event;
mod features;
mod receive;
mod settings;

pub use envelope::Envelope;
pub use event::{EncodeError, Event, FailureReason, Lost, SessionError};
pub use features::{AllSessionFeatures, MuxWrites, SessionFeatures};
pub use settings::{Protocol, Settings, SettingsBuilder, SettingsError};

pub use crate::wire::mux::Call;

use core::marker::PhantomData;
use core::time::Duration;

use control::{Control, OpeningFrame};
use encode::{Framing, RequestContext};

use super::RequestId;
use crate::random::Random;
use crate::settings::{SettingRange, SettingValue};
#[cfg(feature = "std")]
use crate::tables::Heap;
use crate::tables::{Inline, Memory};
use crate::wire::mux::{Client, TraceId};
use crate::wire::service::Request;
use crate::{Instant, WriteState};

/// One connection to a write proxy, without its socket.
///
/// **Order of calls.** [`new`](Self::new) when the socket is connected; then, whenever something
/// happens:
/// - bytes came in → [`handle_received`](Self::handle_received) until it takes none; handle its
///   [`Event`]s;
/// - the clock passed [`poll_timeout`](Self::poll_timeout) →
///   [`handle_timeout`](Self::handle_timeout);
/// - to send a request or to give one up → [`encode_request`](Self::encode_request),
///   [`discard`](Self::discard);
/// - after each of these, and after `new` → [`poll_transmit`](Self::poll_transmit) until it writes
///   nothing.
///
/// Requests may be sent once [`is_ready`](Self::is_ready): from [`Event::Ready`] on, and with
/// [`Protocol::PlainThrift`] at once.
///
/// All bytes written by `poll_transmit` and `encode_request` form **one** stream, in the order of
/// the calls. The adapter sends them in that order and reports the number that the socket took
/// ([`handle_transmitted`](Self::handle_transmitted)). When the connection ends, for any reason,
/// [`poll_lost`](Self::poll_lost) returns the requests that were in flight.
///
/// **Invariant.** A request is reported as not written only if the socket took no byte of its
/// frame, or if the peer said that it did not start it.
///
/// `REQUESTS` is the maximum number of requests in flight, including discarded ones until the peer
/// has replied; `S` selects the protocols that the session contains: see [`SessionFeatures`]. With
/// `M` = `Heap` (feature `std`) the table of requests is on the heap and grows as it is needed, up
/// to `REQUESTS`.
#[derive(Debug)]
pub struct Session<
    const REQUESTS: usize = 1024,
    S: SessionFeatures = AllSessionFeatures,
    M: Memory = Inline,
> {
    features: PhantomData<S>,
    settings: Settings,
    random: Random,
    phase: Phase,
    control: Control,
    mux: Client<SentRequest, REQUESTS, M>,
    lease_until: Option<Instant>,
    /// Time at which bytes last came from the peer, or at which it was first sent a request after
    /// that.
    last_received: Instant,
    /// Time at which a ping was sent; `None` if bytes came from the peer since.
    ping_sent_at: Option<Instant>,
    /// Offset of the end of that ping in the outgoing byte stream.
    ping_end: u64,
    /// Bytes of the outgoing stream: written by us, and taken by the socket.
    written: u64,
    transmitted: u64,
    /// Slot at which [`poll_lost`](Self::poll_lost) continues.
    lost: u32,
}

/// A request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SentRequest {
    id: RequestId,
    /// Offset of its frame in the outgoing byte stream. After it was discarded: the time of that in
    /// microseconds.
    since: u64,
}

/// Phase of the session's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Mux: `mux` knows how far it is.
    Initialising,
    /// Thrift: the request for the upgrade was sent.
    Upgrading,
    /// Over.
    Ready(Framing),
}

impl<const REQUESTS: usize> Session<REQUESTS> {
    /// A session on a connection that was just made. `seed` is for trace ids.
    #[must_use]
    pub const fn new(now: Instant, settings: Settings, seed: u64) -> Self {
        Self::start(now, settings, seed)
    }
}

#[cfg(feature = "std")]
impl<const REQUESTS: usize> Session<REQUESTS, AllSessionFeatures, Heap> {
    /// Like [`new`](Session::new), with the table of requests on the heap: it is not allocated yet.
    #[must_use]
    pub const fn on_heap(now: Instant, settings: Settings, seed: u64) -> Self {
        Self::start(now, settings, seed)
    }
}

impl<const REQUESTS: usize, S: SessionFeatures, M: Memory> Session<REQUESTS, S, M> {
    /// The longest control frame; a buffer of this size always gets one.
    pub const MAX_CONTROL_BYTES: usize = 64;

    /// Like [`new`](Self::new), with the features of `S`.
    ///
    /// # Errors
    ///
    /// Refused if the settings ask for framed thrift and `S` does not contain it.
    pub fn with_features(
        now: Instant,
        settings: Settings,
        seed: u64,
    ) -> Result<Self, SettingsError> {
        if !S::FRAMED && settings.protocol != Protocol::ThriftMux {
            return Err(SettingsError {
                setting: "protocol",
                value: SettingValue::Word(match settings.protocol {
                    Protocol::ThriftMux => "thriftmux",
                    Protocol::Thrift => "thrift",
                    Protocol::PlainThrift => "plain_thrift",
                }),
                range: SettingRange::Text("thriftmux: the session's features leave the others out"),
            });
        }
        Ok(Self::start(now, settings, seed))
    }

    const fn start(now: Instant, settings: Settings, seed: u64) -> Self {
        let (phase, opening) = match if S::FRAMED {
            settings.protocol
        } else {
            Protocol::ThriftMux
        } {
            Protocol::ThriftMux => (Phase::Initialising, Some(OpeningFrame::InitCheck)),
            Protocol::Thrift => (Phase::Upgrading, Some(OpeningFrame::UpgradeRequest)),
            Protocol::PlainThrift => (Phase::Ready(Framing::PlainThrift), None),
        };
        Self {
            features: PhantomData,
            settings,
            random: Random::new(seed),
            phase,
            control: Control::new(opening),
            mux: Client::checking(),
            lease_until: None,
            last_received: now,
            ping_sent_at: None,
            ping_end: 0,
            written: 0,
            transmitted: 0,
            lost: 0,
        }
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns `true` once the session's start is complete and requests may be sent.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready(_))
    }

    /// Returns `true` if the peer drains the connection.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.mux.is_draining()
    }

    /// Returns the maximum number of requests in flight on this connection: 1 for framed thrift,
    /// `REQUESTS` for mux.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        match self.protocol() {
            Protocol::ThriftMux => REQUESTS,
            Protocol::Thrift | Protocol::PlainThrift => 1,
        }
    }

    /// Returns the number of requests in flight, discarded ones included.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.mux.in_flight()
    }

    /// Writes control frames into `out`, whole ones only: how many bytes. 0 means that there is
    /// nothing to send, or that `out` is shorter than the next frame: at
    /// [`MAX_CONTROL_BYTES`](Self::MAX_CONTROL_BYTES) it never is.
    pub fn poll_transmit(&mut self, out: &mut [u8]) -> usize {
        let mux = self.protocol() == Protocol::ThriftMux;
        let asks = self.control.ping;
        let mut total = 0;
        // Bounded by `out` and by the queued frames. A frame that does not fit waits for the next
        // call.
        while let Ok(count) =
            self.control
                .write::<S, REQUESTS, M>(&mut self.mux, mux, &mut out[total..])
        {
            if count == 0 {
                break;
            }
            total += count;
        }
        self.written += total as u64;
        if asks {
            self.ping_end = self.written;
        }
        total
    }

    /// Bytes that [`encode_request`](Self::encode_request) writes for this request.
    #[must_use]
    pub fn encoded_len(&self, message: &Request<'_>, envelope: &Envelope) -> usize {
        let Phase::Ready(framing) = self.phase else {
            return 0;
        };
        RequestContext::new(
            &self.settings.client_id,
            envelope.trace.unwrap_or_default(),
            envelope,
        )
        .measure::<S>(framing, message)
    }

    /// Writes the whole frame of a request into `out` and registers the request. Returns the number
    /// of bytes and the call's id for [`discard`](Self::discard). The bytes must be sent.
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
        let Phase::Ready(framing) = self.phase else {
            return Err(EncodeError::NotReady);
        };
        if self.mux.is_draining() {
            return Err(EncodeError::Draining);
        }
        if self.lease_until.is_some_and(|until| until <= now) {
            return Err(EncodeError::LeaseExpired);
        }
        let tag = self
            .mux
            .next_tag()
            .filter(|_| self.in_flight() < self.capacity())
            .ok_or(EncodeError::Full)?;
        let trace = envelope
            .trace
            .unwrap_or_else(|| TraceId::root(self.random.next_u64()));
        let context = RequestContext::new(&self.settings.client_id, trace, envelope);
        let count = context
            .write::<S>(framing, tag, message, out)
            .map_err(EncodeError::BufferTooSmall)?;
        if self.mux.in_flight() == 0 {
            // Silence before this is no reason for a ping: the peer had no request to reply to.
            self.last_received = self.last_received.max(now);
        }
        let call = self.mux.start(SentRequest {
            id: request,
            since: self.written,
        });
        self.written += count as u64;
        Ok((count, call))
    }

    /// Discards this call: the caller does not need the reply any more. With mux, the peer is
    /// notified; the call's slot stays taken until the peer has replied ([`Event::Discarded`]). A
    /// call that has finished is ignored. Returns `false` in that case.
    pub fn discard(&mut self, now: Instant, call: Call) -> bool {
        self.mux
            .discard(call, |request| request.since = now.as_micros())
    }

    /// The socket took `count` more bytes of the outgoing stream.
    pub fn handle_transmitted(&mut self, now: Instant, count: usize) {
        if self.ping_sent_at.is_some() && self.transmitted < self.ping_end {
            // The ping was queued behind bytes that were still being sent: the peer's time to reply
            // begins when the socket has taken it.
            self.ping_sent_at = Some(now);
        }
        self.transmitted += count as u64;
        debug_assert!(
            self.transmitted <= self.written,
            "the socket cannot take more than was written"
        );
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) is due. Any other call
    /// may change it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_idle_action().map(|(at, _)| at)
    }

    /// The time is `now`. Early and late calls are harmless.
    ///
    /// # Errors
    ///
    /// [`SessionError::Unresponsive`] when the peer was silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        match self.next_idle_action() {
            Some((at, IdleAction::Close)) if at <= now => Err(SessionError::Unresponsive),
            Some((at, IdleAction::SendPing)) if at <= now => {
                self.send_ping(now);
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the next request that was in flight when the connection ended, without discarded
    /// ones. Call it until it returns `None`, then drop the session.
    pub fn poll_lost(&mut self) -> Option<Lost> {
        let SentRequest { id, since } = self.mux.next_lost(&mut self.lost)?;
        Some(Lost {
            request: id,
            known: if since >= self.transmitted {
                WriteState::NotWritten
            } else {
                WriteState::Unknown
            },
        })
    }

    /// Returns the session's protocol: a constant where the features leave no choice, so that the
    /// linker leaves out the rest.
    const fn protocol(&self) -> Protocol {
        if S::FRAMED {
            self.settings.protocol
        } else {
            Protocol::ThriftMux
        }
    }

    fn become_ready(&mut self, framing: Framing) -> Event<'static> {
        self.phase = Phase::Ready(framing);
        if framing == Framing::Mux && self.settings.idle_ping_interval.is_some() {
            // As Finagle does: a peer that replies to a ping at the start will do so later.
            self.send_ping(self.last_received);
        }
        Event::Ready
    }

    const fn send_ping(&mut self, now: Instant) {
        self.control.ping = true;
        self.ping_sent_at = Some(now);
    }

    /// Bytes came from the peer: it lives.
    fn note_received(&mut self, now: Instant) {
        self.last_received = self.last_received.max(now);
        self.ping_sent_at = None;
    }

    /// Returns the next action on the peer's silence, and its time.
    fn next_idle_action(&self) -> Option<(Instant, IdleAction)> {
        let ends = |since: Instant, after: Duration| Some((since + after, IdleAction::Close));
        let Phase::Ready(framing) = self.phase else {
            // The start of a session is the connector's to time.
            return None;
        };
        if S::FRAMED && framing != Framing::Mux {
            let at = Instant::from_micros(self.mux.only_discarded()?.since);
            return ends(at, self.settings.ping_timeout);
        }
        if let Some(ping_sent_at) = self.ping_sent_at {
            return ends(ping_sent_at, self.settings.ping_timeout);
        }
        let silence = if self.mux.in_flight() > 0 {
            Some(self.settings.silence_before_ping)
        } else {
            self.settings.idle_ping_interval
        };
        silence.map(|silence| (self.last_received + silence, IdleAction::SendPing))
    }
}

/// Action on a peer's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdleAction {
    /// Send a ping.
    SendPing,
    /// The connection is given up.
    Close,
}
