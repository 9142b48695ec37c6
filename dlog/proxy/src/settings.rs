use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use super::wall_clock::{SystemClock, WallClock};
use super::{CorsOrigin, HttpToken, ServerCertificate};

/// The largest record, or whole record set with its header, that a proxy stores: 1 MiB − 8 KiB, as
/// the original checks it.
pub const MAX_RECORD_BYTES: usize = (1 << 20) - (8 << 10);

/// What a frame holds besides its payload at most: contexts, names, hosts already tried. A frame
/// limit below a record and this could refuse records that the proxy stores.
const FRAME_OVERHEAD_BYTES: usize = 64 << 10;

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr;)*) => {
        /// How a write proxy listens, whom it serves and where its limits lie. A value that exists
        /// is legal: [`Settings::builder`] makes them.
        #[derive(Clone, Debug)]
        pub struct Settings { $(pub(super) $name: $type,)* }

        /// Collects the settings of a write proxy. Every setting has a default;
        /// [`build`](Self::build) checks them.
        #[derive(Clone, Debug)]
        #[must_use]
        pub struct SettingsBuilder { settings: Settings }

        impl Default for SettingsBuilder {
            fn default() -> Self { Self { settings: Settings { $($name: $default,)* } } }
        }

        impl SettingsBuilder {
            $($(#[$doc])* pub fn $name(mut self, $name: $type) -> Self { self.settings.$name = $name; self })*
        }
    };
}

settings! {
    /// Where clients connect. Default 127.0.0.1:8000; port 0 lets the system choose.
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8000));
    /// Where metrics and health are served over HTTP. Default `None`: nowhere.
    stats_listen: Option<SocketAddr> = None;
    /// Where HTTP clients write, read and administer streams. Default `None`: nowhere.
    http_listen: Option<SocketAddr> = None;
    /// How many connections may be open at once on the HTTP port; the next one is closed as soon as
    /// it is accepted. Default 4,096.
    http_max_connections: usize = 4_096;
    /// How many streams may be read at once over HTTP; the next reader is refused (503). Default
    /// 4,096.
    http_max_readers: usize = 4_096;
    /// Whose pages may use the HTTP port from a browser, besides its own. Default: nobody's.
    http_origins: Vec<CorsOrigin> = Vec::new();
    /// What HTTP clients must know. Default `None`: whoever reaches the port may use it.
    http_token: Option<HttpToken> = None;
    /// How long an HTTP connection's next request header may take, from when the last request was
    /// answered: also how long an idle connection is kept. Default 60 s.
    http_header_timeout: Duration = Duration::from_secs(60);
    /// Whether thriftmux is spoken besides framed thrift, on the same port. Default yes.
    thriftmux: bool = true;
    /// The proxy's shard id. Default −1: none.
    shard: i32 = -1;
    /// Where clients reach this proxy, `host` or `host:port`; it stands in redirects and
    /// handshakes. Default `None`: the address it listens on.
    announce: Option<String> = None;
    /// TLS on the clients' port and on the HTTP port. Default `None`: plain TCP.
    tls: Option<ServerCertificate> = None;
    /// Whether a write to a stream that does not exist creates it. Default yes, as the original
    /// does.
    create_missing_streams: bool = true;
    /// Whether everything that would change a stream is refused (403). Default no.
    read_only: bool = false;
    /// Whether clients must name themselves by a Finagle client id, as the original demands.
    /// Default no.
    require_client_id: bool = false;
    /// The largest frame that is read, in bytes. A larger one ends its connection before any of it
    /// is buffered. Default 16 MiB: room for a bulk write of sixteen of the largest records. At
    /// least 1,105,920: one record and 64 KiB.
    max_frame_bytes: usize = 16 << 20;
    /// How many connections may be open at once; the next one is closed as soon as it is accepted.
    /// Default 16,384.
    max_connections: usize = 16_384;
    /// How many requests of one connection may be unanswered; with more, its socket is not read.
    /// Default 8,192.
    max_requests_per_connection: usize = 8_192;
    /// How many bytes of one connection's requests may be unanswered; with more, its socket is not
    /// read. Default 32 MiB.
    max_bytes_per_connection: usize = 32 << 20;
    /// How many requests to one stream may be unanswered; the next is refused as over capacity
    /// (517). Default 65,536.
    max_requests_per_stream: usize = 65_536;
    /// How many bytes for one stream may be unanswered; what comes next is refused as over capacity
    /// (517). Default 64 MiB.
    max_bytes_per_stream: usize = 64 << 20;
    /// How many requests of all connections may be unanswered; the next is refused as over capacity
    /// (517). Default 262,144.
    max_requests: usize = 262_144;
    /// How many bytes of all connections may be unanswered; what comes next is refused as over
    /// capacity (517). Default 256 MiB.
    max_bytes: usize = 256 << 20;
    /// How many streams the proxy owns at most; another one is refused (524). Default 100,000.
    max_streams: usize = 100_000;
    /// How many record sets with an identity (R12) the proxy remembers, so that a copy which comes
    /// to the stream where the set is gets the first copy's position and is not stored again.
    /// Default 262,144, at most 25 MB; 0: every copy is stored.
    ///
    /// A copy is told while this proxy has owned the stream without a break since the set came, has
    /// been sent fewer than 1,024 sets with a higher sequence by the same writer for that stream,
    /// and did not have to make room for sets of others: those of writers that were idle for a
    /// while, a writer counting once for each of its streams, go first, also when there are more
    /// than 4,096 of them. Nothing is kept over a restart. A copy for another stream is stored
    /// there, for a position belongs to its stream; readers that merge drop it.
    remembered_sets: usize = 1 << 18;
    /// How long a connection's first frame, and its TLS handshake, may take once begun. Default 10
    /// s.
    handshake_timeout: Duration = Duration::from_secs(10);
    /// How long any later frame may take once its first byte has come. Default 30 s.
    frame_timeout: Duration = Duration::from_secs(30);
    /// How long a peer may read nothing while answers wait for it. Default 30 s.
    write_timeout: Duration = Duration::from_secs(30);
    /// How long a connection may be silent with nothing in flight. Default `None`: for ever; idle
    /// connections are cheap.
    idle_timeout: Option<Duration> = None;
    /// How long [`RunningProxy::drain`](super::RunningProxy::drain) waits for connections to finish before it
    /// closes them. Default 30 s.
    drain_timeout: Duration = Duration::from_secs(30);
    /// A deadline that passed longer ago than this is taken for a wrong clock at once and not
    /// honoured. Below it, a client's clock is doubted after eight requests in a row that came
    /// after their time. Default 5 min.
    max_clock_skew: Duration = Duration::from_secs(300);
    /// Whether streams can be stalled and failed on purpose, by
    /// [`RunningProxy::faults`](super::RunningProxy::faults) and over the stats port. For tests and
    /// demonstrations. Default no.
    faults: bool = false;
    /// What deadlines are compared with. Default: the system's clock.
    wall_clock: Arc<dyn WallClock> = Arc::new(SystemClock);
}

