use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use distributedlog::FailureDomain;
use distributedlog::settings::SettingsError as OutOfRange;
use distributedlog::settings_table;

use distributedlog_store::descriptors::DescriptorBudget;

use super::wall_clock::{SystemClock, WallClock};
use super::{
    AdminPeers, AuditLog, Authorization, CorsOrigin, HttpToken, HttpTokens, ServerCertificate,
};

/// The largest record, or whole record set with its header, that a proxy stores: 1 MiB − 8 KiB, as
/// the original checks it.
pub const MAX_RECORD_BYTES: usize = (1 << 20) - (8 << 10);

/// Maximum bytes of a frame besides its payload: contexts, names, hosts already tried. A frame
/// limit below a record and this could refuse records that the proxy stores.
const FRAME_OVERHEAD_BYTES: usize = 64 << 10;

// The table's smallest frame has room for a record.
const _: () = assert!(MAX_RECORD_BYTES + FRAME_OVERHEAD_BYTES == 1_105_920);

settings_table! {
    /// Settings of a write proxy: addresses, clients and limits. A value of this type is valid:
    /// [`Settings::builder`] makes them.
    #[derive(Clone, Debug)]
    pub struct Settings { pub(super) }
    make rows (pub const ROWS of Settings);
    make defaults (fn defaults());
    make checks (fn check_rows);
    make setters ((fn) of SettingsBuilder in (settings));
    make named (SettingsBuilder in (settings));

    /// Address that clients connect to; port 0 lets the system choose.
    listen: SocketAddr, default ("127.0.0.1:8000" => SocketAddr::from(([127, 0, 0, 1], 8000))),
        valid (other any address);
    /// Address that metrics and health are served on over HTTP.
    stats_listen: Option<SocketAddr>, default (none), valid (other none or any address);
    /// Address that HTTP clients write, read and administer streams at.
    http_listen: Option<SocketAddr>, default (none), valid (other none or any address);
    /// Maximum number of open connections on the HTTP port; the next one is closed as soon as it is
    /// accepted.
    http_max_connections: usize, default (4096), valid (count 1 to 1048576);
    /// Maximum number of streams that are read at once over HTTP; the next reader is refused (503).
    http_max_readers: usize, default (4096), valid (count 1 to 1048576);
    /// Maximum number of streams that clients of one address read at once over HTTP; the next
    /// reader from there is refused (503). Raise it if clients share the address of a gateway.
    http_max_readers_per_peer: usize, default (1024), valid (count 1 to 1048576);
    /// Maximum bytes that are read ahead for all streams that are read over HTTP, without the first
    /// 32 KiB of each; clients of one address may use half of it. At the limit a reader waits.
    http_max_read_ahead_bytes: usize, default (64 MiB), valid (bytes 4 MiB to 4 GiB);
    /// Maximum bytes of all bodies of HTTP requests that are being received or stored; clients of
    /// one address may use half of it. At the limit a request is refused as over capacity (429).
    http_max_body_bytes: usize, default (64 MiB), valid (bytes 4 MiB to 4 GiB);
    /// Origins whose pages may use the HTTP port from a browser, besides the port's own.
    http_origins: Vec<CorsOrigin>, default (none => Vec::new()), valid (other any origins);
    /// Token that clients of the HTTP port and of the stats port must send. `None`: every client
    /// that reaches a port may use it.
    http_token: Option<HttpToken>, default (none), valid (other none or a token);
    /// Named tokens of clients of the HTTP port and of the stats port. With them a client must send
    /// one, or that of `http_token`, or present a certificate.
    http_tokens: Option<HttpTokens>, default (none), valid (other none or tokens);
    /// Rules of who may do what with which streams, and limits of each client. `None`: every client
    /// that is admitted may do everything, and has no limit of its own.
    authorization: Option<Authorization>, default (none), valid (other none or rules);
    /// Log of administration and of what was refused because of who asked.
    audit_log: Option<AuditLog>, default (none), valid (other none or a log);
    /// Time until an HTTP connection's next request header is complete, from the last response on;
    /// also the time that an idle connection is kept.
    http_header_timeout: Duration, default (60 s), valid (time 1 ms to 24 h);
    /// Speaks thriftmux besides framed thrift, on the same port.
    thriftmux: bool, default (on), valid (switch on or off);
    /// The proxy's shard id; −1: none.
    shard: i32, default (-1), valid (other at least -1);
    /// Address by which clients reach this proxy, `host` or `host:port`; it stands in redirects and
    /// handshakes. `None`: the address it listens on.
    announce: Option<String>, default (none), valid (other none or a host);
    /// Name of the failure domain of the streams' storage, 1 to 255 bytes: proxies with the same
    /// name share what makes streams stall, such as a disk, and writers hedge to another one first
    /// (R22). `None`: the identity of the store; on BookKeeper nothing is said, because each
    /// segment has an ensemble of its own.
    failure_domain: Option<String>, default (none), valid (other none or a name);
    /// TLS on the clients' port and on the HTTP port, and the authorities of the clients'
    /// certificates if they are asked for. `None`: plain TCP.
    tls: Option<ServerCertificate>, default (none), valid (other none or a certificate);
    /// Refuses everything that would change a stream (403).
    read_only: bool, default (off), valid (switch on or off);
    /// Creates a stream that does not exist when it is written to, as the original does.
    create_missing_streams: bool, default (on), valid (switch on or off);
    /// Clients that may delete and truncate streams, give up their ownership, set whether the proxy
    /// accepts further streams, and inject faults. The default: those of this machine, and HTTP
    /// clients that send the token, if one is required.
    admin_from: AdminPeers, default (loopback => AdminPeers::Loopback),
        valid (other loopback, any or none);
    /// Refuses clients that do not identify themselves by a Finagle client id, as the original
    /// does.
    require_client_id: bool, default (off), valid (switch on or off);
    /// Largest frame that is read, in bytes. A larger one ends its connection before any of it is
    /// buffered. The default has room for a bulk write of sixteen of the largest records, the
    /// minimum for one record and 64 KiB.
    max_frame_bytes: usize, default (16 MiB), valid (bytes 1105920 B to 1 GiB);
    /// Maximum number of open connections; the next one is closed as soon as it is accepted.
    max_connections: usize, default (16384), valid (count 1 to 16777216);
    /// Maximum number of unanswered requests of one connection; beyond, its socket is not read.
    max_requests_per_connection: usize, default (8192), valid (count 1 to 1048576);
    /// Maximum bytes of one connection's unanswered requests; beyond, its socket is not read.
    max_bytes_per_connection: usize, default (32 MiB), valid (bytes max_frame_bytes to 1 TiB);
    /// Maximum number of unanswered requests to one stream; the next is refused as over capacity
    /// (517).
    max_requests_per_stream: usize, default (65536), valid (count 1 to 16777216);
    /// Maximum bytes of unanswered requests to one stream; the next is refused as over capacity
    /// (517).
    max_bytes_per_stream: usize, default (64 MiB), valid (bytes max_frame_bytes to 1 TiB);
    /// Maximum number of unanswered requests of all connections; the next is refused as over
    /// capacity (517).
    max_requests: usize, default (262144),
        valid (count max_requests_per_stream to 268435456);
    /// Maximum bytes of unanswered requests of all connections; the next is refused as over
    /// capacity (517).
    max_bytes: usize, default (256 MiB), valid (bytes max_bytes_per_stream to 16 TiB);
    /// Maximum bytes of all frames that have begun and not ended, without the first 16 KiB of each
    /// connection's; clients of one address may use half of it. At the limit the rest of such
    /// frames is not read.
    max_unfinished_bytes: usize, default (64 MiB), valid (bytes max_frame_bytes to 4 GiB);
    /// Maximum bytes of all connections' replies that wait to be sent. At the limit a connection
    /// with unsent replies is not read.
    max_reply_bytes: usize, default (128 MiB), valid (bytes 1 MiB to 4 GiB);
    /// Minimum rate in bytes per second at which a client takes what waits for it, measured over
    /// `write_timeout`; a slower one is disconnected. 0: a byte in that time is enough.
    min_write_rate: usize, default (4 KiB), valid (bytes 0 B to 1 GiB);
    /// Maximum number of streams that the proxy owns; another one is refused (524).
    max_streams: usize, default (100000), valid (count 1 to 16777216);
    /// Maximum number of record sets with an identity (R12) that the proxy remembers, so that a
    /// copy of a set for the same stream is answered with the first copy's position and not stored
    /// again. The default takes at most 25 MB; 0: every copy is stored.
    ///
    /// A copy is recognised if this proxy has owned the stream without a break since the set came,
    /// has received fewer than 1,024 sets with a higher sequence by the same writer for that
    /// stream, and did not have to make room for sets of others: those of writers that were idle
    /// for a while, a writer counting once for each of its streams, are dropped first, also when
    /// there are more than 4,096 of them. Nothing is kept over a restart. A copy for another stream
    /// is stored there, because a position belongs to its stream; merged readers drop it.
    remembered_sets: usize, default (262144), valid (count 0 to 268435456);
    /// Time until a connection's first frame, and its TLS handshake, are complete once begun.
    handshake_timeout: Duration, default (10 s), valid (time 1 ms to 24 h);
    /// Time until any later frame is complete once its first byte has come.
    frame_timeout: Duration, default (30 s), valid (time 1 ms to 24 h);
    /// Time that a peer may read nothing while answers wait for it.
    write_timeout: Duration, default (30 s), valid (time 1 ms to 24 h);
    /// Time that a connection may be silent with nothing in flight before it is closed. A ping
    /// breaks the silence: our clients and Finagle's send one every few seconds. `None`: no limit.
    idle_timeout: Option<Duration>, default (10 min => Some(Duration::from_secs(600))),
        valid (time none or 1 ms to 24 h);
    /// Time that a drain waits for connections to finish before it closes them.
    drain_timeout: Duration, default (30 s), valid (time 1 ms to 24 h);
    /// Age at which an expired deadline is taken for a wrong clock at once and ignored. Below it, a
    /// client's clock is doubted after eight requests in a row that came after their time.
    max_clock_skew: Duration, default (5 min), valid (time 1 ms to 24 h);
    /// Allows streams to be stalled and failed on purpose, by
    /// [`RunningProxy::faults`](super::RunningProxy::faults) and over the stats port. For tests and
    /// demonstrations.
    faults: bool, default (off), valid (switch on or off);
    /// Lets the page at `/demo` start its demonstration, which writes, by itself, instead of by a
    /// click.
    demo: bool, default (off), valid (switch on or off);
    /// Descriptors that connections of the clients' port and of the HTTP port take from, besides
    /// `max_connections` and `http_max_connections`. The stats port has room of its own.
    descriptors: DescriptorBudget, default (unlimited => DescriptorBudget::unlimited()),
        valid (other any);
    /// Clock that deadlines are compared with.
    wall_clock: Arc<dyn WallClock>, default (system => Arc::new(SystemClock)), valid (other any);
}

