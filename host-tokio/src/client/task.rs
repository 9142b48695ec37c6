//! The task behind the handles: takes their commands, drives the connections, hands out the
//! results.

use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use distributedlog::Instant;
use distributedlog::client::HostId;
use distributedlog::client::routing::{RetryPolicy, StreamKey, SubmitError};
use tokio::sync::{mpsc, oneshot};

use super::attempts::{FinishedAttempt, OutcomeQueue, ReplyTo};
use super::broadcast::Broadcast;
use super::command::{Command, Reply};
use super::outcome::{operation_result, refused};
use super::room::InFlightPermit;
use crate::driver::{Body, Destination, Driver, FinishedRequest, NewRequest, Token};
use crate::error::RequestError;

/// First token of the task's own requests; handles count from zero.
const OWN_TOKENS: u64 = 1 << 63;

pub(super) struct Task {
    driver: Driver,
    commands: mpsc::UnboundedReceiver<Command>,
    /// `true` while handles may send commands.
    open: bool,
    waiting: HashMap<Token, Waiting>,
    broadcasts: HashMap<u64, Broadcast>,
    next_own: u64,
    closers: Vec<oneshot::Sender<()>>,
    closing: bool,
    /// Time of an operation, unless the routing machine has one.
    default_timeout: Option<Duration>,
    drain_timeout: Duration,
    /// Writers with outcomes that they were not woken for yet. Empty between polls.
    unwoken: Vec<OutcomeQueue>,
}

enum Waiting {
    Handle {
        reply: oneshot::Sender<Result<Reply, RequestError>>,
        _room: InFlightPermit,
    },
    Attempt(ReplyTo),
    Broadcast {
        id: u64,
        host: HostId,
    },
}

impl Task {
    pub(super) fn new(
        driver: Driver,
        commands: mpsc::UnboundedReceiver<Command>,
        default_timeout: Option<Duration>,
        drain_timeout: Duration,
    ) -> Self {
        Self {
            driver,
            commands,
            open: true,
            waiting: HashMap::new(),
            broadcasts: HashMap::new(),
            next_own: 0,
            closers: Vec::new(),
            closing: false,
            default_timeout,
            drain_timeout,
            unwoken: Vec::new(),
        }
    }

