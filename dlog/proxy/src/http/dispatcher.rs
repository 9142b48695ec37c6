use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::machine::{Action, Call, QueuedRequestId, Reply, Terms};
use crate::mailbox::{Mail, Mailbox, ReplyTo};
use crate::service::Service;

/// Passes HTTP requests to the machine, as a connection does those of its mux client.
///
/// All requests share one mailbox: the store's results are passed to the machine here, also when
/// the HTTP request that they belong to has gone.
///
/// The invariant: a slot is in `pending` from before its call until its reply came, even if the
/// request has gone.
#[derive(Debug)]
pub(super) struct HttpDispatcher {
    service: Arc<Service>,
    mailbox: Arc<Mailbox>,
    pending: Mutex<PendingReplies>,
}

#[derive(Debug, Default)]
struct PendingReplies {
    last_slot: u32,
    slots: HashMap<u32, oneshot::Sender<Reply>>,
}

/// A reply to come. Dropping it takes the request back if it has not started.
#[derive(Debug)]
pub(super) struct PendingReply<'a> {
    dispatcher: &'a HttpDispatcher,
    reply: oneshot::Receiver<Reply>,
    id: Option<QueuedRequestId>,
}

impl HttpDispatcher {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self {
            service,
            mailbox: Arc::default(),
            pending: Mutex::default(),
        }
    }

    /// Passes a call to the machine.
    pub(super) fn dispatch(&self, terms: Terms, action: Action<'_>) -> PendingReply<'_> {
        let (sender, reply) = oneshot::channel();
        let slot = {
            let mut pending = self.lock();
            let mut slot = pending.last_slot.wrapping_add(1);
            while pending.slots.contains_key(&slot) {
                slot = slot.wrapping_add(1);
            }
            pending.last_slot = slot;
            pending.slots.insert(slot, sender);
            slot
        };
        let to = ReplyTo {
            mailbox: self.mailbox.clone(),
            slot,
        };
        let (id, unflushed) = self.service.call(
            self.service.now(),
            Call {
                to,
                deadline: terms.deadline,
                may_create: terms.may_create,
                action,
            },
        );
        self.service.flush(unflushed);
        PendingReply {
            dispatcher: self,
            reply,
            id,
        }
    }

    /// Delivers messages between the store, the machine and the requests, until it is dropped. It
    /// must outlive every request, and the closing of the service, which waits for results from the
    /// store.
    pub(super) async fn run(&self) {
        let mut mail = Mail::default();
        loop {
            self.mailbox.next(&mut mail).await;
            let now = self.service.now();
            self.service.take_appended(now, &mut mail.appended);
            let mut pending = self.lock();
            for (slot, reply) in mail.replies.drain(..) {
                let sender = pending.slots.remove(&slot);
                let sender = sender.expect("every call is answered once");
                // The receiver may have gone, if the client has.
                let _ = sender.send(reply);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, PendingReplies> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingReply<'_> {
    /// Takes the request back if it has not started. The reply comes in any case.
    pub(super) fn discard(&self) {
        if let Some(id) = &self.id
            && self
                .dispatcher
                .service
                .discard(self.dispatcher.service.now(), id)
        {
            self.dispatcher.service.stats.discarded.inc();
        }
    }
}

impl Future for PendingReply<'_> {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let reply = ready!(Pin::new(&mut self.reply).poll(cx))
            .expect("the dispatcher outlives its requests");
        self.id = None;
        Poll::Ready(reply)
    }
}

impl Drop for PendingReply<'_> {
    fn drop(&mut self) {
        self.discard();
    }
}
