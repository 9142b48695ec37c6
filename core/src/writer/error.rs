use core::fmt;

/// Why a writer cannot be built: its memory is too short, or its type leaves out what the settings
/// ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// Fewer rows than streams.
    Streams {
        /// Rows there are.
        rows: usize,
        /// Rows needed.
        needed: usize,
    },
    /// Too few set rows, timers or buffers to have one set in flight while another fills (and a
    /// third that compression writes to).
    Sets {
        /// Rows there are.
        rows: usize,
        /// Rows needed.
        needed: usize,
    },
    /// The settings switch on a budget, health, adaptive timeouts or identities, which the writer's
    /// [`WriterFeatures`](super::WriterFeatures) leaves out.
    MissingFeature,
    /// No row for a record.
    Records,
    /// A buffer too small for a record of one byte.
    SetBytes {
        /// Bytes there are.
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
                "the writer's memory has rows for {rows} streams, {needed} are needed"
            ),
            Self::Sets { rows, needed } => write!(
                f,
                "the writer's memory has rows for {rows} sets, at least {needed} are needed"
            ),
            Self::MissingFeature => {
                f.write_str("the settings ask for a rule that the writer was compiled without")
            }
            Self::Records => f.write_str("the writer's memory has no row for a record"),
            Self::SetBytes { bytes, needed } => write!(
                f,
                "the writer's set buffers hold {bytes} bytes, at least {needed} are needed"
            ),
        }
    }
}

impl core::error::Error for BuildError {}
