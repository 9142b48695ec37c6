//! A cluster's nodes in ZooKeeper: metadata and ids of ledgers.
//!
//! Everything lies below one root, usually `/ledgers`, and is arranged by the layout that the
//! cluster was formatted with.

mod error;
mod ids;
mod ledgers;
mod list;
mod new_ledger;

pub use error::ClusterError;
pub use ledgers::Ledgers;
pub use new_ledger::NewLedger;
