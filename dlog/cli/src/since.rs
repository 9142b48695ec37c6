use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use super::duration;
use distributedlog_store::utc;

/// Time of a record's writing: so long ago, or at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// This long before now.
    Ago(Duration),
    /// At this time in milliseconds since 1970.
    At(u64),
}

impl Since {
    /// Returns the time in milliseconds since 1970.
    pub(crate) fn unix_ms(self) -> u64 {
        match self {
            Self::At(unix_ms) => unix_ms,
            Self::Ago(ago) => {
                // A clock before 1970 counts as 1970, as the store counts it.
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let time = now.unwrap_or_default().saturating_sub(ago);
                u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
            }
        }
    }
}

impl FromStr for Since {
    type Err = SinceError;

    fn from_str(text: &str) -> Result<Self, SinceError> {
        match (utc::parse(text), duration::parse(text)) {
            (Some(unix_ms), _) => Ok(Self::At(unix_ms)),
            (None, Ok(ago)) => Ok(Self::Ago(ago)),
            (None, Err(_)) => Err(SinceError(text.to_owned())),
        }
    }
}

/// Error of a text that is neither a time nor a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SinceError(String);

impl fmt::Display for SinceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not a time; write how long ago, as in 30m, 2h or 7d, or a time with its zone, \
             as in 2026-11-28T10:00:00Z",
            self.0
        )
    }
}

impl core::error::Error for SinceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_given_by_its_distance_or_its_date() {
        assert_eq!("2h".parse(), Ok(Since::Ago(Duration::from_secs(7200))));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(Since::At(1000)));
        let error = "yesterday".parse::<Since>().unwrap_err().to_string();
        assert!(error.starts_with("'yesterday' is not a time; "), "{error}");
        assert!(Since::Ago(Duration::ZERO).unix_ms() > 1_700_000_000_000);
    }
}
