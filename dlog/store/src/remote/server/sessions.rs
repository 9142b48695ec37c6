use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, watch};
use tracing::{info, warn};

use crate::Entropy;
use crate::remote::ServerSettings;
use crate::remote::protocol::SessionKey;
use crate::{Acquired, Lease, LogStore, Owner, StoreError, StreamName};

/// The clients that are alive, or were a moment ago.
///
/// Invariant: a lease that was granted through here is in its session's table, or was released, or
/// was fenced by a later grant.
pub(super) struct Sessions {
    store: Arc<dyn LogStore>,
    grace: Duration,
    entropy: Entropy,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last_id: u64,
    sessions: BTreeMap<u64, Arc<Session>>,
}

/// One client, across its connections.
pub(super) struct Session {
    key: SessionKey,
    /// Held by the connection that serves the session.
    seat: Arc<tokio::sync::Mutex<()>>,
    /// The number of the session's newest connection: an older one leaves its seat.
    newest: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The epoch of each stream's lease.
    leases: BTreeMap<StreamName, u64>,
    ended: bool,
}

/// A connection's right to serve a session, or its turn to get it. Dropping it begins the time of
/// grace, after which the session ends unless another connection came back to it.
pub(super) struct Attached {
    sessions: Arc<Sessions>,
    pub(super) session: Arc<Session>,
    pub(super) resumed: bool,
    connection: u64,
    /// Given up when the connection stops reading, so that nothing of an old connection overtakes
    /// the new one.
    seat: Option<OwnedMutexGuard<()>>,
}

impl Sessions {
    pub(super) fn new(store: Arc<dyn LogStore>, settings: &ServerSettings) -> Arc<Self> {
        let (grace, entropy) = (settings.session_grace, settings.entropy.clone());
        Arc::new(Self {
            store,
            grace,
            entropy,
            table: Mutex::default(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes back to the session that `resume` names, when it lives; else begins a new one.
    ///
    /// A connection that serves the session still, perhaps half-open, is told to go and waited for.
    pub(super) async fn attach(self: &Arc<Self>, resume: Option<SessionKey>) -> Attached {
        if let Some(session) = resume.and_then(|key| self.live(key)) {
            let attached = self.take_seat(session, true).await;
            // The session may have ended between the table and the connection's number.
            if !attached.session.state().ended {
                return attached;
            }
        }
        self.take_seat(self.begin(), false).await
    }

    async fn take_seat(self: &Arc<Self>, session: Arc<Session>, resumed: bool) -> Attached {
        let connection = session.connect();
        let seat = Arc::clone(&session.seat);
        // From here on, a future that is dropped begins the time of grace.
        let mut attached = Attached {
            sessions: Arc::clone(self),
            session,
            resumed,
            connection,
            seat: None,
        };
        attached.seat = Some(seat.lock_owned().await);
        attached
    }

    fn live(&self, key: SessionKey) -> Option<Arc<Session>> {
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
            seat: Arc::default(),
            newest: watch::Sender::new(0),
            state: Mutex::default(),
        });
        table.sessions.insert(key.id, Arc::clone(&session));
        session
    }

    /// Ends the session and releases its leases. With `connection`, only when no later one took
    /// over.
    pub(super) async fn end(&self, session: &Session, connection: Option<u64>) {
        let leases = {
            let mut state = session.state();
            if state.ended
                || connection.is_some_and(|connection| connection != *session.newest.borrow())
            {
                return;
            }
            state.ended = true;
            core::mem::take(&mut state.leases)
        };
        self.table().sessions.remove(&session.key.id);
        if connection.is_some() && !leases.is_empty() {
            info!(
                "session {} did not come back within {} ms; its {} streams are free",
                session.key.id,
                self.grace.as_millis(),
                leases.len()
            );
        }
        for (stream, epoch) in leases {
            self.release(Lease { stream, epoch }).await;
        }
    }

    /// Ends all sessions: the server goes away.
    pub(super) async fn end_all(&self) {
        let sessions: Vec<_> = self.table().sessions.values().cloned().collect();
        for session in sessions {
            self.end(&session, None).await;
        }
    }

    async fn release(&self, lease: Lease) {
        if let Err(error) = self.store.release(&lease).await {
            warn!("cannot release log stream {}: {error}", lease.stream);
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
            && !session.keep(lease)
        {
            self.release(lease.clone()).await;
            return Err(StoreError::Fenced(stream.clone()));
        }
        Ok(acquired)
    }
}

impl Attached {
    /// Returns when another connection wants to serve the session.
    pub(super) async fn superseded(&self) {
        // The sender lives in the session, so the only way out is the condition.
        self.session
            .newest
            .subscribe()
            .wait_for(|newest| *newest > self.connection)
            .await
            .ok();
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.seat = None;
        let (sessions, session, connection) = (
            Arc::clone(&self.sessions),
            Arc::clone(&self.session),
            self.connection,
        );
        // Without a runtime, nobody is served any more, and the store is about to be closed.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(sessions.grace).await;
                sessions.end(&session, Some(connection)).await;
            });
        }
    }
}

impl Session {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn key(&self) -> SessionKey {
        self.key
    }

    /// Gives the session's next connection its number, and tells an older one to go.
    fn connect(&self) -> u64 {
        // Under the lock, so that it does not end the session between its look at the number and
        // its end.
        let _state = self.state();
        self.newest.send_modify(|newest| *newest += 1);
        *self.newest.borrow()
    }

    /// False when the session has ended and keeps nothing any more.
    fn keep(&self, lease: &Lease) -> bool {
        let mut state = self.state();
        if !state.ended {
            state.leases.insert(lease.stream.clone(), lease.epoch);
        }
        !state.ended
    }

    /// Whether the lease is this session's: one of another session, or of the server's life before
    /// this one, is not.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.state().leases.get(&lease.stream) == Some(&lease.epoch)
    }

    /// The client gives the lease back. False when it was not this session's.
    pub(super) fn forget(&self, lease: &Lease) -> bool {
        let mut state = self.state();
        let held = state.leases.get(&lease.stream) == Some(&lease.epoch);
        if held {
            state.leases.remove(&lease.stream);
        }
        held
    }
}
