use core::fmt;

use distributedlog::stream_name::StreamNameError;

use super::fault::StreamFault;

/// Reading cannot go on. [`position`](crate::MultiStreamReader::position) is behind the records
/// that were delivered, so another reader can resume there. Its `Debug` is its text, so that a
/// `main` which returns it shows what happened.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// Streams were not read to their ends by a reader that does not
    /// [follow](crate::MultiStreamReaderBuilder::follow): they do not exist, or could not be read.
    /// The others were.
    Incomplete {
        /// The streams, each with the reason.
        unread: Vec<StreamFault>,
    },
    /// A stream could not be read for
    /// [`give_up_after`](crate::MultiStreamReaderBuilder::give_up_after).
    Unavailable {
        /// The stream.
        stream: String,
        /// Description of the last failure.
        detail: String,
    },
    /// The source refuses this reader, for instance for its token or for the stream's name; it will
    /// refuse the next one too.
    Refused {
        /// The stream.
        stream: String,
        /// HTTP status of the refusal. `None` if the source is a store.
        status: Option<u16>,
        /// Description of the refusal.
        detail: String,
    },
    /// The stream was deleted, and another one was created with its name, before the reader resumed
    /// or while it read. To read the new one from its beginning, resume at the position
    /// [without](crate::ReaderPosition::remove) this stream.
    Recreated {
        /// The stream.
        stream: String,
        /// Both times of creation.
        detail: String,
    },
    /// The position is beyond the end of the stream, so it belongs to another one.
    PositionBeyondEnd {
        /// The stream.
        stream: String,
        /// The position and the end.
        detail: String,
    },
}

#[cfg(feature = "store")]
impl ReadError {
    pub(crate) fn of_position(stream: &str, error: crate::StreamPositionError) -> Self {
        let (stream, detail) = (stream.to_owned(), error.to_string());
        match error {
            crate::StreamPositionError::Recreated { .. } => Self::Recreated { stream, detail },
            crate::StreamPositionError::BeyondEnd { .. } => {
                Self::PositionBeyondEnd { stream, detail }
            }
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete { unread } => {
                f.write_str("not all streams were read to their ends: ")?;
                for (index, fault) in unread.iter().enumerate() {
                    let separator = if index > 0 { "; " } else { "" };
                    write!(f, "{separator}{fault}")?;
                }
                Ok(())
            }
            Self::Unavailable { stream, detail } => {
                write!(f, "stream {stream} cannot be read: {detail}")
            }
            Self::Refused { stream, detail, .. } => {
                write!(f, "reading stream {stream} is refused: {detail}")
            }
            Self::Recreated { stream, detail } => {
                write!(f, "stream {stream} was deleted and created again: {detail}")
            }
            Self::PositionBeyondEnd { stream, detail } => {
                write!(f, "the position is none of stream {stream}: {detail}")
            }
        }
    }
}

distributedlog::debug_is_display!(ReadError);

impl core::error::Error for ReadError {}

/// The settings of a reader cannot be used. Its `Debug` is its text, as that of [`ReadError`].
#[non_exhaustive]
pub enum BuildError {
    /// There is no stream to read, or there are too many.
    StreamCount {
        /// Number of streams named.
        found: usize,
        /// Maximum number.
        most: usize,
    },
    /// A stream is named twice.
    StreamTwice(String),
    /// The name of a stream is not valid.
    StreamName(StreamNameError),
    /// A setting is outside its range.
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// Values that are valid.
        expected: String,
    },
    /// The URL of a proxy is not valid.
    Url {
        /// The URL, without credentials.
        url: String,
        /// The rule that it breaks.
        reason: String,
    },
    /// The TLS settings cannot be used.
    #[cfg(feature = "tls")]
    Tls(distributedlog_tokio::TlsError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StreamCount { found, most } => {
                write!(
                    f,
                    "{found} streams are named; a reader reads 1 to {most} of them"
                )
            }
            Self::StreamTwice(stream) => write!(f, "stream {stream} is named twice"),
            Self::StreamName(error) => error.fmt(f),
            Self::Setting {
                setting,
                value,
                expected,
            } => write!(f, "{setting} is {value}; it must be {expected}"),
            Self::Url { url, reason } => write!(f, "the URL '{url}' cannot be used: {reason}"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.fmt(f),
        }
    }
}

distributedlog::debug_is_display!(BuildError);

impl core::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            Self::StreamName(error) => Some(error),
            Self::StreamCount { .. }
            | Self::StreamTwice(_)
            | Self::Setting { .. }
            | Self::Url { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rust prints `Error: {error:?}`.
    #[test]
    fn a_main_that_returns_an_error_of_reading_shows_its_text() {
        let read = ReadError::Unavailable {
            stream: "orders-1".to_owned(),
            detail: "connection refused".to_owned(),
        };
        let built = BuildError::StreamCount {
            found: 0,
            most: 4096,
        };
        assert_eq!(
            [format!("{read:?}"), format!("{built:?}")],
            [
                "stream orders-1 cannot be read: connection refused",
                "0 streams are named; a reader reads 1 to 4096 of them"
            ]
        );
    }
}