impl Settings {
    /// Settings with their defaults, to change.
    pub fn builder() -> SettingsBuilder {
        SettingsBuilder::default()
    }
}

impl SettingsBuilder {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first setting that is outside its bounds, or at odds with another.
    pub fn build(self) -> Result<Settings, SettingsError> {
        let it = &self.settings;
        within(
            "max_frame_bytes",
            it.max_frame_bytes,
            MAX_RECORD_BYTES + FRAME_OVERHEAD_BYTES,
            1 << 30,
        )?;
        within("max_connections", it.max_connections, 1, 1 << 24)?;
        within(
            "max_requests_per_connection",
            it.max_requests_per_connection,
            1,
            1 << 20,
        )?;
        within(
            "max_bytes_per_connection",
            it.max_bytes_per_connection,
            it.max_frame_bytes,
            1 << 40,
        )?;
        within(
            "max_requests_per_stream",
            it.max_requests_per_stream,
            1,
            1 << 24,
        )?;
        within(
            "max_bytes_per_stream",
            it.max_bytes_per_stream,
            it.max_frame_bytes,
            1 << 40,
        )?;
        within(
            "max_requests",
            it.max_requests,
            it.max_requests_per_stream,
            1 << 28,
        )?;
        within("max_bytes", it.max_bytes, it.max_bytes_per_stream, 1 << 44)?;
        within("max_streams", it.max_streams, 1, 1 << 24)?;
        within("http_max_connections", it.http_max_connections, 1, 1 << 20)?;
        within("http_max_readers", it.http_max_readers, 1, 1 << 20)?;
        within("remembered_sets", it.remembered_sets, 0, 1 << 28)?;
        within("shard", it.shard, -1, i32::MAX)?;
        for (setting, length) in [
            ("handshake_timeout", it.handshake_timeout),
            ("http_header_timeout", it.http_header_timeout),
            ("frame_timeout", it.frame_timeout),
            ("write_timeout", it.write_timeout),
            ("drain_timeout", it.drain_timeout),
            ("max_clock_skew", it.max_clock_skew),
            (
                "idle_timeout",
                it.idle_timeout.unwrap_or(Duration::from_secs(1)),
            ),
        ] {
            if length < Duration::from_millis(1) || length > Duration::from_secs(86_400) {
                return Err(SettingsError::OutOfBounds {
                    setting,
                    value: format!("{length:?}"),
                    least: "1ms".into(),
                    most: "24h".into(),
                });
            }
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

fn within<T: PartialOrd + fmt::Display>(
    setting: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), SettingsError> {
    if value < least || value > most {
        return Err(SettingsError::OutOfBounds {
            setting,
            value: value.to_string(),
            least: least.to_string(),
            most: most.to_string(),
        });
    }
    Ok(())
}

/// The `host:port` that stands for this proxy, given what was announced and where it listens.
pub(super) fn announced_address(announce: Option<&str>, bound: SocketAddr) -> String {
    match announce {
        None => bound.to_string(),
        Some(text) if port_of(text).is_some() => text.to_owned(),
        Some(host) => format!("{host}:{}", bound.port()),
    }
}

/// The port of `host:port`. An IPv6 address has one only after its closing bracket.
fn port_of(text: &str) -> Option<u16> {
    let (host, port) = text.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !bracketed {
        None
    } else {
        port.parse().ok()
    }
}

/// The owner's text is `1;{shard};{host}:{port}`, so a host may hold neither `;` nor blanks.
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

/// A setting of the write proxy that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// The value lies outside its bounds.
    OutOfBounds {
        /// The setting's name.
        setting: &'static str,
        /// Its value.
        value: String,
        /// The least that is allowed.
        least: String,
        /// The most that is allowed.
        most: String,
    },
    /// The proxy listens on every address of the machine, and clients cannot connect to "every
    /// address".
    AnnounceNeeded {
        /// Where it listens.
        listen: SocketAddr,
    },
    /// The announced address is neither `host` nor `host:port`.
    AnnounceMalformed {
        /// What was given.
        text: String,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds {
                setting,
                value,
                least,
                most,
            } => write!(
                f,
                "{setting} is {value}, but must lie between {least} and {most}"
            ),
            Self::AnnounceNeeded { listen } => write!(
                f,
                "a proxy that listens on {listen} must be told the host name or address under \
                 which clients reach it (announce), for redirects"
            ),
            Self::AnnounceMalformed { text } => {
                write!(
                    f,
                    "announce is {text:?}, but must be host or host:port, with an IPv6 address in \
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
    fn the_defaults_are_legal() {
        Settings::builder().build().expect("the defaults");
    }

    #[test]
    fn a_value_outside_its_bounds_is_refused_by_name() {
        let error = Settings::builder()
            .max_frame_bytes(1000)
            .build()
            .expect_err("too small for a record");
        assert_eq!(
            error.to_string(),
            "max_frame_bytes is 1000, but must lie between 1105920 and 1073741824"
        );
        let error = Settings::builder()
            .frame_timeout(Duration::ZERO)
            .build()
            .expect_err("no time at all");
        assert_eq!(
            error.to_string(),
            "frame_timeout is 0ns, but must lie between 1ms and 24h"
        );
        let error = Settings::builder()
            .max_bytes(1 << 20)
            .build()
            .expect_err("below one stream's");
        assert!(matches!(
            error,
            SettingsError::OutOfBounds {
                setting: "max_bytes",
                ..
            }
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
