use core::fmt::Display;
use core::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::problem::Problem;
use crate::machine::{MAX_QUOTE_CHARS, shorten};

/// Parameters of a route, made from a request's query.
pub(super) trait FromQuery: Sized {
    /// Names of all parameters, in the order of the documentation.
    const NAMES: &'static [&'static str];

    /// Parses the parameters.
    ///
    /// # Errors
    ///
    /// A parameter is missing, or its value cannot be used.
    fn from_query(query: &QueryPairs) -> Result<Self, Problem>;
}

/// Names and values of a query, decoded; each name is one of the route's, and there once.
pub(super) struct QueryPairs(Vec<(String, String)>);

impl QueryPairs {
    /// Returns the value of a parameter, if it is there.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let mut pairs = self.0.iter();
        pairs
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.clone())
    }

    /// Returns the value of a parameter that must be there.
    ///
    /// # Errors
    ///
    /// It is not; `example` shows what to write.
    pub(super) fn required(&self, name: &str, example: &str) -> Result<String, Problem> {
        self.text(name).ok_or_else(|| {
            Problem::bad_request(format!(
                "{name}: this parameter is required; write {example}"
            ))
        })
    }

    /// Parses the value of a parameter, if it is there; `right` says what a right value is.
    ///
    /// # Errors
    ///
    /// It is there, and cannot be parsed.
    pub(super) fn parse<T: FromStr>(
        &self,
        name: &str,
        right: impl Display,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            let text = shorten(&text, MAX_QUOTE_CHARS);
            Problem::bad_request(format!("{name}: {text:?} is not {right}"))
        })
    }

    fn new(pairs: Vec<(String, String)>, names: &[&str]) -> Result<Self, Problem> {
        for (index, (name, _)) in pairs.iter().enumerate() {
            let quoted = shorten(name, MAX_QUOTE_CHARS);
            if names.is_empty() {
                let detail = format!("{quoted}: this path has no parameters");
                return Err(Problem::bad_request(detail));
            }
            if !names.contains(&name.as_str()) {
                let names = names.join(", ");
                let detail = format!("{quoted}: no such parameter; this path has {names}");
                return Err(Problem::bad_request(detail));
            }
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                let detail = format!("{quoted}: this parameter is there twice; write it once");
                return Err(Problem::bad_request(detail));
            }
        }
        Ok(Self(pairs))
    }
}

/// Query of a request. Unknown parameters are refused: they are mistyped.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: FromQuery, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Pairs of texts are made of every query.
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::bad_request("the query is not of the form name=value&…"))?;
        T::from_query(&QueryPairs::new(pairs, T::NAMES)?).map(Self)
    }
}
