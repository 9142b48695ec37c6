use bytes::Bytes;
use distributedlog::writer::Settings;
use distributedlog_tokio::{BuildError, MultiStreamWriter, ProxyClient};

use super::super::Fault;
use super::session::{Acknowledgement, Boxed, LineWriter, Place};
use crate::store::StreamName;

/// A multi stream writer that is connected to its proxies.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    writer: MultiStreamWriter,
    streams: Vec<StreamName>,
}

impl Connected {
    /// Connects to the proxies behind `name`. With `identity`, its record sets carry one (R12).
    ///
    /// # Errors
    /// The name is none, or no proxy answers.
    pub(crate) async fn open(
        name: &str,
        streams: &[StreamName],
        settings: Settings,
        identity: bool,
        client_id: &str,
    ) -> Result<Self, Fault> {
        // The deadline is the writer's; an attempt that takes longer than the client's own limit would be taken for lost before its time.
        let client = ProxyClient::builder().name(name).client_id(client_id).attempt_timeout(settings.request_timeout());
        let writer = MultiStreamWriter::builder(streams.iter().map(StreamName::as_str))
            .client(client)
            .settings(settings.to_builder())
            .identity(identity)
            .build()
            .await
            .map_err(|error| build_fault(&error, name))?;
        Ok(Self { writer, streams: streams.to_vec() })
    }

    /// The longest line that can be a record, in bytes.
    #[must_use]
    pub(crate) fn max_record_bytes(&self) -> usize {
        self.writer.max_record_bytes()
    }

    /// Waits for what is in flight and closes the connections.
    pub(crate) async fn close(&self) {
        self.writer.close().await;
    }
}

impl LineWriter for Connected {
    fn submit(&self, record: Bytes) -> Boxed<'_, Result<Acknowledgement, String>> {
        Box::pin(async move {
            let accepted = self.writer.submit(&record).await.map_err(|error| error.to_string())?;
            let streams = self.streams.clone();
            let acknowledgement: Acknowledgement = Box::pin(async move {
                match accepted.await {
                    Ok(written) => Ok(Place { stream: streams[usize::from(written.stream.0)].clone(), dlsn: written.dlsn }),
                    Err(error) => Err(error.to_string()),
                }
            });
            Ok(acknowledgement)
        })
    }
}

/// Why no writer could be made, with what to do about it.
fn build_fault(error: &BuildError, name: &str) -> Fault {
    let message = error.to_string();
    if let BuildError::Name { .. } = error {
        Fault::usage(message).tip("write it as in 'inet!127.0.0.1:8000' (with the quotes: the shell reads !)")
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
        let port: u16 = name.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(8000);
        Fault::failure(message).tip(format!("see whether a proxy runs there, or start one with: dlog proxy -p {port} -u URI"))
    } else {
        Fault::failure(message)
    }
}
