//! Settings of the server and of its clients.

use core::time::Duration;
use std::sync::Arc;

use distributedlog::settings_table;

use super::StoreSecret;
use crate::Entropy;
use crate::descriptors::DescriptorBudget;
use crate::net::{Dial, Tcp};
use crate::tls::{ClientTls, ServerCertificate};
use crate::uri::DEFAULT_NAMESPACE;

settings_table! {
    /// Settings of a [`Server`](super::Server). The defaults suit `dlog local`; change single
    /// fields.
    #[derive(Clone, Debug)]
    pub struct ServerSettings { pub }
    make rows (pub const ROWS of ServerSettings);
    make defaults (fn defaults());
    make checks (
        /// Checks the settings against their ranges and against each other.
        ///
        /// # Errors
        ///
        /// The first setting that is outside its range.
        pub fn check
    );
    make named (ServerSettings in ());

    /// Namespace that the store serves. A client of another namespace is refused, with this one in
    /// the message.
    namespace: String, default ("/messaging/distributedlog" => DEFAULT_NAMESPACE.to_owned()),
        valid (other any text);
    /// Time for which the server keeps the session and leases of a lost connection, in which the
    /// client can resume it. The session timeout of a client that hangs is `idle_timeout` and this.
    session_grace: Duration, default (4 s), valid (time 0 ns to 24 h);
    /// Maximum time from accepting a connection to its first frame.
    hello_timeout: Duration, default (5 s), valid (time 1 ms to 24 h);
    /// Maximum time without a complete frame; after it the connection is closed. Clients are asked
    /// to ping four times in this time.
    idle_timeout: Duration, default (10 s), valid (time 1 ms to 24 h);
    /// Maximum number of open connections. A further one is refused with that reason.
    max_connections: usize, default (16384), valid (count 1 to 16777216);
    /// Maximum size of a frame in bytes. A larger one closes the connection before it is buffered.
    max_frame_bytes: usize, default (4 MiB), valid (bytes 256 B to 1 GiB);
    /// Maximum size in bytes of one connection's requests in progress, each rounded up to the next
    /// KiB. At the limit its socket is not read.
    max_append_bytes: usize, default (64 MiB), valid (bytes max_frame_bytes to 1 TiB);
    /// Maximum size in bytes of all connections' requests in progress, counted likewise. At the
    /// limit further ones wait, and their sockets are not read.
    max_total_append_bytes: usize, default (256 MiB), valid (bytes max_frame_bytes to 4 GiB);
    /// Maximum size in bytes of all frames that have begun and not ended, without the first 16 KiB
    /// of each connection's. At the limit the rest of such frames is not read.
    max_unfinished_bytes: usize, default (64 MiB), valid (bytes max_frame_bytes to 4 GiB);
    /// Maximum number of reads of all connections, waiting or not; a further one is refused as an
    /// overload. A connection has at most 4,096 of them.
    max_reads: usize, default (65536), valid (count 1 to 16777216);
    /// Maximum size in bytes of one connection's answers that are being read from the store or wait
    /// to be written. Beyond it reads wait until the client takes its answers.
    max_answer_bytes: usize, default (16 MiB), valid (bytes 64 KiB to 4 GiB);
    /// Maximum size in bytes of all connections' answers, counted likewise.
    max_total_answer_bytes: usize, default (256 MiB), valid (bytes 64 KiB to 4 GiB);
    /// Minimum rate in bytes per second at which a client takes answers that wait for it, measured
    /// over `idle_timeout`; a slower one is disconnected. 0: a byte in that time is enough.
    min_write_rate: usize, default (16 KiB), valid (bytes 0 B to 1 GiB);
    /// Maximum size in bytes of the entries that one read returns, unless its first entry alone is
    /// larger.
    max_read_bytes: usize, default (1 MiB), valid (bytes 1 B to 1 GiB);
    /// Maximum time that a read waits for an entry. A client that waits longer sends it again.
    max_read_wait: Duration, default (60 s), valid (time 0 ns to 24 h);
    /// Maximum time that a drain waits for requests in flight before it closes their connections.
    drain_timeout: Duration, default (10 s), valid (time 0 ns to 24 h);
    /// Descriptors that the connections take from, besides `max_connections`.
    descriptors: DescriptorBudget, default (unlimited => DescriptorBudget::unlimited()),
        valid (other any);
    /// TLS, and the clients' authorities if they must present certificates. `None`: plain TCP.
    tls: Option<ServerCertificate>, default (none), valid (other none or a certificate);
    /// Secret that clients must prove to know. `None`: every client that reaches the port, and has
    /// a certificate if one is required, is served.
    secret: Option<StoreSecret>, default (none), valid (other none or a secret);
    /// Source of the sessions' secrets.
    entropy: Entropy, default (system => Entropy::default()), valid (other any);
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self::defaults()
    }
}

