//! Transport over `fetch`.

use core::cell::RefCell;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::rc::Rc;

use distributedlog::wire::crc;
use distributedlog::{Attempt, AttemptId, Instant, Outcome, StartRefused, Transport};
use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use crate::connections::{Connections, Step};
use crate::host::Host;

/// Outcomes that the host has reported and the runner has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    finished: VecDeque<(AttemptId, Outcome)>,
    waker: Option<Waker>,
}

impl Inbox {
    pub(crate) fn put(inbox: &RefCell<Self>, attempt: AttemptId, outcome: Outcome) {
        let waker = {
            let mut inbox = inbox.borrow_mut();
            inbox.finished.push_back((attempt, outcome));
            inbox.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Returns the value of the header `dlog-crc32`: the proxy computes it again, and refuses a body
/// that was changed in transit.
#[wasm_bindgen]
#[must_use]
pub fn checksum(stream: &str, record_set: &[u8]) -> u32 {
    crc::write(stream, record_set)
}

/// A request that waits for its connection.
///
/// The record set is a copy on JavaScript's heap, where it is garbage-collected: the memory of a
/// module never shrinks.
#[derive(Debug)]
struct Request {
    stream: u32,
    record_set: Uint8Array,
    earlier_attempts: u32,
    deadline: Instant,
}

/// A [`Transport`] that sends each attempt as one request by `fetch`, and aborts the attempts that
/// lost (R11).
pub(crate) struct FetchTransport {
    host: Rc<Host>,
    inbox: Rc<RefCell<Inbox>>,
    connections: Connections<Request>,
    now: Instant,
}

impl FetchTransport {
    pub(crate) fn new(host: Rc<Host>, connections: usize) -> (Self, Rc<RefCell<Inbox>>) {
        let inbox = Rc::new(RefCell::new(Inbox::default()));
        let transport = Self {
            host,
            inbox: Rc::clone(&inbox),
            connections: Connections::new(connections),
            now: Instant::ZERO,
        };
        (transport, inbox)
    }

    /// Sends and aborts requests until the limit is reached.
    ///
    /// Never called from `start` or `cancel`: the writer's state is borrowed there, and the user's
    /// `fetch` may call `write`.
    fn drive(&mut self) {
        while let Some(step) = self.connections.step() {
            match step {
                Step::Send(
                    attempt,
                    Request {
                        stream,
                        record_set,
                        earlier_attempts,
                        deadline,
                    },
                ) => {
                    let milliseconds = deadline.since(self.now).as_micros() as f64 / 1_000.0;
                    self.host.send(
                        attempt.0 as f64,
                        stream,
                        record_set,
                        earlier_attempts,
                        milliseconds,
                    );
                }
                Step::Abort(attempt) => self.host.abort(attempt.0 as f64),
            }
        }
    }
}

impl Transport for FetchTransport {
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        self.now = now;
        let request = Request {
            stream: u32::from(attempt.stream.0),
            record_set: Uint8Array::from(attempt.record_set),
            earlier_attempts: attempt.earlier_attempts,
            deadline: attempt.deadline,
        };
        self.connections.start(attempt.id, request);
        Ok(())
    }

    fn cancel(&mut self, now: Instant, attempt: AttemptId) {
        self.now = now;
        self.connections.cancel(attempt);
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        let finished = {
            let mut inbox = self.inbox.borrow_mut();
            inbox.waker = Some(cx.waker().clone());
            inbox.finished.pop_front()
        };
        if let Some((attempt, _)) = finished {
            self.connections.finish(attempt);
        }
        self.drive();
        finished.map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<()> {
        self.connections.cancel_all();
        self.drive();
        Poll::Ready(())
    }
}

impl Drop for FetchTransport {
    fn drop(&mut self) {
        self.connections.cancel_all();
        self.drive();
    }
}
