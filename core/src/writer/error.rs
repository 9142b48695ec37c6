use core::fmt;

/// Reason for which a writer cannot be built: its storage is too short, or its type leaves out a
/// feature that the settings enable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The storage has fewer stream rows than there are streams.
    Streams {
        /// Rows of the storage.
        rows: usize,
        /// Rows needed.
        needed: usize,
    },
    /// The storage has too few set rows, timers or buffers to have one set in flight while another
    /// fills (and a third one for compression).
    Sets {
        /// Rows of the storage.
        rows: usize,
        /// Rows needed.
        needed: usize,
    },
    /// The settings enable a feature, such as a budget or identities, which the writer's
    /// [`WriterFeatures`](super::WriterFeatures) leave out.
    MissingFeature,
    /// The settings name a stream that keeps the order of the records (R20), and the writer has
    /// fewer streams.
    Home {
        /// Index of the stream.
        home: u8,
        /// Number of the writer's streams.
        streams: usize,
    },
    /// The storage has no record row.
    Records,
    /// A set buffer is too small for a record of one byte.
    SetBytes {
        /// Bytes of the buffer.
        bytes: usize,
        /// Bytes needed.
        needed: usize,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streams { rows, needed } => write!(
                f,
                "the writer's storage has {rows} stream rows, but {needed} are needed"
            ),
            Self::Sets { rows, needed } => write!(
                f,
                "the writer's storage has {rows} set rows, but at least {needed} are needed"
            ),
            Self::MissingFeature => {
                f.write_str("the settings enable a feature that the writer was compiled without")
            }
            Self::Home { home, streams } => write!(
                f,
                "order {home} names a stream by its index, and the writer has {streams}, counted \
                 from 0"
            ),
            Self::Records => f.write_str("the writer's storage has no record row"),
            Self::SetBytes { bytes, needed } => write!(
                f,
                "the writer's set buffers hold {bytes} bytes, but at least {needed} are needed"
            ),
        }
    }
}

impl core::error::Error for BuildError {}
