//! Bounds on what all clients together, and those of one address, make the proxy hold.

use core::net::IpAddr;
use std::sync::Arc;

use distributedlog_store::budget::{ByteBudget, GrowingRoom, PeerBudgets};
use tokio::sync::Semaphore;

use super::Settings;

/// Bounds on what clients make the proxy hold.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Frames that have begun and not ended.
    pub(super) unfinished: PeerBudgets,
    /// The right of one frame to go beyond that.
    overdraft: Arc<Semaphore>,
    /// Replies that wait to be sent.
    pub(super) replies: ByteBudget,
    /// Bodies of HTTP requests.
    pub(super) bodies: PeerBudgets,
    /// Streams that are read over HTTP: each counts one.
    pub(super) readers: PeerBudgets,
    /// Records that were read ahead for them.
    pub(super) read_ahead: PeerBudgets,
}

impl Bounds {
    pub(super) fn new(settings: &Settings) -> Self {
        let halves = |limit: usize| PeerBudgets::new(limit, limit / 2);
        Self {
            unfinished: halves(settings.max_unfinished_bytes),
            overdraft: Arc::new(Semaphore::new(1)),
            replies: ByteBudget::new(settings.max_reply_bytes),
            bodies: halves(settings.http_max_body_bytes),
            readers: PeerBudgets::new(
                settings.http_max_readers,
                settings.http_max_readers_per_peer,
            ),
            read_ahead: halves(settings.http_max_read_ahead_bytes),
        }
    }

    /// Returns the room for the unfinished frame of a connection.
    pub(super) fn unfinished_frame(&self, peer: IpAddr) -> GrowingRoom {
        GrowingRoom::new(self.unfinished.of(peer), Arc::clone(&self.overdraft))
    }
}
