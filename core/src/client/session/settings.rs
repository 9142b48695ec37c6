use core::fmt;
use core::time::Duration;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Protocol {
    /// Mux frames with thrift inside, many requests in flight (the original's `thriftmux`).
    ThriftMux,
    /// Framed thrift, one request at a time, upgraded with trace, deadline and client id when the
    /// peer knows how. The original's default.
    #[default]
    Thrift,
    /// Framed thrift, one request at a time, without asking for the upgrade. The real proxy refuses
    /// such clients.
    PlainThrift,
}

/// How a [`Session`](super::Session) behaves. A value of this type is legal: the builder checked
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Settings {
    pub(crate) protocol: Protocol,
    pub(crate) client_id: heapless::String<{ Self::MAX_CLIENT_ID_BYTES }>,
    pub(crate) max_frame_bytes: usize,
    pub(crate) idle_ping_interval: Option<Duration>,
    pub(crate) silence_before_ping: Duration,
    pub(crate) ping_timeout: Duration,
}

impl Settings {
    /// The longest client id.
    pub const MAX_CLIENT_ID_BYTES: usize = 64;
    /// The least that [`max_frame_bytes`](SettingsBuilder::max_frame_bytes) can be: room for any
    /// answer about a single stream.
    pub const MIN_FRAME_BYTES: usize = 256;

    /// A builder with every default.
    pub const fn builder() -> SettingsBuilder<'static> {
        SettingsBuilder {
            protocol: Protocol::Thrift,
            client_id: "",
            max_frame_bytes: 16 * 1024 * 1024,
            idle_ping_interval: Some(Duration::from_secs(5)),
            silence_before_ping: Duration::from_secs(1),
            ping_timeout: Duration::from_secs(4),
        }
    }

    /// What is spoken.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The client id, empty when there is none.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The largest frame that is taken from the peer.
    #[must_use]
    pub const fn max_frame_bytes(&self) -> usize {
        self.max_frame_bytes
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::builder()
            .build()
            .expect("the defaults are within their bounds")
    }
}

/// Builds [`Settings`].
#[derive(Clone, Debug)]
#[must_use]
pub struct SettingsBuilder<'a> {
    protocol: Protocol,
    client_id: &'a str,
    max_frame_bytes: usize,
    idle_ping_interval: Option<Duration>,
    silence_before_ping: Duration,
    ping_timeout: Duration,
}

impl<'a> SettingsBuilder<'a> {
    /// What is spoken. [`Protocol::Thrift`] unless set, as the original's.
    pub const fn protocol(mut self, value: Protocol) -> Self {
        self.protocol = value;
        self
    }

    /// Who the client says it is, at most [`Settings::MAX_CLIENT_ID_BYTES`] bytes. Empty, which
    /// sends none, unless set; the real proxy refuses clients without one.
    pub fn client_id<'b>(self, value: &'b str) -> SettingsBuilder<'b>
    where
        'a: 'b,
    {
        SettingsBuilder {
            client_id: value,
            ..self
        }
    }

    /// The largest frame that is taken from the peer, its length field included. It bounds the
    /// adapter's read buffer. 16 MiB unless set.
    pub const fn max_frame_bytes(mut self, value: usize) -> Self {
        self.max_frame_bytes = value;
        self
    }

    /// How long a connection without requests under way may be silent before it is asked whether it
    /// still lives (mux only); [`None`] never asks. 5 s unless set, as Finagle's.
    pub const fn idle_ping_interval(mut self, value: Option<Duration>) -> Self {
        self.idle_ping_interval = value;
        self
    }

    /// How long a connection with requests under way may be silent before it is asked (mux only). 1
    /// s unless set.
    pub const fn silence_before_ping(mut self, value: Duration) -> Self {
        self.silence_before_ping = value;
        self
    }

    /// How long a peer that was asked may be silent before it counts as dead; also how long a
    /// framed connection waits for the answer to a discarded request, since nothing else can be
    /// sent on it meanwhile. 4 s unless set, as Finagle's.
    pub const fn ping_timeout(mut self, value: Duration) -> Self {
        self.ping_timeout = value;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] names the first setting that is out of its bounds.
    pub fn build(self) -> Result<Settings, SettingsError> {
        let Ok(client_id) = heapless::String::try_from(self.client_id) else {
            return Err(SettingsError::ClientIdTooLong {
                length: self.client_id.len(),
            });
        };
        if self.max_frame_bytes < Settings::MIN_FRAME_BYTES {
            return Err(SettingsError::MaxFrameTooSmall {
                value: self.max_frame_bytes,
            });
        }
        let idle = self.idle_ping_interval.unwrap_or(Duration::MAX);
        for (setting, value) in [
            ("idle_ping_interval", idle),
            ("silence_before_ping", self.silence_before_ping),
            ("ping_timeout", self.ping_timeout),
        ] {
            if value.is_zero() {
                return Err(SettingsError::Zero { setting });
            }
        }
        Ok(Settings {
            protocol: self.protocol,
            client_id,
            max_frame_bytes: self.max_frame_bytes,
            idle_ping_interval: self.idle_ping_interval,
            silence_before_ping: self.silence_before_ping,
            ping_timeout: self.ping_timeout,
        })
    }
}

/// Why [`SettingsBuilder::build`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// `client_id` is longer than [`Settings::MAX_CLIENT_ID_BYTES`].
    ClientIdTooLong {
        /// Its bytes.
        length: usize,
    },
    /// `max_frame_bytes` is below [`Settings::MIN_FRAME_BYTES`].
    MaxFrameTooSmall {
        /// What it was set to.
        value: usize,
    },
    /// The session's [`SessionFeatures`](super::SessionFeatures) leaves the protocol out.
    LeftOut {
        /// What was to be spoken.
        protocol: Protocol,
    },
    /// The setting may not be zero.
    Zero {
        /// Which one.
        setting: &'static str,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIdTooLong { length } => {
                write!(
                    f,
                    "client_id has {length} bytes; it may have at most {}",
                    Settings::MAX_CLIENT_ID_BYTES
                )
            }
            Self::MaxFrameTooSmall { value } => {
                write!(
                    f,
                    "max_frame_bytes is {value}; it must be at least {}",
                    Settings::MIN_FRAME_BYTES
                )
            }
            Self::LeftOut { protocol } => write!(
                f,
                "protocol is {protocol:?}, which the session's features leave out"
            ),
            Self::Zero { setting } => write!(f, "{setting} is zero; it must be above"),
        }
    }
}

impl core::error::Error for SettingsError {}
