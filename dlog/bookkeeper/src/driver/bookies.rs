//! Bookies that are there, by their registrations in ZooKeeper.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;

use crate::metadata::{BookieAddress, BookieId, BookieRegistration};
use crate::zookeeper::{NodeWatch, ZooKeeper, ZooKeeperError};

/// Maximum bookies that are known. What is beyond is left out.
const MAX_BOOKIES: usize = 16_384;

/// First pause after ZooKeeper failed, and the maximum to which it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Bookies of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookieSet {
    /// Bookies that take entries.
    pub writable: BTreeSet<BookieId>,
    /// Bookies that only answer reads.
    pub read_only: BTreeSet<BookieId>,
    /// Addresses by registration, also of bookies that are not there any more.
    addresses: BTreeMap<BookieId, BookieAddress>,
}

impl BookieSet {
    /// Returns a bookie's address: that of its last registration, or else the one that its id is.
    /// `None` means that the id is a free text and the bookie was not seen.
    #[must_use]
    pub fn address(&self, bookie: &BookieId) -> Option<BookieAddress> {
        let registered = self.addresses.get(bookie).cloned();
        registered.or_else(|| bookie.address())
    }
}

/// Follows the bookies of the cluster at `root`, over the sessions that `sessions` shows one after
/// the other, and publishes each change. It ends when either channel is closed.
///
/// The first set is published when it is complete. What is known stays while ZooKeeper is away: a
/// bookie is not dead because its registration cannot be read.
///
/// # Cancel safety
/// Dropping the future stops it.
pub async fn follow_bookies<Z: ZooKeeper>(
    mut sessions: watch::Receiver<Z>,
    root: String,
    publish: watch::Sender<Arc<BookieSet>>,
) {
    let mut pause = FIRST_PAUSE;
    // Bounded: each pass waits for a change, a session or a pause.
    loop {
        let session = sessions.borrow_and_update().clone();
        let passed = pass(&session, &root, &publish).await;
        if publish.is_closed() {
            return;
        }
        let error = match passed {
            Ok(watches) => {
                pause = FIRST_PAUSE;
                let [writable, read_only] = watches;
                tokio::select! {
                    biased;
                    _ = writable => {}
                    _ = read_only => {}
                    () = publish.closed() => return,
                }
                continue;
            }
            Err(error) => error,
        };
        if error == ZooKeeperError::SessionEnded {
            if sessions.changed().await.is_err() {
                return;
            }
            continue;
        }
        tracing::warn!(%root, %error, "the bookies that are there cannot be read");
        session.sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Reads all registrations, publishes them if they changed, and returns the watches of both lists.
async fn pass<Z: ZooKeeper>(
    session: &Z,
    root: &str,
    publish: &watch::Sender<Arc<BookieSet>>,
) -> Result<[NodeWatch; 2], ZooKeeperError> {
    let available = format!("{root}/available");
    let read_only = format!("{available}/readonly");
    let (writable, writable_watch) = children(session, &available).await?;
    let (refusing, read_only_watch) = children(session, &read_only).await?;
    let mut set = BookieSet {
        // Kept: ledgers name bookies that are not there.
        addresses: publish.borrow().addresses.clone(),
        ..BookieSet::default()
    };
    for (folder, names) in [(&available, writable), (&read_only, refusing)] {
        for name in names {
            let is_list = *folder == available && name == "readonly";
            if is_list || set.writable.len() + set.read_only.len() == MAX_BOOKIES {
                continue;
            }
            let Some(registration) = registration(session, folder, &name).await? else {
                continue;
            };
            let bookie = BookieId::new(name);
            if let Some(address) = registration.rpc
                && (set.addresses.len() < MAX_BOOKIES || set.addresses.contains_key(&bookie))
            {
                set.addresses.insert(bookie.clone(), address);
            }
            if *folder == available {
                set.writable.insert(bookie);
            } else {
                set.read_only.insert(bookie);
            }
        }
    }
    publish.send_if_modified(|known| {
        let is_new = **known != set;
        *known = Arc::new(set);
        is_new
    });
    Ok([writable_watch, read_only_watch])
}

/// Lists a folder and watches it. One that does not exist is empty, and its creation is watched.
async fn children<Z: ZooKeeper>(
    session: &Z,
    path: &str,
) -> Result<(Vec<String>, NodeWatch), ZooKeeperError> {
    match session.children_and_watch(path).await {
        Ok((names, _, watch)) => Ok((names, watch)),
        Err(ZooKeeperError::NoNode) => {
            let (found, watch) = session.exists_and_watch(path).await?;
            if found.is_none() {
                return Ok((Vec::new(), watch));
            }
            // Created in between.
            let (names, _, watch) = session.children_and_watch(path).await?;
            Ok((names, watch))
        }
        Err(error) => Err(error),
    }
}

/// Reads a registration, or `None` if the bookie has left.
async fn registration<Z: ZooKeeper>(
    session: &Z,
    folder: &str,
    name: &str,
) -> Result<Option<BookieRegistration>, ZooKeeperError> {
    let path = format!("{folder}/{name}");
    match session.get(&path).await {
        Ok((data, _)) => Ok(Some(BookieRegistration::decode(&data).unwrap_or_else(
            |error| {
                tracing::warn!(%path, %error, "the bookie's registration does not decode");
                BookieRegistration::default()
            },
        ))),
        Err(ZooKeeperError::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}
