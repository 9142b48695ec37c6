//! The rules for names of log streams.

use core::fmt;

/// Checks a stream's name, and removes the leading `/` that it may have.
///
/// A name is not empty, begins neither with `.` (reserved) nor with `<`, does not end with `/`, and
/// has no empty or relative path parts, no spaces, no `<` or `>`, no control characters and no
/// characters that ZooKeeper's paths refuse. A proxy answers any other name with
/// [`InvalidStreamName`](crate::StatusCode::InvalidStreamName).
///
/// # Errors
///
/// [`StreamNameError`] with the fault and its offset.
///
/// ```
/// use distributedlog::stream_name;
///
/// assert_eq!(stream_name::validate("/basic-stream-3"), Ok("basic-stream-3"));
/// assert_eq!(
///     stream_name::validate("a b").unwrap_err().to_string(),
///     "the stream name has ' ' at offset 1, which no name may have"
/// );
/// ```
pub fn validate(name: &str) -> Result<&str, StreamNameError> {
    let at = |offset, kind| Err(StreamNameError { offset, kind });
    let (start, rest) = name.strip_prefix('/').map_or((0, name), |rest| (1, rest));
    if rest.is_empty() {
        return at(0, StreamNameErrorKind::Empty);
    }
    if let Some(first @ ('.' | '<')) = rest.chars().next() {
        return at(start, StreamNameErrorKind::Reserved(first));
    }
    if let Some((offset, found)) = rest.char_indices().find(|&(_, found)| is_forbidden(found)) {
        return at(start + offset, StreamNameErrorKind::Forbidden(found));
    }
    let mut offset = start;
    for part in rest.split('/') {
        match part {
            "" if offset == name.len() => {
                return at(offset - 1, StreamNameErrorKind::TrailingSlash);
            }
            "" => return at(offset, StreamNameErrorKind::EmptyPart),
            "." | ".." => return at(offset, StreamNameErrorKind::RelativePart),
            _ => offset += part.len() + 1,
        }
    }
    Ok(rest)
}

/// Returns `true` for characters that ZooKeeper's paths refuse (control characters, private use,
/// specials) and those that DistributedLog refuses in addition.
const fn is_forbidden(found: char) -> bool {
    let is_control = matches!(found, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}');
    let is_private_use = matches!(found, '\u{e000}'..='\u{f8ff}');
    let is_special = matches!(found, '\u{fff0}'..='\u{ffff}');
    matches!(found, ' ' | '<' | '>') || is_control || is_private_use || is_special
}

/// Error of a text that is not a valid stream name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamNameError {
    /// Offset of the fault in the text, in bytes.
    pub offset: usize,
    /// Kind of the fault.
    pub kind: StreamNameErrorKind,
}

/// Fault in the text of a [`StreamNameError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamNameErrorKind {
    /// The name is empty, or only a `/`.
    Empty,
    /// The name begins with a character that is reserved for DistributedLog's own names.
    Reserved(char),
    /// The name has a character that no name may have.
    Forbidden(char),
    /// The name ends with `/`.
    TrailingSlash,
    /// The name has an empty path part (`//`).
    EmptyPart,
    /// The name has a path part `.` or `..`.
    RelativePart,
}

impl fmt::Display for StreamNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        match self.kind {
            StreamNameErrorKind::Empty => f.write_str("the stream name is empty"),
            StreamNameErrorKind::Reserved(first) => write!(
                f,
                "the stream name begins with {first:?}, which is reserved"
            ),
            StreamNameErrorKind::Forbidden(found) => {
                write!(
                    f,
                    "the stream name has {found:?} at offset {offset}, which no name may have"
                )
            }
            StreamNameErrorKind::TrailingSlash => {
                write!(f, "the stream name ends with '/' at offset {offset}")
            }
            StreamNameErrorKind::EmptyPart => write!(
                f,
                "the stream name has an empty path part at offset {offset}"
            ),
            StreamNameErrorKind::RelativePart => write!(
                f,
                "the stream name has a relative path part at offset {offset}"
            ),
        }
    }
}

impl core::error::Error for StreamNameError {}
