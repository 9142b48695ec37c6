//! The context that the connections of a server share.

use std::sync::Arc;

use tokio::sync::watch;

use super::sessions::Sessions;
use crate::LogStore;
use crate::log_limit::LogLimits;
use crate::remote::ServerSettings;

/// State that all connections of a server share.
pub(super) struct ServerContext {
    pub(super) store: Arc<dyn LogStore>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) settings: ServerSettings,
    pub(super) drain: watch::Receiver<bool>,
    /// Bounds the log lines that peers can cause.
    pub(super) log_limits: Arc<LogLimits>,
}
