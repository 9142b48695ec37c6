use tokio::sync::watch;

use super::error::EXIT_FAILURE;
use super::output::note;

/// Shutdown request of a command. Cheap to clone; a request reaches every clone.
///
/// The first SIGINT or SIGTERM requests a drain: stop accepting, finish what is in flight, sync,
/// exit 0. The second one ends the process at once.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    requested: watch::Receiver<bool>,
    sender: watch::Sender<bool>,
}

impl Shutdown {
    /// Creates one that only [`request`](Self::request) triggers.
    #[must_use]
    pub(crate) fn manual() -> Self {
        let (sender, requested) = watch::channel(false);
        Self { requested, sender }
    }

    /// Creates one that the process's signals trigger. Must be called on a tokio runtime with I/O.
    #[must_use]
    pub(crate) fn on_signals() -> Self {
        let shutdown = Self::manual();
        let on_signal = shutdown.clone();
        tokio::spawn(async move {
            let Ok(mut signals) = Signals::listen() else {
                tracing::warn!(
                    "cannot handle interrupts on this system: Ctrl-C will end dlog without a drain"
                );
                return;
            };
            // Ctrl-C typed into the line editor requests shutdown without a signal.
            tokio::select! {
                () = signals.next() => {},
                () = on_signal.requested() => {},
            }
            tracing::info!(
                "shutting down: finishing what is in flight (interrupt again to end at once)"
            );
            on_signal.request();
            signals.next().await;
            note("dlog: ended at once by a second interrupt; writes in flight were not finished");
            super::console::restore_terminal();
            std::process::exit(i32::from(EXIT_FAILURE));
        });
        shutdown
    }

    /// Requests the drain.
    pub(crate) fn request(&self) {
        // Unlike `send`, `send_replace` keeps the value for receivers that subscribe later.
        self.sender.send_replace(true);
    }

    /// Returns true if the drain was requested.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Completes when the drain is requested, at once if it was already.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn requested(&self) {
        let mut requested = self.requested.clone();
        // The sender lives in `self`, so waiting cannot fail while `self` is borrowed.
        let _ = requested.wait_for(|requested| *requested).await;
    }
}

/// Signals that ask a process to end.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {},
            _ = self.terminate.recv() => {},
        }
    }
}

/// Ctrl-C, where there are no signals.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            core::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_reaches_every_clone_also_later_ones() {
        let shutdown = Shutdown::manual();
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.requested().await }
        });
        assert!(!shutdown.is_requested());
        shutdown.request();
        early.await.expect("the task waits and ends");
        shutdown.clone().requested().await;
        assert!(shutdown.is_requested());
    }
}
