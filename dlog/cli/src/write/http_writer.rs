//! The multi stream writer over the HTTP port of a proxy: core's machine, and a transport whose
//! attempts are `POST`s of record sets.

use core::hash::{BuildHasher as _, Hasher as _};
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use distributedlog::async_writer::{self, HeapSlots, State};
use distributedlog::wire::record_set::WriterId;
use distributedlog::writer::{Heap, Identity, Settings, StreamCount, Writer};
use distributedlog::{
    Advice, Attempt, AttemptId, Cause, Dlsn, Failure, Instant, Outcome, StartRefused, StatusCode,
    StreamIndex, Transport, WriteState,
};
use distributedlog_store::StreamName;
use distributedlog_store::dlsn_text::parse_dlsn;
use distributedlog_tokio::TokioClock;
use hyper::Method;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::super::CliError;
use super::super::http::{AskError, HttpAnswer, HttpClient, escape};
use super::super::writer_args::settings_error;

type SharedState = Arc<Mutex<State<Heap, HeapSlots, TokioClock>>>;

pub(super) type Acknowledgement = async_writer::Acknowledgement<SharedState>;

/// Handle of a writer over HTTP, which one task drives. Clones share it.
#[derive(Clone)]
pub(super) struct HttpWriter {
    writer: async_writer::MultiStreamWriter<SharedState>,
    streams: Arc<[StreamName]>,
}

impl HttpWriter {
    /// Starts a writer. With `identity`, record sets have an identity (R12).
    ///
    /// # Errors
    /// The settings do not fit the streams.
    pub(super) fn start(
        client: HttpClient,
        streams: &[StreamName],
        settings: Settings,
        identity: bool,
    ) -> Result<Self, CliError> {
        let refused = |error| settings_error(&error);
        let mut settings = settings.to_builder();
        if settings.build().map_err(refused)?.seed().is_none() {
            settings = settings.seed(random());
        }
        if identity {
            let mut writer = [0; 16];
            writer[..8].copy_from_slice(&random().to_be_bytes());
            writer[8..].copy_from_slice(&random().to_be_bytes());
            settings = settings.identity(Identity::Trailer {
                writer: WriterId(writer),
                first_sequence: 0,
            });
        }
        let settings = settings.build().map_err(refused)?;
        let count = StreamCount::new(streams.len()).map_err(refused)?;
        settings.check_streams(count).map_err(refused)?;
        let memory = Heap::new(&settings, count);
        let machine = Writer::new(settings, count, memory)
            .expect("the heap's tables are as large as the settings ask for");
        let streams: Arc<[StreamName]> = streams.into();
        let clock = TokioClock::new();
        let state = Arc::new(Mutex::new(State::new(machine, HeapSlots::new(), clock)));
        let transport = HttpTransport::new(client, Arc::clone(&streams));
        let (writer, runner) = async_writer::MultiStreamWriter::new(state, transport);
        tokio::spawn(runner.run());
        Ok(Self { writer, streams })
    }

    pub(super) fn try_write(
        &self,
        record: &[u8],
    ) -> Result<Acknowledgement, distributedlog::writer::EnqueueError> {
        self.writer.try_write(record)
    }

    pub(super) async fn submit(
        &self,
        record: &[u8],
    ) -> Result<Acknowledgement, distributedlog::writer::WriteError> {
        self.writer.submit(record).await
    }

    pub(super) fn max_record_bytes(&self) -> usize {
        self.writer.max_record_bytes()
    }

    pub(super) async fn flush(&self) {
        self.writer.flush().await;
    }

    pub(super) async fn close(&self) {
        self.writer.close().await;
    }

    pub(super) fn stream_name(&self, stream: StreamIndex) -> Arc<str> {
        self.streams[usize::from(stream.0)].as_str().into()
    }
}

/// Returns a random number: the standard library's hashers have keys from the system's source.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Carries record sets to a proxy, each attempt in a task of its own. Bounded: the writer's
/// settings limit its attempts.
struct HttpTransport {
    client: HttpClient,
    streams: Arc<[StreamName]>,
    tasks: HashMap<AttemptId, AbortHandle>,
    sender: mpsc::UnboundedSender<(AttemptId, Outcome)>,
    finished: mpsc::UnboundedReceiver<(AttemptId, Outcome)>,
}

impl HttpTransport {
    fn new(client: HttpClient, streams: Arc<[StreamName]>) -> Self {
        let (sender, finished) = mpsc::unbounded_channel();
        Self {
            client,
            streams,
            tasks: HashMap::new(),
            sender,
            finished,
        }
    }
}

impl Transport for HttpTransport {
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        let stream = escape(self.streams[usize::from(attempt.stream.0)].as_str());
        let path = format!("/v1/streams/{stream}/records");
        let limit = attempt.deadline.since(now);
        let headers = [
            (
                "content-type",
                "application/vnd.distributedlog.record-set".to_owned(),
            ),
            ("dlog-timeout-ms", limit.as_millis().max(1).to_string()),
            ("dlog-attempt", attempt.earlier_attempts.to_string()),
        ];
        let body = Bytes::copy_from_slice(attempt.record_set);
        let (client, sender, id) = (self.client.clone(), self.sender.clone(), attempt.id);
        let task = tokio::spawn(async move {
            let asked = client.ask(Method::POST, &path, &headers, body, limit.max(MIN_LIMIT));
            // The transport is gone when its writer is.
            let _ = sender.send((id, outcome(asked.await)));
        });
        self.tasks.insert(id, task.abort_handle());
        Ok(())
    }

    fn cancel(&mut self, _: Instant, attempt: AttemptId) {
        // The connection of an unfinished request is closed with it, which cancels it at the proxy.
        if let Some(task) = self.tasks.remove(&attempt) {
            task.abort();
        }
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        loop {
            let finished = core::task::ready!(self.finished.poll_recv(cx));
            let (id, outcome) = finished.expect("the transport has a sender itself");
            // One that was cancelled meanwhile is not known any more.
            if self.tasks.remove(&id).is_some() {
                return Poll::Ready((id, outcome));
            }
        }
    }
}

