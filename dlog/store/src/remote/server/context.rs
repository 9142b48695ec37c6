//! The context that the connections of a server share.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::metrics::ServerMetrics;
use super::sessions::Sessions;
use crate::LogStore;
use crate::budget::ByteBudget;
use crate::frames::WriteRate;
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
    pub(super) bounds: Bounds,
    pub(super) metrics: ServerMetrics,
}

/// Bounds on what all connections together make the server hold.
pub(super) struct Bounds {
    /// Frames of requests in progress.
    pub(super) requests: ByteBudget,
    /// Frames that have begun and not ended.
    pub(super) unfinished: ByteBudget,
    /// The right of one frame to go beyond that.
    pub(super) overdraft: Arc<Semaphore>,
    /// Answers that are being read or wait to be written.
    pub(super) answers: ByteBudget,
    /// Number of reads.
    pub(super) reads: Arc<Semaphore>,
}

impl Bounds {
    fn new(settings: &ServerSettings) -> Self {
        Self {
            requests: ByteBudget::new(settings.max_total_append_bytes),
            unfinished: ByteBudget::new(settings.max_unfinished_bytes),
            overdraft: Arc::new(Semaphore::new(1)),
            answers: ByteBudget::new(settings.max_total_answer_bytes),
            reads: Arc::new(Semaphore::new(settings.max_reads)),
        }
    }
}

impl ServerContext {
    pub(super) fn new(
        store: Arc<dyn LogStore>,
        sessions: Arc<Sessions>,
        settings: ServerSettings,
        drain: watch::Receiver<bool>,
        log_limits: Arc<LogLimits>,
    ) -> Self {
        Self {
            bounds: Bounds::new(&settings),
            store,
            sessions,
            settings,
            drain,
            log_limits,
            metrics: ServerMetrics::default(),
        }
    }

    /// Returns the rate at which clients must take their answers.
    pub(super) const fn write_rate(&self) -> WriteRate {
        WriteRate {
            window: self.settings.idle_timeout,
            min: self.settings.min_write_rate,
        }
    }
}
