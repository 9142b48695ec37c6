//! Formats times.

use jiff::Timestamp;

/// Formats a time in milliseconds since 1970 as `2026-11-23 15:58:24 UTC`. A number outside the
/// calendar is formatted as `… ms since 1970`.
pub fn text(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms)
        .ok()
        .and_then(|unix_ms| Timestamp::from_millisecond(unix_ms).ok());
    // Years beyond 9999 are not in the calendar.
    time.map_or_else(
        || format!("{unix_ms} ms since 1970"),
        |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// Formats a time in milliseconds since 1970 as RFC 3339 writes it, such as
/// `2026-11-23T15:58:24.007Z`. A number outside the calendar is that of 1970.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms)
        .ok()
        .and_then(|unix_ms| Timestamp::from_millisecond(unix_ms).ok());
    let time = time.unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Parses a time as RFC 3339 writes it, such as `2026-11-28T10:00:00Z`. Returns milliseconds since
/// 1970, or `None` if the text is no such time or one before 1970.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::{parse, rfc3339, text};

    #[test]
    fn times_are_read_in_any_zone_and_need_one() {
        for (text, expected) in [
            ("2026-11-28T10:00:00Z", Some(1_795_860_000_000)),
            ("2026-11-28T11:00:00.250+01:00", Some(1_795_860_000_250)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-11-28T10:00:00", None),
            ("2026-11-28", None),
            ("1,0,0", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn times_are_formatted_in_utc_on_both_sides_of_leap_days() {
        for (unix_s, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_795_449_504, "2026-11-23 15:58:24 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(text(unix_s * 1000 + 7), expected);
        }
        assert_eq!(rfc3339(1_795_449_504_007), "2026-11-23T15:58:24.007Z");
        assert_eq!(rfc3339(u64::MAX), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(u64::MAX), "18446744073709551615 ms since 1970");
    }
}
