use core::net::SocketAddr;

use distributedlog::Dlsn;

use crate::error::RequestError;

/// Owner of a stream, returned by [`ProxyClient::owner`](crate::ProxyClient::owner).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Owner {
    /// The owner's host name or address, as it calls itself.
    pub host: Box<str>,
    /// The port it serves at.
    pub port: u16,
    /// Its shard id; negative when it has none.
    pub shard: i32,
}

/// A proxy's reply to a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeReply {
    /// Address of the proxy.
    pub host: SocketAddr,
    /// 100: takes writes and new streams; 200: writes to the streams it owns; 300: down. `None` if
    /// it gave no status.
    pub status: Option<i32>,
    /// Number of streams that it owns, among those that match the stream name expression in the
    /// settings.
    pub streams: usize,
    /// Name of the failure domain of the storage of its streams, if it gave one: a stall of one of
    /// them is a stall of those of all proxies with the same name.
    pub failure_domain: Option<Box<str>>,
}

/// One proxy's result of an operation that goes to every known proxy.
#[derive(Debug)]
#[non_exhaustive]
pub struct HostReply<T> {
    /// Address of the proxy.
    pub host: SocketAddr,
    /// Its reply.
    pub result: Result<T, RequestError>,
}

/// Result of each record of a bulk write, in the order of the records.
pub type BulkReply = Vec<Result<Dlsn, RequestError>>;
