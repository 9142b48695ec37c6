use std::sync::Arc;

use crate::machine::{Action, Call, QueuedRequestId, Reply, Terms};
use crate::mailbox::{Mail, Mailbox, ReplyTo};
use crate::service::Service;

/// The reply to a request that was passed to the machine. Dropping it takes the request back if it
/// has not started.
#[derive(Debug)]
pub(super) struct PendingReply<'a> {
    service: &'a Arc<Service>,
    /// Mailbox of this request alone.
    mailbox: Arc<Mailbox>,
    /// Id for taking the request back, while it may be queued.
    id: Option<QueuedRequestId>,
}

impl<'a> PendingReply<'a> {
    /// Passes a call to the machine.
    pub(super) fn of(service: &'a Arc<Service>, terms: Terms, action: Action<'_>) -> Self {
        let mailbox = Arc::<Mailbox>::default();
        let to = ReplyTo {
            mailbox: mailbox.clone(),
            slot: 0,
        };
        let Terms {
            deadline,
            may_create,
        } = terms;
        let id = service.call(
            service.now(),
            Call {
                to,
                deadline,
                may_create,
                action,
            },
        );
        Self {
            service,
            mailbox,
            id,
        }
    }

    /// Waits for the reply, which comes once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn wait(&mut self) -> Reply {
        loop {
            // Only connections are sent other messages.
            if let Mail::Reply(_, reply) = self.mailbox.next().await {
                self.id = None;
                return reply;
            }
        }
    }

    /// Takes the request back if it has not started. The reply comes in any case.
    pub(super) fn discard(&self) {
        if let Some(id) = &self.id
            && self.service.discard(self.service.now(), id)
        {
            self.service.stats.discarded.inc();
        }
    }
}

impl Drop for PendingReply<'_> {
    fn drop(&mut self) {
        self.discard();
    }
}
