use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::Instant;
use tokio::sync::oneshot;

use crate::machine::{Action, Answer, Call, WaitingId};
use crate::mailbox::{Mail, Mailbox, Origin};
use crate::service::Service;

/// Asks the machine on behalf of HTTP requests, as a connection asks it on behalf of a mux
/// client's.
///
/// One mailbox for all requests: what the store answers is put to the machine here, also when the
/// request that it was for is gone.
///
/// The invariant: a slot is in `waiting` from before its call until its answer came, whoever waits
/// for that.
#[derive(Debug)]
pub(super) struct Clerk {
    service: Arc<Service>,
    mailbox: Arc<Mailbox>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    last_slot: u32,
    slots: HashMap<u32, oneshot::Sender<Answer>>,
}

/// An answer to come. Dropping it takes the request back if it has not started.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    clerk: &'a Clerk,
    answer: oneshot::Receiver<Answer>,
    id: Option<WaitingId>,
}

impl Clerk {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self {
            service,
            mailbox: Arc::default(),
            waiting: Mutex::default(),
        }
    }

    /// Puts a call to the machine.
    pub(super) fn ask(&self, deadline: Option<Instant>, action: Action<'_>) -> Asked<'_> {
        let (sender, answer) = oneshot::channel();
        let slot = {
            let mut waiting = self.lock();
            let mut slot = waiting.last_slot.wrapping_add(1);
            while waiting.slots.contains_key(&slot) {
                slot = slot.wrapping_add(1);
            }
            waiting.last_slot = slot;
            waiting.slots.insert(slot, sender);
            slot
        };
        let to = Origin {
            mailbox: self.mailbox.clone(),
            slot,
        };
        let id = self.service.call(
            self.service.now(),
            Call {
                to,
                deadline,
                action,
            },
        );
        Asked {
            clerk: self,
            answer,
            id,
        }
    }

    /// Carries mail between the store, the machine and those who wait, until it is dropped. It must
    /// outlive every request, and the closing of the service, which waits for what the store
    /// still answers.
    pub(super) async fn run(&self) {
        let mut mail = Vec::new();
        loop {
            poll_fn(|cx| {
                self.mailbox.receive(cx, &mut mail);
                if mail.is_empty() {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
            .await;
            self.service.take_appended(self.service.now(), &mut mail);
            let mut waiting = self.lock();
            for mail in mail.drain(..) {
                match mail {
                    Mail::Answer(slot, answer) => {
                        let sender = waiting
                            .slots
                            .remove(&slot)
                            .expect("every call is answered once");
                        // Whoever went away meanwhile needs no answer.
                        let _ = sender.send(answer);
                    }
                    Mail::Appended(..) => unreachable!("the service takes those out"),
                    Mail::Drain | Mail::DrainNow | Mail::Cut => {
                        unreachable!("these are for registered connections")
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Asked<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let answer =
            ready!(Pin::new(&mut self.answer).poll(cx)).expect("the clerk outlives its requests");
        self.id = None;
        Poll::Ready(answer)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(id) = &self.id
            && self.clerk.service.discard(self.clerk.service.now(), id)
        {
            self.clerk.service.stats.discarded.inc();
        }
    }
}
