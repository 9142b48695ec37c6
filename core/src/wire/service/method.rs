use core::fmt;

/// A method of DistributedLogService.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Returns the streams that the proxy owns, and if it takes more.
    Handshake,
    /// Like `handshake`, for streams that match a pattern.
    HandshakeWithClientInfo,
    /// Checks a stream's writer. Superseded by
    /// [`HeartbeatWithOptions`](Self::HeartbeatWithOptions).
    Heartbeat,
    /// Checks a stream's writer, and lets readers know on request.
    HeartbeatWithOptions,
    /// Writes one record. Superseded by [`WriteWithContext`](Self::WriteWithContext).
    Write,
    /// Writes one record or one record set.
    WriteWithContext,
    /// Writes several records, each with its own result.
    WriteBulkWithContext,
    /// Discards the records before a position.
    Truncate,
    /// Releases a stream, so that another proxy may own it.
    Release,
    /// Creates a stream.
    Create,
    /// Deletes a stream.
    Delete,
    /// Returns a stream's owner.
    GetOwner,
    /// Sets if the proxy takes streams that it does not own yet.
    SetAcceptNewStream,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Handshake,
        Self::HandshakeWithClientInfo,
        Self::Heartbeat,
        Self::HeartbeatWithOptions,
        Self::Write,
        Self::WriteWithContext,
        Self::WriteBulkWithContext,
        Self::Truncate,
        Self::Release,
        Self::Create,
        Self::Delete,
        Self::GetOwner,
        Self::SetAcceptNewStream,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::HandshakeWithClientInfo => "handshakeWithClientInfo",
            Self::Heartbeat => "heartbeat",
            Self::HeartbeatWithOptions => "heartbeatWithOptions",
            Self::Write => "write",
            Self::WriteWithContext => "writeWithContext",
            Self::WriteBulkWithContext => "writeBulkWithContext",
            Self::Truncate => "truncate",
            Self::Release => "release",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::GetOwner => "getOwner",
            Self::SetAcceptNewStream => "setAcceptNewStream",
        }
    }

    /// The method with this name on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
