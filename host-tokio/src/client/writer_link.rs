//! A writer's way to the proxies through a client that it shares with others.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::{HashMap, VecDeque};

use distributedlog::{AttemptId, StartRefused};
use tokio::sync::oneshot;

use super::ProxyClient;
use super::attempts::{FinishedAttempt, OutcomeQueue, ReplyTo};
use super::command::Command;
use super::room::InFlightPermit;
use crate::driver::{Body, MAX_IN_FLIGHT, NewRequest, Token};

/// Sends the attempts of one writer to the task of a client, and takes their outcomes.
///
/// An attempt for which the client has no room waits here. A writer waits for room with one attempt
/// at a time, in one queue with the other writers and the client's handles: each of them gets its
/// turn, however much the others have to send.
pub(crate) struct WriterLink {
    client: ProxyClient,
    outcomes: OutcomeQueue,
    /// Outcomes that were taken out of the queue and not handed out yet.
    taken: VecDeque<FinishedAttempt>,
    /// Attempts that the client has. Bounded by the attempts of the writer, as its settings say.
    in_flight: HashMap<AttemptId, Token>,
    /// Attempts without room, the oldest first. At most [`MAX_IN_FLIGHT`].
    waiting: VecDeque<(AttemptId, NewRequest)>,
    /// Permits for the first of them, while they are waited for.
    acquiring: Option<Acquiring>,
    client_ended: Option<oneshot::Sender<()>>,
}

/// Permits that are waited for.
struct Acquiring {
    pieces: u32,
    permit: Pin<Box<dyn Future<Output = Option<InFlightPermit>> + Send>>,
}

impl WriterLink {
    pub(crate) fn new(client: ProxyClient) -> Self {
        Self {
            client,
            outcomes: OutcomeQueue::default(),
            taken: VecDeque::new(),
            in_flight: HashMap::new(),
            waiting: VecDeque::new(),
            acquiring: None,
            client_ended: None,
        }
    }

    pub(crate) const fn client(&self) -> &ProxyClient {
        &self.client
    }

    /// Returns a future that is ready when the client's task has ended and the writer has all its
    /// outcomes: no further attempt can succeed. It is noticed when the link is polled.
    pub(crate) fn client_ended(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let (sender, receiver) = oneshot::channel();
        self.client_ended = Some(sender);
        async {
            // The link is dropped: its writer has ended by itself.
            if receiver.await.is_err() {
                core::future::pending().await
            }
        }
    }

    /// Returns room for an attempt with this number of bytes, or `None` if it has to wait.
    ///
    /// # Errors
    ///
    /// The client has no room, and the attempt's set waits for another one already: hedges would
    /// take the room of what waits for its first. Or more than [`MAX_IN_FLIGHT`] attempts wait: as
    /// many as a client of the writer's own takes.
    pub(crate) fn admit(
        &self,
        bytes: usize,
        is_hedge: bool,
    ) -> Result<Option<InFlightPermit>, StartRefused> {
        let room = self.client.room();
        let permit = if self.waiting.is_empty() {
            room.try_acquire(room.pieces(bytes))
        } else {
            None
        };
        if permit.is_none() && (is_hedge || self.waiting.len() >= MAX_IN_FLIGHT) {
            return Err(StartRefused);
        }
        Ok(permit)
    }

    /// Sends an attempt that has room, or lets it wait.
    pub(crate) fn start(
        &mut self,
        attempt: AttemptId,
        request: NewRequest,
        permit: Option<InFlightPermit>,
    ) {
        match permit {
            Some(permit) => self.send(attempt, request, permit),
            None => self.waiting.push_back((attempt, request)),
        }
    }

    /// Gives an attempt up: it finishes no more, and the proxy gets a discard if it was sent.
    pub(crate) fn cancel(&mut self, attempt: AttemptId) {
        if let Some(token) = self.in_flight.remove(&attempt) {
            self.client.send(Command::Cancel(token));
            return;
        }
        let waits = |(waiting, _): &(AttemptId, NewRequest)| *waiting == attempt;
        if let Some(place) = self.waiting.iter().position(waits)
            && let Some((_, request)) = self.waiting.remove(place)
        {
            self.recycle(request);
            if self.waiting.is_empty() {
                self.acquiring = None;
            }
        }
    }

    /// Returns the next attempt that has ended, and sends those that have waited for room.
    pub(crate) fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<FinishedAttempt> {
        loop {
            while let Some(finished) = self.taken.pop_front() {
                // An attempt may end while its cancellation is on its way.
                if self.in_flight.remove(&finished.attempt).is_some() {
                    return Poll::Ready(finished);
                }
            }
            self.send_waiting(cx);
            if !self.outcomes.take(&mut self.taken, cx) {
                self.notice_end();
                return Poll::Pending;
            }
        }
    }

    /// Sends attempts that wait, as far as there is room.
    fn send_waiting(&mut self, cx: &mut Context<'_>) {
        while let Some((_, request)) = self.waiting.front() {
            let pieces = self.client.room().pieces(request.body.bytes());
            // Where an attempt was cancelled, the next one takes its turn, if that is enough.
            let acquiring = match &mut self.acquiring {
                Some(acquiring) if acquiring.pieces >= pieces => acquiring,
                other => {
                    let client = self.client.clone();
                    let permit = async move { client.room().acquire(pieces).await };
                    let permit = Box::pin(permit);
                    other.insert(Acquiring { pieces, permit })
                }
            };
            let Poll::Ready(permit) = acquiring.permit.as_mut().poll(cx) else {
                return;
            };
            self.acquiring = None;
            let permit = permit.expect("the client's semaphores are never closed");
            let (attempt, request) = self.waiting.pop_front().expect("it was looked at");
            self.send(attempt, request, permit);
        }
    }

    fn send(&mut self, attempt: AttemptId, request: NewRequest, permit: InFlightPermit) {
        let token = self.client.next_token();
        // Before it is sent: if the client has ended, its outcome is there at once.
        self.in_flight.insert(attempt, token);
        let reply_to = ReplyTo::new(self.outcomes.clone(), attempt, permit);
        let request = NewRequest { token, ..request };
        self.client.send(Command::Attempt { request, reply_to });
    }

    fn notice_end(&mut self) {
        if self.client_ended.is_some()
            && self.client.has_ended()
            && self.in_flight.is_empty()
            && self.waiting.is_empty()
            && let Some(ended) = self.client_ended.take()
        {
            // The writer may have ended as well.
            let _ = ended.send(());
        }
    }

    fn recycle(&self, request: NewRequest) {
        if let Body::Write { data, .. } = request.body {
            self.client.pool().give(data);
        }
    }
}

impl Drop for WriterLink {
    fn drop(&mut self) {
        for token in self.in_flight.values() {
            self.client.send(Command::Cancel(*token));
        }
    }
}
