use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use distributedlog::client::session::{Call, EncodeError, Envelope, SessionError, Settings};
use distributedlog::client::{HostId, RequestId};
use distributedlog::wire::service::Request;
use distributedlog::{Cause, Instant};
use tokio::io::AsyncWrite;

use super::ProxySession;
use crate::net::{ConnectError, Lookup, NetStream, ReceiveBuffer, Received, TransmitBuffer};

/// Size of the pieces in which control frames are written; every control frame fits.
const CONTROL_ROOM: usize = 4 * ProxySession::MAX_CONTROL_BYTES;

pub(super) type Connecting = Pin<Box<dyn Future<Output = Result<NetStream, ConnectError>> + Send>>;

/// One host's connection, from when it is wanted until it is lost or no longer wanted.
pub(super) struct Connection {
    pub(super) host: HostId,
    pub(super) phase: Phase,
}

pub(super) enum Phase {
    /// The host was named by another one, and its name is being looked up.
    Resolving(Lookup),
    Connecting(Connecting),
    Open(Box<Open>),
}

/// A connection with a peer at its other end.
pub(super) struct Open {
    pub(super) session: ProxySession,
    pub(super) stream: NetStream,
    pub(super) receive: ReceiveBuffer,
    pub(super) transmit: TransmitBuffer,
    /// Number of bytes that were received.
    pub(super) received: u64,
    /// The client's own handshake, while it is in flight.
    pub(super) handshake: Option<(RequestId, Call)>,
}

/// Reason for the end of an open connection.
#[derive(Debug)]
pub(super) enum CloseReason {
    /// The peer closed it.
    Ended,
    Io(io::Error),
    Session(SessionError),
}

impl Open {
    pub(super) fn new(now: Instant, settings: &Settings, seed: u64, stream: NetStream) -> Self {
        Self {
            session: ProxySession::on_heap(now, settings.clone(), seed),
            stream,
            receive: ReceiveBuffer::new(),
            transmit: TransmitBuffer::new(),
            received: 0,
            handshake: None,
        }
    }

    /// Encodes a request behind the bytes that wait to be sent. `hint` is the approximate size of
    /// its frame.
    pub(super) fn send(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Request<'_>,
        envelope: &Envelope,
        hint: usize,
    ) -> Result<Call, EncodeError> {
        let room = self.transmit.room(hint);
        let (len, call) = match self
            .session
            .encode_request(now, request, message, envelope, room)
        {
            Err(EncodeError::BufferTooSmall(_)) => {
                let room = self
                    .transmit
                    .room(self.session.encoded_len(message, envelope));
                self.session
                    .encode_request(now, request, message, envelope, room)?
            }
            done => done?,
        };
        self.transmit.commit(len);
        Ok(call)
    }

    /// Reads once from the socket.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        match ready!(self.receive.poll_fill(cx, &mut self.stream)) {
            Ok(Received::Bytes(count)) => {
                self.received += count as u64;
                Poll::Ready(Ok(()))
            }
            Ok(Received::End) => Poll::Ready(Err(CloseReason::Ended)),
            Err(error) => Poll::Ready(Err(CloseReason::Io(error))),
        }
    }

    /// Writes the frames of the session and of requests, as far as the socket takes them.
    pub(super) fn poll_transmit(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Result<(), CloseReason> {
        loop {
            let len = self.session.poll_transmit(self.transmit.room(CONTROL_ROOM));
            self.transmit.commit(len);
            if len == 0 {
                break;
            }
        }
        if self.transmit.waiting() == 0 {
            return Ok(());
        }
        let before = self.transmit.written();
        let flushed = self.transmit.poll_flush(cx, &mut self.stream);
        let count = self.transmit.written() - before;
        if count > 0 {
            self.session.handle_transmitted(
                now,
                usize::try_from(count).expect("no more was written than lay in memory"),
            );
        }
        match flushed {
            Poll::Pending | Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(error)) => Err(CloseReason::Io(error)),
        }
    }
}

impl Open {
    /// Returns what speaks at the other end if that is no write proxy, from the first bytes that it
    /// sent. They are still in the buffer: no frame was read.
    pub(super) fn foreign_peer(
        &self,
        reason: &CloseReason,
        encrypted: bool,
    ) -> Option<&'static str> {
        let first = self.receive.unread();
        if self.received > first.len() as u64 {
            return None;
        }
        match reason {
            CloseReason::Ended | CloseReason::Io(_) | CloseReason::Session(_)
                if first.starts_with(b"HTTP/") =>
            {
                Some(
                    "the peer speaks HTTP: it may be the HTTP or the stats port of a proxy; name \
                     its port for thrift",
                )
            }
            // A TLS alert.
            CloseReason::Ended | CloseReason::Io(_) | CloseReason::Session(_)
                if !encrypted && first.starts_with(&[0x15, 0x03]) =>
            {
                Some("the peer speaks TLS, which the settings of this client leave out")
            }
            CloseReason::Ended | CloseReason::Io(_) if self.received == 0 => Some(
                "the peer closed the connection without an answer: it may speak another protocol \
                 (thriftmux, framed thrift, TLS), or be no write proxy",
            ),
            CloseReason::Session(SessionError::Unresponsive | SessionError::PingFlood)
            | CloseReason::Ended
            | CloseReason::Io(_) => None,
            CloseReason::Session(_) => Some("the peer is no write proxy"),
        }
    }
}

impl CloseReason {
    /// Returns the cause for the requests that were in flight.
    pub(super) const fn cause(&self) -> Cause {
        match self {
            Self::Ended | Self::Io(_) | Self::Session(SessionError::Unresponsive) => {
                Cause::ConnectionLost
            }
            Self::Session(_) => Cause::ProtocolError,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the proxy closed the connection"),
            Self::Io(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
        }
    }
}

/// A connection that is being closed: sends the remaining bytes, then waits for the peer to close
/// its end.
///
/// Closing while bytes of the peer are unread would reset the connection, and the peer could lose
/// the last bytes that it was sent.
pub(super) struct Closing {
    stream: NetStream,
    transmit: TransmitBuffer,
    shut_down: bool,
    /// Time at which waiting for the peer ends.
    pub(super) until: Instant,
}

impl Closing {
    pub(super) fn new(mut open: Open, until: Instant) -> Self {
        let len = open.session.poll_transmit(open.transmit.room(CONTROL_ROOM));
        open.transmit.commit(len);
        Self {
            stream: open.stream,
            transmit: open.transmit,
            shut_down: false,
            until,
        }
    }

    /// Ready when the peer has closed too, or the connection has failed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.transmit.waiting() > 0
            && ready!(self.transmit.poll_flush(cx, &mut self.stream)).is_err()
        {
            return Poll::Ready(());
        }
        if !self.shut_down {
            if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            self.shut_down = true;
        }
        // Bytes of the peer are discarded, in a small buffer: they have no effect any more.
        let mut scrap = [0; 1024];
        loop {
            let mut scrap = tokio::io::ReadBuf::new(&mut scrap);
            let read = ready!(tokio::io::AsyncRead::poll_read(
                Pin::new(&mut self.stream),
                cx,
                &mut scrap
            ));
            if read.is_err() || scrap.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}
