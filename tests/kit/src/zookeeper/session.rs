use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use distributedlog::{Clock, Instant};
use distributedlog_bookkeeper::zookeeper::{
    Access, CreateMode, MultiError, NodeEvent, NodeWatch, Op, OpReply, SessionEnd, Stat, ZooKeeper,
    ZooKeeperError,
};
use tokio::sync::oneshot;

use distributedlog_bookkeeper::driver::Latest;

use super::{Delivery, Ensemble, ModelRequest, State, Watch};

type Sleep = Arc<dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;
type Now = Arc<dyn Fn() -> Instant + Send + Sync>;

/// A session with an [`Ensemble`]. Clones are the same session.
#[derive(Clone)]
pub struct ModelSession {
    ensemble: Ensemble,
    number: i64,
    timeout: Duration,
    now: Now,
    sleep: Sleep,
    ended: Arc<Latest<Option<SessionEnd>>>,
    /// Time of the last reply.
    heard: Arc<std::sync::Mutex<Instant>>,
}

/// Result of a request at the ensemble, or `None` if no reply arrives.
type Replied<T> = Option<T>;

impl ModelSession {
    pub(super) fn new<C>(
        ensemble: Ensemble,
        number: i64,
        timeout: Duration,
        clock: C,
        ended: Arc<Latest<Option<SessionEnd>>>,
    ) -> Self
    where
        C: Clock + Send + Sync + 'static,
        C::Sleep: Send,
    {
        let clock = Arc::new(clock);
        let sleeping = Arc::clone(&clock);
        let heard = Arc::new(std::sync::Mutex::new(clock.now()));
        Self {
            ensemble,
            number,
            timeout,
            now: Arc::new(move || clock.now()),
            sleep: Arc::new(move |duration| {
                Box::pin(sleeping.sleep_until(sleeping.now() + duration))
            }),
            ended,
            heard,
        }
    }

    /// Ends the session: its ephemeral nodes are deleted.
    pub fn close(&self) {
        self.ensemble.state().end(self.number, SessionEnd::Closed);
    }

    /// Sends a request: `apply` is what the ensemble does with it, and `ops` its changes.
    async fn request<T>(
        &self,
        path: &str,
        ops: &[Op],
        apply: impl FnOnce(&mut State) -> T,
    ) -> Result<T, ZooKeeperError> {
        // Other tasks come in between, as they do while a request is on its way.
        pass().await;
        let replied = self.deliver(path, ops, apply)?;
        pass().await;
        if replied.is_some() {
            self.hear();
        }
        replied.ok_or(ZooKeeperError::Lost)
    }

    fn deliver<T>(
        &self,
        path: &str,
        ops: &[Op],
        apply: impl FnOnce(&mut State) -> T,
    ) -> Result<Replied<T>, ZooKeeperError> {
        let mut state = self.ensemble.state();
        let state = &mut *state;
        let session = state
            .sessions
            .get_mut(&self.number)
            .expect("sessions are never removed");
        if session.ended.get().is_some() {
            return Err(ZooKeeperError::SessionEnded);
        }
        let is_reachable = session.is_reachable;
        let request = ModelRequest {
            session: self.number,
            number: state.requests,
            is_change: !ops.is_empty(),
            path,
        };
        state.requests += 1;
        let decided = state.decide.as_mut().map(|decide| decide(request));
        if !is_reachable || decided == Some(Delivery::Unavailable) {
            return Err(ZooKeeperError::Unavailable);
        }
        let session = state.sessions.get_mut(&self.number);
        let delayed = session.map(|session| core::mem::take(&mut session.delayed));
        for ops in delayed.into_iter().flatten() {
            // Refusals of a delayed request are not heard either.
            _ = state.apply(self.number, &ops);
        }
        match decided.unwrap_or_default() {
            Delivery::Answered | Delivery::Unavailable => Ok(Some(apply(state))),
            Delivery::Lost => Ok(None),
            Delivery::LostReply => {
                apply(state);
                Ok(None)
            }
            Delivery::LostDelayed => {
                if let Some(session) = state.sessions.get_mut(&self.number) {
                    session.delayed.push(ops.to_vec());
                }
                Ok(None)
            }
            Delivery::Expired => {
                apply(state);
                state.end(self.number, SessionEnd::Expired);
                Err(ZooKeeperError::SessionEnded)
            }
            Delivery::ExpiredLost => {
                state.end(self.number, SessionEnd::Expired);
                Err(ZooKeeperError::SessionEnded)
            }
        }
    }

    fn hear(&self) {
        *self.heard.lock().expect("no thread panics with the lock") = (self.now)();
    }

    /// Applies one operation.
    async fn change(&self, op: Op) -> Result<OpReply, ZooKeeperError> {
        let ops = [op];
        let applied = self
            .request(ops[0].path(), &ops, |state| state.apply(self.number, &ops))
            .await?;
        match applied {
            Ok(mut replies) => Ok(replies.remove(0)),
            Err((_, error)) => Err(error),
        }
    }
}

