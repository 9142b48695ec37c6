//! A session with ZooKeeper that is replaced when it ends.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::zookeeper::{ConnectError, Session, SessionSettings};
use crate::zookeeper::ZooKeeper;

/// Pause before the first attempt to begin another session, and the maximum to which it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Future of a new session.
pub type BeginFuture<Z, E> = Pin<Box<dyn Future<Output = Result<Z, E>> + Send>>;

/// The present session with ZooKeeper. When one ends, another is begun, for as long as it takes.
/// Clones are the same. The session ends when all are dropped.
///
/// A request of an ended session fails with
/// [`SessionEnded`](crate::zookeeper::ZooKeeperError::SessionEnded), and so does every one until
/// the next session has begun.
pub struct Sessions<Z> {
    current: watch::Receiver<Z>,
    task: Arc<AbortOnDrop>,
}

/// A task that ends with its owner.
pub(super) struct AbortOnDrop(pub(super) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<Z: ZooKeeper> Sessions<Z> {
    /// Begins the first session by `begin`, which begins the others too.
    ///
    /// # Errors
    /// The error of `begin`.
    ///
    /// # Cancel safety
    /// Dropping the future ends what has begun.
    pub async fn start<E>(begin: impl Fn() -> BeginFuture<Z, E> + Send + 'static) -> Result<Self, E>
    where
        E: fmt::Display + Send + 'static,
    {
        let first = begin().await?;
        let (sender, current) = watch::channel(first);
        let task = tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let ended = sender.borrow().ended();
                let reason = ended.await;
                tracing::warn!(%reason, "beginning another session with ZooKeeper");
                let next = loop {
                    match begin().await {
                        Ok(next) => break next,
                        Err(error) => tracing::warn!(%error, "no session with ZooKeeper yet"),
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                };
                pause = FIRST_PAUSE;
                sender.send_replace(next);
            }
        });
        Ok(Self {
            current,
            task: Arc::new(AbortOnDrop(task)),
        })
    }

    /// Returns the present session.
    #[must_use]
    pub fn current(&self) -> Z {
        self.current.borrow().clone()
    }

    /// Returns a receiver of the sessions as they follow each other.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Z> {
        self.current.clone()
    }
}

impl Sessions<Session> {
    /// Begins the first session with the servers `host:port,host:port`.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// Dropping the future ends what has begun.
    pub async fn connect(servers: &str, settings: SessionSettings) -> Result<Self, ConnectError> {
        let servers = servers.to_owned();
        Self::start(move || -> BeginFuture<Session, ConnectError> {
            let (servers, settings) = (servers.clone(), settings.clone());
            Box::pin(async move { Session::connect(&servers, &settings).await })
        })
        .await
    }
}

impl<Z> Clone for Sessions<Z> {
    fn clone(&self) -> Self {
        Self {
            current: self.current.clone(),
            task: Arc::clone(&self.task),
        }
    }
}

impl<Z> fmt::Debug for Sessions<Z> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}
