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
    /// Number of [claims](Claim).
    claims: usize,
}

/// The right of a thread to take the messages that are sent while it lasts: the task is not woken
/// for them. Dropping it wakes the task if any are left.
#[derive(Debug)]
pub(super) struct Claim<'a, T>(&'a Queue<T>);

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(Mutex::new(QueueState {
            messages: VecDeque::new(),
            waker: None,
            claims: 0,
        }))
    }
}

impl<T> Claim<'_, T> {
    /// Takes all messages.
    pub(super) fn take(&self) -> VecDeque<T> {
        mem::take(&mut self.0.lock().messages)
    }
}

impl<T> Drop for Claim<'_, T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.lock();
            state.claims -= 1;
            state.waker_for_messages()
        };
        if let Some(waker) = waker {
            wakes::wake(waker);
        }
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
            state.waker_for_messages()
        };
        if let Some(waker) = waker {
            wakes::wake(waker);
        }
    }

    /// Claims the messages that are sent until the claim is dropped.
    pub(super) fn claim(&self) -> Claim<'_, T> {
        self.lock().claims += 1;
        Claim(self)
    }

    /// Forgets the task that waits, because it looks for messages before it waits again.
    pub(super) fn forget_waker(&self) {
        self.lock().waker = None;
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
    /// Returns the waker to call if there are messages for the task.
    fn waker_for_messages(&mut self) -> Option<Waker> {
        let is_for_task = self.claims == 0 && !self.messages.is_empty();
        self.waker.take_if(|_| is_for_task)
    }

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

    #[derive(Default)]
    struct Wakes(core::sync::atomic::AtomicUsize);

    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_is_woken_for_what_a_claim_leaves_and_not_for_what_it_takes() {
        let (queue, wakes) = (Queue::default(), Arc::new(Wakes::default()));
        let count = || wakes.0.load(core::sync::atomic::Ordering::Relaxed);
        let waker = Waker::from(wakes.clone());
        let cx = &Context::from_waker(&waker);
        let mut received = VecDeque::new();
        queue.receive(cx, &mut received);
        let claim = queue.claim();
        queue.send(1);
        assert_eq!(claim.take(), [1]);
        drop(claim);
        assert_eq!(count(), 0);
        let claim = queue.claim();
        queue.send(2);
        drop(claim);
        assert_eq!(count(), 1);
        queue.receive(cx, &mut received);
        assert_eq!(received, [2]);
    }

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
