//! What another runtime needs: a clock and a transport.

use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use distributedlog::client::RequestId;
use distributedlog::client::session::{
    Call, Envelope, Event, Lost, Protocol, Session, SessionError, Settings,
};
use distributedlog::wire::crc;
use distributedlog::wire::service::{Reply, Request, WriteContext};
use distributedlog::{
    Attempt, AttemptId, Cause, Clock, Failure, Instant, Outcome, StartRefused, StatusCode,
    Transport,
};
use smol::Timer;
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;

/// Maximum number of attempts that are outstanding on a connection.
const REQUESTS: usize = 64;

/// Maximum length of a reply.
const FRAME_BYTES: usize = 64 << 10;

/// smol's time.
#[derive(Clone, Copy)]
pub(crate) struct SmolClock(std::time::Instant);

impl SmolClock {
    pub(crate) fn new() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Clock for SmolClock {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        let at = self.0.checked_add(at.since(Instant::ZERO));
        Sleep(at.map_or_else(Timer::never, Timer::at))
    }
}

/// A timer that returns nothing.
pub(crate) struct Sleep(Timer);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

/// A connection for each stream, to the proxy that the stream belongs to. A connection that is lost
/// is not made again.
pub(crate) struct TcpTransport {
    clock: SmolClock,
    lines: Vec<Line>,
}

/// One stream's connection.
struct Line {
    stream: String,
    socket: TcpStream,
    session: Session<REQUESTS>,
    pending: Vec<Pending>,
    /// Bytes that the socket has not taken.
    outgoing: Vec<u8>,
    /// The beginning of a frame.
    incoming: Vec<u8>,
    timer: Sleep,
    requests: u32,
    /// Outcomes that were not taken. Bounded by the attempts.
    finished: Vec<(AttemptId, Outcome)>,
    is_lost: bool,
}

struct Pending {
    attempt: AttemptId,
    request: RequestId,
    call: Call,
}

impl TcpTransport {
    /// Connects to the proxies of these streams, and waits until they have shaken hands.
    pub(crate) async fn connect(
        clock: SmolClock,
        streams: &[(&str, SocketAddr)],
    ) -> io::Result<Self> {
        let mut lines = Vec::new();
        for (stream, address) in streams {
            let mut line = Line::connect(clock, stream, *address).await?;
            smol::future::poll_fn(|cx| match line.poll_work(clock, cx) {
                _ if line.is_lost => Poll::Ready(Err(io::ErrorKind::ConnectionReset)),
                _ if line.session.is_ready() => Poll::Ready(Ok(())),
                Poll::Ready(()) | Poll::Pending => Poll::Pending,
            })
            .await?;
            lines.push(line);
        }
        Ok(Self { clock, lines })
    }
}

impl Transport for TcpTransport {
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        let line = &mut self.lines[usize::from(attempt.stream.0)];
        if line.is_lost || line.pending.len() == REQUESTS {
            return Err(StartRefused);
        }
        line.start(now, attempt)
    }

    fn cancel(&mut self, now: Instant, attempt: AttemptId) {
        for line in &mut self.lines {
            if let Some(at) = line.pending.iter().position(|each| each.attempt == attempt) {
                let pending = line.pending.swap_remove(at);
                line.session.discard(now, pending.call);
            }
        }
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        for line in &mut self.lines {
            if line.poll_work(self.clock, cx).is_ready()
                && let Some(finished) = line.finished.pop()
            {
                return Poll::Ready(finished);
            }
        }
        Poll::Pending
    }
}

