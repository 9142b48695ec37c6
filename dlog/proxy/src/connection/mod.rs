//! One client's connection: bytes in, frames to the session that its first bytes show, answers out.
//! One task, which waits for whatever comes first and never for one thing alone.

mod clock_skew;
mod dispatch;
mod frame_reader;
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
use self::frame_reader::{FrameReader, NextFrame};
use self::framed::FramedSession;
use self::mux::MuxSession;
use self::reply::WriteBuffer;
use self::timers::{AwaitedEvents, ConnectionTimers, ExpiredTimeout};
use super::Settings;
use super::machine::Usage;
use super::mailbox::{Mail, Mailbox};
use super::service::Service;

/// With more unsent answers than this, no further requests are taken from the connection, so that a
/// peer which does not read cannot make them pile up.
const MAX_UNSENT_BYTES: usize = 1 << 20;

/// How long a client that broke the protocol may take to read why, and how many reads it is worth.
const LINGER_TIME: Duration = Duration::from_secs(1);
const MAX_LINGER_READS: usize = 256;

/// One client's connection.
///
/// The invariant: it lives until every request that it took to the service is answered, also when
/// its client is long gone, because the answers' arrival is what frees their room.
#[derive(Debug)]
pub(super) struct Connection<S> {
    /// `None` once it is closed.
    stream: Option<S>,
    dispatcher: Dispatcher,
    session: Session,
    input: FrameReader,
    output: WriteBuffer,
    /// Something was written that the stream may still hold, as TLS does.
    unflushed: bool,
    /// Taken from the mailbox and not worked on yet; empty between polls, kept for its memory.
    mail: Vec<Mail>,
    timers: ConnectionTimers,
    thriftmux: bool,
    limit: Usage,
    /// Nothing more is read: the client said that it is done, or broke the protocol, or the proxy
    /// is done with it.
    reading_ended: bool,
    draining: bool,
    end: ConnectionEnd,
}

/// What is spoken.
#[derive(Debug)]
enum Session {
    /// The first bytes have not come yet.
    Unknown,
    Mux(MuxSession),
    Framed(FramedSession),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// The client closed it, or it was drained, with every request answered.
    Finished,
    /// The client broke the protocol.
    Violation(String),
    /// It took too long.
    TimedOut(ExpiredTimeout),
    /// The network failed, or the client was gone before its answers.
    Lost(io::ErrorKind),
    /// The proxy could wait no longer.
    Cut,
}

/// Something that a client must not do, after which there is no sense in going on.
#[derive(Debug)]
struct ProtocolViolation(String);

