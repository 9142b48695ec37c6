use core::fmt;
use core::str::FromStr;

use distributedlog::Dlsn;

use distributedlog_store::StreamInfo;
use distributedlog_store::dlsn_text::{DlsnTextError, parse_dlsn};

/// Value of `--from`: the position at which reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// First record that the stream still has.
    Oldest,
    /// Last record of the stream, included, as the tutorial's reader does.
    Last,
    /// After the stream's last record: only records that are written from now on.
    Latest,
    /// First record at or after this DLSN.
    At(Dlsn),
}

impl Position {
    /// Returns the DLSN of this position in a stream. For an empty stream: the DLSN of its first
    /// record to come.
    #[must_use]
    pub(crate) fn in_stream(self, info: &StreamInfo) -> Dlsn {
        match self {
            Self::Oldest => info.first.unwrap_or(Dlsn::INITIAL),
            Self::Last => info.last.unwrap_or(Dlsn::INITIAL),
            Self::Latest => info.last.map_or(Dlsn::INITIAL, |last| last.slot(1)),
            Self::At(dlsn) => dlsn,
        }
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "oldest" | "earliest" => Ok(Self::Oldest),
            "last" => Ok(Self::Last),
            "latest" => Ok(Self::Latest),
            other => parse_dlsn(other).map(Self::At).map_err(PositionError),
        }
    }
}

/// Error of a text that is not a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PositionError(DlsnTextError);

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; or write oldest, last or latest", self.0)
    }
}

impl core::error::Error for PositionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_or_a_dlsn() {
        assert_eq!("oldest".parse(), Ok(Position::Oldest));
        assert_eq!("last".parse(), Ok(Position::Last));
        assert_eq!("latest".parse(), Ok(Position::Latest));
        assert_eq!("2,0,5".parse(), Ok(Position::At(Dlsn::new(2, 0, 5))));
        assert!("yesterday".parse::<Position>().is_err());
    }
}
