use core::fmt;
use core::str::FromStr;

use super::CliError;
use super::expression::Expression;
use distributedlog_store::StreamName;

/// Names of streams, separated by commas, as commands of the original take them. A comma that is
/// part of a name is written `\,`, and a backslash `\\`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamList(Vec<StreamName>);

impl StreamList {
    /// Returns the names, at least one, each once, in the order given.
    #[must_use]
    pub(crate) fn names(&self) -> &[StreamName] {
        &self.0
    }
}

impl FromStr for StreamList {
    type Err = StreamListError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut names: Vec<StreamName> = Vec::new();
        for part in split_list(text) {
            if part.is_empty() {
                return Err(StreamListError(
                    "a name is missing; write names as in basic-stream-3,basic-stream-4".to_owned(),
                ));
            }
            let name = parse_name(&part).map_err(StreamListError)?;
            if names.contains(&name) {
                return Err(StreamListError(format!(
                    "the stream {name} is named twice; name each once"
                )));
            }
            names.push(name);
        }
        Ok(Self(names))
    }
}

/// Splits a list at its commas, except those after a backslash, and removes the backslashes before
/// commas and backslashes.
#[must_use]
pub(crate) fn split_list(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let part = parts.last_mut().expect("there is at least one");
        match c {
            '\\' => part.push(rest.next_if(|c| matches!(c, ',' | '\\')).unwrap_or('\\')),
            ',' => parts.push(String::new()),
            _ => part.push(c),
        }
    }
    parts
}

/// Formats names as a list that commands take, quoted for a shell if it needs that.
#[must_use]
pub(crate) fn as_argument<'a>(names: impl IntoIterator<Item = &'a StreamName>) -> String {
    let escaped = |name: &StreamName| name.as_str().replace('\\', "\\\\").replace(',', "\\,");
    let names: Vec<String> = names.into_iter().map(escaped).collect();
    let list = names.join(",");
    let is_plain = |c: char| c.is_alphanumeric() || "-_./,:".contains(c);
    if list.chars().all(is_plain) {
        list
    } else {
        format!("'{}'", list.replace('\'', "'\\''"))
    }
}

/// Error of a text that is not a list of stream names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamListError(String);

impl fmt::Display for StreamListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for StreamListError {}

/// Streams that a command of the tool works on: by name, or by prefix and expression as they were
/// created.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StreamSelection {
    /// The streams, separated by commas; a comma in a name is written \,
    #[arg(
        short,
        long,
        value_name = "STREAM[,STREAM]",
        conflicts_with_all = ["prefix", "expression"]
    )]
    pub(crate) stream: Option<StreamList>,

    /// The prefix of the streams' names
    #[arg(short = 'r', long, value_name = "PREFIX", requires = "expression")]
    pub(crate) prefix: Option<String>,

    /// The rest of the names: a range 3-7, a list 3,5,9, or a name, in which a comma is written \,
    #[arg(short, long, value_name = "EXPRESSION")]
    pub(crate) expression: Option<Expression>,
}

impl StreamSelection {
    /// Returns the selected streams, at least one.
    ///
    /// # Errors
    /// No stream is named, or a name is invalid.
    pub(crate) fn names(&self) -> Result<Vec<StreamName>, CliError> {
        if let Some(list) = &self.stream {
            return Ok(list.0.clone());
        }
        let Some(expression) = &self.expression else {
            return Err(CliError::usage("the command names no stream").tip(
                "name streams with -s STREAM, or with -r PREFIX -e 3-7 as they were created",
            ));
        };
        expand(self.prefix.as_deref().unwrap_or(""), expression)
    }
}

/// Returns the streams that a prefix and an expression name.
///
/// # Errors
/// One of the names is invalid.
pub(crate) fn expand(prefix: &str, expression: &Expression) -> Result<Vec<StreamName>, CliError> {
    let names = expression.names(prefix);
    names
        .iter()
        .map(|name| parse_name(name).map_err(CliError::usage))
        .collect()
}

/// Parses the name of a stream.
///
/// # Errors
/// The name is invalid; the message says why.
pub(crate) fn parse_name(text: &str) -> Result<StreamName, String> {
    let shown: String = text.chars().take(64).collect();
    StreamName::new(text).map_err(|error| format!("\"{shown}\" is not a stream name: {error}"))
}

/// Formats names as Java prints a list: `[a, b]`.
#[must_use]
pub(crate) fn bracketed(names: &[StreamName]) -> String {
    let names: Vec<&str> = names.iter().map(StreamName::as_str).collect();
    format!("[{}]", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_streams_is_read_as_the_original_reads_it() {
        let list: StreamList = "basic-stream-3,/basic-stream-4".parse().expect("two names");
        assert_eq!(bracketed(list.names()), "[basic-stream-3, basic-stream-4]");
    }

    #[test]
    fn a_stream_with_any_name_can_be_named_in_a_list_and_tips_name_it_so() {
        for (text, names, argument) in [
            (r"a\,b,c", &["a,b", "c"][..], r"'a\,b,c'"),
            (r"a\\,b", &[r"a\", "b"], r"'a\\,b'"),
            (r"a\b", &[r"a\b"], r"'a\\b'"),
            ("it's", &["it's"], r"'it'\''s'"),
            ("a,b/c", &["a", "b/c"], "a,b/c"),
        ] {
            let list: StreamList = text.parse().expect(text);
            let found: Vec<&str> = list.names().iter().map(StreamName::as_str).collect();
            assert_eq!((&*found, &*as_argument(list.names())), (names, argument));
            let typed = argument.trim_matches('\'').replace("'\\''", "'");
            assert_eq!(typed.parse().as_ref(), Ok(&list), "{argument}");
        }
    }

    #[test]
    fn an_invalid_name_is_refused_with_the_name() {
        for (text, said) in [
            ("", "a name is missing"),
            ("a,,b", "a name is missing"),
            ("a,b c", "\"b c\""),
            ("a,b,a", "a is named twice"),
            ("a,/a", "a is named twice"),
        ] {
            let message = text.parse::<StreamList>().expect_err(text).to_string();
            assert!(message.contains(said), "{text}: {message}");
        }
    }
}
