use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use distributedlog::Dlsn;

use crate::position::{Mark, Place};
use crate::stream_position::StreamPosition;

/// Start of reading in a stream without a saved position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadFrom {
    /// The oldest record that the stream still has.
    #[default]
    Start,
    /// Only records that are written from now on.
    End,
    /// The first record that was written at this time or later, by the clock of the store. A time
    /// before 1970 counts as 1970.
    Time(SystemTime),
    /// The record at this position, included.
    Position(Dlsn),
}

impl ReadFrom {
    pub(crate) fn mark(self) -> Mark {
        Mark::From(match self {
            Self::Start => Place::Text("start".into()),
            Self::End => Place::Text("end".into()),
            Self::Time(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                Place::Text(rfc3339(since).into())
            }
            Self::Position(dlsn) => Place::At(StreamPosition {
                dlsn,
                created_unix_ms: None,
            }),
        })
    }
}

/// Formats a time since 1970 as `2026-11-28T10:00:00.000Z`, which is how the proxy reads times. The
/// last second of 9999 is the last time of that form.
fn rfc3339(since: Duration) -> String {
    const SECONDS_OF_DAY: u64 = 86_400;
    const LAST_SECOND: u64 = 253_402_300_799;
    let seconds = since.as_secs().min(LAST_SECOND);
    let (year, month, day) = civil(seconds / SECONDS_OF_DAY);
    let of_day = seconds % SECONDS_OF_DAY;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let millis = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Returns the date of a day, counted from 1970-01-01. Years are counted from March here, so that
/// the leap day is the last of its year.
const fn civil(day: u64) -> (u64, u64, u64) {
    /// Days from 0000-03-01 to 1970-01-01.
    const TO_1970: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let day = day + TO_1970;
    let (era, of_era) = (day / DAYS_OF_400_YEARS, day % DAYS_OF_400_YEARS);
    // Less the leap days before it: one in 4 years (1,460 + 1 days), none in 100, one in 400.
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // 153 days are five months from March on.
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + (month <= 2) as u64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_on_both_sides_of_leap_days() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_709_251_199, "2024-02-29T23:59:59.007Z"),
            (1_795_449_504, "2026-11-23T15:58:24.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
            (u64::MAX / 4, "9999-12-31T23:59:59.007Z"),
        ] {
            let since = Duration::from_secs(seconds) + Duration::from_millis(7);
            assert_eq!(rfc3339(since), expected);
        }
    }
}
