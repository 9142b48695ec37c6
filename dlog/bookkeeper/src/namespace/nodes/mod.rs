//! A namespace's nodes, in a session with ZooKeeper.
//!
//! [`Namespace`] binds, lists and finds logs, [`LogNodes`] creates, reads and deletes one,
//! [`OwnedLog`] changes it as its writer, and [`WriteLock`] makes a client the writer.
//!
//! A change whose reply is lost is resolved by reading behind a sync, and never repeated blindly.

mod error;
mod log;
mod namespace;
mod owned;
mod pending;
mod write_lock;

pub use error::LogError;
pub use log::{LogNodes, LogSegments};
pub use namespace::Namespace;
pub use owned::OwnedLog;
pub use write_lock::{Acquired, HeldLock, LockLoss, LockOwner, WriteLock};