impl Drop for HttpTransport {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

/// Shortest time that an attempt has.
const MIN_LIMIT: Duration = Duration::from_millis(1);

#[derive(Deserialize)]
struct AppendedBody {
    dlsn: DlsnBody,
}

#[derive(Deserialize)]
struct DlsnBody {
    text: String,
}

#[derive(Default, Deserialize)]
struct ProblemBody {
    code: Option<i32>,
    known: Option<String>,
}

/// Converts what came of a request.
fn outcome(asked: Result<HttpAnswer, AskError>) -> Outcome {
    match asked {
        Ok(answer) if answer.status.is_success() => {
            position(&answer.body).ok_or(Failure::unanswered(Cause::ProtocolError))
        }
        Ok(answer) => Err(failure(&answer)),
        Err(AskError::NotSent(why)) => {
            tracing::debug!("an attempt was not sent: {why}");
            Err(Failure::not_sent(Cause::Unreachable))
        }
        Err(AskError::Unanswered(why)) => {
            tracing::debug!("an attempt was not answered: {why}");
            Err(Failure::unanswered(Cause::ConnectionLost))
        }
    }
}

fn position(body: &[u8]) -> Option<Dlsn> {
    let body: AppendedBody = serde_json::from_slice(body).ok()?;
    parse_dlsn(&body.dlsn.text).ok()
}

/// Converts an answer that is no success. Only a body with `known` is a proxy's own: after any
/// other answer a gateway may have passed the request on, and the records may be stored.
fn failure(answer: &HttpAnswer) -> Failure {
    let body: ProblemBody = serde_json::from_slice(&answer.body).unwrap_or_default();
    let known = match body.known.as_deref() {
        Some("not_written") => Some(WriteState::NotWritten),
        Some("rejected") => Some(WriteState::Rejected),
        Some("unknown") => Some(WriteState::Unknown),
        Some(_) | None => None,
    };
    let (cause, advice) = match (known, body.code) {
        (Some(_), Some(code)) => {
            let failure = Failure::of_status(StatusCode::from_i32(code));
            (failure.cause, failure.advice)
        }
        (_, _) => match answer.status.as_u16() {
            429 | 503 => (Cause::Refused, Advice::NextStreamAndCoolDown(None)),
            408 | 421 => (Cause::Refused, Advice::NextStream),
            400..=499 => (Cause::Refused, Advice::FailOnThisStream),
            504 => (Cause::TimedOut, Advice::NextStream),
            500..=599 => (Cause::Exception, Advice::NextStream),
            _ => (Cause::ProtocolError, Advice::NextStream),
        },
    };
    let advice = match (known, advice) {
        (Some(WriteState::Rejected), _) => Advice::FailRecords,
        // The code alone rejects the records, `known` does not.
        (_, Advice::FailRecords) => Advice::FailOnThisStream,
        (_, advice) => advice,
    };
    Failure::new(cause, known.unwrap_or(WriteState::Unknown), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Result<HttpAnswer, AskError> {
        Ok(HttpAnswer {
            status: hyper::StatusCode::from_u16(status).expect("a status"),
            body: Bytes::from_static(body.as_bytes()),
        })
    }

    #[test]
    fn answers_are_positions_and_failures_with_what_is_known() {
        let written = answer(200, r#"{"stream":"s","records":1,"dlsn":{"text":"1,2,0"}}"#);
        assert_eq!(outcome(written), Ok(Dlsn::new(1, 2, 0)));
        let known = |asked| outcome(asked).expect_err("a failure").known;
        for (status, body, expected) in [
            (200, "{}", WriteState::Unknown),
            (
                429,
                r#"{"code":517,"known":"not_written"}"#,
                WriteState::NotWritten,
            ),
            (
                413,
                r#"{"code":413,"known":"rejected"}"#,
                WriteState::Rejected,
            ),
            (401, r#"{"known":"not_written"}"#, WriteState::NotWritten),
            (502, "a gateway", WriteState::Unknown),
            (503, "a gateway", WriteState::Unknown),
        ] {
            assert_eq!(known(answer(status, body)), expected, "{status} {body}");
        }
        let not_sent = Err(AskError::NotSent(String::new()));
        assert_eq!(known(not_sent), WriteState::NotWritten);
        let lost = Err(AskError::Unanswered(String::new()));
        assert_eq!(known(lost), WriteState::Unknown);
    }

    #[test]
    fn a_record_that_one_stream_refuses_is_not_tried_on_the_next_if_it_is_rejected() {
        let advice = |asked| outcome(asked).expect_err("a failure").advice;
        let rejected = answer(413, r#"{"code":413,"known":"rejected"}"#);
        assert_eq!(advice(rejected), Advice::FailRecords);
        let unauthorized = answer(401, r#"{"known":"not_written"}"#);
        assert_eq!(advice(unauthorized), Advice::FailOnThisStream);
    }
}
