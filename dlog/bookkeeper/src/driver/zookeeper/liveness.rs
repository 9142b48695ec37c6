//! Life of a session: when the ensemble was heard from last, and when the session has ended.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use zookeeper_client::Client;

use super::convert::{self, Connection};
use crate::zookeeper::{SessionEnd, ZooKeeperError};

/// A session whose ensemble was silent for this many times its timeout has ended, whatever the
/// client thinks of it. The client itself gives up after 7/5 of the timeout.
const SILENT_TIMEOUTS: u32 = 2;

/// Heartbeats within a session timeout. Six, so that four of six may be lost before two thirds of
/// the timeout have passed, after which owners stop.
const HEARTBEATS: u32 = 6;

/// The client, until the session has ended. Its last clone keeps the session alive, which must not
/// go on when this side has given it up: its ephemeral nodes would stay.
pub(super) struct ClientSlot(pub(super) Mutex<Option<Client>>);

impl ClientSlot {
    pub(super) fn client(&self) -> Option<Client> {
        self.0.lock().ok()?.clone()
    }

    pub(super) fn clear(&self) {
        if let Ok(mut client) = self.0.lock() {
            *client = None;
        }
    }
}

/// Time at which the request was sent that was answered last.
pub(super) struct Heard {
    start: Instant,
    /// Microseconds since the start.
    last: AtomicU64,
}

impl Heard {
    pub(super) const fn new(start: Instant) -> Self {
        Self {
            start,
            last: AtomicU64::new(0),
        }
    }

    pub(super) fn answered(&self, sent: Instant) {
        let micros = sent.duration_since(self.start).as_micros();
        // 64 bits of microseconds are 584,000 years.
        self.last
            .fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    pub(super) fn silence(&self) -> Duration {
        let last = Duration::from_micros(self.last.load(Ordering::Acquire));
        self.start.elapsed().saturating_sub(last)
    }
}

/// Returns true if a reply came from the ensemble, which then has heard from the session.
pub(super) const fn is_heard<T>(reply: &Result<T, ZooKeeperError>) -> bool {
    !matches!(
        reply,
        Err(ZooKeeperError::Lost | ZooKeeperError::SessionEnded | ZooKeeperError::Refused(_))
    )
}

/// Forwards the session's states, and keeps the silence short, until the session ends.
pub(super) async fn follow(
    client: Client,
    slot: Arc<ClientSlot>,
    sender: watch::Sender<Connection>,
    heard: Arc<Heard>,
    request_timeout: Duration,
) {
    let mut states = client.state_watcher();
    let forward = async {
        // The state may have changed before the watcher was made.
        let mut state = convert::connection(client.state());
        loop {
            sender.send_replace(state);
            if let Connection::Ended(_) = state {
                return;
            }
            state = convert::connection(states.changed().await);
        }
    };
    tokio::select! {
        () = forward => {}
        () = keep_heard(&client, &heard, request_timeout) => {
            sender.send_replace(Connection::Ended(SessionEnd::Expired));
        }
    }
    slot.clear();
}

/// Asks the ensemble for something small whenever it was silent for a beat. Returns when it was
/// silent for so long that the session must have ended.
async fn keep_heard(client: &Client, heard: &Heard, request_timeout: Duration) {
    let session_timeout = client.session_timeout();
    let beat = session_timeout / HEARTBEATS;
    // Bounded: at most one request in a beat.
    while heard.silence() < session_timeout * SILENT_TIMEOUTS {
        let silence = heard.silence();
        if silence < beat {
            sleep(beat - silence).await;
            continue;
        }
        let sent = Instant::now();
        let limit = request_timeout.min(session_timeout);
        match timeout(limit, client.check_stat("/")).await {
            Ok(Ok(_)) => heard.answered(sent),
            Ok(Err(_)) | Err(_) => sleep(beat).await,
        }
    }
}
