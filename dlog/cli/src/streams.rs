use core::fmt;
use core::str::FromStr;

use super::Fault;
use super::expression::Expression;
use distributedlog_store::StreamName;

/// Names of streams, separated by commas: what commands of the original take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamList(Vec<StreamName>);

impl StreamList {
    /// The names, at least one, each once, in the order given.
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

/// Why a text is no list of stream names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamListError(String);

impl fmt::Display for StreamListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for StreamListError {}

/// Which streams a tool's command is about: by name, or by prefix and expression as they were
/// created.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Which {
    /// The streams, separated by commas
    #[arg(short, long, value_name = "STREAM[,STREAM]", conflicts_with_all = ["prefix", "expression"])]
    pub(crate) stream: Option<StreamList>,

    /// What the streams' names begin with
    #[arg(short = 'r', long, value_name = "PREFIX", requires = "expression")]
    pub(crate) prefix: Option<String>,

    /// How they go on: a range 3-7, a list 3,5,9, or a name
    #[arg(short, long, value_name = "EXPRESSION")]
    pub(crate) expression: Option<Expression>,
}

impl Which {
    /// The streams that are meant, at least one.
    ///
    /// # Errors
    /// None is named, or a name is none.
    pub(crate) fn names(&self) -> Result<Vec<StreamName>, Fault> {
        if let Some(list) = &self.stream {
            return Ok(list.0.clone());
        }
        let Some(expression) = &self.expression else {
            return Err(Fault::usage("no stream is named").tip(
                "name it with -s STREAM, or several as they were created with -r PREFIX -e 3-7",
            ));
        };
        expand(self.prefix.as_deref().unwrap_or(""), expression)
    }
}

/// The names that a prefix and an expression stand for.
///
/// # Errors
/// One of them is no stream's name.
pub(crate) fn expand(prefix: &str, expression: &Expression) -> Result<Vec<StreamName>, Fault> {
    let names = expression.names(prefix);
    names
        .iter()
        .map(|name| parse_name(name).map_err(Fault::usage))
        .collect()
}

/// Reads one name.
///
/// # Errors
/// Which text is no name, and what is wrong with it.
pub(crate) fn parse_name(text: &str) -> Result<StreamName, String> {
    let shown: String = text.chars().take(64).collect();
    StreamName::new(text).map_err(|error| format!("\"{shown}\" is no stream's name: {error}"))
}

/// Names as Java prints a list: `[a, b]`.
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
    fn what_is_no_name_is_refused_by_name() {
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
