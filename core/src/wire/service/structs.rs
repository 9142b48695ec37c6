use core::fmt;

use crate::wire::cursor::Cursor;
use crate::wire::list::{Element, List};
use crate::wire::record_set::SetIdentity;
use crate::wire::sink::Sink;
use crate::wire::thrift::{Type, Value};
use crate::wire::{DecodeError, DecodeErrorKind};
use crate::{FailureDomain, StatusCode};

/// A list or set of text.
pub type Strings<'a> = List<'a, &'a str>;
/// A list of byte strings.
pub type Binaries<'a> = List<'a, &'a [u8]>;
/// A map from stream names to their owners' text, `1;{shard};{host}:{port}`.
pub type Ownerships<'a> = List<'a, (&'a str, &'a str)>;
/// Results of a bulk write, one for each record, in their order.
pub type WriteResponses<'a> = List<'a, WriteResponse<'a>>;

/// A client's context of a request on a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteContext<'a> {
    /// The hosts that this request was sent to before, each as Java prints an `InetSocketAddress`.
    pub tried_hosts: Option<Strings<'a>>,
    /// The request's CRC-32 (see [`crc`](crate::wire::crc)). A number beyond 32 bits matches
    /// nothing.
    pub crc32: Option<i64>,
    /// `true` if the data is a record set.
    pub is_record_set: Option<bool>,
    /// Identity of the record set (R12: the same in every duplicate). An extension of ours, which
    /// the original skips.
    pub identity: Option<SetIdentity>,
    /// Number of attempts that the client made for the same records before this one. An extension
    /// of ours, which the original skips.
    pub attempt: Option<i32>,
}

/// Options of a heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatOptions {
    /// `true` to write a control record, so that readers notice.
    pub send_to_reader: Option<bool>,
}

/// A client's request in a handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo<'a> {
    /// A regular expression of the stream names that the client is interested in.
    pub stream_name_regex: Option<&'a str>,
    /// `true` if the reply must list ownerships.
    pub with_ownerships: Option<bool>,
}

/// A proxy's description of itself in a handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo<'a> {
    /// The streams that the proxy owns.
    pub ownerships: Option<Ownerships<'a>>,
    /// Requests that the proxy takes.
    pub status: Option<ServerStatus>,
    /// Name of the [failure domain](crate::FailureDomain) of the storage of the proxy's streams, 1
    /// to 255 bytes. An extension of ours, which the original skips. Read as `None` if it is
    /// malformed: it is no more than a hint.
    pub failure_domain: Option<&'a str>,
}

/// Requests that a proxy takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerStatus {
    /// Writes, and streams that it does not own yet.
    WriteAndAccept,
    /// Writes to the streams that it owns.
    WriteOnly,
    /// Nothing.
    Down,
    /// A number that this crate does not know, as received.
    Other(i32),
}

/// Code of a reply, and the fields that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader<'a> {
    /// Code.
    pub code: StatusCode,
    /// Description of the failure, for people.
    pub message: Option<&'a str>,
    /// Owner of the stream, with [`StatusCode::Found`]: `1;{shard};{host}:{port}`.
    pub location: Option<&'a str>,
}

/// Reply to every method on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteResponse<'a> {
    /// Code, message and location.
    pub header: ResponseHeader<'a>,
    /// The position of the record, in text: see [`Dlsn`](crate::Dlsn).
    pub dlsn: Option<&'a str>,
}

/// Reply to a bulk write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkWriteResponse<'a> {
    /// Result of the whole request.
    pub header: ResponseHeader<'a>,
    /// Result of each record.
    pub responses: Option<WriteResponses<'a>>,
}

