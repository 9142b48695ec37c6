use core::future::poll_fn;
use core::mem;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, PoisonError};

use distributedlog::Dlsn;

use super::machine::{Reply, Ticket};
use distributedlog_store::{StoreError, wakes};

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
    /// The store completed an append.
    Appended(Ticket<ReplyTo>, Result<Dlsn, StoreError>),
    /// The machine replied to the request in this slot.
    Reply(u32, Reply),
    /// Ask the client to stop sending, finish the requests in flight, close.
    Drain,
    /// The client had its time to stop: start no further requests.
    DrainNow,
    /// Close now.
    Cut,
}

/// Queue of messages to a connection. Sending never waits.
///
/// The queue needs no bound of its own: each message but the four of draining belongs to a request
/// of the connection, which bounds how many of those it has in flight.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inner: Mutex<MailboxState>,
}

#[derive(Debug, Default)]
struct MailboxState {
    mail: Vec<Mail>,
    waker: Option<Waker>,
}

impl Mailbox {
    /// Enqueues a message, and wakes the connection if it waits.
    pub(super) fn send(&self, mail: Mail) {
        let mut mail = Some(mail);
        self.send_all(|| mail.take());
    }

    /// Enqueues messages until `next` returns `None`, and wakes the connection if it waits. Takes
    /// the lock once.
    pub(super) fn send_all(&self, next: impl FnMut() -> Option<Mail>) {
        let waker = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.mail.extend(core::iter::from_fn(next));
            inner.waker.take()
        };
        if let Some(waker) = waker {
            wakes::wake(waker);
        }
    }

    /// Waits for messages, and moves all to the end of `into`, which is empty.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message.
    pub(super) async fn next(&self, into: &mut Vec<Mail>) {
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

    /// Forgets the task that waits: it looks for messages before it waits again.
    pub(super) fn forget_waker(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.waker = None;
    }

    /// Moves all messages to the end of `into`. If there are none, registers the task to be woken
    /// by the next.
    pub(super) fn receive(&self, cx: &Context<'_>, into: &mut Vec<Mail>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.mail.is_empty() {
            // The two vectors are swapped, so that both keep their capacity.
            if into.is_empty() {
                mem::swap(&mut inner.mail, into)
            } else {
                into.append(&mut inner.mail)
            }
        } else if !inner
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            inner.waker = Some(cx.waker().clone());
        }
    }
}
