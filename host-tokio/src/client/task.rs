//! The task behind the handles: takes their commands, drives the connections, hands out the
//! results.

use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use distributedlog::client::HostId;
use distributedlog::client::routing::{RetryPolicy, StreamKey, SubmitError, Success};
use distributedlog::{Cause, Failure};
use tokio::sync::{mpsc, oneshot};

use super::answer::{HandshakeReply, HostReply, Owner};
use super::broadcast::Broadcast;
use super::command::{Command, InFlightPermit, Reply};
use super::error::RequestError;
use crate::driver::{Body, Destination, Driver, FinishedRequest, NewRequest, Token};

/// Tokens of the task's own requests begin here; handles count from zero.
const OWN_TOKENS: u64 = 1 << 63;

pub(super) struct Task {
    driver: Driver,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Whether handles may still send commands.
    open: bool,
    waiting: HashMap<Token, Waiting>,
    broadcasts: HashMap<u64, Broadcast>,
    next_own: u64,
    closers: Vec<oneshot::Sender<()>>,
    closing: bool,
    drain_timeout: Duration,
}

enum Waiting {
    Handle {
        reply: oneshot::Sender<Result<Reply, RequestError>>,
        _room: InFlightPermit,
    },
    Broadcast {
        id: u64,
        host: HostId,
    },
}

impl Task {
    pub(super) fn new(
        driver: Driver,
        commands: mpsc::UnboundedReceiver<Command>,
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
            drain_timeout,
        }
    }

    /// Runs until the client is closed and all its connections are.
    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        for closer in self.closers {
            // Whoever closed may have stopped waiting for it.
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
                        // No handle is left, so nobody waits for anything.
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
            Command::Cancel(token) => {
                if self.waiting.remove(&token).is_some() {
                    self.driver.cancel(self.driver.now(), token);
                }
            }
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
        let start = NewRequest {
            token,
            to,
            body,
            deadline: None,
            retry_policy: RetryPolicy::UntilDeadline,
            earlier_attempts: 0,
        };
        match self.driver.start(self.driver.now(), start) {
            Ok(()) => {
                self.waiting
                    .insert(token, Waiting::Handle { reply, _room: room });
            }
            Err(refusal) => {
                let error = RequestError {
                    stream: (*stream).into(),
                    operation,
                    ..refused(refusal)
                };
                let _ = reply.send(Err(error));
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
                deadline: None,
                retry_policy: RetryPolicy::OneRound,
                earlier_attempts: 0,
            };
            match self.driver.start(now, start) {
                Ok(()) => {
                    broadcast.left += 1;
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
                // Whoever dropped the future has sent a cancellation that is still to come.
                let _ = reply.send(self.reply(finished));
            }
            Some(Waiting::Broadcast { id, host }) => {
                let address = self.driver.address(host);
                let Some(broadcast) = self.broadcasts.get_mut(&id) else {
                    return;
                };
                broadcast.left -= 1;
                broadcast.answered(address, finished);
                if broadcast.finish_if_complete() {
                    self.broadcasts.remove(&id);
                }
            }
            None => {}
        }
    }

    /// What a handle is told of its operation.
    fn reply(&self, finished: FinishedRequest) -> Result<Reply, RequestError> {
        let host = finished.host.and_then(|host| self.driver.address(host));
        match finished.result {
            Ok(Success::Written(position)) => Ok(Reply::Done(Some(position))),
            Ok(Success::Done | Success::ServerInfo) => Ok(Reply::Done(finished.detail.position)),
            Ok(Success::Bulk) => {
                let (stream, operation) = (finished.stream, finished.operation);
                let records = finished.detail.bulk.into_iter().map(|item| {
                    item.result.map_err(|failure| RequestError {
                        failure,
                        operation,
                        stream: (*stream).into(),
                        host,
                        message: item.message,
                    })
                });
                Ok(Reply::Bulk(records.collect()))
            }
            Ok(Success::Owner) => match finished.detail.owner() {
                Some(owner) => Ok(Reply::Owner(Owner {
                    host: owner.host.into(),
                    port: owner.port,
                    shard: owner.shard,
                })),
                None => Err(error_of(
                    finished,
                    Failure::not_sent(Cause::ProtocolError),
                    host,
                )),
            },
            Err(failure) => Err(error_of(finished, failure, host)),
        }
    }
}

/// The error of an operation that ended so.
pub(super) fn error_of(
    finished: FinishedRequest,
    failure: Failure,
    host: Option<core::net::SocketAddr>,
) -> RequestError {
    RequestError {
        failure,
        operation: finished.operation,
        stream: (*finished.stream).into(),
        host,
        message: finished.detail.message,
    }
}

fn refused(refusal: SubmitError) -> RequestError {
    let cause = match refusal {
        SubmitError::Full => Cause::TransportFull,
        SubmitError::Closed => Cause::Closed,
        // And whatever else core may refuse for one day: nothing was sent.
        SubmitError::UnknownHost | _ => Cause::Unreachable,
    };
    RequestError {
        failure: Failure::not_sent(cause),
        operation: "",
        stream: "".into(),
        host: None,
        message: refusal.to_string().into(),
    }
}

/// What a host said of itself, as handles are told.
pub(super) fn handshake_reply(
    host: core::net::SocketAddr,
    finished: FinishedRequest,
) -> HostReply<HandshakeReply> {
    let result = match (finished.result, finished.detail.server) {
        (Ok(_), Some((status, streams))) => Ok(HandshakeReply {
            host,
            status: status.map(|status| status.as_i32()),
            streams,
        }),
        (Ok(_), None) => Err(error_of(
            finished,
            Failure::unanswered(Cause::ProtocolError),
            Some(host),
        )),
        (Err(failure), _) => Err(error_of(finished, failure, Some(host))),
    };
    HostReply { host, result }
}