impl ServerStatus {
    /// The status with this number.
    #[must_use]
    pub const fn from_i32(number: i32) -> Self {
        match number {
            100 => Self::WriteAndAccept,
            200 => Self::WriteOnly,
            300 => Self::Down,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn as_i32(self) -> i32 {
        match self {
            Self::WriteAndAccept => 100,
            Self::WriteOnly => 200,
            Self::Down => 300,
            Self::Other(number) => number,
        }
    }
}

impl<'a> ResponseHeader<'a> {
    /// A header with only a code.
    #[must_use]
    pub const fn new(code: StatusCode) -> Self {
        Self {
            code,
            message: None,
            location: None,
        }
    }

    /// A header with a code and what it means here.
    #[must_use]
    pub const fn with_message(code: StatusCode, message: &'a str) -> Self {
        Self {
            code,
            message: Some(message),
            location: None,
        }
    }

    /// [`StatusCode::Found`]: the stream is owned at `location`.
    #[must_use]
    pub const fn found(location: &'a str) -> Self {
        Self {
            code: StatusCode::Found,
            message: None,
            location: Some(location),
        }
    }
}

impl<'a> WriteResponse<'a> {
    /// Success, at this position when there is one.
    #[must_use]
    pub const fn success(dlsn: Option<&'a str>) -> Self {
        Self {
            header: ResponseHeader::new(StatusCode::Success),
            dlsn,
        }
    }

    /// Returns a reply without a position.
    #[must_use]
    pub const fn new(header: ResponseHeader<'a>) -> Self {
        Self { header, dlsn: None }
    }
}

impl fmt::Display for ResponseHeader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        self.message
            .map_or(Ok(()), |message| write!(f, ": {message}"))?;
        self.location
            .map_or(Ok(()), |location| write!(f, " at {location}"))
    }
}

impl<'a> Element<'a> for WriteContext<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let mut context = Self::default();
        while let Some(field) = cursor.enter("WriteContext").next_field()? {
            match field.id {
                1 => {
                    context.tried_hosts = Some(cursor.field_set(field, "WriteContext.triedHosts")?)
                }
                2 => context.crc32 = Some(cursor.field_i64(field, "WriteContext.crc32")?),
                3 => {
                    context.is_record_set =
                        Some(cursor.field_bool(field, "WriteContext.isRecordSet")?)
                }
                4 => {
                    let bytes = cursor.field_bytes(field, "WriteContext.identity")?;
                    context.identity = Some(SetIdentity::from_bytes(bytes).ok_or_else(|| {
                        let wrong = DecodeErrorKind::WrongLength {
                            expected: SetIdentity::BYTES,
                            found: bytes.len(),
                        };
                        cursor.error_at(cursor.offset() - bytes.len(), wrong)
                    })?);
                }
                5 => context.attempt = Some(cursor.field_i32(field, "WriteContext.attempt")?),
                _ => cursor.skip_field(field)?,
            }
        }
        Ok(context)
    }

    fn write(&self, sink: &mut Sink<'_>) {
        if let Some(hosts) = &self.tried_hosts {
            sink.field_set(1, hosts);
        }
        if let Some(crc32) = self.crc32 {
            sink.field_i64(2, crc32);
        }
        if let Some(is_record_set) = self.is_record_set {
            sink.field_bool(3, is_record_set);
        }
        if let Some(identity) = &self.identity {
            sink.field_bytes(4, &identity.to_bytes());
        }
        if let Some(attempt) = self.attempt {
            sink.field_i32(5, attempt);
        }
        sink.stop();
    }
}

impl<'a> Element<'a> for HeartbeatOptions {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let mut options = Self::default();
        while let Some(field) = cursor.enter("HeartbeatOptions").next_field()? {
            match field.id {
                1 => {
                    options.send_to_reader =
                        Some(cursor.field_bool(field, "HeartbeatOptions.sendHeartBeatToReader")?)
                }
                _ => cursor.skip_field(field)?,
            }
        }
        Ok(options)
    }

    fn write(&self, sink: &mut Sink<'_>) {
        if let Some(send_to_reader) = self.send_to_reader {
            sink.field_bool(1, send_to_reader);
        }
        sink.stop();
    }
}

impl<'a> Element<'a> for ClientInfo<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let mut info = Self::default();
        while let Some(field) = cursor.enter("ClientInfo").next_field()? {
            match field.id {
                1 => {
                    info.stream_name_regex =
                        Some(cursor.field_text(field, "ClientInfo.streamNameRegex")?)
                }
                2 => {
                    info.with_ownerships =
                        Some(cursor.field_bool(field, "ClientInfo.getOwnerships")?)
                }
                _ => cursor.skip_field(field)?,
            }
        }
        Ok(info)
    }

    fn write(&self, sink: &mut Sink<'_>) {
        if let Some(regex) = self.stream_name_regex {
            sink.field_bytes(1, regex.as_bytes());
        }
        if let Some(with_ownerships) = self.with_ownerships {
            sink.field_bool(2, with_ownerships);
        }
        sink.stop();
    }
}

