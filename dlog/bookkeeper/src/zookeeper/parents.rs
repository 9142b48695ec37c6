use super::{Access, CreateMode, ZooKeeper, ZooKeeperError};

/// Maximum passes over the parents. One is enough unless replies are lost.
const MAX_PASSES: u32 = 4;

/// Creates a node, and before it the persistent, empty parents that are missing.
///
/// Parents that another client creates at the same time are taken as they are. The result is that
/// of the node itself.
///
/// # Errors
/// As [`ZooKeeper::create`]. Parents that were created stay.
pub async fn create_with_parents<Z: ZooKeeper>(
    zookeeper: &Z,
    path: &str,
    data: &[u8],
    mode: CreateMode,
    access: Access,
) -> Result<String, ZooKeeperError> {
    for _ in 0..MAX_PASSES {
        // Optimistic: mostly the parents are there.
        match zookeeper.create(path, data, mode, access).await {
            Err(ZooKeeperError::NoNode) => {}
            reply => return reply,
        }
        // Bounded: once for each level of the path.
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end > 0) {
            let parent = &path[..end];
            let reply = zookeeper
                .create(parent, b"", CreateMode::Persistent, access)
                .await;
            match reply {
                Ok(_) | Err(ZooKeeperError::NodeExists | ZooKeeperError::Lost) => {}
                // The parent above was not created after all: its reply was lost.
                Err(ZooKeeperError::NoNode) => break,
                Err(error) => return Err(error),
            }
        }
    }
    zookeeper.create(path, data, mode, access).await
}
