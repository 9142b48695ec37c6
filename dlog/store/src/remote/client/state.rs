//! The state of the client's connection, which its callers wait for.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::connection::Connection;
use super::metrics::ClientMetrics;
use crate::{StoreError, StoreId};

/// State of the client's connection.
#[derive(Clone)]
pub(super) enum ConnectionState {
    /// Connected.
    Up(Arc<Connection>),
    /// Lost or draining; the reconnect loop is connecting again. Contains the error for callers
    /// that do not wait.
    Down(StoreError),
}

/// State that the client's callers share with its reconnect loop.
///
/// Not tokio's `watch`, which wakes its waiters in random order: requests that waited for a
/// connection must be sent in the order in which they came.
pub(super) struct ClientState {
    inner: Mutex<Inner>,
    changed: Notify,
    /// Identity of the store that this client began with.
    store_id: OnceLock<StoreId>,
    pub(super) metrics: ClientMetrics,
}

struct Inner {
    connection: ConnectionState,
    /// True once this client was closed.
    closed: bool,
}

impl ClientState {
    pub(super) fn new(connection: ConnectionState) -> Self {
        Self {
            inner: Mutex::new(Inner {
                connection,
                closed: false,
            }),
            changed: Notify::new(),
            store_id: OnceLock::new(),
            metrics: ClientMetrics::connected(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the identity of the store, if none is remembered yet.
    pub(super) fn note_store(&self, store: Option<StoreId>) {
        if let Some(id) = store {
            // The first one stays; connections to others are refused.
            let _ = self.store_id.set(id);
        }
    }

    /// Returns the identity of the store that this client began with, if it is known.
    pub(super) fn store_id(&self) -> Option<StoreId> {
        self.store_id.get().copied()
    }

    pub(super) fn connection(&self) -> ConnectionState {
        self.inner().connection.clone()
    }

    pub(super) fn set_connection(&self, connection: ConnectionState) {
        self.metrics.note(&connection);
        let before = core::mem::replace(&mut self.inner().connection, connection);
        self.changed.notify_waiters();
        drop(before);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner().closed
    }

    /// Marks the client as closed. Returns true if it was closed before.
    pub(super) fn close(&self) -> bool {
        let before = core::mem::replace(&mut self.inner().closed, true);
        self.changed.notify_waiters();
        before
    }

    /// Waits until `wanted` returns true for the connection's state and returns the state, or
    /// `None` once the client is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub(super) async fn wait_for(
        &self,
        wanted: impl Fn(&ConnectionState) -> bool,
    ) -> Option<ConnectionState> {
        loop {
            // Registered before looking, so that a change in between wakes this waiter.
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
