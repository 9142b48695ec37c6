use core::fmt;

/// Reply of a bookie to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The request was carried out; an added entry is durable.
    Ok,
    /// The bookie has nothing of the ledger.
    NoLedger,
    /// The bookie has the ledger and not the entry.
    NoEntry,
    /// The request is malformed, or asks for something that the bookie does not offer.
    BadRequest,
    /// The bookie's disk failed, or the entry on it is damaged.
    Io,
    /// The master key is another ledger's, or the connection is not authenticated.
    Unauthorized,
    /// The protocol's version in the header is not 3.
    BadVersion,
    /// The ledger is fenced: a recovery has begun, and its writer must stop.
    Fenced,
    /// The bookie takes no new entries: its disk is full, or an operator decided so.
    ReadOnly,
    /// The bookie is overloaded.
    TooManyRequests,
    /// The bookie lost entries and cannot know whether it had this one.
    UnknownLedgerState,
    /// A status of a newer bookie.
    Other(i32),
}

impl Status {
    /// Returns the status of a number of the protocol.
    #[must_use]
    pub const fn from_code(code: i32) -> Self {
        match code {
            0 => Self::Ok,
            402 => Self::NoLedger,
            403 => Self::NoEntry,
            404 => Self::BadRequest,
            501 => Self::Io,
            502 => Self::Unauthorized,
            503 => Self::BadVersion,
            504 => Self::Fenced,
            505 => Self::ReadOnly,
            506 => Self::TooManyRequests,
            507 => Self::UnknownLedgerState,
            other => Self::Other(other),
        }
    }

    /// Returns the protocol's number.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Ok => 0,
            Self::NoLedger => 402,
            Self::NoEntry => 403,
            Self::BadRequest => 404,
            Self::Io => 501,
            Self::Unauthorized => 502,
            Self::BadVersion => 503,
            Self::Fenced => 504,
            Self::ReadOnly => 505,
            Self::TooManyRequests => 506,
            Self::UnknownLedgerState => 507,
            Self::Other(code) => code,
        }
    }

    /// Returns the worse of two statuses of one reply: [`Ok`](Self::Ok) only if both are.
    #[must_use]
    pub const fn worse(self, other: Self) -> Self {
        if matches!(self, Self::Ok) {
            other
        } else {
            self
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Ok => "EOK",
            Self::NoLedger => "ENOLEDGER",
            Self::NoEntry => "ENOENTRY",
            Self::BadRequest => "EBADREQ",
            Self::Io => "EIO",
            Self::Unauthorized => "EUA",
            Self::BadVersion => "EBADVERSION",
            Self::Fenced => "EFENCED",
            Self::ReadOnly => "EREADONLY",
            Self::TooManyRequests => "ETOOMANYREQUESTS",
            Self::UnknownLedgerState => "EUNKNOWNLEDGERSTATE",
            Self::Other(code) => return write!(f, "status {code}"),
        };
        write!(f, "{name} ({})", self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn every_number_is_its_own_status() {
        for code in -1..600 {
            assert_eq!(Status::from_code(code).code(), code);
        }
    }
}
