//! Log lines that clients of the server can cause: one of each kind in a minute.

use core::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use distributedlog_store::log_limit::LOG_INTERVAL;
use distributedlog_store::remote::ServerSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::kit::{Running, running};

/// The lines of this thread that a server logs without flags.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").expect("it is memory");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
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

#[tokio::test]
async fn a_thousand_connections_that_are_closed_are_one_line_in_a_minute() {
    let lines = Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let Running { server, .. } = running(ServerSettings::default()).await;
    let logged = || lines.0.lock().expect("no panic").clone();
    for _ in 0..1000 {
        let mut peer = TcpStream::connect(server.local_addr())
            .await
            .expect("it listens");
        peer.write_all(b"nonsense, and more of it")
            .await
            .expect("sent");
        // A reset is an end too.
        let _ = peer.read_to_end(&mut Vec::new()).await;
    }
    assert_eq!(logged().len(), 1, "{:?}", logged());
    tokio::time::pause();
    tokio::time::advance(LOG_INTERVAL).await;
    let reported = async {
        while logged().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    let limit = core::time::Duration::from_secs(20);
    let reported = tokio::time::timeout(limit, reported).await;
    let lines = logged();
    assert!(
        reported.is_ok() && lines[1].contains("left_out=999"),
        "{lines:?}"
    );
}
