//! Names of streams.

use core::borrow::Borrow;
use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use distributedlog::stream_name::{self, StreamNameError};

use crate::StoreError;

/// Maximum length of the name of a stream that is created, in bytes.
pub const MAX_STREAM_NAME_BYTES: usize = 1024;

/// Valid name of a stream. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// Creates a name from its text. Removes one leading `/`.
    ///
    /// # Errors
    ///
    /// [`StreamNameError`] names the rule for names that the text breaks, and the position.
    pub fn new(text: &str) -> Result<Self, StreamNameError> {
        stream_name::validate(text).map(|name| Self(name.into()))
    }

    /// Checks the length of the name of a stream that is to be created.
    ///
    /// # Errors
    ///
    /// [`StoreError::InvalidSetting`] if it is longer than [`MAX_STREAM_NAME_BYTES`].
    pub fn check_length(&self) -> Result<(), StoreError> {
        let length = self.0.len();
        if length <= MAX_STREAM_NAME_BYTES {
            return Ok(());
        }
        Err(StoreError::InvalidSetting {
            setting: "the stream's name".to_owned(),
            value: format!("{length} bytes long"),
            range: format!("at most {MAX_STREAM_NAME_BYTES} bytes long"),
        })
    }

    /// Returns the name as text, without the leading `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

/// Lets maps from names be searched with a text.
impl Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> serde::Deserialize<'de> for StreamName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}
