//! The trait's requests over `zookeeper-client`.

use core::future::Future;
use core::time::Duration;

use tokio::time::{sleep, timeout_at};
use zookeeper_client::MultiWriteError;

use super::convert::{self, Connection};
use super::session::Session;
use crate::zookeeper::{
    Access, CreateMode, MultiError, NodeWatch, Op, OpReply, SessionEnd, Stat, ZooKeeper,
    ZooKeeperError,
};

impl ZooKeeper for Session {
    async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), ZooKeeperError> {
        let ready = self.ready().await?;
        let (data, stat) = self.reply(&ready, ready.client.get_data(path)).await?;
        Ok((data, convert::stat(&stat)))
    }

    async fn get_and_watch(
        &self,
        path: &str,
    ) -> Result<(Vec<u8>, Stat, NodeWatch), ZooKeeperError> {
        let ready = self.ready().await?;
        let (data, stat, watcher) = self
            .reply(&ready, ready.client.get_and_watch_data(path))
            .await?;
        Ok((data, convert::stat(&stat), self.watched(watcher)))
    }

    async fn exists(&self, path: &str) -> Result<Option<Stat>, ZooKeeperError> {
        let ready = self.ready().await?;
        let stat = self.reply(&ready, ready.client.check_stat(path)).await?;
        Ok(stat.as_ref().map(convert::stat))
    }

    async fn exists_and_watch(
        &self,
        path: &str,
    ) -> Result<(Option<Stat>, NodeWatch), ZooKeeperError> {
        let ready = self.ready().await?;
        let (stat, watcher) = self
            .reply(&ready, ready.client.check_and_watch_stat(path))
            .await?;
        Ok((stat.as_ref().map(convert::stat), self.watched(watcher)))
    }

    async fn children(&self, path: &str) -> Result<(Vec<String>, Stat), ZooKeeperError> {
        let ready = self.ready().await?;
        let (names, stat) = self.reply(&ready, ready.client.get_children(path)).await?;
        Ok((names, convert::stat(&stat)))
    }

    async fn children_and_watch(
        &self,
        path: &str,
    ) -> Result<(Vec<String>, Stat, NodeWatch), ZooKeeperError> {
        let ready = self.ready().await?;
        let (names, stat, watcher) = self
            .reply(&ready, ready.client.get_and_watch_children(path))
            .await?;
        Ok((names, convert::stat(&stat), self.watched(watcher)))
    }

    async fn create(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        access: Access,
    ) -> Result<String, ZooKeeperError> {
        let ready = self.ready().await?;
        let options = convert::options(mode, access);
        let (_, number) = self
            .reply(&ready, ready.client.create(path, data, &options))
            .await?;
        Ok(if mode.is_sequential() {
            format!("{path}{number}")
        } else {
            path.to_owned()
        })
    }

    async fn set(
        &self,
        path: &str,
        data: &[u8],
        version: Option<i32>,
    ) -> Result<Stat, ZooKeeperError> {
        let ready = self.ready().await?;
        let stat = self
            .reply(&ready, ready.client.set_data(path, data, version))
            .await?;
        Ok(convert::stat(&stat))
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), ZooKeeperError> {
        let ready = self.ready().await?;
        self.reply(&ready, ready.client.delete(path, version)).await
    }

    async fn multi(&self, ops: &[Op]) -> Result<Vec<OpReply>, MultiError> {
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        let ready = self.ready().await.map_err(MultiError::Request)?;
        let committed = {
            let mut writer = ready.client.new_multi_writer();
            for (index, op) in ops.iter().enumerate() {
                let added = match op {
                    Op::Check { path, version } => writer.add_check_version(path, *version),
                    Op::Create {
                        path,
                        data,
                        mode,
                        access,
                    } => writer.add_create(path, data, &convert::options(*mode, *access)),
                    Op::Set {
                        path,
                        data,
                        version,
                    } => writer.add_set_data(path, data, *version),
                    Op::Delete { path, version } => writer.add_delete(path, *version),
                };
                // Not sent: the path does not follow ZooKeeper's rules.
                added.map_err(|error| MultiError::Operation {
                    index,
                    error: ZooKeeperError::Refused(error.to_string()),
                })?;
            }
            writer.commit()
        };
        let Ok(reply) = timeout_at(ready.deadline, committed).await else {
            return Err(MultiError::Request(ZooKeeperError::Lost));
        };
        match reply {
            Ok(replies) => {
                self.0.heard.answered(ready.sent);
                let replies: Option<Vec<OpReply>> =
                    replies.into_iter().map(convert::op_reply).collect();
                replies
                    .filter(|replies| replies.len() == ops.len())
                    .ok_or(MultiError::Request(ZooKeeperError::Lost))
            }
            Err(failed) => {
                if matches!(failed, MultiWriteError::OperationFailed { .. }) {
                    self.0.heard.answered(ready.sent);
                }
                Err(convert::multi_error(&failed))
            }
        }
    }

    async fn sync(&self, path: &str) -> Result<(), ZooKeeperError> {
        let ready = self.ready().await?;
        self.reply(&ready, ready.client.sync(path)).await
    }

    fn session(&self) -> i64 {
        self.0.session
    }

    fn session_timeout(&self) -> Duration {
        self.0.session_timeout
    }

    fn silence(&self) -> Duration {
        self.0.heard.silence()
    }

    fn ended(&self) -> impl Future<Output = SessionEnd> + Send + 'static {
        let mut connection = self.0.connection.clone();
        async move {
            let ended = connection
                .wait_for(|state| matches!(state, Connection::Ended(_)))
                .await;
            match ended.as_deref() {
                Ok(Connection::Ended(end)) => *end,
                // The last clone of the session was dropped.
                Ok(Connection::Connected | Connection::Disconnected) | Err(_) => SessionEnd::Closed,
            }
        }
    }

    fn end(&self) -> Option<SessionEnd> {
        match *self.0.connection.borrow() {
            Connection::Ended(end) => Some(end),
            Connection::Connected | Connection::Disconnected => None,
        }
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }
}
