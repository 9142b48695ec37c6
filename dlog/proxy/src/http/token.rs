use core::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// Minimum length of a token: shorter ones could be guessed.
const MIN_CHARS: usize = 16;
/// Maximum length of a token, which must fit into a header.
const MAX_CHARS: usize = 4096;

/// Token that HTTP clients must send: `Authorization: Bearer TOKEN`. Clones share it, also when it
/// is [replaced](Self::reload_file).
#[derive(Clone)]
pub struct HttpToken(Arc<RwLock<Box<str>>>);

impl HttpToken {
    /// Returns the token with this text, of 16 to 4,096 printable ASCII characters without blanks.
    ///
    /// # Errors
    ///
    /// The text is shorter, longer, or contains other characters.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if !(MIN_CHARS..=MAX_CHARS).contains(&text.len()) {
            return Err("a token has 16 to 4096 characters");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token consists of printable ASCII characters without blanks");
        }
        Ok(Self(Arc::new(RwLock::new(text.into()))))
    }

    /// Reads the token from a file, which contains nothing else but an end of line.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or its content is not a token.
    pub fn from_file(path: &Path) -> Result<Self, HttpTokenError> {
        let refuse = |detail: &dyn fmt::Display| HttpTokenError {
            path: path.to_owned(),
            detail: detail.to_string(),
        };
        let text = fs::read_to_string(path).map_err(|error| refuse(&error))?;
        Self::new(text.trim_end()).map_err(|error| refuse(&error))
    }

    /// Reads another token from a file. Requests that come from now on need that one, also at a
    /// running proxy that has a clone of this value.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file). Nothing has changed then.
    pub fn reload_file(&self, path: &Path) -> Result<(), HttpTokenError> {
        let text = Self::from_file(path)?.text();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = text;
        Ok(())
    }

    fn text(&self) -> Box<str> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns true if a request's token is this one. The time that this takes does not depend on
    /// how much of it was right.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let wanted = self.text();
        let wanted = wanted.as_bytes();
        let differing = wanted
            .iter()
            .zip(given)
            .fold(0, |sum, (wanted, given)| sum | (wanted ^ given));
        wanted.len() == given.len() && core::hint::black_box(differing) == 0
    }
}

impl fmt::Debug for HttpToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token must not get into logs.
        f.write_str("HttpToken")
    }
}

/// Error of a file that does not contain a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTokenError {
    /// The file.
    pub path: PathBuf,
    /// Description of the error.
    pub detail: String,
}

impl fmt::Display for HttpTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no token in {}: {}", self.path.display(), self.detail)
    }
}

impl core::error::Error for HttpTokenError {}
