use core::fmt;
use core::time::Duration;

use super::Resend;

/// How a [`Client`](super::Client) behaves. A value of this type is legal: the builder checked it.
///
/// Names and defaults are those of DistributedLog's own client builder wherever it has the setting;
/// what differs says why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Settings {
    pub(crate) redirect_backoff_start: Duration,
    pub(crate) redirect_backoff_max: Duration,
    pub(crate) max_redirects: Option<u16>,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) attempt_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) stream_failfast: bool,
    pub(crate) blackout_start: Duration,
    pub(crate) blackout_max: Duration,
    pub(crate) periodic_handshake_interval: Duration,
    pub(crate) ownership_sync_interval: Duration,
    pub(crate) checksum: bool,
    pub(crate) resend: Resend,
}

impl Settings {
    /// How often a request without a deadline may be sent when
    /// [`max_redirects`](SettingsBuilder::max_redirects) is not set either: without
    /// a limit, two proxies that each take the other for a stream's owner would keep it going
    /// between them for ever, as they do in the original.
    pub const MAX_ENDLESS_REDIRECTS: u16 = 32;

    /// The shortest interval between handshakes.
    pub const MIN_HANDSHAKE_INTERVAL: Duration = Duration::from_secs(1);

    /// A builder with every default.
    pub const fn builder() -> SettingsBuilder {
        SettingsBuilder {
            settings: Self::DEFAULT,
        }
    }

    const DEFAULT: Self = Self {
        redirect_backoff_start: Duration::from_millis(25),
        redirect_backoff_max: Duration::from_millis(100),
        max_redirects: None,
        request_timeout: None,
        attempt_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_millis(200),
        stream_failfast: false,
        blackout_start: Duration::from_millis(100),
        blackout_max: Duration::from_secs(10),
        periodic_handshake_interval: Duration::from_secs(300),
        ownership_sync_interval: Duration::from_secs(300),
        checksum: true,
        resend: Resend::WhenNotWritten,
    };

    /// See [`SettingsBuilder::request_timeout`].
    #[must_use]
    pub const fn request_timeout(&self) -> Option<Duration> {
        self.request_timeout
    }

    /// See [`SettingsBuilder::attempt_timeout`].
    #[must_use]
    pub const fn attempt_timeout(&self) -> Duration {
        self.attempt_timeout
    }

    /// See [`SettingsBuilder::connect_timeout`].
    #[must_use]
    pub const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// See [`SettingsBuilder::resend`].
    #[must_use]
    pub const fn resend(&self) -> Resend {
        self.resend
    }

