//! The connection of one client: bytes come in, frames go to the session that the first bytes
//! select, replies go out. One task, which waits for all events at once and never for a single one.

mod authorize;
mod clock_skew;
mod dispatch;
mod framed;
mod mux;
mod reply;
mod timers;

use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use distributedlog::wire::FrameTooLarge;
use distributedlog::wire::Protocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use self::clock_skew::ClockSkewEstimate;
use self::dispatch::Dispatcher;
use self::framed::FramedSession;
use self::mux::MuxSession;
pub(super) use self::reply::ProxyInfo;
pub(super) use self::timers::min_taken;
use self::timers::{AwaitedEvents, ConnectionTimers, ExpiredTimeout};
use super::Settings;
use super::access::{Caller, Principal};
use super::machine::{Reply, Usage};
use super::mailbox::{Mail, Mailbox, Order};
use super::service::{Service, Unflushed};
use distributedlog_store::frames::{FrameReader, FrameWriter, NextFrame, OutputLimits};
use distributedlog_store::log_limit::{Admitted, LogKind};
use distributedlog_store::peer_protocol::{FIRST_BYTES, PeerProtocol, http_refusal};
use distributedlog_store::wakes;

/// Limits of unsent replies. Above them no requests are taken from the connection, so that a peer
/// which does not read cannot make replies pile up.
const OUTPUT_LIMITS: OutputLimits = OutputLimits {
    free: 16 << 10,
    full: 1 << 20,
    kept: 64 << 10,
};

/// Limits for reading on after a violation of the protocol, so that the client can receive the
/// reason: time and number of reads.
const LINGER_TIME: Duration = Duration::from_secs(1);
const MAX_LINGER_READS: usize = 256;

/// The connection of one client.
///
/// The invariant: it lives until every request that it passed to the service is answered, also
/// after its client has gone, because the arrival of the replies frees their room.
#[derive(Debug)]
pub(super) struct Connection<S> {
    /// `None` once it is closed.
    stream: Option<S>,
    dispatcher: Dispatcher,
    session: Session,
    input: FrameReader,
    output: FrameWriter,
    /// True if bytes were written that the stream may still buffer, as TLS does.
    unflushed: bool,
    /// What was taken from the mailbox. Empty between polls, kept for its memory while requests are
    /// in flight.
    mail: Option<Box<Mail>>,
    timers: ConnectionTimers,
    thriftmux: bool,
    limit: Usage,
    /// True if no more is read: the client closed its side or broke the protocol, or the proxy
    /// closes the connection.
    reading_ended: bool,
    draining: bool,
    end: ConnectionEnd,
}

/// The protocol's session.
#[derive(Debug)]
enum Session {
    /// The first bytes have not come yet.
    Unknown,
    Mux(MuxSession),
    Framed(FramedSession),
}

/// Reason why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// The client closed it, or it was drained, with every request answered.
    Finished,
    /// The client broke the protocol.
    Violation(String),
    /// A timeout expired.
    TimedOut(ExpiredTimeout),
    /// The network failed, or the client closed before its replies were sent.
    Lost(io::ErrorKind),
    /// The proxy closed it with requests unanswered.
    Cut,
}

/// A violation of the protocol after which the connection cannot go on.
#[derive(Debug)]
struct ProtocolViolation(String);

impl ProtocolViolation {
    const fn new(what: String) -> Self {
        Self(what)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Returns a connection whose client has not sent anything yet.
    pub(super) fn new(
        stream: S,
        (peer, principal): (SocketAddr, Principal),
        mailbox: Arc<Mailbox>,
        service: Arc<Service>,
        settings: &Settings,
    ) -> Self {
        Self {
            stream: Some(stream),
            session: Session::Unknown,
            input: FrameReader::new(
                settings.max_frame_bytes,
                Some(service.bounds.unfinished_frame(peer.ip())),
            ),
            output: FrameWriter::new(OUTPUT_LIMITS, Some(service.bounds.replies.clone())),
            unflushed: false,
            mail: None,
            timers: ConnectionTimers::new(settings),
            thriftmux: settings.thriftmux,
            limit: Usage {
                requests: settings.max_requests_per_connection,
                bytes: settings.max_bytes_per_connection,
            },
            reading_ended: false,
            draining: false,
            end: ConnectionEnd::Finished,
            dispatcher: Dispatcher {
                caller: Caller::new(&service.access, principal),
                service,
                mailbox,
                peer,
                in_flight: Usage::default(),
                clock_skew: ClockSkewEstimate::default(),
                unix_nanos: None,
                unflushed: Unflushed::default(),
            },
        }
    }

    /// Serves the client until the connection ends.
    pub(super) async fn run(mut self) -> ConnectionEnd {
        poll_fn(|cx| self.poll(cx)).await;
        if let (ConnectionEnd::Violation(_), Some(stream)) = (&self.end, &mut self.stream) {
            // On the heap, because it is rare and large. A client that sends too much or takes too
            // long does not receive the reason.
            let _ = tokio::time::timeout(LINGER_TIME, Box::pin(drain_and_close(stream))).await;
        }
        self.end
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut progress = self.take_mail(cx);
            progress |= self.read(cx);
            progress |= self.handle_frames();
            progress |= self.write(cx);
            if self.is_done() {
                ready!(self.poll_shutdown(cx));
                return Poll::Ready(());
            }
            if !progress && !self.check_timers(cx) {
                self.rest();
                return Poll::Pending;
            }
        }
    }