/// Lets other tasks run.
async fn pass() {
    let mut passed = false;
    core::future::poll_fn(|cx| {
        if core::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl State {
    pub(super) fn apply(
        &mut self,
        session: i64,
        ops: &[Op],
    ) -> Result<Vec<OpReply>, (usize, ZooKeeperError)> {
        let (replies, events) = self.tree.apply(session, ops)?;
        self.fire(events);
        Ok(replies)
    }

    fn watch(&mut self, session: i64, path: &str, is_of_children: bool) -> NodeWatch {
        let (sender, receiver) = oneshot::channel();
        self.watches.retain(|watch| !watch.sender.is_closed());
        self.watches.push(Watch {
            session,
            path: path.to_owned(),
            is_of_children,
            sender,
        });
        NodeWatch::new(async move { receiver.await.unwrap_or(NodeEvent::SessionEnded) })
    }
}

impl ZooKeeper for ModelSession {
    async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), ZooKeeperError> {
        self.request(path, &[], |state| state.tree.get(path))
            .await?
    }

    async fn get_and_watch(
        &self,
        path: &str,
    ) -> Result<(Vec<u8>, Stat, NodeWatch), ZooKeeperError> {
        self.request(path, &[], |state| {
            let (data, stat) = state.tree.get(path)?;
            Ok((data, stat, state.watch(self.number, path, false)))
        })
        .await?
    }

    async fn exists(&self, path: &str) -> Result<Option<Stat>, ZooKeeperError> {
        match self.get(path).await {
            Ok((_, stat)) => Ok(Some(stat)),
            Err(ZooKeeperError::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn exists_and_watch(
        &self,
        path: &str,
    ) -> Result<(Option<Stat>, NodeWatch), ZooKeeperError> {
        self.request(path, &[], |state| {
            let stat = match state.tree.get(path) {
                Ok((_, stat)) => Some(stat),
                Err(ZooKeeperError::NoNode) => None,
                Err(error) => return Err(error),
            };
            Ok((stat, state.watch(self.number, path, false)))
        })
        .await?
    }

    async fn children(&self, path: &str) -> Result<(Vec<String>, Stat), ZooKeeperError> {
        self.request(path, &[], |state| state.tree.children(path))
            .await?
    }

    async fn children_and_watch(
        &self,
        path: &str,
    ) -> Result<(Vec<String>, Stat, NodeWatch), ZooKeeperError> {
        self.request(path, &[], |state| {
            let (names, stat) = state.tree.children(path)?;
            Ok((names, stat, state.watch(self.number, path, true)))
        })
        .await?
    }

    async fn create(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        access: Access,
    ) -> Result<String, ZooKeeperError> {
        let op = Op::Create {
            path: path.to_owned(),
            data: data.to_vec(),
            mode,
            access,
        };
        let OpReply::Created(path) = self.change(op).await? else {
            unreachable!("a creation has a reply of its own");
        };
        Ok(path)
    }

    async fn set(
        &self,
        path: &str,
        data: &[u8],
        version: Option<i32>,
    ) -> Result<Stat, ZooKeeperError> {
        let op = Op::Set {
            path: path.to_owned(),
            data: data.to_vec(),
            version,
        };
        let OpReply::Set(stat) = self.change(op).await? else {
            unreachable!("a set has a reply of its own");
        };
        Ok(stat)
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), ZooKeeperError> {
        let path = path.to_owned();
        self.change(Op::Delete { path, version }).await.map(|_| ())
    }

    async fn multi(&self, ops: &[Op]) -> Result<Vec<OpReply>, MultiError> {
        let Some(first) = ops.first() else {
            return Ok(Vec::new());
        };
        self.request(first.path(), ops, |state| state.apply(self.number, ops))
            .await
            .map_err(MultiError::Request)?
            .map_err(|(index, error)| MultiError::Operation { index, error })
    }

    async fn sync(&self, path: &str) -> Result<(), ZooKeeperError> {
        self.request(path, &[], |_| ()).await
    }

    fn session(&self) -> i64 {
        self.number
    }

    fn session_timeout(&self) -> Duration {
        self.timeout
    }

    fn silence(&self) -> Duration {
        let now = (self.now)();
        let mut heard = self.heard.lock().expect("no thread panics with the lock");
        let state = self.ensemble.state();
        // Heartbeats are answered while the ensemble can be reached.
        if state
            .sessions
            .get(&self.number)
            .is_some_and(|session| session.is_reachable && !session.has_ended)
        {
            *heard = now;
        }
        now.since(*heard)
    }

    fn ended(&self) -> impl Future<Output = SessionEnd> + Send + 'static {
        let ended = Arc::clone(&self.ended);
        async move {
            let end = ended.wait_for(Option::is_some).await;
            end.unwrap_or(SessionEnd::Expired)
        }
    }

    fn end(&self) -> Option<SessionEnd> {
        self.ended.get()
    }

    async fn sleep(&self, duration: Duration) {
        (self.sleep)(duration).await;
    }
}

impl fmt::Debug for ModelSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelSession")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
