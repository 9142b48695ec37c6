use distributedlog::StatusCode;

use super::StreamReply;
use distributedlog_store::{StoreError, StreamName};

/// Returns the answer to a failed append.
///
/// The writer decides by the code whether the records may be in the stream (the table of
/// [`StatusCode`]), so a code that says "not written" goes out only when that is certain.
pub(super) fn of_append(error: &StoreError) -> StreamReply {
    let code = match error {
        #[cfg(seeded_bugs)]
        StoreError::Io { .. }
            if distributedlog::seeded_bugs::is_on(
                distributedlog::seeded_bugs::Bug::FailedSyncIsNotWritten,
            ) =>
        {
            StatusCode::OverCapacity
        }
        StoreError::TooLarge { .. } => StatusCode::TooLargeRecord,
        StoreError::StreamNotFound(_) => StatusCode::LogNotFound,
        StoreError::StreamExists(_) => StatusCode::LogExists,
        // The client comes back or asks another proxy, and finds the owner.
        StoreError::Fenced(_) => StatusCode::StreamUnavailable,
        // Passes when someone makes room: a pushback, which lets the stream rest for a while.
        StoreError::DiskFull { .. }
        | StoreError::Overloaded { .. }
        | StoreError::TooManyStreams { .. }
        | StoreError::TooManyCreations { .. } => StatusCode::OverCapacity,
        // Does not pass by itself: the stream goes into probation.
        StoreError::ReadOnly { .. }
        | StoreError::Refused { .. }
        | StoreError::InvalidSetting { .. }
        | StoreError::Unsupported { .. }
        | StoreError::NewerVersion { .. } => StatusCode::MetadataException,
        StoreError::NotReady { .. } => StatusCode::StreamNotReady,
        StoreError::Ended(_) => StatusCode::EndOfStream,
        // Cannot be after our own checks; the record is at fault, not the stream.
        StoreError::InvalidEntry { .. } => StatusCode::RequestDenied,
        StoreError::Corrupt { .. } => StatusCode::InvalidEnvelopedEntry,
        StoreError::Io { .. } => StatusCode::WriteException,
        StoreError::Disconnected { .. } => StatusCode::BkTransmitError,
        StoreError::Unreachable { .. }
        | StoreError::NotWritten { .. }
        | StoreError::InUse { .. }
        | StoreError::Closed => StatusCode::ServiceUnavailable,
    };
    StreamReply::refused(code, error.to_string())
}

/// Returns the answer when the stream could not be made ready for a request, or an administrative
/// request failed. Nothing was written.
pub(crate) fn of_setup(stream: &StreamName, error: &StoreError) -> StreamReply {
    let code = match error {
        StoreError::StreamNotFound(_) => StatusCode::LogNotFound,
        StoreError::StreamExists(_) => StatusCode::LogExists,
        StoreError::DiskFull { .. }
        | StoreError::Overloaded { .. }
        | StoreError::TooManyStreams { .. }
        | StoreError::TooManyCreations { .. } => StatusCode::OverCapacity,
        StoreError::NotReady { .. } => StatusCode::StreamNotReady,
        StoreError::Ended(_) => StatusCode::EndOfStream,
        StoreError::Fenced(_)
        | StoreError::TooLarge { .. }
        | StoreError::InvalidEntry { .. }
        | StoreError::NewerVersion { .. }
        | StoreError::ReadOnly { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Io { .. }
        | StoreError::NotWritten { .. }
        | StoreError::InvalidSetting { .. }
        | StoreError::Unsupported { .. }
        | StoreError::Refused { .. } => StatusCode::MetadataException,
        StoreError::Disconnected { .. }
        | StoreError::Unreachable { .. }
        | StoreError::InUse { .. }
        | StoreError::Closed => StatusCode::ServiceUnavailable,
    };
    StreamReply::refused(code, format!("log stream {stream}: {error}"))
}

#[cfg(test)]
mod tests {
    use distributedlog::{Failure, WriteState};

    use super::*;

    fn every_error() -> Vec<(StoreError, bool)> {
        let stream = StreamName::new("s").expect("a valid name");
        let (path, detail, address) = (
            String::from("/data"),
            String::from("why"),
            String::from("127.0.0.1:7000"),
        );
        vec![
            (StoreError::StreamNotFound(stream.clone()), true),
            (StoreError::StreamExists(stream.clone()), false),
            (StoreError::Ended(stream.clone()), true),
            (StoreError::Fenced(stream), false),
            (StoreError::DiskFull { path: path.clone() }, true),
            (StoreError::ReadOnly { path: path.clone() }, true),
            (StoreError::TooLarge { size: 2, limit: 1 }, true),
            (
                StoreError::InUse {
                    path: path.clone(),
                    holder: "another".into(),
                },
                true,
            ),
            (
                StoreError::Corrupt {
                    path: path.clone(),
                    detail: detail.clone(),
                },
                false,
            ),
            (
                StoreError::Io {
                    path,
                    detail: detail.clone(),
                },
                false,
            ),
            (
                StoreError::Disconnected {
                    address: address.clone(),
                    detail: detail.clone(),
                },
                false,
            ),
            (
                StoreError::Unreachable {
                    address: address.clone(),
                    detail: detail.clone(),
                },
                true,
            ),
            (StoreError::Refused { address, detail }, true),
            (StoreError::Overloaded { limit: 1 }, true),
            (
                StoreError::NotReady {
                    stream: StreamName::new("s").expect("a valid name"),
                    detail: "held".into(),
                },
                true,
            ),
            (StoreError::Closed, true),
            (
                StoreError::NotWritten {
                    path: "/data".into(),
                    detail: "too many open files".into(),
                },
                true,
            ),
        ]
    }

    /// An `Io` or `Disconnected` append may be on disk, a full disk's is not: the writer must be
    /// able to tell.
    #[test]
    fn the_code_of_a_failed_append_says_not_written_only_when_nothing_was_written() {
        for (error, says_not_written) in every_error() {
            let known = Failure::of_status(of_append(&error).code).known;
            assert_eq!(
                known != WriteState::Unknown,
                says_not_written,
                "{error:?} is answered as {known}"
            );
        }
    }

    #[test]
    fn messages_name_the_cause() {
        let full = of_append(&StoreError::DiskFull {
            path: "/data".into(),
        });
        assert_eq!(
            full.message.as_deref(),
            Some("the disk is full: /data cannot grow")
        );
    }
}
