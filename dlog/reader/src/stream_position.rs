use core::fmt;
use core::str::FromStr;

use distributedlog::Dlsn;

/// A position that is meant for one life of a stream, as `1,0,5@1795460313000`: the DLSN, and the
/// time at which the stream was created, in milliseconds since 1970. A stream that is deleted and
/// created again has other records at the same DLSNs, and another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamPosition {
    /// The position.
    pub dlsn: Dlsn,
    /// Time of creation of the stream, in milliseconds since 1970. `None`: the position is valid in
    /// any stream.
    pub created_unix_ms: Option<u64>,
}

impl StreamPosition {
    /// Creates the position of these parts.
    #[must_use]
    pub const fn new(dlsn: Dlsn, created_unix_ms: Option<u64>) -> Self {
        Self {
            dlsn,
            created_unix_ms,
        }
    }
}

/// Reason why a position is not one of a stream. A reader that started there would skip records, or
/// wait for ever, in silence.
#[cfg(feature = "store")]
#[derive(Clone, PartialEq, Eq)]
pub enum StreamPositionError {
    /// The position belongs to a stream that was deleted; another one has the name now.
    Recreated {
        /// The position.
        position: StreamPosition,
        /// The stream of today.
        stream: distributedlog_store::StreamName,
        /// Its time of creation, in milliseconds since 1970.
        created_unix_ms: u64,
    },
    /// The position is beyond the end of the stream.
    BeyondEnd {
        /// The position.
        position: StreamPosition,
        /// The stream.
        stream: distributedlog_store::StreamName,
        /// Its end.
        end: StreamPosition,
    },
}

#[cfg(feature = "store")]
impl StreamPosition {
    /// Checks that the position belongs to the stream and is not beyond its end.
    ///
    /// # Errors
    ///
    /// It does not, or it is.
    pub fn check(
        self,
        stream: &distributedlog_store::StreamInfo,
    ) -> Result<(), StreamPositionError> {
        let created = stream.created_unix_ms;
        if self.created_unix_ms.is_some_and(|known| known != created) {
            return Err(StreamPositionError::Recreated {
                position: self,
                stream: stream.name.clone(),
                created_unix_ms: created,
            });
        }
        let end = end(stream);
        if self.dlsn > end {
            return Err(StreamPositionError::BeyondEnd {
                position: self,
                stream: stream.name.clone(),
                end: Self {
                    dlsn: end,
                    created_unix_ms: None,
                },
            });
        }
        Ok(())
    }
}

/// Returns the position behind every entry of the stream, also those without records.
#[cfg(feature = "store")]
fn end(stream: &distributedlog_store::StreamInfo) -> Dlsn {
    let entries = stream.segments.last().map(|last| {
        let entries = i64::try_from(last.entries).unwrap_or(i64::MAX);
        Dlsn::new(last.log_segment_sequence_no, entries, 0)
    });
    let truncated = stream.truncated_before;
    entries.max(truncated).unwrap_or(Dlsn::INITIAL)
}

#[cfg(feature = "store")]
impl fmt::Display for StreamPositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recreated {
                position,
                stream,
                created_unix_ms,
            } => {
                let known = position.created_unix_ms.unwrap_or_default();
                write!(
                    f,
                    "the position {position} belongs to a stream that was created at {known} ms \
                     since 1970 and has been deleted; the stream {stream} of today was created at \
                     {created_unix_ms} ms"
                )
            }
            Self::BeyondEnd {
                position,
                stream,
                end,
            } => write!(
                f,
                "the position {position} is beyond the end of stream {stream}, which is {end}: it \
                 belongs to another stream, or to one of this name that was deleted"
            ),
        }
    }
}

#[cfg(feature = "store")]
distributedlog::debug_is_display!(StreamPositionError);

#[cfg(feature = "store")]
impl core::error::Error for StreamPositionError {}

/// The text is not a [`StreamPosition`] in its short form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotAStreamPosition;

impl fmt::Display for NotAStreamPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is no position such as 1,0,5@1795460313000")
    }
}

impl core::error::Error for NotAStreamPosition {}

impl fmt::Display for StreamPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dlsn {
            log_segment_sequence_no,
            entry_id,
            slot_id,
        } = self.dlsn;
        write!(f, "{log_segment_sequence_no},{entry_id},{slot_id}")?;
        self.created_unix_ms
            .map_or(Ok(()), |created| write!(f, "@{created}"))
    }
}

/// As text.
impl serde::Serialize for StreamPosition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Of the short form only: it is the one in which positions are written.
impl FromStr for StreamPosition {
    type Err = NotAStreamPosition;

    fn from_str(text: &str) -> Result<Self, NotAStreamPosition> {
        let (dlsn, created) = match text.split_once('@') {
            Some((dlsn, created)) => (dlsn, Some(created)),
            None => (text, None),
        };
        let created = created.map(str::parse).transpose();
        let mut parts = dlsn.split(',').map(str::parse::<i64>);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(segment)), Some(Ok(entry)), Some(Ok(slot)), None) => Ok(Self {
                dlsn: Dlsn::new(segment, entry, slot),
                created_unix_ms: created.map_err(|_| NotAStreamPosition)?,
            }),
            _ => Err(NotAStreamPosition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_what_it_writes_and_nothing_else() {
        for text in ["1,0,5@1795460313000", "1,0,0", "-1,-2,-3@0"] {
            let position: StreamPosition = text.parse().expect(text);
            assert_eq!(position.to_string(), text);
        }
        for text in [
            "",
            "start",
            "1,0",
            "1,0,0,0",
            "1,0,x",
            "1,0,0@",
            "1,0,0@-1",
            "1,0,0@1@2",
        ] {
            assert!(text.parse::<StreamPosition>().is_err(), "{text}");
        }
    }
}