impl Line {
    async fn connect(clock: SmolClock, stream: &str, address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let settings = Settings::builder()
            .protocol(Protocol::ThriftMux)
            .client_id("smol")
            .max_frame_bytes(FRAME_BYTES)
            .build()
            .expect("a short name, and room for every answer");
        Ok(Self {
            stream: stream.to_owned(),
            socket,
            session: Session::new(clock.now(), settings, 7),
            pending: Vec::new(),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            timer: clock.sleep_until(Instant::MAX),
            requests: 0,
            finished: Vec::new(),
            is_lost: false,
        })
    }

    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        let context = WriteContext {
            crc32: Some(i64::from(crc::write(&self.stream, attempt.record_set))),
            is_record_set: Some(true),
            ..WriteContext::default()
        };
        let message = Request::WriteWithContext {
            stream: &self.stream,
            data: attempt.record_set,
            context,
        };
        let envelope = Envelope::default();
        self.requests += 1;
        let request = RequestId::new(0, self.requests);
        let (end, session) = (self.outgoing.len(), &mut self.session);
        self.outgoing
            .resize(end + session.encoded_len(&message, &envelope), 0);
        let out = &mut self.outgoing[end..];
        let encoded = session.encode_request(now, request, &message, &envelope, out);
        let Ok((count, call)) = encoded else {
            self.outgoing.truncate(end);
            return Err(StartRefused);
        };
        self.outgoing.truncate(end + count);
        self.pending.push(Pending {
            attempt: attempt.id,
            request,
            call,
        });
        Ok(())
    }

    /// Does what the socket and the session have to do. Ready when an outcome is there.
    fn poll_work(&mut self, clock: SmolClock, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_lost && self.poll_connection(clock, cx).is_err() {
            self.lose();
        }
        if self.finished.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    fn poll_connection(&mut self, clock: SmolClock, cx: &mut Context<'_>) -> io::Result<()> {
        let unusable = |_: SessionError| io::Error::from(io::ErrorKind::ConnectionReset);
        while let Poll::Ready(received) = self.poll_read(cx) {
            received?;
            while let (consumed @ 1.., event) = {
                let received = self.session.handle_received(clock.now(), &self.incoming);
                let (consumed, event) = received.map_err(unusable)?;
                (consumed, event.and_then(outcome))
            } {
                self.incoming.drain(..consumed);
                if let Some((request, outcome)) = event {
                    self.finish(request, outcome);
                }
            }
        }
        loop {
            let at = self.session.poll_timeout();
            self.timer = clock.sleep_until(at.unwrap_or(Instant::MAX));
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                break;
            }
            self.session.handle_timeout(clock.now()).map_err(unusable)?;
        }
        let mut control = [0; 1024];
        let count = self.session.poll_transmit(&mut control);
        self.outgoing.extend_from_slice(&control[..count]);
        while !self.outgoing.is_empty()
            && let Poll::Ready(count) = Pin::new(&mut self.socket).poll_write(cx, &self.outgoing)
        {
            let count = count?;
            self.outgoing.drain(..count);
            self.session.handle_transmitted(clock.now(), count);
        }
        Ok(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        let count = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut bytes))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.incoming.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self, request: RequestId, outcome: Outcome) {
        // An attempt that was cancelled meanwhile is not there.
        if let Some(at) = self.pending.iter().position(|each| each.request == request) {
            let pending = self.pending.swap_remove(at);
            self.finished.push((pending.attempt, outcome));
        }
    }

    fn lose(&mut self) {
        self.is_lost = true;
        while let Some(Lost { request, known, .. }) = self.session.poll_lost() {
            let failure = Failure::unanswered(Cause::ConnectionLost).with_known(known);
            self.finish(request, Err(failure));
        }
    }
}

/// Returns the request that an event ends.
fn outcome(event: Event<'_>) -> Option<(RequestId, Outcome)> {
    match event {
        Event::Reply { request, reply } => Some((request, written(&reply))),
        Event::Failed {
            request, failure, ..
        } => Some((request, Err(failure))),
        Event::Ready | Event::Discarded { .. } | Event::Draining | Event::Lease { .. } => None,
    }
}

fn written(reply: &Reply<'_>) -> Outcome {
    let Reply::Write(response) = reply else {
        return Err(Failure::unanswered(Cause::ProtocolError));
    };
    let code = response.header.code;
    if code != StatusCode::Success {
        return Err(Failure::of_status(code));
    }
    let position = response.dlsn.and_then(|text| text.parse().ok());
    position.ok_or(Failure::unanswered(Cause::ProtocolError))
}
