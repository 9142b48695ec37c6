use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::link::Link;
use crate::StoreError;

/// The state of the connection.
#[derive(Clone)]
pub(super) enum Connection {
    Up(Arc<Link>),
    /// Lost, or about to be; it is being made again. Says what a caller who does not want to wait
    /// is told.
    Down(StoreError),
}

/// What the store's users and the keeper of its connection know of each other.
///
/// Not a `watch` of tokio's: that wakes those who wait in an order drawn by lot, and requests that
/// waited for a connection are to be sent in the order in which they came.
pub(super) struct State {
    inner: Mutex<Inner>,
    changed: Notify,
}

struct Inner {
    connection: Connection,
    /// Whether the store was closed here.
    closed: bool,
}

impl State {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            inner: Mutex::new(Inner {
                connection,
                closed: false,
            }),
            changed: Notify::new(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connection(&self) -> Connection {
        self.inner().connection.clone()
    }

    pub(super) fn set_connection(&self, connection: Connection) {
        let before = core::mem::replace(&mut self.inner().connection, connection);
        self.changed.notify_waiters();
        drop(before);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner().closed
    }

    /// Notes that the store was closed here; says whether it was before.
    pub(super) fn close(&self) -> bool {
        let before = core::mem::replace(&mut self.inner().closed, true);
        self.changed.notify_waiters();
        before
    }

    /// The connection once it is as `wanted`; `None` once the store is closed.
    ///
    /// Cancel safety: nothing happens when the future is dropped.
    pub(super) async fn wait_for(
        &self,
        wanted: impl Fn(&Connection) -> bool,
    ) -> Option<Connection> {
        loop {
            // Registered before looking, so that a change in between wakes.
            let mut changed = core::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let inner = self.inner();
                if inner.closed {
                    return None;
                }
                if wanted(&inner.connection) {
                    return Some(inner.connection.clone());
                }
            }
            changed.await;
        }
    }
}
