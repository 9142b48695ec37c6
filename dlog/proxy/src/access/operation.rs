use core::fmt;

/// What a client may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// Read records, and what is known of streams and of the proxy.
    Read,
    /// Append records.
    Write,
    /// Create streams.
    Create,
    /// Delete and truncate streams, set their retention, give up their ownership, set whether the
    /// proxy accepts further streams, and inject faults.
    Admin,
}

impl Operation {
    pub(crate) const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Create, Self::Admin];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Create => "create",
            Self::Admin => "admin",
        }
    }

    /// Returns the operation as a verb with its object, for messages.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write to",
            Self::Create => "create",
            Self::Admin => "administer",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Operations(u8);

impl Operations {
    pub(crate) const ALL: Self = Self(0b1111);

    pub(crate) const fn with(self, operation: Operation) -> Self {
        Self(self.0 | 1 << operation as u8)
    }

    pub(crate) const fn without(self, operation: Operation) -> Self {
        Self(self.0 & !(1 << operation as u8))
    }

    pub(crate) const fn has(self, operation: Operation) -> bool {
        self.0 & 1 << operation as u8 != 0
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What an operation concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// A stream, by its name without the leading `/` that is dropped.
    Stream(&'a str),
    /// No stream in particular, such as the list of streams: allowed to a client that may do it
    /// with any stream.
    AnyStream,
    /// The proxy or the namespace as a whole: allowed to a client that may do it with all streams.
    Whole,
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Quoted as a literal: the name is the client's.
            Self::Stream(stream) => write!(f, "stream {stream:?}"),
            Self::AnyStream => f.write_str("any stream"),
            Self::Whole => f.write_str("the proxy and all streams"),
        }
    }
}