/// Collects the settings of a write proxy. Every setting has a default; [`build`](Self::build)
/// checks them.
#[derive(Clone, Debug)]
#[must_use]
pub struct SettingsBuilder {
    settings: Settings,
}

impl Default for SettingsBuilder {
    fn default() -> Self {
        Self {
            settings: Settings::defaults(),
        }
    }
}

impl Settings {
    /// Returns a builder with the defaults.
    pub fn builder() -> SettingsBuilder {
        SettingsBuilder::default()
    }
}

impl SettingsBuilder {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first setting that is outside its range, or contradicts another.
    pub fn build(self) -> Result<Settings, SettingsError> {
        let it = &self.settings;
        it.check_rows().map_err(SettingsError::OutOfRange)?;
        if it.shard < -1 {
            return Err(SettingsError::Shard { value: it.shard });
        }
        match &it.announce {
            None if it.listen.ip().is_unspecified() => {
                return Err(SettingsError::AnnounceNeeded { listen: it.listen });
            }
            Some(text) if !is_host_or_host_port(text) => {
                return Err(SettingsError::AnnounceMalformed { text: text.clone() });
            }
            None | Some(_) => {}
        }
        if let Some(name) = it
            .failure_domain
            .as_deref()
            .filter(|it| !is_domain_name(it))
        {
            return Err(SettingsError::FailureDomain { name: name.into() });
        }
        Ok(self.settings)
    }
}

