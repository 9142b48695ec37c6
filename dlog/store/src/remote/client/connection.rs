//! One connection to the server, and the requests in flight on it.

use core::fmt;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::client::Heap;
use distributedlog::wire::mux::{Call, CallResult, Client, ClientEvent, Frame, Message, Status};
use tokio::sync::{Notify, oneshot};

use crate::remote::endpoint::{Endpoint, Output};
use crate::remote::frames::push_request;
use crate::remote::protocol::{Operation, RecordRef, Reply, ReplyResult, Request, Welcome, decode};
use crate::{AppendDone, Entry, Lease, StoreError};

/// Maximum number of requests in flight on one connection. Mux has 2^23 tags, eight times as many.
const MAX_REQUESTS: usize = 1 << 20;

/// The client's side of the mux session.
pub(super) type MuxClient = Client<InFlight, MAX_REQUESTS, Heap>;

/// Outcome of a request other than an append.
pub(super) enum CallOutcome {
    /// The server's reply: a valid frame's payload.
    Replied(Bytes),
    /// The request was not sent, or the server did not start it. It can be sent again.
    NotStarted,
    /// It is unknown whether the request was carried out.
    Lost(StoreError),
}

/// A request in flight.
pub(super) enum InFlight {
    Append { done: AppendDone, bytes: usize },
    Call(oneshot::Sender<CallOutcome>),
}

/// One connection to the server.
///
/// Invariant: each request was sent once, and is completed once, by a reply or by
/// [`Connection::fail_all`].
pub(super) struct Connection {
    pub(super) endpoint: Endpoint<Session>,
    pub(super) welcome: Welcome,
    pub(super) address: String,
    max_append_bytes: usize,
    /// Notified when an append completes or new requests are refused.
    append_done: Notify,
}

/// The session of a connection.
pub(super) struct Session {
    mux: MuxClient,
    appends: usize,
    append_bytes: usize,
    /// Error for new requests. `None` while they are accepted.
    refuse_with: Option<StoreError>,
}

impl Session {
    /// Handles a frame, as far as the session is concerned.
    ///
    /// # Errors
    /// The server does not take the answers to what it asks.
    fn handle_frame<'a>(
        &mut self,
        frame: &Frame<'a>,
        draining: impl FnOnce() -> StoreError,
        output: &mut Output,
    ) -> Result<ClientEvent<'a, InFlight>, String> {
        let event = self.mux.handle_frame(frame);
        let mut has_room = true;
        if let ClientEvent::Finished(call, _) = &event
            && let InFlight::Append { bytes, .. } = call.value
        {
            self.append_bytes -= bytes;
            self.appends -= 1;
        } else if let ClientEvent::Ping = event {
            has_room = output.answer(frame.tag, Message::Rping);
        } else if let ClientEvent::Drain { .. } = event {
            self.refuse_with.get_or_insert_with(draining);
            // The session is locked: no request follows this.
            has_room = output.answer(frame.tag, Message::Rdrain);
        }
        if has_room {
            Ok(event)
        } else {
            let name = frame.message.frame_type().name();
            Err(format!("it sends {name} faster than it takes the answers"))
        }
    }
}

impl Connection {
    pub(super) fn new(
        mux: MuxClient,
        welcome: Welcome,
        address: String,
        max_append_bytes: usize,
    ) -> Self {
        let session = Session {
            mux,
            appends: 0,
            append_bytes: 0,
            refuse_with: None,
        };
        Self {
            endpoint: Endpoint::new(session, None),
            welcome,
            address,
            max_append_bytes,
            append_done: Notify::new(),
        }
    }

    /// Sends an append. `done` is called with the reply, or when the connection is lost, or by this
    /// function if the append is refused.
    pub(super) fn append(&self, lease: &Lease, entry: &Entry, done: AppendDone) {
        if let Err(invalid) = entry.check() {
            return done(Err(invalid));
        }
        let size = entry
            .records
            .iter()
            .map(|record| record.payload.len())
            .sum();
        let request = Request::Append {
            lease: lease.clone(),
            records: RecordRef::list(&entry.records),
        };
        if let Err((error, done)) = self.send_append(&request, size, done) {
            done(Err(error));
        }
    }

