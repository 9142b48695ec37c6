//! Clients' sessions and the leases that they hold.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, watch};
use tracing::{info, warn};

use crate::Entropy;
use crate::log_limit::{Admitted, LogKind, LogLimits};
use crate::remote::ServerSettings;
use crate::remote::protocol::SessionKey;
use crate::{Acquired, Lease, LogStore, Owner, StoreError, StreamName};

/// The sessions of all clients that are connected or in their grace period.
///
/// Invariant: a lease that was granted here is in its session's table, or was released, or was
/// fenced by a later grant.
pub(super) struct Sessions {
    store: Arc<dyn LogStore>,
    grace: Duration,
    entropy: Entropy,
    table: Mutex<SessionTable>,
    log_limits: Arc<LogLimits>,
}

#[derive(Default)]
struct SessionTable {
    last_id: u64,
    sessions: BTreeMap<u64, Arc<Session>>,
}

/// A client, across its connections.
pub(super) struct Session {
    key: SessionKey,
    /// Locked by the connection that serves the session.
    serving: Arc<tokio::sync::Mutex<()>>,
    /// Number of the session's newest connection. An older one stops serving when it changes.
    newest_connection: watch::Sender<u64>,
    state: Mutex<SessionState>,
}

#[derive(Default)]
struct SessionState {
    /// The epoch of each stream's lease.
    leases: BTreeMap<StreamName, u64>,
    ended: bool,
}

/// A connection's right to serve a session, or its place in the queue for it. Dropping it starts
/// the grace period, after which the session ends unless another connection resumed it.
pub(super) struct SessionGuard {
    sessions: Arc<Sessions>,
    pub(super) session: Arc<Session>,
    pub(super) resumed: bool,
    connection: u64,
    /// Released when the connection stops reading, so that no request of an old connection follows
    /// one of the new connection.
    serving: Option<OwnedMutexGuard<()>>,
}

impl Sessions {
    pub(super) fn new(
        store: Arc<dyn LogStore>,
        settings: &ServerSettings,
        log_limits: Arc<LogLimits>,
    ) -> Arc<Self> {
        let (grace, entropy) = (settings.session_grace, settings.entropy.clone());
        Arc::new(Self {
            store,
            grace,
            entropy,
            table: Mutex::default(),
            log_limits,
        })
    }

    fn table(&self) -> MutexGuard<'_, SessionTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resumes the session that `resume` names, if it exists; otherwise begins a new one.
    ///
    /// If an older connection, perhaps half-open, still serves the session, this supersedes it and
    /// waits for it to stop.
    pub(super) async fn attach(self: &Arc<Self>, resume: Option<SessionKey>) -> SessionGuard {
        if let Some(session) = resume.and_then(|key| self.find(key)) {
            let session_guard = self.take_over(session, true).await;
            // The session may have ended after it was found and before it got the connection's
            // number.
            if !session_guard.session.state().ended {
                return session_guard;
            }
        }
        self.take_over(self.begin(), false).await
    }

    async fn take_over(self: &Arc<Self>, session: Arc<Session>, resumed: bool) -> SessionGuard {
        let connection = session.next_connection_number();
        let serving = Arc::clone(&session.serving);
        // From here on, dropping the future starts the grace period.
        let mut session_guard = SessionGuard {
            sessions: Arc::clone(self),
            session,
            resumed,
            connection,
            serving: None,
        };
        session_guard.serving = Some(serving.lock_owned().await);
        session_guard
    }

    fn find(&self, key: SessionKey) -> Option<Arc<Session>> {
        self.table()
            .sessions
            .get(&key.id)
            .filter(|session| session.key == key)
            .cloned()
    }

    fn begin(&self) -> Arc<Session> {
        let secret = self.entropy.draw();
        let mut table = self.table();
        table.last_id += 1;
        let key = SessionKey {
            id: table.last_id,
            secret,
        };
        let session = Arc::new(Session {
            key,
            serving: Arc::default(),
            newest_connection: watch::Sender::new(0),
            state: Mutex::default(),
        });
        table.sessions.insert(key.id, Arc::clone(&session));
        session
    }

