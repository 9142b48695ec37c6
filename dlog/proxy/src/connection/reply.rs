use distributedlog::StatusCode;
use distributedlog::wire::BufferTooSmall;
use distributedlog::wire::service::{
    BulkWriteResponse, ExceptionKind, Method, Reply, ResponseHeader, ServerInfo, WriteResponse,
    WriteResponses,
};

use crate::machine::{Answer, NotStarted, Response};

/// Bytes that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    sent: usize,
}

/// What most answers fit into; those that do not are encoded a second time.
const TYPICAL_ANSWER_BYTES: usize = 256;

/// How much memory is kept for the next answers when all are sent.
const KEPT_BYTES: usize = 64 << 10;

impl Output {
    /// What is not sent yet.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Notes that so many bytes are sent.
    pub(super) fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.sent = 0;
        }
    }

    /// Gives the memory back when there is nothing to send.
    pub(super) fn rest(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Appends what `encode` writes into the room that it is given, or into as much as it then says
    /// it needs.
    pub(super) fn append(&mut self, encode: impl Fn(&mut [u8]) -> Result<usize, BufferTooSmall>) {
        let start = self.bytes.len();
        let mut room = TYPICAL_ANSWER_BYTES;
        loop {
            self.bytes.resize(start + room, 0);
            match encode(&mut self.bytes[start..]) {
                Ok(length) => {
                    self.bytes.truncate(start + length);
                    return;
                }
                Err(BufferTooSmall { needed, .. }) => {
                    assert!(
                        needed > room && needed < usize::MAX,
                        "an answer's texts are bounded by what was asked"
                    );
                    room = needed;
                }
            }
        }
    }
}

/// Lends `answer` as the wire has it. What was not started is an exception there; mux has a better
/// word for it.
pub(super) fn with_reply<R>(
    method: Option<Method>,
    answer: &Answer,
    location: &str,
    encode: impl FnOnce(&Reply<'_>) -> R,
) -> R {
    match answer {
        Answer::ServerInfo { status, ownerships } => {
            let pairs: Option<Vec<(&str, &str)>> = ownerships.as_ref().map(|streams| {
                streams
                    .iter()
                    .map(|stream| (stream.as_str(), location))
                    .collect()
            });
            let ownerships = pairs.as_deref().map(Into::into);
            encode(&Reply::ServerInfo(ServerInfo {
                ownerships,
                status: Some(*status),
            }))
        }
        Answer::Stream(response) if method == Some(Method::WriteBulkWithContext) => {
            encode(&Reply::BulkWrite(BulkWriteResponse {
                header: header(response),
                responses: None,
            }))
        }
        // As the original's: a client that creates its streams at each start is not to fail at the
        // second one.
        Answer::Stream(Response {
            code: StatusCode::LogExists,
            ..
        }) if method == Some(Method::Create) => encode(&Reply::Write(WriteResponse {
            header: ResponseHeader::new(StatusCode::Success),
            dlsn: None,
        })),
        Answer::Stream(response) => {
            let dlsn = response.dlsn.map(|dlsn| dlsn.to_text());
            encode(&Reply::Write(WriteResponse {
                header: header(response),
                dlsn: dlsn.as_ref().map(|text| text.as_str()),
            }))
        }
        Answer::Bulk(responses) => {
            let texts: Vec<_> = responses
                .iter()
                .map(|response| response.dlsn.map(|dlsn| dlsn.to_text()))
                .collect();
            let responses: Vec<WriteResponse<'_>> = responses
                .iter()
                .zip(&texts)
                .map(|(response, dlsn)| WriteResponse {
                    header: header(response),
                    dlsn: dlsn.as_ref().map(|text| text.as_str()),
                })
                .collect();
            let header = ResponseHeader::new(StatusCode::Success);
            encode(&Reply::BulkWrite(BulkWriteResponse {
                header,
                responses: Some(WriteResponses::new(&responses)),
            }))
        }
        Answer::Void => encode(&Reply::Void),
        Answer::Exception { kind, message } => encode(&Reply::Exception {
            kind: *kind,
            message,
        }),
        Answer::NotStarted(why) => encode(&Reply::Exception {
            kind: ExceptionKind::InternalError,
            message: not_started(*why),
        }),
    }
}

pub(super) const fn not_started(why: NotStarted) -> &'static str {
    match why {
        NotStarted::DeadlinePassed => "not started: the request's deadline had passed",
        NotStarted::Discarded => "not started: the client discarded the request",
    }
}

fn header(response: &Response) -> ResponseHeader<'_> {
    ResponseHeader {
        code: response.code,
        message: response.message.as_deref(),
        location: response.location.as_deref(),
    }
}