/// Checks the name of a failure domain. Clients ignore an empty one and a longer one.
fn is_domain_name(name: &str) -> bool {
    (1..=FailureDomain::MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Returns the `host:port` of this proxy, from the announced text and the address it listens on.
pub(super) fn announced_address(announce: Option<&str>, bound: SocketAddr) -> String {
    match announce {
        None => bound.to_string(),
        Some(text) if port_of(text).is_some() => text.to_owned(),
        Some(host) => format!("{host}:{}", bound.port()),
    }
}

/// Returns the port of `host:port`. An IPv6 address has one only after its closing bracket.
fn port_of(text: &str) -> Option<u16> {
    let (host, port) = text.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !bracketed {
        None
    } else {
        port.parse().ok()
    }
}

/// Checks an announced address. The owner's text is `1;{shard};{host}:{port}`, so a host holds
/// neither `;` nor blanks.
fn is_host_or_host_port(text: &str) -> bool {
    let host = match text.rsplit_once(':') {
        Some((host, _)) if port_of(text).is_some() => host,
        Some(_) if text.starts_with('[') && text.ends_with(']') => text,
        Some(_) => return false,
        None => text,
    };
    !host.is_empty()
        && host.len() <= 255
        && !host.contains([';', '/', ' '])
        && !host.chars().any(char::is_control)
}

/// A setting of the write proxy that is refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SettingsError {
    /// The value lies outside its range.
    OutOfRange(OutOfRange),
    /// The shard id is negative and not −1.
    Shard {
        /// The shard id.
        value: i32,
    },
    /// The proxy listens on every address of the machine, and no address is announced that clients
    /// can connect to.
    AnnounceNeeded {
        /// Address that it listens on.
        listen: SocketAddr,
    },
    /// The announced address is neither `host` nor `host:port`.
    AnnounceMalformed {
        /// The announced text.
        text: String,
    },
    /// The failure domain's name is empty, longer than 255 bytes, or has control characters.
    FailureDomain {
        /// The name.
        name: String,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange(error) => error.fmt(f),
            Self::Shard { value } => write!(f, "shard is {value}; it must be at least -1"),
            Self::AnnounceNeeded { listen } => write!(
                f,
                "a proxy that listens on {listen} needs the host name or address by which clients \
                 reach it (announce), for redirects"
            ),
            Self::AnnounceMalformed { text } => {
                write!(
                    f,
                    "announce is {text:?}; it must be host or host:port, with an IPv6 address in \
                     brackets"
                )
            }
            Self::FailureDomain { name } => write!(
                f,
                "failure_domain is {name:?}; it must be a name of 1 to 255 bytes without control \
                 characters"
            ),
        }
    }
}

