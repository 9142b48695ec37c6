use core::time::Duration;

use super::Resend;
pub use crate::settings::SettingsError;
use crate::settings_table;

settings_table! {
    /// Settings of a [`Client`](super::Client). A value of this type is valid: the builder checked
    /// it.
    ///
    /// Names and defaults are those of DistributedLog's own client builder wherever it has the
    /// setting; each difference is explained.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[cfg_attr(feature = "serde", derive(serde::Serialize))]
    pub struct Settings { pub(crate) }
    make rows (pub const ROWS of Settings);
    make builder (SettingsBuilder);

    /// Time that a redirect to a host waits which the request was sent to before: this long times
    /// the attempts so far, at most `redirect_backoff_max`.
    redirect_backoff_start: Duration, default (25 ms), valid (time 0 ns to redirect_backoff_max);
    /// Longest time before a redirect.
    redirect_backoff_max: Duration, default (100 ms), valid (time any);
    /// Maximum number of times that a request is sent, redirects and retries included. `None`: its
    /// deadline ends it, and a request without a deadline is sent at most 32 times
    /// ([`Settings::MAX_ENDLESS_REDIRECTS`]).
    max_redirects: Option<u16>, default (none), valid (count none or at least 1);
    /// Time from `submit` until a request fails; a deadline of its own may be earlier.
    request_timeout: Option<Duration>, default (none), valid (time none or at least 1 ns);
    /// Time that a host may take to answer, waiting for its connection included. The request then
    /// fails with [`Cause::TimedOut`](crate::Cause::TimedOut); its outcome is unknown if a byte of
    /// it was sent. The original's default.
    attempt_timeout: Duration, default (1 s), valid (time at least 1 ns);
    /// Time that making a connection may take, its handshakes included.
    connect_timeout: Duration, default (200 ms), valid (time at least 1 ns);
    /// Fails a request whose answer says "not here, not now" instead of sending it elsewhere.
    stream_failfast: bool, default (off), valid (switch on or off);
    /// Time that a host stays out of the ring after its first failure in a row; it doubles with
    /// each further one. The original keeps a host out for 300 s, which outlives most restarts by
    /// 295 s.
    blackout_start: Duration, default (100 ms), valid (time 1 ns to blackout_max);
    /// Longest time that a host stays out of the ring before it is probed again.
    blackout_max: Duration, default (10 s), valid (time any);
    /// Interval between two questions to each host after its state.
    periodic_handshake_interval: Duration, default (300 s), valid (time at least 1 s);
    /// Interval between two questions to each host after the streams that it owns.
    ownership_sync_interval: Duration, default (300 s), valid (time at least 1 s);
    /// Adds a checksum of the content to requests.
    checksum: bool, default (on), valid (switch on or off);
    /// Writes that are sent again after an attempt that may have written.
    resend: Resend, default (when_not_written => Resend::WhenNotWritten),
        valid (word when_not_written, after_answers or always);
}

impl Settings {
    /// Maximum number of times that a request without a deadline is sent when
    /// [`max_redirects`](SettingsBuilder::max_redirects) is `None`: without a limit, two proxies
    /// that each take the other for a stream's owner would keep it going between them for ever, as
    /// they do in the original.
    pub const MAX_ENDLESS_REDIRECTS: u16 = 32;

    /// Shortest interval between handshakes.
    pub const MIN_HANDSHAKE_INTERVAL: Duration = Duration::from_secs(1);
}
