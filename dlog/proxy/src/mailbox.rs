use core::future::poll_fn;
use core::mem;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::machine::Reply;
use distributedlog_store::wakes;

/// Reply address of a request: its connection's mailbox and the request's number there.
#[derive(Clone, Debug)]
pub(super) struct ReplyTo {
    pub(super) mailbox: Arc<Mailbox>,
    /// Number of the request among those of its connection.
    pub(super) slot: u32,
}

/// A message to a connection.
#[derive(Debug)]
pub(super) enum Mail {
    /// The machine replied to the request in this slot.
    Reply(u32, Reply),
    /// Ask the client to stop sending, finish the requests in flight, close.
    Drain,
    /// The client had its time to stop: start no further requests.
    DrainNow,
    /// Close now.
    Cut,
}

/// Messages to a connection, or to one request of HTTP.
///
/// Needs no bound of its own: each message but the three of draining belongs to a request of the
/// connection, which bounds how many of those it has in flight.
pub(super) type Mailbox = Queue<Mail>;

/// Queue of messages to one task. Sending never waits.
#[derive(Debug)]
pub(super) struct Queue<T>(Mutex<QueueState<T>>);

#[derive(Debug)]
struct QueueState<T> {
    messages: VecDeque<T>,
    waker: Option<Waker>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(Mutex::new(QueueState {
            messages: VecDeque::new(),
            waker: None,
        }))
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, QueueState<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enqueues a message, and wakes the task if it waits.
    pub(super) fn send(&self, message: T) {
        let mut message = Some(message);
        self.send_all(|| message.take());
    }

    /// Enqueues messages until `next` returns `None`, and wakes the task if it waits. Takes the
    /// lock once.
    pub(super) fn send_all(&self, next: impl FnMut() -> Option<T>) {
        let waker = {
            let mut state = self.lock();
            state.messages.extend(core::iter::from_fn(next));
            state.waker.take()
        };
        if let Some(waker) = waker {
            wakes::wake(waker);
        }
    }

    /// Enqueues messages before all others, which they were before they were taken.
    pub(super) fn put_back(&self, messages: &mut VecDeque<T>) {
        let mut state = self.lock();
        messages.append(&mut state.messages);
        mem::swap(&mut state.messages, messages);
    }

    /// Waits for the next message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message.
    pub(super) async fn next(&self) -> T {
        poll_fn(|cx| {
            let mut state = self.lock();
            match state.messages.pop_front() {
                Some(message) => Poll::Ready(message),
                None => {
                    state.register(cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits for messages, and moves all into `into`, which is empty.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message.
    pub(super) async fn all(&self, into: &mut VecDeque<T>) {
        poll_fn(|cx| {
            self.receive(cx, into);
            if into.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// Moves all messages into `into`, which is empty. If there are none, registers the task to be
    /// woken by the next.
    pub(super) fn receive(&self, cx: &Context<'_>, into: &mut VecDeque<T>) {
        let mut state = self.lock();
        if state.messages.is_empty() {
            state.register(cx);
        } else {
            // Swapped, so that both keep their capacity.
            mem::swap(&mut state.messages, into);
        }
    }
}

impl<T> QueueState<T> {
    fn register(&mut self, cx: &Context<'_>) {
        let known = self.waker.as_ref();
        if !known.is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_comes_before_what_was_sent_meanwhile() {
        let queue = Queue::default();
        let cx = &Context::from_waker(Waker::noop());
        (0..4).for_each(|number| queue.send(number));
        let mut taken = VecDeque::new();
        queue.receive(cx, &mut taken);
        assert_eq!(taken.pop_front(), Some(0));
        queue.send(4);
        queue.put_back(&mut taken);
        assert!(taken.is_empty());
        queue.receive(cx, &mut taken);
        assert_eq!(taken, [1, 2, 3, 4]);
    }
}
