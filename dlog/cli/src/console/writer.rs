use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use distributedlog::writer::{Settings, WriteError, Written};
use distributedlog::{Cause, Escaped, StreamIndex};
use distributedlog_tokio::{
    BuildError, ClientCounters, KeyedWriter, MultiStreamWriter, RequestError,
};

use super::super::CliError;
use super::super::output::note;
use super::super::target::Target;
use super::report::{LineFailure, LineOutcome, RecordLocation, attempts};
use super::session::{Acknowledgement, BoxFuture, LineWriter, WaitsFor};
use super::stats::{Stats, StreamStats};
use distributedlog_store::StreamName;

/// Time without a handshake after which the user is notified.
const CONNECT_NOTICE_AFTER: Duration = Duration::from_secs(2);

/// Multi stream writer that is connected to its proxies.
#[derive(Clone, Debug)]
pub(crate) struct ConnectedWriter {
    writer: MultiStreamWriter,
    streams: Arc<[StreamName]>,
    name: Box<str>,
}

impl ConnectedWriter {
    /// Connects to the proxies of `target`. With `identity`, record sets have an identity (R12).
    ///
    /// # Errors
    /// The proxies are not known, their name is invalid, or none answers.
    pub(crate) async fn open(
        target: &Target,
        streams: &[StreamName],
        settings: Settings,
        identity: bool,
        client_id: &str,
    ) -> Result<Self, CliError> {
        let name = target.proxies()?;
        let name = name.as_str();
        // The writer enforces the deadline. The client's own limit must not be shorter, or it would
        // give up attempts before the deadline.
        let client = target
            .client(client_id)?
            .attempt_timeout(settings.request_timeout());
        let writer = MultiStreamWriter::builder(streams.iter().map(StreamName::as_str))
            .client(client)
            .settings(settings.to_builder())
            .identity(identity);
        let writer = with_notice(writer.build(), name).await?;
        Ok(Self {
            writer,
            streams: streams.into(),
            name: name.into(),
        })
    }

    /// Returns the writer itself.
    #[must_use]
    pub(crate) const fn handle(&self) -> &MultiStreamWriter {
        &self.writer
    }

    /// Returns the maximum length of a record, in bytes.
    #[must_use]
    pub(crate) fn max_record_bytes(&self) -> usize {
        self.writer.max_record_bytes()
    }

    /// Returns the counters so far.
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

/// Connects a writer of records with keys to the proxies of `target`.
///
/// # Errors
/// As [`ConnectedWriter::open`].
pub(crate) async fn open_keyed(
    target: &Target,
    streams: &[StreamName],
    settings: Settings,
    identity: bool,
    client_id: &str,
) -> Result<KeyedWriter, CliError> {
    let name = target.proxies()?;
    let client = target
        .client(client_id)?
        .attempt_timeout(settings.request_timeout());
    let writer = MultiStreamWriter::builder(streams.iter().map(StreamName::as_str))
        .client(client)
        .settings(settings.to_builder())
        .identity(identity);
    with_notice(writer.build_keyed(), &name).await
}

/// Waits until a writer is connected, and notifies the user if that takes long.
async fn with_notice<W>(
    building: impl Future<Output = Result<W, BuildError>>,
    name: &str,
) -> Result<W, CliError> {
    let mut building = core::pin::pin!(building);
    let built = match tokio::time::timeout(CONNECT_NOTICE_AFTER, &mut building).await {
        Ok(built) => built,
        Err(_) => {
            note(format_args!(
                "No proxy answers at {name} yet. Trying for a few more seconds; press Ctrl-C to \
                 stop."
            ));
            building.await
        }
    };
    built.map_err(|error| build_error(&error, name))
}

impl LineWriter for ConnectedWriter {
    fn submit(&self, record: Bytes) -> BoxFuture<'_, Result<Acknowledgement, LineFailure>> {
        Box::pin(async move {
            let accepted = self
                .writer
                .submit(&record)
                .await
                .map_err(|error| unacknowledged(&error))?;
            let began = Instant::now();
            let streams = Arc::clone(&self.streams);
            let acknowledgement: Acknowledgement = Box::pin(async move {
                let (result, reports) = accepted.with_attempts().await;
                let location = |written: Written| RecordLocation {
                    stream: streams[usize::from(written.stream.0)].clone(),
                    dlsn: written.dlsn,
                    attempts: written.attempts,
                };
                LineOutcome {
                    took: began.elapsed(),
                    result: result.map(location).map_err(|error| unacknowledged(&error)),
                    attempts: attempts(&reports, &streams),
                }
            });
            Ok(acknowledgement)
        })
    }