impl ProtocolViolation {
    const fn new(what: String) -> Self {
        Self(what)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection whose client has said nothing yet.
    pub(super) fn new(
        stream: S,
        peer: SocketAddr,
        mailbox: Arc<Mailbox>,
        service: Arc<Service>,
        settings: &Settings,
    ) -> Self {
        Self {
            stream: Some(stream),
            dispatcher: Dispatcher {
                service,
                mailbox,
                peer,
                in_flight: Usage::default(),
                clock_skew: ClockSkewEstimate::default(),
            },
            session: Session::Unknown,
            input: FrameReader::new(settings.max_frame_bytes),
            output: WriteBuffer::default(),
            unflushed: false,
            mail: Vec::new(),
            timers: ConnectionTimers::new(settings),
            thriftmux: settings.thriftmux,
            limit: Usage {
                requests: settings.max_requests_per_connection,
                bytes: settings.max_bytes_per_connection,
            },
            reading_ended: false,
            draining: false,
            end: ConnectionEnd::Finished,
        }
    }

    /// Serves the client to its end.
    pub(super) async fn run(mut self) -> ConnectionEnd {
        poll_fn(|cx| self.poll(cx)).await;
        if let (ConnectionEnd::Violation(_), Some(stream)) = (&self.end, &mut self.stream) {
            // On the heap, because it is rare and large. Too much or too late: then the client does
            // without the last words.
            let _ = tokio::time::timeout(LINGER_TIME, Box::pin(drain_and_close(stream))).await;
        }
        self.end
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut progress = self.take_mail(cx);
            progress |= self.read(cx);
            self.handle_frames();
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

    /// Works on what was delivered; says whether there was anything.
    fn take_mail(&mut self, cx: &Context<'_>) -> bool {
        let mut mail = core::mem::take(&mut self.mail);
        self.dispatcher.mailbox.receive(cx, &mut mail);
        let any = !mail.is_empty();
        if any {
            let service = self.dispatcher.service.clone();
            service.take_appended(service.now(), &mut mail);
            for letter in mail.drain(..) {
                self.handle_mail(letter);
            }
        }
        self.mail = mail;
        any
    }

    fn handle_mail(&mut self, letter: Mail) {
        match letter {
            Mail::Appended(..) => unreachable!("the service took them"),
            Mail::Reply(slot, reply) => match &mut self.session {
                Session::Mux(session) => {
                    session.handle_reply(slot, &reply, &mut self.dispatcher, &mut self.output)
                }
                Session::Framed(session) => {
                    session.handle_reply(&reply, &mut self.dispatcher, &mut self.output)
                }
                Session::Unknown => unreachable!("only sessions ask"),
            },
            Mail::Drain => {
                self.draining = true;
                if let Session::Mux(session) = &mut self.session {
                    session.drain(&mut self.output);
                }
            }
            Mail::DrainNow => {
                if let Session::Mux(session) = &mut self.session {
                    session.drain_now(&mut self.output);
                }
            }
            Mail::Cut => self.close(ConnectionEnd::Cut),
        }
    }

    /// Reads once, if there is room for what comes; says whether something came.
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
                if !self.input.is_empty() && self.end == ConnectionEnd::Finished {
                    tracing::info!(peer = %self.dispatcher.peer, bytes = self.input.len(), "the client closed in the middle of a frame");
                }
                true
            }
            Poll::Ready(Ok(_)) => true,
            Poll::Ready(Err(error)) => {
                self.close(ConnectionEnd::Lost(error.kind()));
                true
            }
        }
    }

    /// Whether as much is under way as there may be.
    fn is_blocked(&self) -> bool {
        let busy = match &self.session {
            Session::Unknown | Session::Mux(_) => false,
            Session::Framed(session) => session.is_busy(),
        };
        let Usage { requests, bytes } = self.dispatcher.in_flight;
        busy || requests >= self.limit.requests
            || bytes >= self.limit.bytes
            || self.output.unsent().len() > MAX_UNSENT_BYTES
    }

    /// Works on whole frames.
    fn handle_frames(&mut self) {
        while !self.is_blocked() && self.stream.is_some() {
            if let Session::Unknown = self.session {
                match self.detect_protocol() {
                    Ok(Some(session)) => self.session = session,
                    Ok(None) => return,
                    Err(violation) => return self.violated(violation),
                }
            }
            let handled = match self.input.next() {
                NextFrame::Incomplete => return,
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
                return self.violated(violation);
            }
        }
    }

    /// Tells from the first bytes what is spoken.
    fn detect_protocol(&mut self) -> Result<Option<Session>, ProtocolViolation> {
        let bytes = self.input.bytes();
        let Some(protocol) = distributedlog::wire::sniff(bytes) else {
            return Ok(None);
        };
        match protocol {
            Protocol::FramedThrift => Ok(Some(Session::Framed(FramedSession::default()))),
            Protocol::Mux if self.thriftmux => {
                let mut session = MuxSession::default();
                if self.draining {
                    session.drain(&mut self.output);
                }
                Ok(Some(Session::Mux(session)))
            }
            Protocol::Mux => Err(ProtocolViolation::new(
                "the client speaks mux, which this proxy was started without (-mx)".to_owned(),
            )),
            Protocol::Unknown => Err(ProtocolViolation::new(format!(
                "the client speaks neither mux nor framed thrift with a version: it began with \
                 {}{}",
                bytes[..bytes.len().min(16)].escape_ascii(),
                guess_protocol(bytes)
            ))),
        }
    }

    /// Refuses a frame by its length. Its bytes are dropped as they come, unless there are absurdly
    /// many: then they are no frame's.
    fn handle_too_large(&mut self, error: &FrameTooLarge) -> Result<(), ProtocolViolation> {
        self.dispatcher.service.stats.malformed.inc();
        let why = format!(
            "{error}; a single record has at most {} bytes",
            super::MAX_RECORD_BYTES
        );
        tracing::warn!(peer = %self.dispatcher.peer, length = error.length, limit = error.limit, "a frame that is too large");
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

    fn violated(&mut self, ProtocolViolation(what): ProtocolViolation) {
        self.dispatcher.service.stats.malformed.inc();
        tracing::warn!(peer = %self.dispatcher.peer, offset = self.input.offset(), what, "closing a connection: the protocol is broken");
        self.end = ConnectionEnd::Violation(what);
        self.reading_ended = true;
        self.input.clear();
    }

    /// Sends what there is to send; says whether something went.
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
                    self.timers.wrote();
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

    /// Whether every request is answered and no further one will come.
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
                // Whole frames that have come are worked on first, and were by now.
                Session::Framed(_) => true,
            };
        self.output.is_empty() && !self.unflushed && (self.reading_ended || drained)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(stream) = &mut self.stream {
            // A peer that is gone already is no loss.
            let _ = ready!(Pin::new(stream).poll_shutdown(cx));
        }
        Poll::Ready(())
    }

    /// Gives the socket up. What has not started is dropped; what has is waited for.
    fn close(&mut self, end: ConnectionEnd) {
        if self.stream.take().is_none() {
            return;
        }
        self.end = end;
        self.reading_ended = true;
        self.input.clear();
        self.output = WriteBuffer::default();
        match &self.session {
            Session::Unknown => {}
            Session::Mux(session) => session.abandon(&self.dispatcher),
            Session::Framed(session) => session.abandon(&self.dispatcher),
        }
    }

    /// Closes the connection if it took too long; says whether it did.
    fn check_timers(&mut self, cx: &mut Context<'_>) -> bool {
        if self.stream.is_none() {
            return false;
        }
        let write = !self.output.is_empty() || self.unflushed;
        let waits = AwaitedEvents {
            // While nothing is read, it is not the client that takes its time.
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
                let offset = self.input.offset();
                tracing::warn!(peer = %self.dispatcher.peer, offset, %expired, "closing a connection that takes too long");
                self.close(ConnectionEnd::TimedOut(expired));
                true
            }
        }
    }

    /// Gives back memory that an idle connection has no use for.
    fn rest(&mut self) {
        self.input.rest();
        if self.dispatcher.in_flight.requests == 0 {
            self.output.rest();
            self.mail = Vec::new();
        }
    }
}

/// Reads what a client still sends after the proxy's last words. A socket that is closed over
/// unread bytes resets the connection, and a client that is busy sending would lose the answer that
/// tells it why.
async fn drain_and_close<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut dropped = [0; 4 << 10];
    for _ in 0..MAX_LINGER_READS {
        match stream.read(&mut dropped).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// What those bytes may be instead.
fn guess_protocol(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x16, 0x03, ..] => " (TLS? this port is plain)",
        [b'G', b'E', b'T', b' ', ..]
        | [b'P', b'O', b'S', b'T', ..]
        | [b'P', b'U', b'T', b' ', ..]
        | [b'H', b'E', b'A', b'D', ..] => " (HTTP? metrics are on the stats port)",
        _ => "",
    }
}

impl fmt::Display for ConnectionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Violation(what) => write!(f, "the protocol was broken: {what}"),
            Self::TimedOut(expired) => write!(f, "{expired}"),
            Self::Lost(kind) => write!(f, "lost: {kind}"),
            Self::Cut => f.write_str("cut"),
        }
    }
}
