use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::StreamIndex;
use distributedlog::writer::{Settings, WriteError, Written};
use distributedlog_tokio::{BuildError, ClientCounters, MultiStreamWriter, ProxyClient};

use super::super::Fault;
use super::super::output::note;
use super::report::{Ended, Place, Unacknowledged, attempts};
use super::session::{Acknowledgement, Boxed, LineWriter};
use super::stats::{Stats, StreamStats};
use distributedlog_store::StreamName;

/// How long a proxy may take to shake hands before whoever waits is told.
const PATIENCE: Duration = Duration::from_secs(2);

/// A multi stream writer that is connected to its proxies.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    writer: MultiStreamWriter,
    streams: Arc<[StreamName]>,
    name: Box<str>,
}

impl Connected {
    /// Connects to the proxies behind `name`. With `identity`, its record sets carry one (R12).
    ///
    /// # Errors
    /// The name is invalid, or no proxy answers.
    pub(crate) async fn open(
        name: &str,
        streams: &[StreamName],
        settings: Settings,
        identity: bool,
        client_id: &str,
    ) -> Result<Self, Fault> {
        #[cfg(not(feature = "zookeeper"))]
        super::super::features::check_proxies_name(name)?;
        // The deadline is the writer's; an attempt that takes longer than the client's own limit
        // would be taken for lost before its time.
        let client = ProxyClient::builder()
            .proxies(name)
            .client_id(client_id)
            .attempt_timeout(settings.request_timeout());
        let writer = MultiStreamWriter::builder(streams.iter().map(StreamName::as_str))
            .client(client)
            .settings(settings.to_builder())
            .identity(identity);
        let mut building = core::pin::pin!(writer.build());
        let built = match tokio::time::timeout(PATIENCE, &mut building).await {
            Ok(built) => built,
            Err(_) => {
                note(format_args!(
                    "No proxy answers at {name} yet. Trying for a few seconds more; Ctrl-C ends \
                     it."
                ));
                building.await
            }
        };
        let writer = built.map_err(|error| build_fault(&error, name))?;
        Ok(Self {
            writer,
            streams: streams.into(),
            name: name.into(),
        })
    }

    /// The longest line that can be a record, in bytes.
    #[must_use]
    pub(crate) fn max_record_bytes(&self) -> usize {
        self.writer.max_record_bytes()
    }

    /// What was done so far.
    pub(crate) fn stats(&self) -> Stats {
        let status = |(index, stream): (u16, &StreamName)| {
            let status = self
                .writer
                .stream_status(StreamIndex(index))
                .expect("it is one of the writer's");
            StreamStats::new(stream.clone(), &status)
        };
        Stats {
            writer: self.writer.counters(),
            client: self.writer.client_counters(),
            streams: (0..).zip(&*self.streams).map(status).collect(),
        }
    }

    /// Waits for what is in flight and closes the connections.
    pub(crate) async fn close(&self) {
        self.writer.close().await;
    }
}

impl LineWriter for Connected {
    fn submit(&self, record: Bytes) -> Boxed<'_, Result<Acknowledgement, Unacknowledged>> {
        Box::pin(async move {
            let accepted = self
                .writer
                .submit(&record)
                .await
                .map_err(|error| unacknowledged(&error))?;
            let streams = Arc::clone(&self.streams);
            let acknowledgement: Acknowledgement = Box::pin(async move {
                let (result, reports) = accepted.with_attempts().await;
                let place = |written: Written| Place {
                    stream: streams[usize::from(written.stream.0)].clone(),
                    dlsn: written.dlsn,
                };
                Ended {
                    result: result.map(place).map_err(|error| unacknowledged(&error)),
                    attempts: attempts(&reports, &streams),
                }
            });
            Ok(acknowledgement)
        })
    }

    fn trouble(&self) -> Option<String> {
        let ClientCounters {
            connects,
            disconnects,
            ..
        } = self.writer.client_counters();
        let timeout = self.writer.settings().request_timeout();
        (connects == disconnects).then(|| {
            format!(
                "No proxy answers at {}. Trying again; a line fails when {timeout:?} have passed.",
                self.name
            )
        })
    }
}

fn unacknowledged(error: &WriteError) -> Unacknowledged {
    Unacknowledged {
        why: error.to_string(),
        known: error.known,
    }
}

/// Why no writer could be made, with what to do about it.
fn build_fault(error: &BuildError, name: &str) -> Fault {
    let message = error.to_string();
    if let BuildError::Name { .. } = error {
        Fault::usage(message)
            .tip("write it as in 'inet!127.0.0.1:8000' (with the quotes: the shell reads !)")
    } else if let BuildError::UnsupportedName { .. } = error {
        Fault::usage(message).tip("name the proxies themselves, as in 'inet!127.0.0.1:8000'")
    } else if let BuildError::Routing(_)
    | BuildError::Session(_)
    | BuildError::Writer(_)
    | BuildError::MaxInFlight { .. }
    | BuildError::StreamName { .. } = error
    {
        Fault::usage(message)
    } else if let BuildError::NoProxy { .. } = error {
        if name.starts_with("zk!") || name.starts_with("serverset!") {
            let tip = "see whether ZooKeeper runs there, and whether proxies have announced \
                       themselves under that path";
            return Fault::failure(message).tip(tip);
        }
        let port: u16 = name
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .unwrap_or(8000);
        Fault::failure(message).tip(format!(
            "see whether a proxy runs there, or start one with: dlog proxy -p {port} -u URI"
        ))
    } else {
        Fault::failure(message)
    }
}
