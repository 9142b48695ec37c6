//! Log lines that clients can cause: one of each kind in a minute.

use core::fmt::{Debug, Write as _};
use core::time::Duration;
use std::sync::{Arc, Mutex};

use distributedlog_store::log_limit::LOG_INTERVAL;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::kit::{Raw, settings, start, write};
use crate::RunningProxy;

/// The warnings of this thread.
#[derive(Clone, Default)]
pub(super) struct Warnings(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").expect("it is memory");
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().expect("no panic").push(fields.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Warnings {
    /// Returns the number of warnings that contain `text`.
    pub(super) fn count(&self, text: &str) -> usize {
        let warnings = self.0.lock().expect("no panic");
        warnings.iter().filter(|it| it.contains(text)).count()
    }

    /// Waits for a warning that contains `text`.
    pub(super) async fn until(&self, text: &str) {
        let found = async {
            while self.count(text) == 0 {
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(20), found).await;
        assert!(found.is_ok(), "no {text:?} in {:?}", self.0);
    }

    pub(super) fn clear(&self) {
        self.0.lock().expect("no panic").clear();
    }
}

/// Connects, sends bytes and waits for the end of the connection.
async fn abuse(proxy: &RunningProxy, bytes: &[u8]) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut client = Raw::connect(proxy).await;
    // The proxy may have closed it already.
    let _ = client.stream.write_all(bytes).await;
    let _ = client.stream.shutdown().await;
    let _ = client.stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn a_thousand_bad_connections_and_requests_are_one_line_of_each_kind_in_a_minute() {
    let warnings = Warnings::default();
    let _default = tracing::subscriber::set_default(warnings.clone());
    let (proxy, _) = start(settings().max_connections(2)).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    for _ in 0..1000 {
        abuse(&proxy, b"GET / HTTP/1.1\r\n\r\n").await;
    }
    // The place of the last one is free, and taken.
    let second = loop {
        let mut second = Raw::connect(&proxy).await;
        let request = super::kit::dispatch(2, &[], &write("s", b"x"));
        use tokio::io::AsyncWriteExt as _;
        if second.stream.write_all(&request).await.is_ok() && second.frame().await.is_some() {
            break second;
        }
    };
    for _ in 0..1000 {
        abuse(&proxy, b"").await;
    }
    for _ in 0..1000 {
        // A dispatch whose request is no thrift.
        let tdispatch = [0, 0, 0, 13, 2, 0, 0, 2, 0, 0, 0, 0, 0, 0, b'x', b'y', b'z'];
        client.send(&tdispatch).await;
        client.heard().await;
    }
    let kinds = [
        "the client broke the protocol",
        "the limit is reached",
        "malformed request",
    ];
    assert_eq!(kinds.map(|kind| warnings.count(kind)), [1, 1, 1]);
    // The next minute's line is the number of the others.
    tokio::time::pause();
    tokio::time::advance(LOG_INTERVAL).await;
    for kind in [
        "whose clients broke the protocol",
        "beyond the limit",
        "that cannot be decoded",
    ] {
        warnings.until(kind).await;
    }
    assert_eq!(warnings.count("left_out=999"), 3);
    drop(second);
}
