use std::sync::Arc;

use distributedlog::client::RequestId;
use distributedlog::client::routing::{Location, Operation, RetryPolicy};
use distributedlog::wire::crc;
use distributedlog::wire::service::{
    Binaries, HeartbeatOptions, Reply, Request, ServerStatus, WriteContext, WriteResponse,
};
use distributedlog::{Cause, Dlsn, DlsnText, Failure, Instant, StatusCode};

use super::Token;

/// A request between its start and its end: all it takes to send it, again if need be.
pub(super) struct Pending {
    pub(super) id: RequestId,
    pub(super) token: Token,
    pub(super) stream: Arc<str>,
    pub(super) body: Body,
    pub(super) deadline: Option<Instant>,
    pub(super) retry_policy: RetryPolicy,
    /// Number of attempts that were made for the same records before this one.
    pub(super) earlier_attempts: u32,
    /// Fields of the final reply beside its code.
    pub(super) detail: Detail,
    /// Code and message of the last reply that was not final.
    pub(super) last_answer: Option<(StatusCode, Box<str>)>,
}

/// Operation of a request, with its data.
#[derive(Debug)]
pub(crate) enum Body {
    Write { data: Vec<u8>, record_set: bool },
    BulkWrite(Vec<Vec<u8>>),
    Create,
    Delete,
    Truncate(Dlsn),
    Release,
    Heartbeat { to_reader: bool },
    Owner,
    Handshake,
    SetAcceptNewStream(bool),
}

/// Fields of a final reply beside its code and position. Empty for the success of a write.
#[derive(Debug, Default)]
pub(crate) struct Detail {
    pub(crate) message: Box<str>,
    pub(crate) location: Option<Box<str>>,
    pub(crate) bulk: Vec<BulkItem>,
    pub(crate) position: Option<Dlsn>,
    pub(crate) server: Option<Box<ServerDetail>>,
}

/// Description of a proxy in its handshake.
#[derive(Debug)]
pub(crate) struct ServerDetail {
    pub(crate) status: Option<ServerStatus>,
    /// Number of streams that it owns.
    pub(crate) streams: usize,
    pub(crate) failure_domain: Option<Box<str>>,
}

/// One record's result of a bulk write.
#[derive(Debug)]
pub(crate) struct BulkItem {
    pub(crate) result: Result<Dlsn, Failure>,
    pub(crate) message: Box<str>,
}

impl Body {
    pub(super) const fn operation(&self) -> Operation {
        match self {
            Self::Write {
                record_set: true, ..
            } => Operation::WriteRecordSet,
            Self::Write {
                record_set: false, ..
            } => Operation::Write,
            Self::BulkWrite(_) => Operation::WriteBulk,
            Self::Create => Operation::Create,
            Self::Delete => Operation::Delete,
            Self::Truncate(_) => Operation::Truncate,
            Self::Release => Operation::Release,
            Self::Heartbeat { .. } => Operation::Heartbeat,
            Self::Owner => Operation::Owner,
            Self::Handshake => Operation::Handshake,
            Self::SetAcceptNewStream(_) => Operation::SetAcceptNewStream,
        }
    }

    /// The operation's name in DistributedLogService.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Write { .. } => "writeWithContext",
            Self::BulkWrite(_) => "writeBulkWithContext",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Truncate(_) => "truncate",
            Self::Release => "release",
            Self::Heartbeat { .. } => "heartbeatWithOptions",
            Self::Owner => "getOwner",
            Self::Handshake => "handshakeWithClientInfo",
            Self::SetAcceptNewStream(_) => "setAcceptNewStream",
        }
    }

    /// Returns the number of bytes of records in it.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Write { data, .. } => data.len(),
            Self::BulkWrite(records) => records.iter().map(Vec::len).sum(),
            Self::Create
            | Self::Delete
            | Self::Truncate(_)
            | Self::Release
            | Self::Heartbeat { .. }
            | Self::Owner
            | Self::Handshake
            | Self::SetAcceptNewStream(_) => 0,
        }
    }

    /// The checksum that the proxy computes again; bulk writes and requests about no stream have
    /// none.
    pub(super) fn checksum(&self, stream: &str) -> Option<u32> {
        match self {
            Self::Write { data, .. } => Some(crc::write(stream, data)),
            Self::Truncate(position) => Some(crc::truncate(stream, position)),
            Self::Create | Self::Delete | Self::Release | Self::Heartbeat { .. } | Self::Owner => {
                Some(crc::stream(stream))
            }
            Self::BulkWrite(_) | Self::Handshake | Self::SetAcceptNewStream(_) => None,
        }
    }

    /// Returns the approximate size of its frame, which is large enough in nearly all cases.
    pub(super) fn frame_hint(&self, stream: &str) -> usize {
        const AROUND: usize = 1024;
        let lengths = if let Self::BulkWrite(records) = self {
            4 * records.len()
        } else {
            0
        };
        self.bytes() + lengths + stream.len() + AROUND
    }
}