impl core::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        Settings::builder().build().expect("the defaults");
    }

    #[test]
    fn a_value_outside_its_range_is_refused_by_name() {
        let error = Settings::builder()
            .max_frame_bytes(1000)
            .build()
            .expect_err("too small for a record");
        assert_eq!(
            error.to_string(),
            "max_frame_bytes is 1000; it must be within 1105920 to 1073741824"
        );
        let error = Settings::builder()
            .frame_timeout(Duration::ZERO)
            .build()
            .expect_err("no time at all");
        assert_eq!(
            error.to_string(),
            "frame_timeout is 0ns; it must be within 1ms to 86400s"
        );
        let error = Settings::builder()
            .max_bytes(1 << 20)
            .build()
            .expect_err("below one stream's");
        assert!(matches!(
            error,
            SettingsError::OutOfRange(OutOfRange {
                setting: "max_bytes",
                ..
            })
        ));
    }

    #[test]
    fn a_proxy_on_every_address_must_announce_one() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 8000));
        assert_eq!(
            Settings::builder()
                .listen(everywhere)
                .build()
                .expect_err("clients cannot go there"),
            SettingsError::AnnounceNeeded { listen: everywhere }
        );
        Settings::builder()
            .listen(everywhere)
            .announce(Some("proxy-1".into()))
            .build()
            .expect("a name for it");
    }

    #[test]
    fn announced_hosts_take_the_bound_port_unless_they_name_one() {
        let bound = SocketAddr::from(([127, 0, 0, 1], 8000));
        for (announce, expected) in [
            (None, "127.0.0.1:8000"),
            (Some("proxy-1"), "proxy-1:8000"),
            (Some("proxy-1:9000"), "proxy-1:9000"),
            (Some("[::1]"), "[::1]:8000"),
            (Some("[::1]:9000"), "[::1]:9000"),
        ] {
            assert_eq!(announced_address(announce, bound), expected);
        }
    }

    #[test]
    fn a_failure_domain_without_a_proper_name_is_refused() {
        let named = |name: &str| {
            let settings = Settings::builder().failure_domain(Some(name.into()));
            settings.build()
        };
        for name in ["r", "rack 1, disk 2", &"d".repeat(255)] {
            named(name).expect(name);
        }
        for name in ["", "a\nb", &"d".repeat(256)] {
            let error = named(name).expect_err("clients ignore it, or a log would be broken");
            assert_eq!(error, SettingsError::FailureDomain { name: name.into() });
        }
    }

    #[test]
    fn malformed_announcements_are_refused() {
        for text in ["", "::1", "a;b", "host:port", "host:99999", "http://host"] {
            let error = Settings::builder()
                .announce(Some(text.into()))
                .build()
                .expect_err(text);
            assert_eq!(
                error,
                SettingsError::AnnounceMalformed { text: text.into() }
            );
        }
    }
}
