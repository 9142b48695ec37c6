use core::time::Duration;

use super::{Stat, ZooKeeper, ZooKeeperError};

/// Maximum tries of a read behind a sync. With the pauses between them they take 6.35 seconds if
/// each fails at once.
const MAX_TRIES: u32 = 8;

/// First pause between tries; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Reads a node behind a sync, and so finds out if an earlier request of this session was applied
/// whose reply was lost. Repeats it while ZooKeeper is away, at most 8 times. `None` means that the
/// node does not exist.
///
/// # Errors
/// [`ZooKeeperError`] if ZooKeeper stays away, the session has ended, or the read is refused: then
/// the outcome stays unknown.
pub async fn read_behind_sync<Z: ZooKeeper>(
    zookeeper: &Z,
    path: &str,
) -> Result<Option<(Vec<u8>, Stat)>, ZooKeeperError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..MAX_TRIES {
        match read_once(zookeeper, path).await {
            Err(error) if error.is_temporary() => zookeeper.sleep(pause).await,
            reply => return reply,
        }
        pause *= 2;
    }
    read_once(zookeeper, path).await
}

async fn read_once<Z: ZooKeeper>(
    zookeeper: &Z,
    path: &str,
) -> Result<Option<(Vec<u8>, Stat)>, ZooKeeperError> {
    zookeeper.sync(path).await?;
    match zookeeper.get(path).await {
        Ok(found) => Ok(Some(found)),
        Err(ZooKeeperError::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lists a node's children behind a sync, likewise. `None` means that the node does not exist.
///
/// # Errors
/// As [`read_behind_sync`].
pub async fn list_behind_sync<Z: ZooKeeper>(
    zookeeper: &Z,
    path: &str,
) -> Result<Option<Vec<String>>, ZooKeeperError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..MAX_TRIES {
        match list_once(zookeeper, path).await {
            Err(error) if error.is_temporary() => zookeeper.sleep(pause).await,
            reply => return reply,
        }
        pause *= 2;
    }
    list_once(zookeeper, path).await
}

async fn list_once<Z: ZooKeeper>(
    zookeeper: &Z,
    path: &str,
) -> Result<Option<Vec<String>>, ZooKeeperError> {
    zookeeper.sync(path).await?;
    match zookeeper.children(path).await {
        Ok((names, _)) => Ok(Some(names)),
        Err(ZooKeeperError::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}
