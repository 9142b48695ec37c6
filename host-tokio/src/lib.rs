//! DistributedLog's multi stream writer and write proxy client on tokio.
