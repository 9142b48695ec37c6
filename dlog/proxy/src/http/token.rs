use core::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, StatusCode as Http, header};

use super::problem::Problem;

/// The fewest characters of a token: fewer could be guessed.
const MIN_CHARS: usize = 16;
/// The most: a header holds it.
const MAX_CHARS: usize = 4096;

/// What HTTP clients must know: `Authorization: Bearer TOKEN`.
#[derive(Clone)]
pub struct HttpToken(Box<str>);

impl HttpToken {
    /// The token with this text, of 16 to 4,096 printable ASCII characters without blanks.
    ///
    /// # Errors
    ///
    /// The text is shorter, longer, or has other characters.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if !(MIN_CHARS..=MAX_CHARS).contains(&text.len()) {
            return Err("a token has 16 to 4096 characters");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token has printable ASCII characters only, and no blanks");
        }
        Ok(Self(text.into()))
    }

    /// The token that a file holds, and nothing else but a line's end.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or what it holds is no token.
    pub fn from_file(path: &Path) -> Result<Self, HttpTokenError> {
        let refuse = |detail: &dyn fmt::Display| HttpTokenError {
            path: path.to_owned(),
            detail: detail.to_string(),
        };
        let text = fs::read_to_string(path).map_err(|error| refuse(&error))?;
        Self::new(text.trim_end()).map_err(|error| refuse(&error))
    }

    /// Whether the request has it. How long that takes says nothing of how much of it was right.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let given = headers
            .get(header::AUTHORIZATION)
            .map(|value| value.as_bytes());
        let Some(given) = given else {
            return Err(Problem::new(
                Http::UNAUTHORIZED,
                "UNAUTHORIZED",
                "this proxy wants a token: authorization: Bearer TOKEN",
            ));
        };
        let token = given
            .split_at_checked("Bearer ".len())
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
            .map(|(_, token)| token);
        let same = token.is_some_and(|token| {
            let wanted = self.0.as_bytes();
            let differing = wanted
                .iter()
                .zip(token)
                .fold(0, |sum, (wanted, given)| sum | (wanted ^ given));
            wanted.len() == token.len() && core::hint::black_box(differing) == 0
        });
        if same {
            Ok(())
        } else {
            Err(Problem::new(
                Http::UNAUTHORIZED,
                "UNAUTHORIZED",
                "the token is not the one that this proxy was given",
            ))
        }
    }
}

impl fmt::Debug for HttpToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It stays out of logs.
        f.write_str("HttpToken")
    }
}

/// A file that holds no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTokenError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub detail: String,
}

impl fmt::Display for HttpTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no token in {}: {}", self.path.display(), self.detail)
    }
}

impl core::error::Error for HttpTokenError {}