    /// Runs until the client is closed and all its connections are.
    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        for closer in self.closers {
            // The caller may have dropped its future.
            let _ = closer.send(());
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            while self.open
                && let Poll::Ready(command) = self.commands.poll_recv(cx)
            {
                match command {
                    Some(command) => self.handle(command),
                    None => {
                        // The last handle was dropped, and with it every future that waits for a
                        // result.
                        self.open = false;
                        self.close(Duration::ZERO);
                    }
                }
            }
            self.driver.drive(cx);
            let mut finished_any = false;
            while let Some(finished) = self.driver.next_finished() {
                finished_any = true;
                self.finish(finished);
            }
            // Once for all outcomes of a writer in this turn.
            for writer in self.unwoken.drain(..) {
                writer.wake();
            }
            if self.closing && self.driver.is_closed() {
                return Poll::Ready(());
            }
            if !finished_any {
                return Poll::Pending;
            }
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Start {
                token,
                stream,
                body,
                reply,
                room,
            } => self.start(token, stream, body, reply, room),
            Command::Attempt { request, reply_to } => self.start_attempt(request, reply_to),
            Command::Cancel(token) => {
                if let Some(waiting) = self.waiting.remove(&token) {
                    if let Waiting::Attempt(reply_to) = waiting {
                        reply_to.forget();
                    }
                    self.driver.cancel(self.driver.now(), token);
                }
            }
            Command::Prepare(streams) => self.driver.prepare(&streams),
            Command::Handshake(reply) => self.broadcast(Broadcast::handshake(reply)),
            Command::SetAcceptNewStream { enabled, reply } => {
                self.broadcast(Broadcast::accept(enabled, reply))
            }
            Command::Close(reply) => {
                self.closers.push(reply);
                self.close(self.drain_timeout);
            }
        }
    }

    fn close(&mut self, limit: Duration) {
        self.closing = true;
        let now = self.driver.now();
        self.driver.close(now, now + limit);
    }

    fn start(
        &mut self,
        token: Token,
        stream: Arc<str>,
        body: Body,
        reply: oneshot::Sender<Result<Reply, RequestError>>,
        room: InFlightPermit,
    ) {
        let operation = body.name();
        let to = Destination::Stream(Arc::clone(&stream), StreamKey::of(&stream));
        let now = self.driver.now();
        let start = NewRequest {
            token,
            to,
            body,
            deadline: self.default_deadline(now),
            retry_policy: RetryPolicy::UntilDeadline,
            earlier_attempts: 0,
        };
        match self.driver.start(now, start) {
            Ok(()) => {
                self.waiting
                    .insert(token, Waiting::Handle { reply, _room: room });
            }
            Err(refusal) => {
                let _ = reply.send(Err(refused_on(&stream, operation, refusal)));
            }
        }
    }

    fn default_deadline(&self, now: Instant) -> Option<Instant> {
        self.default_timeout.map(|timeout| now + timeout)
    }

    fn start_attempt(&mut self, request: NewRequest, reply_to: ReplyTo) {
        let (token, operation) = (request.token, request.body.name());
        let (stream, key) = match &request.to {
            Destination::Stream(stream, key) => (Arc::clone(stream), Some(*key)),
            Destination::Host(_) => (Arc::from(""), None),
        };
        match self.driver.start(self.driver.now(), request) {
            Ok(()) => {
                if let Some(key) = key {
                    self.driver.publish_domain(key);
                }
                let waiting = Waiting::Attempt(reply_to.started());
                self.waiting.insert(token, waiting);
            }
            Err(refusal) => {
                let error = refused_on(&stream, operation, refusal);
                self.unwoken.extend(reply_to.finish(Err(Box::new(error))));
            }
        }
    }

    fn broadcast(&mut self, mut broadcast: Broadcast) {
        let (id, now) = (self.next_own, self.driver.now());
        let hosts: Vec<HostId> = self.driver.connected().collect();
        for host in hosts {
            self.next_own += 1;
            let token = Token(OWN_TOKENS | self.next_own);
            let start = NewRequest {
                token,
                to: Destination::Host(host),
                body: broadcast.body(),
                deadline: self.default_deadline(now),
                retry_policy: RetryPolicy::OneRound,
                earlier_attempts: 0,
            };
            match self.driver.start(now, start) {
                Ok(()) => {
                    broadcast.pending += 1;
                    self.waiting.insert(token, Waiting::Broadcast { id, host });
                }
                Err(refusal) => broadcast.failed(self.driver.address(host), refused(refusal)),
            }
        }
        self.next_own += 1;
        if !broadcast.finish_if_complete() {
            self.broadcasts.insert(id, broadcast);
        }
    }

    fn finish(&mut self, finished: FinishedRequest) {
        match self.waiting.remove(&finished.token) {
            Some(Waiting::Handle { reply, .. }) => {
                // If the future was dropped, a cancellation of it is still queued.
                let host = finished.host.and_then(|host| self.driver.address(host));
                let _ = reply.send(operation_result(finished, host));
            }
            Some(Waiting::Attempt(reply_to)) => {
                let attempt = reply_to.attempt();
                let FinishedAttempt { result, .. } =
                    FinishedAttempt::of(attempt, finished, &self.driver);
                self.unwoken.extend(reply_to.finish(result));
            }
            Some(Waiting::Broadcast { id, host }) => {
                let address = self.driver.address(host);
                let Some(broadcast) = self.broadcasts.get_mut(&id) else {
                    return;
                };
                broadcast.pending -= 1;
                broadcast.replied(address, finished);
                if broadcast.finish_if_complete() {
                    self.broadcasts.remove(&id);
                }
            }
            None => {}
        }
    }
}

/// Returns the error of an operation on a stream that could not be started.
fn refused_on(stream: &str, operation: &'static str, refusal: SubmitError) -> RequestError {
    RequestError {
        stream: stream.into(),
        operation,
        ..refused(refusal)
    }
}
