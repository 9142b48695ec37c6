//! What a writer is told when it is built.

mod builder;
mod error;
mod policy;

use core::time::Duration;

pub use builder::SettingsBuilder;
pub use error::SettingsError;
pub use policy::{Adaptive, Budget, Health, Identity, Rounds, Window};

use super::{Codec, MAX_SET_BYTES, MAX_STREAMS};

/// The settings of a multi stream writer. One that exists is legal: [`SettingsBuilder::build`] is
/// the only way to make one.
///
/// The names and the defaults are those of Apache DistributedLog's
/// `DistributedLogMultiStreamWriter` where it has the setting; [`Settings::original`] switches
/// everything off that it does not have.
///
/// ```
/// use core::time::Duration;
/// use distributedlog::writer::Settings;
///
/// let settings = Settings::builder().buffer_size(0).request_timeout(Duration::from_secs(5)).build()?;
/// assert_eq!(settings.first_speculative_timeout(), Duration::from_millis(50));
/// # Ok::<(), distributedlog::writer::SettingsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(try_from = "SettingsBuilder", into = "SettingsBuilder")
)]
pub struct Settings(SettingsBuilder);

impl Settings {
    /// Starts from the defaults.
    pub const fn builder() -> SettingsBuilder {
        SettingsBuilder::new()
    }

    /// The settings of the tutorial "Write records to multiple streams": every record is a set of
    /// its own, transmitted at once; the first hedge after 10 s, later ones after at most 20 s,
    /// failure after 50 s.
    #[must_use]
    pub fn tutorial() -> Self {
        Self::builder()
            .buffer_size(0)
            .flush_interval(Duration::ZERO)
            .first_speculative_timeout(Duration::from_secs(10))
            .max_speculative_timeout(Duration::from_secs(20))
            .request_timeout(Duration::from_secs(50))
            .build()
            .expect("0 < 10 s <= 20 s < 50 s, and the rest are defaults")
    }

    /// The original's defaults, and nothing that it does not have: one round over the streams, no
    /// flushing when idle, no budget, no health, no windows, no adaptive timeout, no identity.
    #[must_use]
    pub fn original() -> Self {
        Self::builder()
            .flush_when_idle(false)
            .rounds(Rounds {
                limit: Some(1),
                ..Rounds::default()
            })
            .budget(Budget::Off)
            .health(Health::Off)
            .window(Window::Off)
            .adaptive(Adaptive::Off)
            .identity(Identity::Off)
            .build()
            .expect("the original's defaults are within the bounds")
    }

    /// These settings as a builder, to derive others from them.
    pub const fn to_builder(self) -> SettingsBuilder {
        self.0
    }

    /// Bytes (header and record lengths included) at which a record set is transmitted; 0: each
    /// record at once. R6.
    #[must_use]
    pub const fn buffer_size(&self) -> usize {
        self.0.buffer_size
    }

    /// How long a set's first record waits for company, zero for no such timer. R6.
    #[must_use]
    pub const fn flush_interval(&self) -> Duration {
        self.0.flush_interval
    }

    /// Whether a set is transmitted at once while no other is in flight. R6.
    #[must_use]
    pub const fn flush_when_idle(&self) -> bool {
        self.0.flush_when_idle
    }

    /// How record sets are compressed.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.0.codec
    }

    /// How long after it was accepted a record's write is completed at the latest. R1.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        self.0.request_timeout
    }

    /// Whether a set whose attempt takes long is tried at the next stream as well. R3.
    #[must_use]
    pub const fn hedging(&self) -> bool {
        self.0.hedging
    }

    /// How long a set waits for its first attempt before it is hedged. R3.
    #[must_use]
    pub const fn first_speculative_timeout(&self) -> Duration {
        self.0.first_speculative_timeout
    }

    /// The longest a set waits before it is hedged again. R3.
    #[must_use]
    pub const fn max_speculative_timeout(&self) -> Duration {
        self.0.max_speculative_timeout
    }

    /// What a set's speculative timeout is multiplied by with each hedge. R3.
    #[must_use]
    pub const fn speculative_backoff_multiplier(&self) -> f32 {
        self.0.speculative_backoff_multiplier
    }

    /// What the permutation of the streams and the jitter are made of; none: the adapter's choice,
    /// or 0 without one. R4.
    #[must_use]
    pub const fn seed(&self) -> Option<u64> {
        self.0.seed
    }

    /// How many transmitted sets may be unfinished at a time. R7.
    #[must_use]
    pub const fn in_flight_sets(&self) -> usize {
        self.0.in_flight_sets
    }

    /// How many bytes of records and set headers may be buffered, transmitted ones included until
    /// they are finished. R7.
    #[must_use]
    pub const fn buffered_bytes(&self) -> usize {
        self.0.buffered_bytes
    }

    /// How many records may be accepted and not yet asked for their result. R7.
    #[must_use]
    pub const fn pending_records(&self) -> usize {
        self.0.pending_records
    }

    /// What happens after every stream was tried. R5.
    #[must_use]
    pub const fn rounds(&self) -> Rounds {
        self.0.rounds
    }

    /// The budget of extra attempts. R8.
    #[must_use]
    pub const fn budget(&self) -> Budget {
        self.0.budget
    }

    /// What is remembered of streams that stall or fail. R9.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.0.health
    }

    /// How many attempts may be outstanding at one stream. R9.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.0.window
    }

    /// Whether the speculative timeout follows the latency. R10.
    #[must_use]
    pub const fn adaptive(&self) -> Adaptive {
        self.0.adaptive
    }

    /// What tells the copies of a set. R12.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.0.identity
    }

    /// Whether results carry the attempts that were made for them.
    #[must_use]
    pub const fn attempt_reports(&self) -> bool {
        self.0.attempt_reports
    }

    /// The bytes that one set's buffer should hold without growing: what the buffer size asks for
    /// and a record on top.
    #[must_use]
    pub const fn set_bytes(&self) -> usize {
        let wanted = self.0.buffer_size + Self::SLACK;
        if wanted < MAX_SET_BYTES {
            wanted
        } else {
            MAX_SET_BYTES
        }
    }

    /// Room for the header, a trailer and the record that makes a set reach its size.
    const SLACK: usize = 1024;
}

impl Default for Settings {
    fn default() -> Self {
        SettingsBuilder::new()
            .build()
            .expect("the defaults are within the bounds")
    }
}

impl From<Settings> for SettingsBuilder {
    fn from(settings: Settings) -> Self {
        settings.0
    }
}

impl TryFrom<SettingsBuilder> for Settings {
    type Error = SettingsError;

    fn try_from(builder: SettingsBuilder) -> Result<Self, SettingsError> {
        builder.build()
    }
}

/// How many streams a writer writes to: 1 to [`MAX_STREAMS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamCount(u16);

impl StreamCount {
    /// # Errors
    ///
    /// [`SettingsError::Streams`] when `count` is 0 or above [`MAX_STREAMS`].
    pub const fn new(count: usize) -> Result<Self, SettingsError> {
        if count == 0 || count > MAX_STREAMS {
            return Err(SettingsError::Streams {
                value: count,
                max: MAX_STREAMS,
            });
        }
        Ok(Self(count as u16))
    }

    /// The number of streams.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}
