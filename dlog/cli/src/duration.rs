use core::fmt;
use core::time::Duration;

/// Parses a duration with its unit: `250us`, `2ms`, `1.5s`, `5m`, `2h`, `7d`. Zero needs no unit.
///
/// # Errors
/// [`DurationError`] when the number or the unit is missing or unknown, or the duration is above a
/// year. A number without a unit is refused because its unit would be a guess.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let refuse = || DurationError {
        text: text.to_owned(),
    };
    let split = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| refuse())?;
    let micros_per_unit = match unit.trim() {
        "us" | "µs" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" | "min" => 6e7,
        "h" => 3.6e9,
        "d" | "days" => 8.64e10,
        "" if number == 0.0 => 1.0,
        _ => return Err(refuse()),
    };
    let micros = number * micros_per_unit;
    // A year, 3.2e13 us, is more than any setting needs, and far below 2^53 us, up to which f64
    // counts microseconds exactly.
    if micros > 365.0 * 24.0 * 3600.0 * 1e6 {
        return Err(refuse());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between zero and a year, and whole after rounding"
    )]
    Ok(Duration::from_micros(micros.round() as u64))
}

/// Returns the text that [`parse`] reads as this duration, in the largest unit of which it is a
/// multiple: `7d` rather than `604800s`.
pub(crate) fn text(length: Duration) -> String {
    const UNITS: [(u128, &str); 6] = [
        (86_400_000_000, "d"),
        (3_600_000_000, "h"),
        (60_000_000, "m"),
        (1_000_000, "s"),
        (1_000, "ms"),
        (1, "us"),
    ];
    let micros = length.as_micros();
    let fits = |unit: &&(u128, &str)| micros >= unit.0 && micros.is_multiple_of(unit.0);
    UNITS.iter().find(fits).map_or_else(
        || "0s".to_owned(),
        |(unit, name)| format!("{}{name}", micros / unit),
    )
}

/// Error of a text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DurationError {
    text: String,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit()) {
            return write!(f, "'{0}' has no unit; write {0}ms or {0}s", self.text);
        }
        write!(
            f,
            "'{}' is not a duration; write a number with its unit (us, ms, s, m, h, d), as in 50ms \
             or 10s",
            self.text
        )
    }
}

impl core::error::Error for DurationError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, micros) in [
            ("250us", 250),
            ("2ms", 2_000),
            ("10s", 10_000_000),
            ("1.5s", 1_500_000),
            ("5m", 300_000_000),
            ("2h", 7_200_000_000),
            ("7d", 604_800_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_is_typed() {
        for shown in [
            "250us", "2ms", "1500ms", "90s", "5m", "36h", "7d", "100d", "0s",
        ] {
            assert_eq!(parse(shown).map(text).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_both_readings() {
        assert_eq!(
            parse("500").unwrap_err().to_string(),
            "'500' has no unit; write 500ms or 500s"
        );
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in [
            "",
            "s",
            "-1s",
            "1h2",
            "..s",
            "1e9s",
            "99999999999s",
            "10 parsecs",
            "nan",
            "infs",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
