use core::fmt;
use core::str::FromStr;

use super::CliError;
use super::expression::Expression;
use distributedlog_store::StreamName;

/// Names of streams, separated by commas, as commands of the original take them.
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
        for part in text.split(',') {
            if part.is_empty() {
                return Err(StreamListError(
                    "a name is missing; write names as in basic-stream-3,basic-stream-4".to_owned(),
                ));
            }
            let name = parse_name(part).map_err(StreamListError)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self(names))
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
    /// The streams, separated by commas
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

    /// The rest of the names: a range 3-7, a list 3,5,9, or a name
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
        let list: StreamList = "basic-stream-3,/basic-stream-4,basic-stream-3"
            .parse()
            .expect("three names, two streams");
        assert_eq!(bracketed(list.names()), "[basic-stream-3, basic-stream-4]");
    }

    #[test]
    fn an_invalid_name_is_refused_with_the_name() {
        for (text, said) in [
            ("", "a name is missing"),
            ("a,,b", "a name is missing"),
            ("a,b c", "\"b c\""),
        ] {
            let message = text.parse::<StreamList>().expect_err(text).to_string();
            assert!(message.contains(said), "{text}: {message}");
        }
    }
}