    fn send_append(
        &self,
        request: &Request<'_>,
        bytes: usize,
        done: AppendDone,
    ) -> Result<(), (StoreError, AppendDone)> {
        let limit = self.welcome.max_frame_bytes as usize;
        self.endpoint.with(|session, output| {
            if let Some(error) = &session.refuse_with {
                return Err((error.clone(), done));
            }
            // An entry is always accepted if no other append is in flight: only the frame's limit
            // bounds a single entry.
            let is_full =
                session.appends > 0 && session.append_bytes + bytes > self.max_append_bytes;
            let Some(tag) = session.mux.next_tag().filter(|_| !is_full) else {
                let limit = self.max_append_bytes;
                return Err((StoreError::Overloaded { limit }, done));
            };
            // Refused before it is encoded: encoding hundreds of megabytes with the session locked
            // would delay the replies to pings until the server closes the connection.
            let mut fits = bytes <= limit;
            if fits {
                output.push(|out| {
                    let start = out.len();
                    fits = push_request(out, tag, request) <= limit;
                    if !fits {
                        out.truncate(start);
                    }
                });
            }
            if !fits {
                return Err((StoreError::TooLarge { size: bytes, limit }, done));
            }
            session.appends += 1;
            session.append_bytes += bytes;
            // If the output is closed, `fail_all` completes the append.
            session.mux.start(InFlight::Append { done, bytes });
            Ok(())
        })
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future discards the request: the server is asked to stop it, but may have
    /// carried it out.
    pub(super) async fn call(&self, request: &Request<'_>) -> CallOutcome {
        self.send_and_wait(request, true).await
    }

    /// Ends the session, which releases its leases. Works also while new requests are refused.
    pub(super) async fn end_session(&self) -> CallOutcome {
        self.send_and_wait(&Request::Do(Operation::EndSession), false)
            .await
    }

    async fn send_and_wait(&self, request: &Request<'_>, can_be_refused: bool) -> CallOutcome {
        let (reply, receiver) = oneshot::channel();
        let started = self.endpoint.with(|session, output| {
            let refused = can_be_refused && session.refuse_with.is_some();
            if refused || output.closed {
                return None;
            }
            let tag = session.mux.next_tag()?;
            output.push(|out| _ = push_request(out, tag, request));
            Some(session.mux.start(InFlight::Call(reply)))
        });
        let Some(call) = started else {
            return CallOutcome::NotStarted;
        };
        let _waiting = CallGuard {
            connection: self,
            call,
        };
        // The sender is dropped unused only by a discarded call, whose future is not there to see
        // it.
        receiver.await.unwrap_or(CallOutcome::NotStarted)
    }

    /// Discards the request if its reply is still missing.
    fn discard(&self, call: Call) {
        self.endpoint.with(|session, output| {
            session.mux.discard(call, |_| {});
            if let Some(frame) = session.mux.next_discard() {
                output.send(frame.tag, frame.message);
                session.mux.discard_sent();
            }
        });
    }

    /// Returns the error of new requests while the server drains.
    pub(super) fn draining(&self) -> StoreError {
        StoreError::Unreachable {
            address: self.address.clone(),
            detail: "the server is shutting down".to_owned(),
        }
    }

    /// Takes nothing new any more; answers what is asked with `why`.
    pub(super) fn stop_accepting(&self, why: StoreError) {
        self.endpoint
            .with(|session, _| _ = session.refuse_with.get_or_insert(why));
        self.append_done.notify_waiters();
    }

    /// Waits until no append is in flight. Call after [`stop_accepting`](Self::stop_accepting), or
    /// it may never return.
    pub(super) async fn all_appends_done(&self) {
        loop {
            let append_done = self.append_done.notified();
            if self.endpoint.with(|session, _| session.appends) == 0 {
                return;
            }
            append_done.await;
        }
    }

    /// Completes all requests in flight with `why` after the connection was lost; refuses new ones
    /// with `refuse_with`.
    pub(super) fn fail_all(&self, why: &StoreError, refuse_with: StoreError) {
        let mut lost = self.endpoint.with(|session, output| {
            output.closed = true;
            session.refuse_with.get_or_insert(refuse_with);
            (session.appends, session.append_bytes) = (0, 0);
            core::mem::replace(&mut session.mux, MuxClient::initialising())
        });
        let mut cursor = 0;
        // Not with the session locked: a completion may call this store.
        while let Some(request) = lost.next_lost(&mut cursor) {
            request.lose(why.clone());
        }
        self.append_done.notify_waiters();
    }

    /// Handles a frame from the server. Returns true if the server wants no more requests: it
    /// drains, or refused to start one, as it does during a drain.
    ///
    /// # Errors
    /// The frame is invalid in this protocol. The connection must be closed.
    pub(super) fn receive(&self, bytes: &Bytes) -> Result<bool, String> {
        let frame = Frame::decode(bytes).map_err(|error| error.to_string())?;
        let event = self
            .endpoint
            .with(|session, output| session.handle_frame(&frame, || self.draining(), output))?;
        let received = match event {
            ClientEvent::Finished(call, CallResult::Replied(status, payload)) => {
                if !call.discarded {
                    self.reply(call.value, status, bytes.slice_ref(payload));
                }
                Ok(status == Status::Nack)
            }
            ClientEvent::Finished(call, _) if call.discarded => Ok(false),
            ClientEvent::Finished(call, CallResult::GivenUp) => {
                Err(self.lose(call.value, "it gave a request up".to_owned()))
            }
            ClientEvent::Finished(call, CallResult::NotHandled(error)) => Err(self.lose(
                call.value,
                format!("it did not understand a frame: {error}"),
            )),
            ClientEvent::Drain { .. } => Ok(true),
            ClientEvent::Ping | ClientEvent::Lease { .. } | ClientEvent::Nothing => Ok(false),
            ClientEvent::CheckPassed
            | ClientEvent::Begun(_)
            | ClientEvent::OtherVersion(_)
            | ClientEvent::Unexpected => Err(format!(
                "it sent {} with tag {}, which is not valid here",
                frame.message.frame_type().name(),
                frame.tag
            )),
        };
        self.append_done.notify_waiters();
        received
    }

    /// Completes a request with the server's reply.
    fn reply(&self, request: InFlight, status: Status, payload: Bytes) {
        let text = || String::from_utf8_lossy(&payload).into_owned();
        let address = self.address.clone();
        match (request, status) {
            (InFlight::Append { done, .. }, Status::Ok) => {
                done(position(&payload).unwrap_or_else(|detail| Err(self.lost(detail))));
            }
            (InFlight::Append { done, .. }, Status::Nack | Status::Error) => {
                let detail = text();
                done(Err(StoreError::Unreachable { address, detail }));
            }
            (InFlight::Call(reply), status) => {
                _ = reply.send(match status {
                    Status::Ok => CallOutcome::Replied(payload),
                    Status::Nack => CallOutcome::NotStarted,
                    Status::Error => {
                        let detail = text();
                        CallOutcome::Lost(StoreError::Refused { address, detail })
                    }
                });
            }
        }
    }

    /// Completes a request whose outcome is unknown because the connection must be closed, for this
    /// reason, which it returns.
    fn lose(&self, request: InFlight, why: String) -> String {
        request.lose(self.lost(why.clone()));
        why
    }

    fn lost(&self, detail: String) -> StoreError {
        let address = self.address.clone();
        StoreError::Disconnected { address, detail }
    }
}

impl InFlight {
    /// Completes a request whose outcome is unknown.
    fn lose(self, why: StoreError) {
        match (self, why) {
            #[cfg(seeded_bugs)]
            (Self::Append { done, .. }, StoreError::Disconnected { address, detail })
                if distributedlog::seeded_bugs::is_on(
                    distributedlog::seeded_bugs::Bug::LostAppendIsUnsent,
                ) =>
            {
                done(Err(StoreError::Unreachable { address, detail }));
            }
            (Self::Append { done, .. }, why) => done(Err(why)),
            (Self::Call(reply), why) => _ = reply.send(CallOutcome::Lost(why)),
        }
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InFlight")
    }
}

/// Decodes the reply to an append.
fn position(payload: &[u8]) -> Result<Result<Dlsn, StoreError>, String> {
    match decode::<ReplyResult<'_>>(payload) {
        Ok(Ok(Reply::Appended(dlsn))) => Ok(Ok(dlsn)),
        Ok(Err(error)) => Ok(Err(error)),
        Ok(Ok(other)) => Err(format!("the reply of an append is {other:?}")),
        Err(malformed) => Err(format!("the reply of an append is {malformed}")),
    }
}

/// Discards the request when its caller drops the future.
struct CallGuard<'a> {
    connection: &'a Connection,
    call: Call,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.connection.discard(self.call);
    }
}
