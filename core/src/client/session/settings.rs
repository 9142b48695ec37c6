use core::time::Duration;

pub use crate::settings::SettingsError;
use crate::settings::{SettingRange, SettingValue};
use crate::settings_table;

/// Protocol of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Protocol {
    /// Mux frames with thrift inside, many requests in flight (the original's `thriftmux`).
    ThriftMux,
    /// Framed thrift, one request at a time, upgraded with trace, deadline and client id if the
    /// peer supports it. The original's default.
    #[default]
    Thrift,
    /// Framed thrift, one request at a time, without asking for the upgrade. The real proxy refuses
    /// such clients.
    PlainThrift,
}

type ClientId = heapless::String<{ Settings::MAX_CLIENT_ID_BYTES }>;

settings_table! {
    /// Settings of a [`Session`](super::Session). A value of this type is valid: the builder
    /// checked it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[cfg_attr(feature = "serde", derive(serde::Serialize))]
    pub struct Settings { pub(crate) }
    make rows (pub const ROWS of Settings);
    make builder (SettingsBuilder);

    /// Protocol of the connection. The original's default.
    protocol: Protocol, default (thrift => Protocol::Thrift),
        valid (word thriftmux, thrift or plain_thrift);
    /// Name by which the client identifies itself; empty: none is sent. The real proxy refuses
    /// clients without one.
    client_id: ClientId = by_hand, default (empty => ClientId::new()), valid (text up to 64 bytes);
    /// Largest frame that is accepted from the peer, its length field included. It bounds the
    /// adapter's read buffer.
    max_frame_bytes: usize, default (16 MiB), valid (bytes at least 256 B);
    /// Time without a byte from the peer, and without requests in flight, after which it is sent a
    /// ping (mux only). `None`: never. Finagle's default.
    idle_ping_interval: Option<Duration>, default (5 s => Some(Duration::from_secs(5))),
        valid (time none or at least 1 ns);
    /// Time without a byte from the peer while requests are in flight, after which it is sent a
    /// ping (mux only).
    silence_before_ping: Duration, default (1 s), valid (time at least 1 ns);
    /// Time without a byte after a ping until the connection counts as dead; also the time that a
    /// framed connection waits for the answer to a discarded request, since nothing else can be
    /// sent on it meanwhile. Finagle's default.
    ping_timeout: Duration, default (4 s), valid (time at least 1 ns);
}

impl Settings {
    /// Longest client id.
    pub const MAX_CLIENT_ID_BYTES: usize = 64;

    /// Smallest [`max_frame_bytes`](SettingsBuilder::max_frame_bytes): room for any answer about a
    /// single stream.
    pub const MIN_FRAME_BYTES: usize = 256;

    /// Returns the client id, which is empty if there is none.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }
}

impl SettingsBuilder {
    /// Name by which the client identifies itself; empty: none is sent. The real proxy refuses
    /// clients without one.
    ///
    /// Default: empty. Valid: up to [`Settings::MAX_CLIENT_ID_BYTES`] bytes.
    pub fn client_id(mut self, client_id: &str) -> Self {
        match ClientId::try_from(client_id) {
            Ok(client_id) => self.settings.client_id = client_id,
            Err(_) => {
                self.refused = Some(SettingsError {
                    setting: "client_id",
                    value: SettingValue::Count(client_id.len() as u64),
                    range: SettingRange::Text("at most 64 bytes long"),
                });
            }
        }
        self
    }
}
