use core::fmt;

use super::streams::split_list;

/// Maximum number of streams that one expression may name: a typing error such as `1-10000000` must
/// not create ten million streams.
pub(crate) const MAX_STREAMS: usize = 10_000;

/// Value of `-e`, which names streams: a range `3-7`, a list `3,5,9`, a name `orders`, or a list of
/// those. A comma that is part of a name is written `\,`.
///
/// Only digits make a range: `my-stream` is a name. A text that starts as a range and does not
/// continue as one (`3-`, `3-x`, `7-3`) is refused, because a typing error is likelier than such a
/// name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    suffixes: Vec<String>,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// [`ExpressionError`], which names the wrong part and a correct form.
    pub(crate) fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut suffixes = Vec::new();
        for part in split_list(text) {
            let part = part.trim();
            if part.is_empty() {
                return Err(ExpressionError::EmptyPart {
                    expression: text.to_owned(),
                });
            }
            push_part(part, &mut suffixes)?;
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = suffixes.iter().find(|suffix| !seen.insert(suffix.as_str())) {
            return Err(ExpressionError::Twice(twice.clone()));
        }
        Ok(Self { suffixes })
    }

    /// Returns the streams' names: `prefix` before each suffix, in the order of the expression.
    #[must_use]
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        self.suffixes
            .iter()
            .map(|suffix| format!("{prefix}{suffix}"))
            .collect()
    }
}

impl core::str::FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Appends the suffixes of one part of a list.
fn push_part(part: &str, suffixes: &mut Vec<String>) -> Result<(), ExpressionError> {
    let room = MAX_STREAMS - suffixes.len().min(MAX_STREAMS);
    let Some((first, last)) = split_range(part)? else {
        if room == 0 {
            return Err(ExpressionError::TooMany);
        }
        suffixes.push(part.to_owned());
        return Ok(());
    };
    if first > last {
        return Err(ExpressionError::Backwards { first, last });
    }
    if last - first >= room as u64 {
        return Err(ExpressionError::TooMany);
    }
    suffixes.extend((first..=last).map(|index| index.to_string()));
    Ok(())
}

/// Returns the two ends of a range, or `None` for a name.
fn split_range(part: &str) -> Result<Option<(u64, u64)>, ExpressionError> {
    let Some((first, last)) = part.split_once('-') else {
        return Ok(None);
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) {
        return Ok(None);
    }
    let (Ok(first), Ok(last), true) = (first.parse(), last.parse(), digits(last)) else {
        return Err(ExpressionError::BadRange {
            range: part.to_owned(),
        });
    };
    Ok(Some((first, last)))
}

/// Error of an invalid expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExpressionError {
    /// A part between commas is empty.
    EmptyPart {
        /// The whole expression.
        expression: String,
    },
    /// A part starts as a range and does not continue as one.
    BadRange {
        /// The part that looks like a range.
        range: String,
    },
    /// A range ends before it starts.
    Backwards {
        /// Start of the range.
        first: u64,
        /// End of the range.
        last: u64,
    },
    /// A stream is named more than once.
    Twice(String),
    /// The expression names more than [`MAX_STREAMS`] streams.
    TooMany,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyPart { expression } if expression.trim().is_empty() => {
                f.write_str("the expression is empty; write a range 3-7, a list 3,5,9 or a name")
            }
            Self::EmptyPart { expression } => write!(
                f,
                "'{expression}' has nothing between two commas; write a list as 3,5,9"
            ),
            Self::BadRange { range } => {
                write!(
                    f,
                    "'{range}' is not a range: both ends must be whole numbers, as in 3-7"
                )
            }
            Self::Backwards { first, last } => write!(
                f,
                "the range {first}-{last} runs backwards; did you mean {last}-{first}?"
            ),
            Self::Twice(suffix) => write!(
                f,
                "the expression names {suffix} more than once; name each stream once"
            ),
            Self::TooMany => write!(
                f,
                "the expression names more than {MAX_STREAMS} streams; use several commands"
            ),
        }
    }
}

impl core::error::Error for ExpressionError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        Expression::parse(text).expect(text).names("s-")
    }

    fn refused(text: &str) -> String {
        Expression::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn a_range_counts_from_its_first_to_its_last_number() {
        assert_eq!(names("3-7"), ["s-3", "s-4", "s-5", "s-6", "s-7"]);
        assert_eq!(names("9-11"), ["s-9", "s-10", "s-11"]);
        assert_eq!(names("5-5"), ["s-5"]);
    }

    #[test]
    fn a_list_names_each_of_its_parts_and_parts_may_be_ranges() {
        assert_eq!(names("1,4,9"), ["s-1", "s-4", "s-9"]);
        assert_eq!(names("1-2, x ,9"), ["s-1", "s-2", "s-x", "s-9"]);
    }

    #[test]
    fn a_stream_that_is_named_twice_is_refused() {
        assert!(refused("1-3,2,x").contains("names 2 more than once"));
        assert!(refused("x,x").contains("names x more than once"));
    }

    #[test]
    fn a_comma_may_be_part_of_a_name() {
        assert_eq!(names(r"a\,b,c"), ["s-a,b", "s-c"]);
    }

    #[test]
    fn a_name_may_contain_hyphens() {
        assert_eq!(names("orders"), ["s-orders"]);
        assert_eq!(names("basic-stream-3"), ["s-basic-stream-3"]);
    }

    #[test]
    fn a_range_that_runs_backwards_is_refused_with_the_likely_one() {
        assert_eq!(
            refused("7-3"),
            "the range 7-3 runs backwards; did you mean 3-7?"
        );
    }

    #[test]
    fn half_a_range_is_refused() {
        for text in ["3-", "-7", "3-x", "3-7-9", "3--7", "99999999999999999999-2"] {
            assert!(
                refused(text).contains("is not a range"),
                "{text}: {}",
                refused(text)
            );
        }
    }

    #[test]
    fn an_empty_part_is_refused() {
        assert!(refused("").contains("the expression is empty"));
        assert!(refused("1,,2").contains("'1,,2' has nothing between two commas"));
        assert!(refused("1,2,").contains("nothing between"));
    }

    #[test]
    fn a_typing_error_cannot_name_millions_of_streams() {
        assert_eq!(names("1-10000").len(), MAX_STREAMS);
        assert!(refused("1-10001").contains("more than 10000"));
        assert!(refused("0-18446744073709551615").contains("more than 10000"));
        assert!(refused("1-9999,a,b").contains("more than 10000"));
    }
}
