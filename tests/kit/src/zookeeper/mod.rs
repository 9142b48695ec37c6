//! A ZooKeeper ensemble in memory, which loses replies and sessions on purpose.
//!
//! [`Ensemble`] holds the nodes, [`ModelSession`] is a session with it. `dlog/bookkeeper` plays one
//! script against this model and a real server and compares the replies.

mod session;
mod tree;

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use distributedlog::Clock;
use distributedlog_bookkeeper::zookeeper::{NodeEvent, Op, SessionEnd, Stat};
use tokio::sync::oneshot;

use distributedlog_bookkeeper::driver::Latest;
pub use session::ModelSession;
use tree::Tree;

/// Number of the first session; those of a real server are as large.
const FIRST_SESSION: i64 = 0x0100_0000_0000_0000;

/// What the ensemble and the network do with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Applied and answered.
    #[default]
    Answered,
    /// Not sent: no server can be reached.
    Unavailable,
    /// Not applied, not answered.
    Lost,
    /// Applied, not answered.
    LostReply,
    /// Not answered, and applied just before the session's next request, so that other sessions
    /// come in between; not at all if the session ends before.
    LostDelayed,
    /// Applied, not answered, and the session expires.
    Expired,
    /// Not applied, not answered, and the session expires.
    ExpiredLost,
}

/// A request, as the function sees it that decides about its delivery.
#[derive(Clone, Copy, Debug)]
pub struct ModelRequest<'a> {
    /// Number of the session.
    pub session: i64,
    /// Number of the request among all of the ensemble, from 0.
    pub number: u64,
    /// True if it may change nodes.
    pub is_change: bool,
    /// Path of its first node; empty for a multi without operations.
    pub path: &'a str,
}

/// A node, as [`Ensemble::nodes`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelNode {
    /// Data.
    pub data: Vec<u8>,
    /// State.
    pub stat: Stat,
}

/// An ensemble. Clones are the same ensemble.
#[derive(Clone)]
pub struct Ensemble(Arc<Mutex<State>>);