impl<'a> Element<'a> for ServerInfo<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let mut info = Self::default();
        while let Some(field) = cursor.enter("ServerInfo").next_field()? {
            match field.id {
                1 => info.ownerships = Some(cursor.field_map(field, "ServerInfo.ownerships")?),
                2 => {
                    info.status = Some(ServerStatus::from_i32(
                        cursor.field_i32(field, "ServerInfo.serverStatus")?,
                    ))
                }
                3 if field.kind == Type::Bytes => {
                    info.failure_domain = domain_name(cursor.bytes_i32()?);
                }
                _ => cursor.skip_field(field)?,
            }
        }
        Ok(info)
    }

    fn write(&self, sink: &mut Sink<'_>) {
        if let Some(ownerships) = &self.ownerships {
            sink.field_map(1, ownerships);
        }
        if let Some(status) = self.status {
            sink.field_i32(2, status.as_i32());
        }
        if let Some(name) = self.failure_domain {
            sink.field_bytes(3, name.as_bytes());
        }
        sink.stop();
    }
}

/// Returns the name of a failure domain, if it is valid.
fn domain_name(bytes: &[u8]) -> Option<&str> {
    let valid = (1..=FailureDomain::MAX_NAME_BYTES).contains(&bytes.len());
    valid.then(|| core::str::from_utf8(bytes).ok()).flatten()
}

impl<'a> Element<'a> for ResponseHeader<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let (mut code, mut message, mut location) = (None, None, None);
        while let Some(field) = cursor.enter("ResponseHeader").next_field()? {
            match field.id {
                1 => {
                    code = Some(StatusCode::from_i32(
                        cursor.field_i32(field, "ResponseHeader.code")?,
                    ))
                }
                2 => message = Some(cursor.field_text(field, "ResponseHeader.errMsg")?),
                3 => location = Some(cursor.field_text(field, "ResponseHeader.location")?),
                _ => cursor.skip_field(field)?,
            }
        }
        let code = cursor.enter("ResponseHeader.code").required(code)?;
        Ok(Self {
            code,
            message,
            location,
        })
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.field_i32(1, self.code.as_i32());
        if let Some(message) = self.message {
            sink.field_bytes(2, message.as_bytes());
        }
        if let Some(location) = self.location {
            sink.field_bytes(3, location.as_bytes());
        }
        sink.stop();
    }
}

impl<'a> Element<'a> for WriteResponse<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let (mut header, mut dlsn) = (None, None);
        while let Some(field) = cursor.enter("WriteResponse").next_field()? {
            match field.id {
                1 => header = Some(cursor.field_struct(field, "WriteResponse.header")?),
                2 => dlsn = Some(cursor.field_text(field, "WriteResponse.dlsn")?),
                _ => cursor.skip_field(field)?,
            }
        }
        let header = cursor.enter("WriteResponse.header").required(header)?;
        Ok(Self { header, dlsn })
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.field_struct(1, &self.header);
        if let Some(dlsn) = self.dlsn {
            sink.field_bytes(2, dlsn.as_bytes());
        }
        sink.stop();
    }
}

impl<'a> Element<'a> for BulkWriteResponse<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let (mut header, mut responses) = (None, None);
        while let Some(field) = cursor.enter("BulkWriteResponse").next_field()? {
            match field.id {
                1 => header = Some(cursor.field_struct(field, "BulkWriteResponse.header")?),
                2 => {
                    responses = Some(cursor.field_list(field, "BulkWriteResponse.writeResponses")?)
                }
                _ => cursor.skip_field(field)?,
            }
        }
        let header = cursor.enter("BulkWriteResponse.header").required(header)?;
        Ok(Self { header, responses })
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.field_struct(1, &self.header);
        if let Some(responses) = &self.responses {
            sink.field_list(2, responses);
        }
        sink.stop();
    }
}

macro_rules! structs {
    ($($name:ident $(<$life:lifetime>)?),*) => {
        $(impl<'a> Value<'a> for $name $(<$life>)? {
            const TYPE: Type = Type::Struct;
        })*
    };
}

structs!(
    WriteContext<'a>,
    HeartbeatOptions,
    ClientInfo<'a>,
    ServerInfo<'a>,
    ResponseHeader<'a>,
    WriteResponse<'a>,
    BulkWriteResponse<'a>
);
