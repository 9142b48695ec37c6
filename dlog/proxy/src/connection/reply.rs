use distributedlog::StatusCode;
use distributedlog::wire::BufferTooSmall;
use distributedlog::wire::service::{
    BulkWriteResponse, ExceptionKind, Method, Reply as WireReply, ResponseHeader, ServerInfo,
    ServerStatus, WriteResponse, WriteResponses,
};

use crate::machine::{NotStarted, Reply, StreamReply};
use distributedlog_store::StreamName;
use distributedlog_store::budget::{ByteBudget, Reservation};

/// Encoded replies that are not sent yet.
#[derive(Debug)]
pub(super) struct WriteBuffer {
    bytes: Vec<u8>,
    sent: usize,
    /// Budget of all connections' replies.
    budget: ByteBudget,
    /// Room of those bytes here that were not counted as few.
    counted: Option<Reservation>,
}

/// Bytes that every connection may hold without counting them against the budget.
const FREE_BYTES: usize = 16 << 10;

/// Room for encoding a reply the first time. Longer replies are encoded a second time.
const TYPICAL_REPLY_BYTES: usize = 256;

/// Memory that is kept for further replies when all are sent.
const KEPT_BYTES: usize = 64 << 10;

impl WriteBuffer {
    pub(super) const fn new(budget: ByteBudget) -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            budget,
            counted: None,
        }
    }

    /// Returns true if more waits here than every connection may hold, and all connections hold as
    /// much as they may.
    pub(super) fn is_beyond_budget(&self) -> bool {
        self.unsent().len() > FREE_BYTES && self.budget.is_spent()
    }

    /// Counts what waits here against the budget.
    fn count(&mut self) {
        let wanted = self.unsent().len().saturating_sub(FREE_BYTES);
        if wanted == 0 {
            self.counted = None;
            return;
        }
        match &mut self.counted {
            Some(counted) if counted.bytes() >= wanted => counted.shrink_to(wanted),
            Some(counted) => {
                let more = self.budget.reserve_free(wanted - counted.bytes());
                counted.merge(more);
            }
            none => *none = Some(self.budget.reserve_free(wanted)),
        }
    }

    /// Drops all bytes.
    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.sent = 0;
        self.count();
    }

    /// Returns the bytes that are not sent yet.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Notes that `count` bytes were sent.
    pub(super) fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.sent = 0;
        }
        self.count();
    }

    /// Frees the memory if there is nothing to send.
    pub(super) fn rest(&mut self) {
        if self.is_empty() {
            self.clear();
        }
    }

    /// Appends bytes of another protocol, for a client that speaks it.
    pub(super) fn append_raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends what `encode` writes into the room that it is given. If the room is too small,
    /// `encode` is called again with the size that it needs.
    pub(super) fn append(&mut self, encode: impl Fn(&mut [u8]) -> Result<usize, BufferTooSmall>) {
        let start = self.bytes.len();
        let mut room = TYPICAL_REPLY_BYTES;
        loop {
            self.bytes.resize(start + room, 0);
            match encode(&mut self.bytes[start..]) {
                Ok(length) => {
                    self.bytes.truncate(start + length);
                    return self.count();
                }
                Err(BufferTooSmall { needed, .. }) => {
                    assert!(
                        needed > room && needed < usize::MAX,
                        "a reply's texts are bounded by its request"
                    );
                    room = needed;
                }
            }
        }
    }
}

/// Calls `encode` with the reply as the thrift wire has it. Requests that were not started become
/// an exception there; mux has a status of its own for them.
pub(super) fn with_reply<R>(
    method: Option<Method>,
    reply: &Reply,
    location: &str,
    encode: impl FnOnce(&WireReply<'_>) -> R,
) -> R {
    match reply {
        Reply::ServerInfo { status, ownerships } => {
            with_server_info(*status, ownerships.as_deref(), location, encode)
        }
        Reply::Stream(reply) if method == Some(Method::WriteBulkWithContext) => {
            encode(&WireReply::BulkWrite(BulkWriteResponse {
                header: header(reply),
                responses: None,
            }))
        }
        // As the original does: a client that creates its streams at each start must not fail at
        // the second one.
        Reply::Stream(StreamReply {
            code: StatusCode::LogExists,
            ..
        }) if method == Some(Method::Create) => encode(&WireReply::Write(WriteResponse {
            header: ResponseHeader::new(StatusCode::Success),
            dlsn: None,
        })),
        Reply::Stream(reply) => {
            let dlsn = reply.dlsn.map(|dlsn| dlsn.to_text());
            encode(&WireReply::Write(WriteResponse {
                header: header(reply),
                dlsn: dlsn.as_ref().map(|text| text.as_str()),
            }))
        }
        Reply::Bulk(replies) => with_bulk(replies, encode),
        Reply::Void => encode(&WireReply::Void),
        Reply::Exception { kind, message } => encode(&WireReply::Exception {
            kind: *kind,
            message,
        }),
        Reply::NotStarted(why) => encode(&WireReply::Exception {
            kind: ExceptionKind::InternalError,
            message: not_started(*why),
        }),
    }
}

fn with_server_info<R>(
    status: ServerStatus,
    ownerships: Option<&[StreamName]>,
    location: &str,
    encode: impl FnOnce(&WireReply<'_>) -> R,
) -> R {
    let pairs: Option<Vec<(&str, &str)>> = ownerships.map(|streams| {
        streams
            .iter()
            .map(|stream| (stream.as_str(), location))
            .collect()
    });
    encode(&WireReply::ServerInfo(ServerInfo {
        ownerships: pairs.as_deref().map(Into::into),
        status: Some(status),
    }))
}

fn with_bulk<R>(replies: &[StreamReply], encode: impl FnOnce(&WireReply<'_>) -> R) -> R {
    let texts: Vec<_> = replies
        .iter()
        .map(|reply| reply.dlsn.map(|dlsn| dlsn.to_text()))
        .collect();
    let responses: Vec<WriteResponse<'_>> = replies
        .iter()
        .zip(&texts)
        .map(|(reply, dlsn)| WriteResponse {
            header: header(reply),
            dlsn: dlsn.as_ref().map(|text| text.as_str()),
        })
        .collect();
    encode(&WireReply::BulkWrite(BulkWriteResponse {
        header: ResponseHeader::new(StatusCode::Success),
        responses: Some(WriteResponses::new(&responses)),
    }))
}

pub(super) const fn not_started(why: NotStarted) -> &'static str {
    match why {
        NotStarted::DeadlinePassed => "not started: the request's deadline had passed",
        NotStarted::Discarded => "not started: the client discarded the request",
    }
}

fn header(reply: &StreamReply) -> ResponseHeader<'_> {
    ResponseHeader {
        code: reply.code,
        message: reply.message.as_deref(),
        location: reply.location.as_deref(),
    }
}
