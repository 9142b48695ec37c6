use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use tokio::sync::watch;

use super::error::EXIT_FAILURE;
use super::output::note;
use super::service_manager;

/// Shutdown request of a command. Cheap to clone; a request reaches every clone.
///
/// The first SIGINT or SIGTERM requests a drain: stop accepting, finish what is in flight, sync,
/// exit 0. The second one ends the process at once. SIGHUP requests a drain too, unless the command
/// [reloads](Self::reloads) files on it, was started to ignore it, as nohup does, or by a service
/// manager, which sends it to reload.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    requested: watch::Receiver<bool>,
    sender: watch::Sender<bool>,
    hangups: Arc<Hangups>,
}

/// Receipt of SIGHUP.
#[derive(Debug, Default)]
struct Hangups {
    reloads: AtomicBool,
    /// SIGTERM or SIGHUP requested the drain.
    terminated: AtomicBool,
    /// Number of signals for which a command that reloads files has to do so.
    received: watch::Sender<u64>,
}

impl Shutdown {
    /// Creates one that only [`request`](Self::request) triggers.
    #[must_use]
    pub(crate) fn manual() -> Self {
        let (sender, requested) = watch::channel(false);
        Self {
            requested,
            sender,
            hangups: Arc::default(),
        }
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
                () = on_signal.first(&mut signals) => {},
                () = on_signal.requested() => {},
            }
            tracing::info!(
                "shutting down: finishing what is in flight (interrupt again to end at once)"
            );
            service_manager::stopping();
            on_signal.request();
            // A terminal that closes sends SIGHUP more than once: only interrupts end the drain.
            while signals.next().await == Asked::Hangup {}
            note("dlog: ended at once by a second interrupt; writes in flight were not finished");
            super::console::restore_terminal();
            super::top::restore_screen();
            std::process::exit(i32::from(EXIT_FAILURE));
        });
        shutdown
    }

    /// Waits for a signal that requests a drain, and passes on those that request a reload.
    async fn first(&self, signals: &mut Signals) {
        // Bounded: each round is a signal.
        loop {
            match signals.next().await {
                Asked::End => return,
                Asked::Terminate => break,
                Asked::Hangup if self.hangups.reloads.load(Ordering::Relaxed) => {
                    self.hangups.received.send_modify(|count| *count += 1);
                }
                Asked::Hangup if service_manager::is_present() => {
                    tracing::info!("SIGHUP: there are no files to read again");
                }
                Asked::Hangup if !signals.ignore_hangup => break,
                Asked::Hangup => {}
            }
        }
        self.hangups.terminated.store(true, Ordering::Relaxed);
    }

    /// Returns a receiver that changes at each SIGHUP. From now on SIGHUP requests no drain.
    #[must_use]
    pub(crate) fn reloads(&self) -> watch::Receiver<u64> {
        self.hangups.reloads.store(true, Ordering::Relaxed);
        self.hangups.received.subscribe()
    }

    /// Returns true if SIGTERM or SIGHUP requested the drain: no user who types.
    pub(crate) fn is_terminated(&self) -> bool {
        self.hangups.terminated.load(Ordering::Relaxed)
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

/// Kind of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// SIGINT, or Ctrl-C.
    End,
    /// SIGTERM.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no signals"))]
    Terminate,
    /// SIGHUP.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no signals"))]
    Hangup,
}

/// Signals that ask a process to end, and SIGHUP.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    /// The process was started with SIGHUP ignored.
    ignore_hangup: bool,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // Before it is handled: a handler replaces the setting that the process inherited.
        let ignore_hangup = is_hangup_ignored();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            ignore_hangup,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::End,
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.hangup.recv() => Asked::Hangup,
        }
    }
}

/// Returns true if this process ignores SIGHUP, as far as the system says so: Linux does.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    mask.is_some_and(|mask| mask & 1 != 0)
}

/// Ctrl-C, where there are no signals.
#[cfg(not(unix))]
struct Signals {
    ignore_hangup: bool,
}

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        let ignore_hangup = true;
        Ok(Self { ignore_hangup })
    }

    async fn next(&mut self) -> Asked {
        if tokio::signal::ctrl_c().await.is_err() {
            core::future::pending::<()>().await;
        }
        Asked::End
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