/// Storage for the lists and texts that a [`Body`] borrows while it is encoded.
#[derive(Default)]
pub(super) struct Scratch<'a> {
    records: Vec<&'a [u8]>,
    position: Option<DlsnText>,
}

impl Pending {
    /// Returns the message to send, with the client's present context.
    pub(super) fn message<'a>(
        &'a self,
        mut context: WriteContext<'a>,
        regex: &'a str,
        scratch: &'a mut Scratch<'a>,
    ) -> Request<'a> {
        if self.earlier_attempts > 0 {
            context.attempt = Some(i32::try_from(self.earlier_attempts).unwrap_or(i32::MAX));
        }
        let stream = &*self.stream;
        match &self.body {
            Body::Write { data, .. } => Request::WriteWithContext {
                stream,
                data,
                context,
            },
            Body::BulkWrite(records) => {
                scratch.records = records.iter().map(Vec::as_slice).collect();
                Request::WriteBulkWithContext {
                    stream,
                    data: Binaries::new(&scratch.records),
                    context,
                }
            }
            Body::Create => Request::Create { stream, context },
            Body::Delete => Request::Delete { stream, context },
            Body::Truncate(position) => {
                let text = scratch.position.insert(position.to_text());
                Request::Truncate {
                    stream,
                    dlsn: text.as_str(),
                    context,
                }
            }
            Body::Release => Request::Release { stream, context },
            Body::Heartbeat { to_reader } => Request::HeartbeatWithOptions {
                stream,
                context,
                options: HeartbeatOptions {
                    send_to_reader: Some(*to_reader),
                },
            },
            Body::Owner => Request::GetOwner { stream, context },
            Body::Handshake => super::handshake_request(regex, true),
            Body::SetAcceptNewStream(enabled) => Request::SetAcceptNewStream { enabled: *enabled },
        }
    }

    /// Keeps code and message of a reply after which the request goes on elsewhere.
    pub(super) fn note_intermediate_reply(&mut self, reply: &Reply<'_>) {
        let header = match reply {
            Reply::Write(response) => &response.header,
            Reply::BulkWrite(response) => &response.header,
            Reply::ServerInfo(_) | Reply::Void | Reply::Exception { .. } => return,
        };
        // A redirect names another proxy, and no reason.
        if header.code != StatusCode::Found {
            let message = header.message.unwrap_or_default().into();
            self.last_answer = Some((header.code, message));
        }
    }

    /// Returns what the last reply that was not final says about this failure.
    pub(super) fn last_answer_about(&mut self, failure: Failure) -> Option<Box<str>> {
        let (code, message) = self.last_answer.take()?;
        if failure.cause == Cause::Status(code) {
            Some(message)
        } else {
            let colon = if message.is_empty() { "" } else { ": " };
            Some(format!("the last answer was {code}{colon}{message}").into())
        }
    }

    /// Keeps the final reply's fields beside its code and position.
    pub(super) fn note_reply(&mut self, reply: &Reply<'_>) {
        match reply {
            Reply::Write(response) => {
                self.note_write(response);
            }
            Reply::BulkWrite(response) => {
                self.detail.message = response.header.message.unwrap_or_default().into();
                self.detail.bulk = response
                    .responses
                    .iter()
                    .flatten()
                    .map(|response| BulkItem::new(&response))
                    .collect();
            }
            Reply::ServerInfo(info) => {
                let streams = info.ownerships.map_or(0, |ownerships| ownerships.len());
                self.detail.server = Some(Box::new(ServerDetail {
                    status: info.status,
                    streams,
                    failure_domain: info.failure_domain.map(Into::into),
                }));
            }
            Reply::Void => {}
            Reply::Exception { message, .. } => self.detail.message = (*message).into(),
        }
    }

    fn note_write(&mut self, response: &WriteResponse<'_>) {
        if let Some(message) = response.header.message {
            self.detail.message = message.into();
        }
        match self.body {
            Body::Owner => self.detail.location = response.header.location.map(Into::into),
            // The client's own result has the position of a write.
            Body::Write { .. } => {}
            Body::BulkWrite(_)
            | Body::Create
            | Body::Delete
            | Body::Truncate(_)
            | Body::Release
            | Body::Heartbeat { .. }
            | Body::Handshake
            | Body::SetAcceptNewStream(_) => {
                self.detail.position = response.dlsn.and_then(|text| text.parse().ok())
            }
        }
    }
}

impl Detail {
    /// Returns the owner that the reply named: its shard, host and port.
    pub(crate) fn owner(&self) -> Option<Location<'_>> {
        self.location
            .as_deref()
            .and_then(|text| Location::parse(text).ok())
    }
}

impl BulkItem {
    fn new(response: &WriteResponse<'_>) -> Self {
        let message = response.header.message.unwrap_or_default().into();
        let position = response.dlsn.and_then(|text| text.parse().ok());
        let result = match (response.header.code, position) {
            (StatusCode::Success, Some(position)) => Ok(position),
            // Written, at an unknown position.
            (StatusCode::Success, None) => Err(Failure::unanswered(Cause::ProtocolError)),
            (code, _) => Err(Failure::of_status(code)),
        };
        Self { result, message }
    }
}
