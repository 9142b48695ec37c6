use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;

use super::{Driver, Hosts};
use crate::error::BuildError;

impl Driver {
    /// Waits until every host of the name has completed its handshake or failed, at least one with
    /// success. After `limit`, one success is enough. Hosts that are only known because a proxy
    /// named them as owners are not waited for: they may be out of this client's reach, as behind a
    /// port forward.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoProxy`].
    pub(crate) async fn ready(&mut self, name: &str, limit: Duration) -> Result<(), BuildError> {
        if limit.is_zero() {
            return Ok(());
        }
        let hopeless = matches!(self.settings.hosts, Hosts::None);
        if !hopeless {
            let settled = poll_fn(|cx| self.poll_settled(cx));
            let in_time = tokio::time::timeout(limit, settled).await.is_ok();
            if in_time || self.any_handshake {
                return Ok(());
            }
        }
        let waited = if hopeless { Duration::ZERO } else { limit };
        Err(BuildError::NoProxy {
            name: name.to_owned(),
            waited,
            hosts: self.host_failures(),
        })
    }

    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.drive(cx);
        debug_assert!(self.finished.is_empty(), "nothing was started yet");
        let all = self
            .client
            .hosts()
            .filter(|host| host.in_ring)
            .all(|host| host.status.is_some() || host.last_failure.is_some());
        if self.any_handshake && all {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