    /// Handles what is in the mailbox. Returns true if there was anything.
    fn take_mail(&mut self, cx: &Context<'_>) -> bool {
        let mut mail = self.mail.take().unwrap_or_default();
        self.dispatcher.mailbox.receive(cx, &mut mail);
        let any = !mail.is_empty();
        if any {
            let service = self.dispatcher.service.clone();
            wakes::together(|| {
                service.take_appended(service.now(), &mut mail.appended);
                for (slot, reply) in mail.replies.drain(..) {
                    self.handle_reply(slot, &reply);
                }
                for order in mail.orders.drain(..) {
                    self.handle_order(order);
                }
            });
        }
        self.mail = Some(mail);
        any
    }

    fn handle_reply(&mut self, slot: u32, reply: &Reply) {
        let (dispatcher, output) = (&mut self.dispatcher, &mut self.output);
        match &mut self.session {
            Session::Mux(session) => session.handle_reply(slot, reply, dispatcher, output),
            Session::Framed(session) => session.handle_reply(reply, dispatcher, output),
            Session::Unknown => unreachable!("only sessions send requests"),
        }
    }

    fn handle_order(&mut self, order: Order) {
        match order {
            Order::Drain => {
                self.draining = true;
                if let Session::Mux(session) = &mut self.session {
                    session.drain(&mut self.output);
                }
            }
            Order::DrainNow => {
                if let Session::Mux(session) = &mut self.session {
                    session.drain_now(&mut self.output);
                }
            }
            Order::Cut => self.close(ConnectionEnd::Cut),
        }
    }