    /// See [`SettingsBuilder::checksum`].
    #[must_use]
    pub const fn checksum(&self) -> bool {
        self.checksum
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Builds [`Settings`].
#[derive(Clone, Debug)]
#[must_use]
pub struct SettingsBuilder {
    settings: Settings,
}

impl SettingsBuilder {
    /// How long a redirect to a host that the request was sent to before waits: this long times the
    /// tries so far, at most [`redirect_backoff_max`](Self::redirect_backoff_max). 25 ms unless
    /// set.
    pub const fn redirect_backoff_start(mut self, value: Duration) -> Self {
        self.settings.redirect_backoff_start = value;
        self
    }

    /// The longest wait before a redirect. 100 ms unless set.
    pub const fn redirect_backoff_max(mut self, value: Duration) -> Self {
        self.settings.redirect_backoff_max = value;
        self
    }

    /// How often a request may be sent in all, redirects and retries included. [`None`] unless set:
    /// its deadline ends it, and a request without a deadline is sent
    /// [`Settings::MAX_ENDLESS_REDIRECTS`] times at most.
    pub const fn max_redirects(mut self, value: Option<u16>) -> Self {
        self.settings.max_redirects = value;
        self
    }

    /// When a request fails at the latest, counted from `submit`; a deadline of its own may make it
    /// sooner. [`None`] unless set.
    pub const fn request_timeout(mut self, value: Option<Duration>) -> Self {
        self.settings.request_timeout = value;
        self
    }

    /// How long a host may take to answer, waiting for its connection included. The request then
    /// fails with [`Cause::TimedOut`](crate::Cause::TimedOut); what becomes of it is unknown if
    /// a byte of it left. 1 s unless set, as the original's.
    pub const fn attempt_timeout(mut self, value: Duration) -> Self {
        self.settings.attempt_timeout = value;
        self
    }

    /// How long making a connection may take, its handshakes included. 200 ms unless set.
    pub const fn connect_timeout(mut self, value: Duration) -> Self {
        self.settings.connect_timeout = value;
        self
    }

    /// Whether an answer that says "not here, not now" fails the request instead of sending it
    /// elsewhere. Off unless set.
    pub const fn stream_failfast(mut self, value: bool) -> Self {
        self.settings.stream_failfast = value;
        self
    }

    /// How long a host stays out of the ring after its first failure in a row; doubles with each
    /// further one. 100 ms unless set: the original keeps a host out for 300 s, which outlives
    /// most restarts by 295 s.
    pub const fn blackout_start(mut self, value: Duration) -> Self {
        self.settings.blackout_start = value;
        self
    }

    /// The longest a host stays out of the ring before it is probed again. 10 s unless set.
    pub const fn blackout_max(mut self, value: Duration) -> Self {
        self.settings.blackout_max = value;
        self
    }

    /// How often each host is asked how it is. 5 min unless set.
    pub const fn periodic_handshake_interval(mut self, value: Duration) -> Self {
        self.settings.periodic_handshake_interval = value;
        self
    }

    /// How often each host is asked which streams it owns. 5 min unless set.
    pub const fn ownership_sync_interval(mut self, value: Duration) -> Self {
        self.settings.ownership_sync_interval = value;
        self
    }

    /// Whether requests carry a checksum of their content. On unless set.
    pub const fn checksum(mut self, value: bool) -> Self {
        self.settings.checksum = value;
        self
    }

    /// Which writes are sent again after an attempt that may have written.
    /// [`Resend::WhenNotWritten`] unless set.
    pub const fn resend(mut self, value: Resend) -> Self {
        self.settings.resend = value;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] names the first setting that is out of its bounds.
    pub fn build(self) -> Result<Settings, SettingsError> {
        let settings = self.settings;
        let (start, max) = (
            settings.redirect_backoff_start,
            settings.redirect_backoff_max,
        );
        if start > max {
            return Err(SettingsError::RedirectBackoffStartAboveMax { start, max });
        }
        for (setting, value) in [
            (
                "request_timeout",
                settings.request_timeout.unwrap_or(Duration::MAX),
            ),
            ("attempt_timeout", settings.attempt_timeout),
            ("connect_timeout", settings.connect_timeout),
            ("blackout_start", settings.blackout_start),
        ] {
            if value.is_zero() {
                return Err(SettingsError::Zero { setting });
            }
        }
        if settings.max_redirects == Some(0) {
            return Err(SettingsError::Zero {
                setting: "max_redirects",
            });
        }
        let (start, max) = (settings.blackout_start, settings.blackout_max);
        if start > max {
            return Err(SettingsError::BlackoutStartAboveMax { start, max });
        }
        for (setting, value) in [
            (
                "periodic_handshake_interval",
                settings.periodic_handshake_interval,
            ),
            ("ownership_sync_interval", settings.ownership_sync_interval),
        ] {
            if value < Settings::MIN_HANDSHAKE_INTERVAL {
                return Err(SettingsError::IntervalTooShort { setting, value });
            }
        }
        Ok(settings)
    }
}

/// Why [`SettingsBuilder::build`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// `redirect_backoff_start` is above `redirect_backoff_max`.
    RedirectBackoffStartAboveMax {
        /// The start.
        start: Duration,
        /// The most.
        max: Duration,
    },
    /// `blackout_start` is above `blackout_max`.
    BlackoutStartAboveMax {
        /// The start.
        start: Duration,
        /// The most.
        max: Duration,
    },
    /// The setting may not be zero.
    Zero {
        /// Which one.
        setting: &'static str,
    },
    /// The interval is below [`Settings::MIN_HANDSHAKE_INTERVAL`].
    IntervalTooShort {
        /// Which one.
        setting: &'static str,
        /// What it was set to.
        value: Duration,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RedirectBackoffStartAboveMax { start, max } => {
                write!(
                    f,
                    "redirect_backoff_start is {start:?}; it may be at most redirect_backoff_max, \
                     {max:?}"
                )
            }
            Self::BlackoutStartAboveMax { start, max } => {
                write!(
                    f,
                    "blackout_start is {start:?}; it may be at most blackout_max, {max:?}"
                )
            }
            Self::Zero { setting } => write!(f, "{setting} is zero; it must be above"),
            Self::IntervalTooShort { setting, value } => {
                write!(
                    f,
                    "{setting} is {value:?}; it must be at least {:?}",
                    Settings::MIN_HANDSHAKE_INTERVAL
                )
            }
        }
    }
}

impl core::error::Error for SettingsError {}
