use core::future::poll_fn;
use core::mem;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// An append that the store completed.
pub(super) type Appended = (Ticket<ReplyTo>, Result<Dlsn, StoreError>);

/// What is in a mailbox.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Results of the store, for the machine.
    pub(super) appended: Vec<Appended>,
    /// Replies of the machine, each with the slot of its request.
    pub(super) replies: Vec<(u32, Reply)>,
    /// What the server wants of a connection.
    pub(super) orders: Vec<Order>,
}

/// What the server wants of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Ask the client to stop sending, finish the requests in flight, close.
    Drain,
    /// The client had its time to stop: start no further requests.
    DrainNow,
    /// Close now.
    Cut,
}

/// Where requests get their replies. Sending never waits.
///
/// It needs no bound of its own: everything but the few orders belongs to a request of its
/// connection, which bounds how many of those it has in flight.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inner: Mutex<MailboxState>,
}

#[derive(Debug, Default)]
struct MailboxState {
    mail: Mail,
    waker: Option<Waker>,
}

impl Mail {
    pub(super) const fn is_empty(&self) -> bool {
        self.appended.is_empty() && self.replies.is_empty() && self.orders.is_empty()
    }
}

impl Mailbox {
    /// Sends the result of an append.
    pub(super) fn send_appended(&self, appended: Appended) {
        self.send(|mail| mail.appended.push(appended));
    }

    /// Sends replies until `next` returns `None`. Takes the lock once.
    pub(super) fn send_replies(&self, next: impl FnMut() -> Option<(u32, Reply)>) {
        self.send(|mail| mail.replies.extend(core::iter::from_fn(next)));
    }

    pub(super) fn order(&self, order: Order) {
        self.send(|mail| mail.orders.push(order));
    }

    /// Puts something in, and wakes the connection if it waits.
    fn send(&self, put: impl FnOnce(&mut Mail)) {
        let waker = {
            let mut inner = self.lock();
            put(&mut inner.mail);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            wakes::wake(waker);
        }
    }

    /// Waits for mail, and moves all to `into`, which is empty.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no mail.
    pub(super) async fn next(&self, into: &mut Mail) {
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

    /// Forgets the task that waits: it looks for mail before it waits again.
    pub(super) fn forget_waker(&self) {
        self.lock().waker = None;
    }

    /// Moves all mail to `into`, which is empty. If there is none, registers the task to be woken
    /// by the next.
    pub(super) fn receive(&self, cx: &Context<'_>, into: &mut Mail) {
        let mut inner = self.lock();
        if !inner.mail.is_empty() {
            // Swapped, so that both keep their memory.
            mem::swap(&mut inner.mail, into);
        } else if !inner
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            inner.waker = Some(cx.waker().clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, MailboxState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
