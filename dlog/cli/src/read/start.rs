use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::time::UNIX_EPOCH;

use distributedlog::Dlsn;
use distributedlog_reader::ReadFrom;
use distributedlog_store::dlsn_text::parse_dlsn;
use distributedlog_store::{StreamInfo, utc};

/// Value of `--from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The oldest record.
    Oldest,
    /// Records that are written from now on.
    End,
    /// The last record of each stream.
    Last,
    /// The record at this position.
    At(Dlsn),
    /// The first record at this time, in milliseconds since 1970, or later.
    Time(u64),
}

impl Start {
    /// Returns the start of reading in a stream.
    pub(super) fn in_stream(self, info: &StreamInfo) -> ReadFrom {
        match self {
            Self::Oldest => ReadFrom::Start,
            Self::End => ReadFrom::End,
            Self::Last => info.last.map_or(ReadFrom::Start, ReadFrom::Position),
            Self::At(dlsn) => ReadFrom::Position(dlsn),
            Self::Time(unix_ms) => {
                // No later than the year 10000, which any system's clock can express.
                let since = Duration::from_millis(unix_ms.min(253_402_300_799_999));
                ReadFrom::Time(UNIX_EPOCH + since)
            }
        }
    }
}

impl FromStr for Start {
    type Err = StartError;

    fn from_str(text: &str) -> Result<Self, StartError> {
        match text {
            "start" | "oldest" | "earliest" => return Ok(Self::Oldest),
            "end" | "latest" => return Ok(Self::End),
            "last" => return Ok(Self::Last),
            _ => {}
        }
        if let Some(unix_ms) = utc::parse(text) {
            return Ok(Self::Time(unix_ms));
        }
        let position = parse_dlsn(text).map(Self::At);
        position.map_err(|_| StartError(text.to_owned()))
    }
}

/// Error of a text that is no start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is neither start, end nor last, nor a position, as in 1,0,0, nor a time with its \
             zone, as in 2026-11-28T10:00:00Z (--since 2h: two hours ago)",
            self.0
        )
    }
}

impl core::error::Error for StartError {}