settings_table! {
    /// Settings of a [`RemoteStore`](super::RemoteStore); change single fields of the defaults.
    #[derive(Clone, Debug)]
    pub struct ClientSettings { pub }
    make rows (pub const ROWS of ClientSettings);
    make defaults (fn defaults());
    make checks (
        /// Checks the settings against their ranges and against each other.
        ///
        /// # Errors
        ///
        /// The first setting that is outside its range.
        pub fn check
    );
    make named (ClientSettings in ());

    /// Program and process id of this client, for the server's log. At most 256 bytes are sent.
    description: String, default (process => default_description()), valid (other any text);
    /// Timeout for connecting to a host, and again for its reply to the handshake.
    connect_timeout: Duration, default (5 s), valid (time 1 ms to 24 h);
    /// Maximum time that an operation other than an append waits for a new connection after the old
    /// one was lost.
    ///
    /// Within it, operations that can be repeated are sent again; creating and deleting a stream is
    /// not, because it is unknown whether the first one was carried out.
    retry_timeout: Duration, default (5 s), valid (time 0 ns to 24 h);
    /// First pause before reconnecting. It doubles up to `backoff_max`.
    backoff_min: Duration, default (20 ms), valid (time 1 us to backoff_max);
    /// Longest pause before reconnecting.
    backoff_max: Duration, default (1 s), valid (time 1 us to 24 h);
    /// Maximum size of a frame in bytes.
    max_frame_bytes: usize, default (16 MiB), valid (bytes 256 B to 1 GiB);
    /// Maximum size of appends in flight in bytes; a further append fails with
    /// [`StoreError::Overloaded`](crate::StoreError::Overloaded).
    max_append_bytes: usize, default (64 MiB), valid (bytes 1 B to 1 TiB);
    /// Transport that makes the connections.
    dial: Arc<dyn Dial>, default (TCP => Arc::new(Tcp)), valid (other any);
    /// TLS with the store. `None`: plain TCP.
    tls: Option<ClientTls>, default (none), valid (other none or authorities);
    /// Secret that this client and the store prove to each other that they know. A store without it
    /// is refused.
    secret: Option<StoreSecret>, default (none), valid (other none or a secret);
    /// Source of the pauses' jitter.
    entropy: Entropy, default (system => Entropy::default()), valid (other any);
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self::defaults()
    }
}

fn default_description() -> String {
    format!(
        "dlog {} (process {})",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_out_of_its_range_is_refused_by_name() {
        let server = |change: fn(&mut ServerSettings)| {
            let mut settings = ServerSettings::default();
            change(&mut settings);
            settings.check().map_err(|error| error.to_string())
        };
        assert_eq!(server(|_| {}), Ok(()));
        for (text, change) in [
            (
                "max_append_bytes is 4194303; it must be within 4194304 to 1099511627776",
                (|s| s.max_append_bytes = (4 << 20) - 1) as fn(&mut ServerSettings),
            ),
            (
                "max_connections is 16777217; it must be within 1 to 16777216",
                |s| s.max_connections = (1 << 24) + 1,
            ),
            (
                "idle_timeout is 0ns; it must be within 1ms to 86400s",
                |s| s.idle_timeout = Duration::ZERO,
            ),
        ] {
            assert_eq!(server(change), Err(text.to_owned()));
        }
        let client = ClientSettings {
            backoff_min: Duration::from_secs(2),
            ..ClientSettings::default()
        };
        assert_eq!(
            client.check().map_err(|error| error.to_string()),
            Err(
                "backoff_min is 2s; it must be at least 1µs and at most backoff_max, 1s".to_owned()
            )
        );
        assert_eq!(ClientSettings::default().check(), Ok(()));
    }
}
