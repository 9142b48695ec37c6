use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use distributedlog::settings::SettingsError as OutOfRange;

use super::wall_clock::{SystemClock, WallClock};
use super::{AdminPeers, CorsOrigin, HttpToken, ServerCertificate};

/// The largest record, or whole record set with its header, that a proxy stores: 1 MiB − 8 KiB, as
/// the original checks it.
pub const MAX_RECORD_BYTES: usize = (1 << 20) - (8 << 10);

/// Maximum bytes of a frame besides its payload: contexts, names, hosts already tried. A frame
/// limit below a record and this could refuse records that the proxy stores.
const FRAME_OVERHEAD_BYTES: usize = 64 << 10;

/// Makes the settings from rows: documentation, name, type, default, and the range if it has one;
/// `|it|` names the other settings.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $type:ty = $default:expr $(, within |$it:ident| $least:expr, $most:expr)?;
    )*) => {
        /// Settings of a write proxy: addresses, clients and limits. A value of this type is valid:
        /// [`Settings::builder`] makes them.
        #[derive(Clone, Debug)]
        pub struct Settings { $(pub(super) $name: $type,)* }

        impl Settings {
            /// Name and documentation of all settings; the documentation has default and range.
            pub const ROWS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($doc),+)),)*];
        }

        /// Collects the settings of a write proxy. Every setting has a default;
        /// [`build`](Self::build) checks them.
        #[derive(Clone, Debug)]
        #[must_use]
        pub struct SettingsBuilder { settings: Settings }

        impl Default for SettingsBuilder {
            fn default() -> Self { Self { settings: Settings { $($name: $default,)* } } }
        }

        impl SettingsBuilder {
            $($(#[doc = $doc])+
            pub fn $name(mut self, $name: $type) -> Self {
                self.settings.$name = $name;
                self
            })*

            fn check_ranges(&self) -> Result<(), SettingsError> {
                $($(
                    let $it = &self.settings;
                    $it.$name.check(stringify!($name), $least, $most)?;
                )?)*
                Ok(())
            }
        }
    };
}

