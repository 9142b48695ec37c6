use core::fmt;

use distributedlog::Escaped;
use distributedlog::settings::SettingsError;

use serde::{Deserialize, Serialize};

use crate::StreamName;

/// Error of a store's operation. Each variant states whether anything was written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreError {
    /// The stream does not exist. Create it first.
    StreamNotFound(StreamName),
    /// A stream of this name exists already.
    StreamExists(StreamName),
    /// The lease is not the stream's current one: the stream was acquired again, or deleted.
    /// Nothing was written.
    Fenced(StreamName),
    /// The disk is full. Nothing of this entry was written; reads still work.
    DiskFull {
        /// The folder or file that could not grow.
        path: String,
    },
    /// The folder cannot be written. Nothing of this entry was written; reads still work.
    ReadOnly {
        /// The folder.
        path: String,
    },
    /// The entry is larger than the store's limit. Nothing was written.
    TooLarge {
        /// Size of the entry in bytes.
        size: usize,
        /// The store's limit in bytes.
        limit: usize,
    },
    /// The entry has no records, or a record set without slots. Nothing was written.
    InvalidEntry {
        /// Reason why the entry is invalid.
        detail: String,
    },
    /// A newer version of this program wrote the store's files. Nothing was changed: use that
    /// version.
    NewerVersion {
        /// The file.
        path: String,
        /// Its format version.
        found: u32,
        /// The newest format version that this program reads.
        supported: u32,
    },
    /// Another process has the store open.
    InUse {
        /// The store's folder.
        path: String,
        /// Description that the process wrote of itself.
        holder: String,
    },
    /// The store's files are damaged. Names the file, the position and the kind of damage.
    Corrupt {
        /// The file.
        path: String,
        /// Position and kind of damage.
        detail: String,
    },
    /// The operating system failed an operation on the store's files. The entry may or may not be
    /// on disk.
    Io {
        /// The file or folder.
        path: String,
        /// The system's error.
        detail: String,
    },
    /// The connection to a remote store was lost during the operation. The entry may or may not be
    /// on disk.
    Disconnected {
        /// The store's address.
        address: String,
        /// Reason why the connection was lost.
        detail: String,
    },
    /// A remote store cannot be reached. Nothing was written; trying again later can succeed.
    Unreachable {
        /// The store's address.
        address: String,
        /// Attempts, and their errors.
        detail: String,
    },
    /// The server at the address is not a usable store: it has another protocol, another version,
    /// or another namespace. Nothing was written; trying again cannot succeed before the address or
    /// the server is changed.
    Refused {
        /// The store's address.
        address: String,
        /// Description of the server found, and the address to use instead.
        detail: String,
    },
    /// Too many operations are waiting. Nothing was written; trying again later can succeed.
    Overloaded {
        /// Maximum number of waiting bytes of appends, or of waiting reads.
        limit: usize,
    },
    /// The store is closed.
    Closed,
    /// The stream cannot be acquired now, and no write proxy can be named that owns it. Nothing was
    /// written; trying again later can succeed.
    NotReady {
        /// The stream.
        stream: StreamName,
        /// The owner, and the event to wait for.
        detail: String,
    },
    /// A setting of the store is outside its range. Nothing was opened.
    InvalidSetting {
        /// Name of the setting.
        setting: String,
        /// Its value.
        value: String,
        /// Values that are valid.
        range: String,
    },
    /// The store has as many streams as its limit allows. Nothing was created.
    TooManyStreams {
        /// Maximum number of streams.
        limit: u64,
    },
    /// Streams are created faster than the store's limit allows. Nothing was created; trying again
    /// a second later can succeed.
    TooManyCreations {
        /// Maximum number of creations per second.
        per_second: u32,
    },
    /// The store does not have this operation. Nothing was changed.
    Unsupported {
        /// The operation.
        operation: String,
    },
    /// The stream was ended by its writer, which DistributedLog's writers in Java can do: nothing
    /// can be appended to it any more. Nothing was written.
    Ended(StreamName),
    /// The operating system failed an operation before anything of the entry was written: a new
    /// volume cannot be created because there are no file descriptors, say. Nothing was written;
    /// trying again later can succeed.
    NotWritten {
        /// The file or folder.
        path: String,
        /// The system's error.
        detail: String,
    },
}