    /// Reads once, if there is room. Returns true if the state of the connection changed.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        if self.reading_ended || self.is_blocked() || !self.input.wants_more() {
            return false;
        }
        let Some(stream) = &mut self.stream else {
            return false;
        };
        match self.input.poll_fill(stream, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(0)) => {
                self.reading_ended = true;
                let log_limits = &self.dispatcher.service.log_limits;
                if !self.input.bytes().is_empty()
                    && self.end == ConnectionEnd::Finished
                    && let Some(Admitted { left_out }) = log_limits.admit(LogKind::IncompleteFrame)
                {
                    tracing::info!(
                        peer = %self.dispatcher.peer,
                        bytes = self.input.bytes().len(),
                        left_out,
                        "the client closed in the middle of a frame"
                    );
                }
                true
            }
            Poll::Ready(Ok(_)) => {
                self.timers.received();
                true
            }
            Poll::Ready(Err(error)) => {
                self.close(ConnectionEnd::Lost(error.kind()));
                true
            }
        }
    }

    /// Returns true if as much is in flight as the limits allow.
    fn is_blocked(&self) -> bool {
        let busy = match &self.session {
            Session::Unknown | Session::Mux(_) => false,
            Session::Framed(session) => session.is_busy(),
        };
        let Usage { requests, bytes } = self.dispatcher.in_flight;
        busy || requests >= self.limit.requests
            || bytes >= self.limit.bytes
            || self.output.is_full()
    }

    /// Handles all whole frames, until the connection is blocked. They have come at one time.
    /// Returns true if there may be mail of them.
    fn handle_frames(&mut self) -> bool {
        self.dispatcher.unix_nanos = None;
        wakes::together(|| self.handle_each_frame());
        self.dispatcher.flush()
    }

    fn handle_each_frame(&mut self) {
        while !self.is_blocked() && self.stream.is_some() {
            if let Session::Unknown = self.session {
                match self.detect_protocol() {
                    Ok(Some(session)) => self.session = session,
                    Ok(None) => return,
                    Err(violation) => return self.close_for_violation(violation),
                }
            }
            let handled = match self.input.next_frame() {
                NextFrame::Incomplete => return,
                NextFrame::TooLarge(_) if self.input.wants_more() => return,
                NextFrame::TooLarge(error) => self.handle_too_large(&error),
                NextFrame::Frame(frame) => match &mut self.session {
                    Session::Unknown => unreachable!("recognised above"),
                    Session::Mux(session) => {
                        session.handle_frame(&frame, &mut self.dispatcher, &mut self.output)
                    }
                    Session::Framed(session) => {
                        session.handle_frame(&frame, &mut self.dispatcher, &mut self.output);
                        Ok(())
                    }
                },
            };
            if let Err(violation) = handled {
                return self.close_for_violation(violation);
            }
        }
    }

    /// Detects the protocol by the first bytes, or returns `None` while they are too few.
    fn detect_protocol(&mut self) -> Result<Option<Session>, ProtocolViolation> {
        let bytes = self.input.bytes();
        if let Some(protocol @ (PeerProtocol::Http | PeerProtocol::Http2 | PeerProtocol::Tls)) =
            PeerProtocol::of(bytes)
        {
            return Err(self.refuse_foreign(protocol));
        }
        // A method of HTTP may go on.
        if bytes.len() < FIRST_BYTES && bytes.first().is_some_and(u8::is_ascii_uppercase) {
            return Ok(None);
        }
        let Some(protocol) = distributedlog::wire::sniff(bytes) else {
            return Ok(None);
        };
        match protocol {
            Protocol::FramedThrift => Ok(Some(Session::Framed(FramedSession::default()))),
            Protocol::Mux if self.thriftmux => {
                let mut session = MuxSession::new();
                if self.draining {
                    session.drain(&mut self.output);
                }
                Ok(Some(Session::Mux(session)))
            }
            Protocol::Mux => Err(ProtocolViolation::new(
                "the client speaks mux, and this proxy was started without it (-mx)".to_owned(),
            )),
            Protocol::Unknown => Err(ProtocolViolation::new(format!(
                "the client speaks neither mux nor framed thrift with a version: it began with \
                 {}",
                bytes[..bytes.len().min(16)].escape_ascii()
            ))),
        }
    }

    /// Returns the violation of a client of another protocol. One of HTTP gets a response that it
    /// can show.
    fn refuse_foreign(&mut self, protocol: PeerProtocol) -> ProtocolViolation {
        let elsewhere = match protocol {
            PeerProtocol::Tls => {
                "without TLS: start the proxy with --tls-certificates, or connect without TLS"
                    .to_owned()
            }
            PeerProtocol::Http
            | PeerProtocol::Http2
            | PeerProtocol::Mux
            | PeerProtocol::FramedThrift => self.dispatcher.service.http_hint(),
        };
        let what = format!("this is the port for thriftmux and framed thrift, {elsewhere}");
        if protocol != PeerProtocol::Tls {
            let refusal = http_refusal(&what);
            self.output.write(None, |out| out.extend(refusal));
        }
        ProtocolViolation::new(format!("the client speaks {protocol}: {what}"))
    }

    /// Refuses a frame by its length. Its bytes are dropped as they come, unless the length is so
    /// large that it cannot be one.
    fn handle_too_large(&mut self, error: &FrameTooLarge) -> Result<(), ProtocolViolation> {
        self.dispatcher.service.stats.malformed.inc();
        let why = format!(
            "{error}; a single record has at most {} bytes",
            super::MAX_RECORD_BYTES
        );
        let log_limits = &self.dispatcher.service.log_limits;
        if let Some(Admitted { left_out }) = log_limits.admit(LogKind::TooLarge) {
            tracing::warn!(
                peer = %self.dispatcher.peer,
                length = error.length,
                limit = error.limit,
                left_out,
                "refusing a frame: it is too large"
            );
        }
        match &self.session {
            Session::Mux(session) => {
                session.handle_too_large(self.input.bytes(), &why, &mut self.output)
            }
            Session::Framed(session) => session.handle_too_large(&why, &mut self.output),
            Session::Unknown => {}
        }
        if self.input.skip(error.length) {
            Ok(())
        } else {
            Err(ProtocolViolation::new(why))
        }
    }

    fn close_for_violation(&mut self, ProtocolViolation(what): ProtocolViolation) {
        self.dispatcher.service.stats.malformed.inc();
        let log_limits = &self.dispatcher.service.log_limits;
        if let Some(Admitted { left_out }) = log_limits.admit(LogKind::ProtocolViolation) {
            tracing::warn!(
                peer = %self.dispatcher.peer,
                offset = self.input.offset(),
                what,
                left_out,
                "closing a connection: the client broke the protocol"
            );
        }
        self.end = ConnectionEnd::Violation(what);
        self.reading_ended = true;
        self.input.clear();
    }

    /// Sends what is buffered. Returns true if any byte was sent.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !self.output.is_empty() {
            let Some(stream) = &mut self.stream else {
                return progress;
            };
            match Pin::new(stream).poll_write(cx, self.output.unsent()) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => {
                    self.close(ConnectionEnd::Lost(io::ErrorKind::WriteZero));
                    return true;
                }
                Poll::Ready(Ok(count)) => {
                    self.output.advance(count);
                    self.timers.wrote(count, self.output.is_empty());
                    progress = true;
                }
                Poll::Ready(Err(error)) => {
                    self.close(ConnectionEnd::Lost(error.kind()));
                    return true;
                }
            }
        }
        self.unflushed |= progress;
        if self.unflushed
            && let Some(stream) = &mut self.stream
            && let Poll::Ready(result) = Pin::new(stream).poll_flush(cx)
        {
            self.unflushed = false;
            if let Err(error) = result {
                self.close(ConnectionEnd::Lost(error.kind()));
                return true;
            }
        }
        progress
    }

    /// Returns true if every request is answered and none will follow.
    fn is_done(&self) -> bool {
        if self.dispatcher.in_flight.requests > 0 {
            return false;
        }
        if self.stream.is_none() {
            return true;
        }
        let drained = self.draining
            && match &self.session {
                Session::Unknown => true,
                Session::Mux(session) => session.is_drained(),
                // Whole frames are handled before this is called, so none is left.
                Session::Framed(_) => true,
            };
        self.output.is_empty() && !self.unflushed && (self.reading_ended || drained)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(stream) = &mut self.stream {
            // An error is ignored: the peer has closed, and everything was sent.
            let _ = ready!(Pin::new(stream).poll_shutdown(cx));
        }
        Poll::Ready(())
    }

    /// Drops the socket. Requests that have not started are dropped; the others are waited for.
    fn close(&mut self, end: ConnectionEnd) {
        if self.stream.take().is_none() {
            return;
        }
        self.end = end;
        self.reading_ended = true;
        self.input.clear();
        self.output.clear();
        match &self.session {
            Session::Unknown => {}
            Session::Mux(session) => session.abandon(&self.dispatcher),
            Session::Framed(session) => session.abandon(&self.dispatcher),
        }
    }

    /// Closes the connection if a timeout expired. Returns whether it did.
    fn check_timers(&mut self, cx: &mut Context<'_>) -> bool {
        if self.stream.is_none() {
            return false;
        }
        let write = !self.output.is_empty() || self.unflushed;
        let waits = AwaitedEvents {
            // While the proxy does not read, a frame's delay is not the client's fault.
            frame: if self.reading_ended || self.is_blocked() {
                None
            } else {
                self.input.begun()
            },
            first: matches!(self.session, Session::Unknown),
            write,
            idle: self.dispatcher.in_flight.requests == 0 && !write,
        };
        match self.timers.poll(cx, &waits) {
            Poll::Pending => false,
            Poll::Ready(expired) => {
                self.dispatcher.service.stats.timeouts.inc();
                let log_limits = &self.dispatcher.service.log_limits;
                if let Some(Admitted { left_out }) = log_limits.admit(LogKind::Timeout) {
                    tracing::warn!(
                        peer = %self.dispatcher.peer,
                        offset = self.input.offset(),
                        %expired,
                        left_out,
                        "closing a connection: a timeout expired"
                    );
                }
                self.close(ConnectionEnd::TimedOut(expired));
                true
            }
        }
    }

    /// Frees memory that an idle connection does not need.
    fn rest(&mut self) {
        self.input.rest();
        if self.dispatcher.in_flight.requests == 0 {
            self.output.rest();
            self.mail = None;
        }
    }
}

/// Reads and drops what a client still sends after the last reply. Closing a socket with unread
/// bytes resets the connection, and a client that is busy sending would lose the reply which
/// contains the reason.
async fn drain_and_close<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut dropped = [0; 4 << 10];
    for _ in 0..MAX_LINGER_READS {
        match stream.read(&mut dropped).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

impl fmt::Display for ConnectionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Violation(what) => write!(f, "the client broke the protocol: {what}"),
            Self::TimedOut(expired) => write!(f, "{expired}"),
            Self::Lost(kind) => write!(f, "lost: {kind}"),
            Self::Cut => f.write_str("cut"),
        }
    }
}