    /// Ends the session and releases its leases. With `connection`, only if that is still its
    /// newest connection.
    pub(super) async fn end(&self, session: &Session, connection: Option<u64>) {
        let leases = {
            let mut state = session.state();
            if state.ended
                || connection
                    .is_some_and(|connection| connection != *session.newest_connection.borrow())
            {
                return;
            }
            state.ended = true;
            core::mem::take(&mut state.leases)
        };
        self.table().sessions.remove(&session.key.id);
        if connection.is_some()
            && !leases.is_empty()
            && let Some(Admitted { left_out }) = self.log_limits.admit(LogKind::SessionEnded)
        {
            info!(
                left_out,
                "session {} was not resumed within {} ms; releasing its {} streams",
                session.key.id,
                self.grace.as_millis(),
                leases.len()
            );
        }
        for (stream, epoch) in leases {
            self.release(Lease { stream, epoch }).await;
        }
    }

    /// Ends all sessions, when the server shuts down.
    pub(super) async fn end_all(&self) {
        let sessions: Vec<_> = self.table().sessions.values().cloned().collect();
        for session in sessions {
            self.end(&session, None).await;
        }
    }

    async fn release(&self, lease: Lease) {
        if let Err(error) = self.store.release(&lease).await
            && let Some(Admitted { left_out }) = self.log_limits.admit(LogKind::ReleaseFailed)
        {
            warn!(
                left_out,
                "cannot release log stream {}: {error}", lease.stream
            );
        }
    }

    /// Acquires the stream for the session's client.
    pub(super) async fn acquire(
        &self,
        session: &Session,
        stream: &StreamName,
        owner: &Owner,
    ) -> Result<Acquired, StoreError> {
        let acquired = self.store.acquire(stream, owner).await?;
        if let Acquired::Granted(lease) = &acquired
            && !session.add_lease(lease)
        {
            self.release(lease.clone()).await;
            return Err(StoreError::Fenced(stream.clone()));
        }
        Ok(acquired)
    }
}

impl SessionGuard {
    /// Waits until another connection takes the session over.
    pub(super) async fn superseded(&self) {
        // Cannot fail: the sender is in the session.
        self.session
            .newest_connection
            .subscribe()
            .wait_for(|newest_connection| *newest_connection > self.connection)
            .await
            .ok();
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.serving = None;
        let (sessions, session, connection) = (
            Arc::clone(&self.sessions),
            Arc::clone(&self.session),
            self.connection,
        );
        // Without a runtime the server is gone, and the store is about to be closed.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(sessions.grace).await;
                sessions.end(&session, Some(connection)).await;
            });
        }
    }
}

impl Session {
    fn state(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn key(&self) -> SessionKey {
        self.key
    }

    /// Assigns a number to the session's next connection, which supersedes the older ones.
    fn next_connection_number(&self) -> u64 {
        // Under the lock, so that `end` cannot end the session between its check of the number and
        // its end.
        let _state = self.state();
        self.newest_connection
            .send_modify(|newest_connection| *newest_connection += 1);
        *self.newest_connection.borrow()
    }

    /// Records a granted lease. Returns false if the session has ended: then the caller must
    /// release it.
    fn add_lease(&self, lease: &Lease) -> bool {
        let mut state = self.state();
        if !state.ended {
            state.leases.insert(lease.stream.clone(), lease.epoch);
        }
        !state.ended
    }

    /// Returns true if the lease is this session's. One of another session, or of an earlier run of
    /// the server, is not.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.state().leases.get(&lease.stream) == Some(&lease.epoch)
    }

    /// Removes a lease that the client released. Returns false if it was not this session's.
    pub(super) fn remove_lease(&self, lease: &Lease) -> bool {
        let mut state = self.state();
        let held = state.leases.get(&lease.stream) == Some(&lease.epoch);
        if held {
            state.leases.remove(&lease.stream);
        }
        held
    }
}