impl StoreError {
    /// Returns the name of the variant, for metrics: `disk_full`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::StreamNotFound(_) => "stream_not_found",
            Self::StreamExists(_) => "stream_exists",
            Self::Fenced(_) => "fenced",
            Self::DiskFull { .. } => "disk_full",
            Self::ReadOnly { .. } => "read_only",
            Self::TooLarge { .. } => "too_large",
            Self::InvalidEntry { .. } => "invalid_entry",
            Self::NewerVersion { .. } => "newer_version",
            Self::InUse { .. } => "in_use",
            Self::Corrupt { .. } => "corrupt",
            Self::Io { .. } => "io",
            Self::Disconnected { .. } => "disconnected",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
            Self::Overloaded { .. } => "overloaded",
            Self::Closed => "closed",
            Self::NotReady { .. } => "not_ready",
            Self::InvalidSetting { .. } => "invalid_setting",
            Self::TooManyStreams { .. } => "too_many_streams",
            Self::TooManyCreations { .. } => "too_many_creations",
            Self::Unsupported { .. } => "unsupported",
            Self::Ended(_) => "ended",
            Self::NotWritten { .. } => "not_written",
        }
    }

    /// Returns the error for an entry of which nothing was written when this error came.
    pub(crate) fn before_writing(self) -> Self {
        if let Self::Io { path, detail } = self {
            return Self::NotWritten { path, detail };
        }
        self
    }
}

impl From<SettingsError> for StoreError {
    fn from(error: SettingsError) -> Self {
        Self::InvalidSetting {
            setting: error.setting.to_owned(),
            value: error.value.to_string(),
            range: error.range.to_string(),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most texts come from a server, or from a file that anyone may have written.
        Escaped(Unescaped(self)).fmt(f)
    }
}

/// Description of an error, with its texts as they came.
struct Unescaped<'a>(&'a StoreError);

impl fmt::Display for Unescaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            StoreError::StreamNotFound(stream) => write!(f, "log stream {stream} is not found"),
            StoreError::StreamExists(stream) => write!(f, "log stream {stream} exists already"),
            StoreError::Fenced(stream) => write!(f, "log stream {stream} has another owner now"),
            StoreError::DiskFull { path } => write!(f, "the disk is full: {path} cannot grow"),
            StoreError::ReadOnly { path } => write!(
                f,
                "{path} cannot be written: it is read-only, or not this user's to write"
            ),
            StoreError::TooLarge { size, limit } => write!(
                f,
                "an entry of {size} bytes is larger than the limit of {limit}"
            ),
            StoreError::InvalidEntry { detail } => write!(f, "invalid entry: {detail}"),
            StoreError::NewerVersion {
                path,
                found,
                supported,
            } => {
                write!(
                    f,
                    "{path} has format version {found}, this program reads up to {supported}: use \
                     the newer program"
                )
            }
            StoreError::InUse { path, holder } => {
                write!(f, "the store {path} is in use by {holder}")
            }
            StoreError::Corrupt { path, detail } => write!(f, "{path} is damaged: {detail}"),
            StoreError::Io { path, detail } => write!(f, "{path}: {detail}"),
            StoreError::Disconnected { address, detail } => {
                write!(f, "{}{address}: {detail}", store_at(address))
            }
            StoreError::Unreachable { address, detail } => {
                let store = store_at(address);
                write!(f, "{store}{address} cannot be reached: {detail}")
            }
            StoreError::Refused { address, detail } => {
                write!(f, "{address} is not a usable store: {detail}")
            }
            StoreError::Overloaded { limit } => write!(
                f,
                "too many operations are waiting for the store (the limit is {limit})"
            ),
            StoreError::NotReady { stream, detail } => {
                write!(f, "log stream {stream} is not ready: {detail}")
            }
            StoreError::Closed => f.write_str("the store is closed"),
            StoreError::InvalidSetting {
                setting,
                value,
                range,
            } => write!(f, "{setting} is {value}; it must be {range}"),
            StoreError::TooManyStreams { limit } => too_many_streams(f, *limit),
            StoreError::TooManyCreations { per_second } => too_many_creations(f, *per_second),
            StoreError::Unsupported { operation } => write!(f, "this store has no {operation}"),
            StoreError::Ended(stream) => write!(
                f,
                "log stream {stream} was ended by its writer: nothing can be appended to it"
            ),
            StoreError::NotWritten { path, detail } => {
                write!(f, "nothing was written: {path}: {detail}")
            }
        }
    }
}

/// Returns the words in front of an address. A store on BookKeeper names a log stream or a ledger
/// in its place.
fn store_at(address: &str) -> &'static str {
    if address.contains(' ') {
        ""
    } else {
        "store at "
    }
}

fn too_many_streams(f: &mut fmt::Formatter<'_>, limit: u64) -> fmt::Result {
    write!(
        f,
        "the store has {limit} log streams, and its limit is {limit}: delete some, or raise \
         max_streams"
    )
}

fn too_many_creations(f: &mut fmt::Formatter<'_>, per_second: u32) -> fmt::Result {
    write!(
        f,
        "more than {per_second} log streams are created per second: try again later, or raise \
         max_creations_per_second"
    )
}

distributedlog::debug_is_display!(StoreError);

impl core::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_acts_on_no_terminal_and_adds_no_line() {
        let error = StoreError::Refused {
            address: "h:7000".to_owned(),
            detail: "it says \u{1b}]0;x\u{7}\nerror: forged".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            r"h:7000 is not a usable store: it says \u{1b}]0;x\u{7}\nerror: forged"
        );
    }
}
