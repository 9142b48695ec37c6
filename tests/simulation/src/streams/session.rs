//! Sessions of a process with ZooKeeper, whose requests take time and pass the process's gate.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use distributedlog_bookkeeper::zookeeper::{
    Access, CreateMode, MultiError, NodeWatch, Op, OpReply, SessionEnd, Stat, ZooKeeper,
    ZooKeeperError,
};
use distributedlog_testkit::Random;
use distributedlog_testkit::zookeeper::ModelSession;
use tokio::time::sleep;

use super::gate::Gate;

/// Maximum time that a request takes to ZooKeeper.
const MAX_DELAY_MS: u64 = 3;

/// One session. Requests take effect in their order.
#[derive(Clone)]
pub(super) struct ProcessSession {
    session: ModelSession,
    way: Arc<Way>,
}

struct Way {
    gate: Arc<Gate>,
    /// Held by the request whose turn it is.
    turn: tokio::sync::Mutex<()>,
    random: Mutex<Random>,
}

impl ProcessSession {
    pub(super) fn new(session: ModelSession, gate: Arc<Gate>, seed: u64) -> Self {
        let way = Way {
            gate,
            turn: tokio::sync::Mutex::new(()),
            random: Mutex::new(Random::new(seed)),
        };
        Self {
            session,
            way: Arc::new(way),
        }
    }

    async fn pass<T>(&self, request: impl Future<Output = T>) -> T {
        let _turn = self.way.turn.lock().await;
        let delay = {
            let random = self.way.random.lock();
            let mut random = random.unwrap_or_else(PoisonError::into_inner);
            random.below(MAX_DELAY_MS + 1)
        };
        self.way.gate.opened().await;
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
        }
        self.way.gate.opened().await;
        let reply = request.await;
        self.way.gate.opened().await;
        reply
    }

    fn gated(&self, watch: NodeWatch) -> NodeWatch {
        let gate = Arc::clone(&self.way.gate);
        NodeWatch::new(async move {
            let event = watch.await;
            gate.opened().await;
            event
        })
    }
}

impl ZooKeeper for ProcessSession {
    async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), ZooKeeperError> {
        self.pass(self.session.get(path)).await
    }

    async fn get_and_watch(
        &self,
        path: &str,
    ) -> Result<(Vec<u8>, Stat, NodeWatch), ZooKeeperError> {
        let (data, stat, watch) = self.pass(self.session.get_and_watch(path)).await?;
        Ok((data, stat, self.gated(watch)))
    }

    async fn exists(&self, path: &str) -> Result<Option<Stat>, ZooKeeperError> {
        self.pass(self.session.exists(path)).await
    }

    async fn exists_and_watch(
        &self,
        path: &str,
    ) -> Result<(Option<Stat>, NodeWatch), ZooKeeperError> {
        let (stat, watch) = self.pass(self.session.exists_and_watch(path)).await?;
        Ok((stat, self.gated(watch)))
    }

    async fn children(&self, path: &str) -> Result<(Vec<String>, Stat), ZooKeeperError> {
        self.pass(self.session.children(path)).await
    }

    async fn children_and_watch(
        &self,
        path: &str,
    ) -> Result<(Vec<String>, Stat, NodeWatch), ZooKeeperError> {
        let (names, stat, watch) = self.pass(self.session.children_and_watch(path)).await?;
        Ok((names, stat, self.gated(watch)))
    }

    async fn create(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        access: Access,
    ) -> Result<String, ZooKeeperError> {
        self.pass(self.session.create(path, data, mode, access))
            .await
    }

    async fn set(
        &self,
        path: &str,
        data: &[u8],
        version: Option<i32>,
    ) -> Result<Stat, ZooKeeperError> {
        self.pass(self.session.set(path, data, version)).await
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), ZooKeeperError> {
        self.pass(self.session.delete(path, version)).await
    }

    async fn multi(&self, ops: &[Op]) -> Result<Vec<OpReply>, MultiError> {
        self.pass(self.session.multi(ops)).await
    }

    async fn sync(&self, path: &str) -> Result<(), ZooKeeperError> {
        self.pass(self.session.sync(path)).await
    }

    fn session(&self) -> i64 {
        self.session.session()
    }

    fn session_timeout(&self) -> Duration {
        self.session.session_timeout()
    }

    fn silence(&self) -> Duration {
        self.session.silence()
    }

    fn ended(&self) -> impl Future<Output = SessionEnd> + Send + 'static {
        let (ended, gate) = (self.session.ended(), Arc::clone(&self.way.gate));
        async move {
            let end = ended.await;
            gate.opened().await;
            end
        }
    }

    fn end(&self) -> Option<SessionEnd> {
        self.session.end()
    }

    async fn sleep(&self, duration: Duration) {
        self.session.sleep(duration).await;
    }
}