    fn waits_for(&self) -> Option<WaitsFor> {
        let ClientCounters {
            connects,
            disconnects,
            ..
        } = self.writer.client_counters();
        let settings = self.writer.settings();
        let failure = self.writer.last_failure();
        let problem = if connects == disconnects {
            let reason = failure.map(|failure| failure.message).unwrap_or_default();
            let colon = if reason.is_empty() { "" } else { ": " };
            let reason = Escaped(reason);
            Some(format!("No proxy answers at {}{colon}{reason}", self.name))
        } else {
            failure.and_then(|failure| answer_text(&failure))
        };
        if let Some(problem) = problem {
            return Some(WaitsFor::Outage(format!(
                "{problem}. Trying again; a line fails {:?} after it was accepted.",
                settings.request_timeout()
            )));
        }
        let waiting = (0..).zip(&*self.streams).filter(|(index, _)| {
            let status = self.writer.stream_status(StreamIndex(*index));
            status.is_some_and(|status| status.outstanding > 0)
        });
        let waiting: Vec<&str> = waiting.map(|(_, stream)| stream.as_str()).collect();
        let mut text = format!("Waiting for an answer from {}.", waiting.join(" and "));
        let timeout = settings.first_speculative_timeout();
        // A shorter timeout has passed when the user is told.
        if waiting.len() == 1 && timeout > Duration::from_secs(1) {
            text += &format!(" Another stream is tried after {timeout:?}.");
        }
        (!waiting.is_empty()).then_some(WaitsFor::Answer(text))
    }
}

/// Describes the answer of a proxy that keeps lines from being acknowledged, or returns `None` if
/// no proxy answered.
fn answer_text(failure: &RequestError) -> Option<String> {
    let Cause::Status(code) = failure.cause() else {
        return None;
    };
    let host = failure
        .host
        .map_or_else(|| "a proxy".to_owned(), |host| host.to_string());
    let colon = if failure.message.is_empty() { "" } else { ": " };
    let message = Escaped(&failure.message);
    Some(format!("{host} answered {code}{colon}{message}"))
}

fn unacknowledged(error: &WriteError) -> LineFailure {
    LineFailure {
        reason: error.to_string(),
        state: error.known,
    }
}

/// Describes why the writer could not be built, with what to do about it.
fn build_error(error: &BuildError, name: &str) -> CliError {
    let message = error.to_string();
    if let BuildError::Name { .. } = error {
        CliError::usage(message)
            .tip("write it as in 'inet!127.0.0.1:8000' (with the quotes: the shell reads !)")
    } else if let BuildError::UnsupportedName { .. } = error {
        CliError::usage(message).tip("name the proxies themselves, as in 'inet!127.0.0.1:8000'")
    } else if let BuildError::Routing(_)
    | BuildError::Session(_)
    | BuildError::Writer(_)
    | BuildError::MaxInFlight { .. }
    | BuildError::StreamName { .. } = error
    {
        CliError::usage(message)
    } else if let BuildError::NoProxy { .. } = error {
        if name.starts_with("zk!") || name.starts_with("serverset!") {
            let tip = "check that ZooKeeper runs there, and that proxies have announced \
                       themselves under that path";
            return CliError::failure(message).tip(tip);
        }
        let port: u16 = name
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .unwrap_or(8000);
        CliError::failure(message).tip(format!(
            "check that a proxy runs there, or start one with: dlog proxy -p {port} -u URI"
        ))
    } else {
        CliError::failure(message)
    }
}