type Decide = Box<dyn FnMut(ModelRequest<'_>) -> Delivery + Send>;

struct State {
    tree: Tree,
    sessions: BTreeMap<i64, SessionState>,
    watches: Vec<Watch>,
    decide: Option<Decide>,
    requests: u64,
    next_session: i64,
}

struct SessionState {
    ended: Arc<Latest<Option<SessionEnd>>>,
    /// False between a partition and its end.
    is_reachable: bool,
    /// True once the ensemble has ended it.
    has_ended: bool,
    /// Operations of requests that are applied before the next request.
    delayed: Vec<Vec<Op>>,
}

struct Watch {
    session: i64,
    path: String,
    is_of_children: bool,
    sender: oneshot::Sender<NodeEvent>,
}

impl Default for Ensemble {
    fn default() -> Self {
        Self::new()
    }
}

impl Ensemble {
    /// Creates an ensemble that has the root alone.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            tree: Tree::new(),
            sessions: BTreeMap::new(),
            watches: Vec::new(),
            decide: None,
            requests: 0,
            next_session: FIRST_SESSION,
        })))
    }

    /// Begins a session whose pauses and silence are by this clock.
    #[must_use]
    pub fn session<C>(&self, clock: C, session_timeout: Duration) -> ModelSession
    where
        C: Clock + Send + Sync + 'static,
        C::Sleep: Send,
    {
        let ended = Arc::new(Latest::new(None));
        let shown = Arc::clone(&ended);
        let number = {
            let mut state = self.state();
            let number = state.next_session;
            state.next_session += 1;
            let session = SessionState {
                ended,
                is_reachable: true,
                has_ended: false,
                delayed: Vec::new(),
            };
            state.sessions.insert(number, session);
            number
        };
        ModelSession::new(self.clone(), number, session_timeout, clock, shown)
    }

    /// Decides about the delivery of each request from now on by a function.
    pub fn deliver_by(&self, decide: impl FnMut(ModelRequest<'_>) -> Delivery + Send + 'static) {
        self.state().decide = Some(Box::new(decide));
    }

    /// Answers all requests from now on.
    pub fn deliver_all(&self) {
        self.state().decide = None;
    }

    /// Returns the number of requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    /// Sets the time that new nodes show, in milliseconds since 1970.
    pub fn set_unix_ms(&self, now: i64) {
        self.state().tree.now_unix_ms = now;
    }

    /// Ends a session, as after its timeout: its ephemeral nodes are deleted. Its client learns of
    /// it now, or if it is partitioned at the end of that.
    pub fn expire(&self, session: i64) {
        self.state().end(session, SessionEnd::Expired);
    }

    /// Cuts a session off. Its requests are not sent. Its silence counts from its last reply, or
    /// from the last time that its silence was asked for.
    pub fn partition(&self, session: i64) {
        if let Some(session) = self.state().sessions.get_mut(&session) {
            session.is_reachable = false;
        }
    }

    /// Ends a partition.
    pub fn heal(&self, session: i64) {
        let mut state = self.state();
        if let Some(session) = state.sessions.get_mut(&session) {
            session.is_reachable = true;
        }
        state.show_end(session, SessionEnd::Expired);
    }

    /// Returns all nodes by path, without the root.
    #[must_use]
    pub fn nodes(&self) -> BTreeMap<String, ModelNode> {
        self.state().tree.nodes()
    }

    /// Returns a node, or `None` if it does not exist.
    #[must_use]
    pub fn node(&self, path: &str) -> Option<ModelNode> {
        let (data, stat) = self.state().tree.get(path).ok()?;
        Some(ModelNode { data, stat })
    }

    /// Applies operations as a client outside of all sessions, for instance an operator.
    ///
    /// # Panics
    /// If one is refused.
    pub fn apply(&self, ops: &[Op]) {
        let mut state = self.state();
        let applied = state.apply(0, ops);
        assert!(applied.is_ok(), "{applied:?}");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

impl State {
    /// Ends a session at the ensemble.
    fn end(&mut self, session: i64, end: SessionEnd) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if state.has_ended {
            return;
        }
        state.has_ended = true;
        state.delayed.clear();
        let events = self.tree.delete_ephemerals(session);
        self.fire(events);
        self.show_end(session, end);
    }

    /// Tells a session's client that it has ended, if it can be reached.
    fn show_end(&mut self, session: i64, end: SessionEnd) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if !state.has_ended || !state.is_reachable || state.ended.get().is_some() {
            return;
        }
        state.ended.set(Some(end));
        let (ended, rest) = core::mem::take(&mut self.watches)
            .into_iter()
            .partition(|watch| watch.session == session);
        self.watches = rest;
        let ended: Vec<Watch> = ended;
        for watch in ended {
            // A dropped watch takes no event.
            _ = watch.sender.send(NodeEvent::SessionEnded);
        }
    }

    fn fire(&mut self, events: Vec<(String, NodeEvent)>) {
        for (path, event) in events {
            let fires = |watch: &Watch| {
                watch.path == path
                    && match event {
                        NodeEvent::ChildrenChanged => watch.is_of_children,
                        NodeEvent::Created | NodeEvent::DataChanged => !watch.is_of_children,
                        NodeEvent::Deleted | NodeEvent::SessionEnded => true,
                    }
            };
            let (fired, rest): (Vec<Watch>, Vec<Watch>) = core::mem::take(&mut self.watches)
                .into_iter()
                .partition(fires);
            self.watches = rest;
            for watch in fired {
                // A client that is cut off sees the event when it is back, or the session's end:
                // its reads fail until then, so an early event shows it nothing.
                _ = watch.sender.send(event);
            }
        }
    }

    /// Paths that sessions watch, without duplicates.
    fn watched(&self) -> BTreeSet<&str> {
        let open = self.watches.iter().filter(|it| !it.sender.is_closed());
        open.map(|watch| watch.path.as_str()).collect()
    }
}

impl fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Ensemble")
            .field("nodes", &state.tree.nodes().len())
            .field("sessions", &state.sessions.len())
            .field("watched", &state.watched())
            .finish_non_exhaustive()
    }
}
