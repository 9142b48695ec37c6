use core::any::Any;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::sync::Arc;

use futures_util::FutureExt;

use super::mailbox::{Mail, Mailbox};
use super::service::Service;

/// Pause before a task that panicked is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// Interval in which the mailbox of a dead connection is looked at.
const ORPHAN_INTERVAL: Duration = Duration::from_secs(1);

/// Runs a task of the proxy, again if it panics: a bug in one request must not leave all others
/// unanswered.
pub(super) async fn keep_running<F: Future<Output = ()>>(
    task: &'static str,
    mut start: impl FnMut() -> F,
) {
    while let Err(panic) = AssertUnwindSafe(start()).catch_unwind().await {
        tracing::error!(
            task,
            panic = panic_text(&*panic),
            "a bug ended a task; restarting it"
        );
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

/// Returns the text of a panic.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}

/// The mailbox of a connection. If the connection's task panics, what the store still sends there
/// is passed on: the machine waits for it, and with it all other clients of the stream.
#[derive(Debug)]
pub(super) struct MailboxGuard {
    pub(super) service: Arc<Service>,
    pub(super) mailbox: Arc<Mailbox>,
}

impl Drop for MailboxGuard {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (service, mailbox) = (self.service.clone(), self.mailbox.clone());
            runtime.spawn(serve_orphan(service, mailbox));
        }
    }
}

/// Passes on the store's results until no request has the mailbox as its reply address. Bounded: a
/// request has it until its reply, and each is replied to.
async fn serve_orphan(service: Arc<Service>, mailbox: Arc<Mailbox>) {
    tracing::error!("a bug ended a connection; finishing its requests");
    let mut mail = Mail::default();
    while Arc::strong_count(&mailbox) > 1 {
        let next = mailbox.next(&mut mail);
        // The last reply's address may be dropped only after this task has taken the reply.
        let _ = tokio::time::timeout(ORPHAN_INTERVAL, next).await;
        service.take_appended(service.now(), &mut mail.appended);
        mail = Mail::default();
    }
}
