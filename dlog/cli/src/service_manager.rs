//! Notifications to a service manager such as systemd: sd_notify(3). Without one, that is without
//! `NOTIFY_SOCKET` in the environment, nothing is sent.

#[cfg(target_os = "linux")]
pub(crate) use linux::{is_present, ready, stopping};

/// Returns true if a service manager started this process.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_present() -> bool {
    false
}

/// Does nothing: there is no service manager to notify.
#[cfg(not(target_os = "linux"))]
pub(crate) fn ready(_status: &str) {}

/// Does nothing: there is no service manager to notify.
#[cfg(not(target_os = "linux"))]
pub(crate) fn stopping() {}

#[cfg(target_os = "linux")]
mod linux {
    use core::time::Duration;

    use sd_notify::NotifyState;

    /// Returns true if a service manager that takes notifications started this process.
    pub(crate) fn is_present() -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some()
    }

    /// Reports that the server serves, with a line for `systemctl status`. From now on a task
    /// reports twice in each interval of the manager's watchdog that the runtime still runs its
    /// tasks. Must be called on a tokio runtime.
    pub(crate) fn ready(status: &str) {
        notify(&[NotifyState::Ready, NotifyState::Status(status)]);
        if let Some(limit) = sd_notify::watchdog_enabled() {
            tokio::spawn(feed_watchdog(limit / 2));
        }
    }

    /// Reports that the server drains, and then ends.
    pub(crate) fn stopping() {
        notify(&[
            NotifyState::Stopping,
            NotifyState::Status("draining: finishing what is in flight"),
        ]);
    }

    async fn feed_watchdog(interval: Duration) {
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
        // Ends with the runtime.
        loop {
            ticks.tick().await;
            notify(&[NotifyState::Watchdog]);
        }
    }

    /// A manager that does not listen changes nothing for the clients: it is logged only.
    fn notify(states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::debug!("cannot tell the service manager: {error}");
        }
    }
}
