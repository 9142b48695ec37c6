//! The part of ZooKeeper that BookKeeper's clients need, as a trait.
//!
//! Everything above it (the ledgers' metadata, the bookies that are there, DistributedLog's
//! namespace and locks) is written against [`ZooKeeper`], and so runs on a real ensemble, by the
//! driver, and on a model of one that loses replies and sessions on purpose.

mod error;
mod join;
mod parents;
mod resolve;
mod types;

use core::future::Future;
use core::time::Duration;

pub use error::{MultiError, ZooKeeperError};
pub(crate) use join::{join_all, race};
pub use parents::create_with_parents;
pub use resolve::{list_behind_sync, read_behind_sync};
pub use types::{Access, CreateMode, NodeEvent, NodeWatch, Op, OpReply, SessionEnd, Stat};

/// A session with ZooKeeper. Clones are the same session.
///
/// Requests of one session take effect in the order in which they are sent, also those whose reply
/// never arrives. So a [`sync`](Self::sync) and a read behind it show if a request before them was
/// applied whose reply was lost ([`ZooKeeperError::Lost`]).
///
/// Paths are absolute. `version` is the version that a node must have; `None` takes any.
///
/// # Cancel safety
/// A request whose future is dropped may have been applied, or may still be.
pub trait ZooKeeper: Clone + Send + Sync + 'static {
    /// Reads a node's data.
    fn get(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<(Vec<u8>, Stat), ZooKeeperError>> + Send;

    /// Reads a node's data, and watches it: the watch ends when the data changes or the node is
    /// deleted.
    fn get_and_watch(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<(Vec<u8>, Stat, NodeWatch), ZooKeeperError>> + Send;

    /// Returns a node's state, or `None` if it does not exist.
    fn exists(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<Option<Stat>, ZooKeeperError>> + Send;

    /// As [`exists`](Self::exists), and watches the path: the watch ends when the node is created
    /// or deleted, or its data changes.
    fn exists_and_watch(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<(Option<Stat>, NodeWatch), ZooKeeperError>> + Send;

    /// Returns the names of a node's children, in no order.
    fn children(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<(Vec<String>, Stat), ZooKeeperError>> + Send;

    /// As [`children`](Self::children), and watches them: the watch ends when a child is created or
    /// deleted, or the node is deleted.
    fn children_and_watch(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<(Vec<String>, Stat, NodeWatch), ZooKeeperError>> + Send;

    /// Creates a node and returns its path, which in sequential modes is `path` and a number.
    fn create(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        access: Access,
    ) -> impl Future<Output = Result<String, ZooKeeperError>> + Send;

    /// Replaces a node's data.
    fn set(
        &self,
        path: &str,
        data: &[u8],
        version: Option<i32>,
    ) -> impl Future<Output = Result<Stat, ZooKeeperError>> + Send;

    /// Deletes a node without children.
    fn delete(
        &self,
        path: &str,
        version: Option<i32>,
    ) -> impl Future<Output = Result<(), ZooKeeperError>> + Send;

    /// Applies all operations or none. Replies are in the order of the operations; an empty slice
    /// sends nothing.
    ///
    /// # Errors
    /// [`MultiError::Operation`] names the first operation that the server refused: none was
    /// applied. With [`MultiError::Request`] all or none were applied if
    /// [`may_have_been_applied`](ZooKeeperError::may_have_been_applied) is true of its error, and
    /// else none.
    fn multi(&self, ops: &[Op]) -> impl Future<Output = Result<Vec<OpReply>, MultiError>> + Send;

    /// Waits until the server of this session knows every change that was made before.
    fn sync(&self, path: &str) -> impl Future<Output = Result<(), ZooKeeperError>> + Send;

    /// Returns the session's number, which is the owner of its ephemeral nodes.
    fn session(&self) -> i64;

    /// Returns the session's timeout, as negotiated with the server: the time after which the
    /// ensemble ends the session if it hears nothing.
    fn session_timeout(&self) -> Duration;

    /// Returns the time since the request was sent to which ZooKeeper replied last.
    ///
    /// The ensemble has heard from this session since then, so it does not end it before
    /// [`session_timeout`](Self::session_timeout) has passed from that moment. An implementation
    /// sends requests of its own while there are no others.
    fn silence(&self) -> Duration;

    /// Waits until the session ends, for whatever reason. Returns at once if it has ended.
    fn ended(&self) -> impl Future<Output = SessionEnd> + Send + 'static;

    /// Returns the reason why the session ended, or `None` if it has not as far as is known here.
    fn end(&self) -> Option<SessionEnd>;

    /// Waits. Retries pause by this, so that a model can pass time at its own pace.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}
