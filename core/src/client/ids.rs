use core::fmt;

/// One request of a [`Client`](super::routing::Client), from `submit` to `Complete`. Never used
/// twice by the same client, until its 2³² generations of one slot are spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    index: u32,
    generation: u32,
}

impl RequestId {
    /// Returns the id with these parts, for adapters that use a
    /// [`Session`](super::session::Session) without a routing client and number their requests
    /// themselves.
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// Returns the slot's index: below `REQUESTS` for submitted requests, `REQUESTS` + the host's
    /// index for the client's own handshakes. An adapter may keep its state of a request in an
    /// array at this index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// Returns the slot's generation, which distinguishes requests that use the slot one after the
    /// other.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}.{}", self.index, self.generation)
    }
}

/// One host that a [`Client`](super::routing::Client) knows, from when it became known until it is
/// forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostId {
    index: u16,
    generation: u16,
}

impl HostId {
    /// The id with these parts.
    #[must_use]
    pub const fn new(index: u16, generation: u16) -> Self {
        Self { index, generation }
    }

    /// Returns the slot's index, below `HOSTS`. An adapter may keep the host's connection in an
    /// array at this index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// Returns the slot's generation, which distinguishes hosts that use the slot one after the
    /// other.
    #[must_use]
    pub const fn generation(self) -> u16 {
        self.generation
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}.{}", self.index, self.generation)
    }
}
