use core::net::SocketAddr;

use distributedlog::Dlsn;

use super::error::RequestError;

/// Who owns a stream, as [`ProxyClient::owner`](crate::ProxyClient::owner) learns it.
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

/// What a proxy said of itself in a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeReply {
    /// Which proxy.
    pub host: SocketAddr,
    /// 100: takes writes and new streams; 200: writes to the streams it owns; 300: down. [`None`]:
    /// it did not say.
    pub status: Option<i32>,
    /// How many streams it says that it owns, among those that match the stream name expression in
    /// the settings.
    pub streams: usize,
}

/// What became of an operation that goes to every known proxy.
#[derive(Debug)]
#[non_exhaustive]
pub struct HostReply<T> {
    /// Which proxy.
    pub host: SocketAddr,
    /// Its answer.
    pub result: Result<T, RequestError>,
}

/// What became of each record of a bulk write, in the order of the records.
pub type BulkReply = Vec<Result<Dlsn, RequestError>>;