/// A setting with a range.
trait Ranged: Sized {
    fn check(&self, setting: &'static str, least: Self, most: Self) -> Result<(), SettingsError>;
}

impl Ranged for usize {
    fn check(&self, setting: &'static str, least: Self, most: Self) -> Result<(), SettingsError> {
        let (value, least, most) = (*self as u64, least as u64, most as u64);
        OutOfRange::check_count(setting, value, least, most).map_err(SettingsError::OutOfRange)
    }
}

impl Ranged for Duration {
    fn check(&self, setting: &'static str, least: Self, most: Self) -> Result<(), SettingsError> {
        OutOfRange::check_time(setting, *self, least, most).map_err(SettingsError::OutOfRange)
    }
}

/// The shortest and the longest of all times.
const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

settings! {
    /// Address that clients connect to; port 0 lets the system choose. Default: 127.0.0.1:8000.
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8000));
    /// Address that metrics and health are served on over HTTP. Default: `None`.
    stats_listen: Option<SocketAddr> = None;
    /// Address that HTTP clients write, read and administer streams at. Default: `None`.
    http_listen: Option<SocketAddr> = None;
    /// Maximum number of open connections on the HTTP port; the next one is closed as soon as it is
    /// accepted. Default: 4,096.
    http_max_connections: usize = 4_096, within |it| 1, 1 << 20;
    /// Maximum number of streams that are read at once over HTTP; the next reader is refused (503).
    /// Default: 4,096.
    http_max_readers: usize = 4_096, within |it| 1, 1 << 20;
    /// Origins whose pages may use the HTTP port from a browser, besides the port's own. Default:
    /// none.
    http_origins: Vec<CorsOrigin> = Vec::new();
    /// Token that clients of the HTTP port and of the stats port must send. Default: `None`, every
    /// client that reaches a port may use it.
    http_token: Option<HttpToken> = None;
    /// Time until an HTTP connection's next request header is complete, from the last response on;
    /// also the time that an idle connection is kept. Default: 60 s.
    http_header_timeout: Duration = Duration::from_secs(60), within |it| MILLISECOND, DAY;
    /// Speaks thriftmux besides framed thrift, on the same port. Default: on.
    thriftmux: bool = true;
    /// The proxy's shard id. Default: −1, none.
    shard: i32 = -1;
    /// Address by which clients reach this proxy, `host` or `host:port`; it stands in redirects and
    /// handshakes. Default: `None`, the address it listens on.
    announce: Option<String> = None;
    /// TLS on the clients' port and on the HTTP port. Default: `None`, plain TCP.
    tls: Option<ServerCertificate> = None;
    /// Creates a stream that does not exist when it is written to. Default: on, as in the original.
    create_missing_streams: bool = true;
    /// Refuses everything that would change a stream (403). Default: off.
    read_only: bool = false;
    /// Clients that may delete and truncate streams, give up their ownership, set whether the proxy
    /// accepts further streams, and inject faults. Default: those of this machine, and HTTP clients
    /// that send the token, if one is required.
    admin_from: AdminPeers = AdminPeers::Loopback;
    /// Refuses clients that do not identify themselves by a Finagle client id, as the original
    /// does. Default: off.
    require_client_id: bool = false;
    /// Largest frame that is read, in bytes. A larger one ends its connection before any of it is
    /// buffered. Default: 16 MiB, room for a bulk write of sixteen of the largest records. At least
    /// 1,105,920: one record and 64 KiB.
    max_frame_bytes: usize = 16 << 20, within |it| MAX_RECORD_BYTES + FRAME_OVERHEAD_BYTES, 1 << 30;
    /// Maximum number of open connections; the next one is closed as soon as it is accepted.
    /// Default: 16,384.
    max_connections: usize = 16_384, within |it| 1, 1 << 24;
    /// Maximum number of unanswered requests of one connection; beyond, its socket is not read.
    /// Default: 8,192.
    max_requests_per_connection: usize = 8_192, within |it| 1, 1 << 20;
    /// Maximum bytes of one connection's unanswered requests; beyond, its socket is not read.
    /// Default: 32 MiB.
    max_bytes_per_connection: usize = 32 << 20, within |it| it.max_frame_bytes, 1 << 40;
    /// Maximum number of unanswered requests to one stream; the next is refused as over capacity
    /// (517). Default: 65,536.
    max_requests_per_stream: usize = 65_536, within |it| 1, 1 << 24;
    /// Maximum bytes of unanswered requests to one stream; the next is refused as over capacity
    /// (517). Default: 64 MiB.
    max_bytes_per_stream: usize = 64 << 20, within |it| it.max_frame_bytes, 1 << 40;
    /// Maximum number of unanswered requests of all connections; the next is refused as over
    /// capacity (517). Default: 262,144.
    max_requests: usize = 262_144, within |it| it.max_requests_per_stream, 1 << 28;
    /// Maximum bytes of unanswered requests of all connections; the next is refused as over
    /// capacity (517). Default: 256 MiB.
    max_bytes: usize = 256 << 20, within |it| it.max_bytes_per_stream, 1 << 44;
    /// Maximum number of streams that the proxy owns; another one is refused (524). Default:
    /// 100,000.
    max_streams: usize = 100_000, within |it| 1, 1 << 24;
    /// Maximum number of record sets with an identity (R12) that the proxy remembers, so that a
    /// copy of a set for the same stream is answered with the first copy's position and not stored
    /// again. Default: 262,144, at most 25 MB; 0: every copy is stored.
    ///
    /// A copy is recognised if this proxy has owned the stream without a break since the set came,
    /// has received fewer than 1,024 sets with a higher sequence by the same writer for that
    /// stream, and did not have to make room for sets of others: those of writers that were idle
    /// for a while, a writer counting once for each of its streams, are dropped first, also when
    /// there are more than 4,096 of them. Nothing is kept over a restart. A copy for another stream
    /// is stored there, because a position belongs to its stream; merged readers drop it.
    remembered_sets: usize = 1 << 18, within |it| 0, 1 << 28;
    /// Time until a connection's first frame, and its TLS handshake, are complete once begun.
    /// Default: 10 s.
    handshake_timeout: Duration = Duration::from_secs(10), within |it| MILLISECOND, DAY;
    /// Time until any later frame is complete once its first byte has come. Default: 30 s.
    frame_timeout: Duration = Duration::from_secs(30), within |it| MILLISECOND, DAY;
    /// Time that a peer may read nothing while answers wait for it. Default: 30 s.
    write_timeout: Duration = Duration::from_secs(30), within |it| MILLISECOND, DAY;
    /// Time that a connection may be silent with nothing in flight. Default: `None`, no limit: idle
    /// connections are cheap.
    idle_timeout: Option<Duration> = None;
    /// Time that [`RunningProxy::drain`](super::RunningProxy::drain) waits for connections to
    /// finish before it closes them. Default: 30 s.
    drain_timeout: Duration = Duration::from_secs(30), within |it| MILLISECOND, DAY;
    /// Age at which an expired deadline is taken for a wrong clock at once and ignored. Below it, a
    /// client's clock is doubted after eight requests in a row that came after their time. Default:
    /// 5 min.
    max_clock_skew: Duration = Duration::from_secs(300), within |it| MILLISECOND, DAY;
    /// Allows streams to be stalled and failed on purpose, by
    /// [`RunningProxy::faults`](super::RunningProxy::faults) and over the stats port. For tests and
    /// demonstrations. Default: off.
    faults: bool = false;
    /// Clock that deadlines are compared with. Default: the system's.
    wall_clock: Arc<dyn WallClock> = Arc::new(SystemClock);
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
        self.check_ranges()?;
        let it = &self.settings;
        if it.shard < -1 {
            return Err(SettingsError::Shard { value: it.shard });
        }
        if let Some(timeout) = it.idle_timeout {
            timeout.check("idle_timeout", MILLISECOND, DAY)?;
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
        Ok(self.settings)
    }
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
