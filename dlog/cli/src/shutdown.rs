use tokio::sync::watch;

use super::fault::EXIT_FAILURE;
use super::output::note;

/// Tells a command that it was asked to end. Cheap to clone; every clone is told.
///
/// The first SIGINT or SIGTERM asks for a drain: stop accepting, finish what is in flight, sync,
/// exit 0. The second one ends the process at once.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    asked: watch::Receiver<bool>,
    ask: watch::Sender<bool>,
}

impl Shutdown {
    /// One that only [`ask`](Self::ask) sets off.
    #[must_use]
    pub(crate) fn manual() -> Self {
        let (ask, asked) = watch::channel(false);
        Self { asked, ask }
    }

    /// One that the process's signals set off. Must be called on a tokio runtime with I/O.
    #[must_use]
    pub(crate) fn on_signals() -> Self {
        let shutdown = Self::manual();
        let ask = shutdown.clone();
        tokio::spawn(async move {
            let Ok(mut signals) = Signals::listen() else {
                tracing::warn!(
                    "this system lets no program handle its interrupts: Ctrl-C will end this one \
                     without a drain"
                );
                return;
            };
            // Ctrl-C typed into the line editor asks without a signal.
            tokio::select! {
                () = signals.next() => {},
                () = ask.asked() => {},
            }
            tracing::info!("asked to end: finishing what is in flight (again to end at once)");
            ask.ask();
            signals.next().await;
            note("dlog: ended at once by a second interrupt; what was in flight is unfinished");
            super::console::restore_terminal();
            std::process::exit(i32::from(EXIT_FAILURE));
        });
        shutdown
    }

    /// Asks for the drain.
    pub(crate) fn ask(&self) {
        // `send_replace` reaches also those who subscribe later.
        self.ask.send_replace(true);
    }

    /// Whether the drain was asked for.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Completes when the drain is asked for, at once when it was already. Cancel safe.
    pub(crate) async fn asked(&self) {
        let mut asked = self.asked.clone();
        // The sender lives in `self`, so waiting cannot fail while `self` is borrowed.
        let _ = asked.wait_for(|asked| *asked).await;
    }
}

/// The signals that ask a process to end.
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
    async fn everyone_who_holds_it_is_told_to_end_also_those_who_ask_later() {
        let shutdown = Shutdown::manual();
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.asked().await }
        });
        assert!(!shutdown.is_asked());
        shutdown.ask();
        early.await.expect("the task waits and ends");
        shutdown.clone().asked().await;
        assert!(shutdown.is_asked());
    }
}
