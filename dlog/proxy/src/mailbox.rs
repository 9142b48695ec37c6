use core::mem;
use core::task::{Context, Waker};
use std::sync::{Arc, Mutex, PoisonError};

use distributedlog::Dlsn;

use super::machine::{Answer, Ticket};
use distributedlog_store::StoreError;

/// Whom an answer is for: a request of a connection.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) mailbox: Arc<Mailbox>,
    /// The request, among those of its connection.
    pub(super) slot: u32,
}

/// What a connection is told from outside.
#[derive(Debug)]
pub(super) enum Mail {
    /// The store is done with an append.
    Appended(Ticket<Origin>, Result<Dlsn, StoreError>),
    /// A request is answered.
    Answer(u32, Answer),
    /// Tell the client to go, finish the requests that there are, close.
    Drain,
    /// The client had its time to go: start no further requests.
    DrainNow,
    /// Close now.
    Cut,
}

/// Where a connection finds what it is told. Senders never wait: whatever is sent was asked for by
/// the connection, which bounds how much it asks for.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    mail: Vec<Mail>,
    waker: Option<Waker>,
}

impl Mailbox {
    /// Delivers, and wakes the connection if it waits.
    pub(super) fn send(&self, mail: Mail) {
        let waker = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.mail.push(mail);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves all there is to the end of `into`. When that is nothing, the next delivery wakes the
    /// task.
    pub(super) fn receive(&self, cx: &Context<'_>, into: &mut Vec<Mail>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.mail.is_empty() {
            // The two vectors change places, so that both keep their memory.
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
