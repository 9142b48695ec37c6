use bytes::{Bytes, BytesMut};

use super::request::{Auth, Header, Priority, field, message, number};
use super::{DecodeError, DecodeErrorKind, FieldValue, Fields, Sink, Status};
use crate::{EntryId, LedgerId};

/// A bookie's answer to a [`Request`](super::Request).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Number of the request.
    pub txn_id: u64,
    /// Number of the operation, as the protocol counts them.
    pub operation: i32,
    /// Status of the whole response. Use [`status`](Self::status), which minds the inner one too.
    pub outer: Status,
    /// The operation's part, or `None`: a bookie that refuses a connection that is not
    /// authenticated sends the outer status alone.
    pub reply: Option<Reply>,
}

/// Part of a [`Response`] that differs by its operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// An entry was stored, or not.
    Add(AddReply),
    /// An entry.
    Read(ReadReply),
    /// The next step of authentication.
    Auth(Auth),
    /// An explicit last add confirmed was stored.
    WriteLac(AddReply),
    /// The last add confirmed of a ledger.
    ReadLac(LacReply),
    /// Capacity and free space.
    BookieInfo(BookieInfo),
    /// The client begins the handshake of TLS now.
    StartTls,
    /// A ledger's entries are durable.
    ForceLedger(AddReply),
    /// The entries of a ledger that a bookie has.
    ListEntries(ListReply),
}

/// Status of one entry or ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddReply {
    /// Status of the operation.
    pub status: Status,
    /// The ledger.
    pub ledger: LedgerId,
    /// The entry; `None` for operations on whole ledgers.
    pub entry: Option<EntryId>,
}

/// An entry as a bookie stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadReply {
    /// Status of the read.
    pub status: Status,
    /// The ledger of the request.
    pub ledger: LedgerId,
    /// The entry of the request.
    pub entry: EntryId,
    /// Header, digest and payload, not verified: bookies check neither digest nor ids.
    pub body: Option<Bytes>,
    /// Last add confirmed that the bookie knows.
    pub max_lac: Option<EntryId>,
    /// Time at which that was learnt, in milliseconds since 1970 by the bookie's clock.
    pub lac_update_unix_ms: Option<u64>,
}

/// Two sources of a ledger's last add confirmed; the larger of both is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LacReply {
    /// Status of the read.
    pub status: Status,
    /// The ledger.
    pub ledger: LedgerId,
    /// The explicit last add confirmed with its digest, not verified.
    pub lac_body: Option<Bytes>,
    /// The last entry with its header and digest, not verified.
    pub last_entry_body: Option<Bytes>,
}

/// Space of a bookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookieInfo {
    /// Status of the request.
    pub status: Status,
    /// Capacity of its disks in bytes.
    pub total_bytes: Option<u64>,
    /// Free space on them in bytes.
    pub free_bytes: Option<u64>,
}

/// Entries of a ledger that a bookie has, in BookKeeper's own compact form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListReply {
    /// Status of the request.
    pub status: Status,
    /// The ledger.
    pub ledger: LedgerId,
    /// A serialized `AvailabilityOfEntriesOfLedger`.
    pub availability: Option<Bytes>,
}

impl Reply {
    const fn status(&self) -> Option<Status> {
        match self {
            Self::Add(reply) | Self::WriteLac(reply) | Self::ForceLedger(reply) => {
                Some(reply.status)
            }
            Self::Read(reply) => Some(reply.status),
            Self::ReadLac(reply) => Some(reply.status),
            Self::BookieInfo(reply) => Some(reply.status),
            Self::ListEntries(reply) => Some(reply.status),
            Self::Auth(_) | Self::StartTls => None,
        }
    }
}

impl Response {
    /// Returns the worse of the outer and the inner status.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.reply.as_ref().and_then(Reply::status) {
            Some(inner) => self.outer.worse(inner),
            None => self.outer,
        }
    }

    /// Appends the response as a frame, its length field included, as a bookie does.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let header = Header {
            operation: self.operation,
            txn_id: self.txn_id,
            priority: Priority::Normal,
        };
        header.encode(out);
        out.field_i32(2, self.outer.code());
        if let Some(reply) = &self.reply {
            encode_reply(reply, out);
        }
        // Bookies refuse entries above the limit of a frame: the length fits.
        let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Decodes the body of a frame. Payloads are slices of it.
    ///
    /// # Errors
    /// [`DecodeError`] with the field that is wrong. The connection is of no use then: replies that
    /// follow cannot be told from damage.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("Response", frame);
        let (mut header, mut status, mut reply) = (None, None, None);
        while let Some((number, value, _)) = fields.next()? {
            match number {
                1 => header = Some(Header::decode(value.bytes("Response.header")?)?),
                2 => status = Some(status_of(value, "Response.status")?),
                _ => {
                    if let Some(found) = decode_reply(frame, number, value)? {
                        reply = Some(found);
                    }
                }
            }
        }
        let header = header.ok_or_else(|| DecodeError::missing("Response.header"))?;
        if let Some(reply) = &reply
            && reply_number(reply) != header.operation
        {
            let kind = DecodeErrorKind::OutOfRange(i64::from(header.operation));
            return Err(DecodeError::new("BKPacketHeader.operation", kind));
        }
        Ok(Self {
            txn_id: header.txn_id,
            operation: header.operation,
            outer: status.ok_or_else(|| DecodeError::missing("Response.status"))?,
            reply,
        })
    }
}

const fn reply_number(reply: &Reply) -> i32 {
    match reply {
        Reply::Add(_) => number::ADD,
        Reply::Read(_) => number::READ,
        Reply::Auth(_) => number::AUTH,
        Reply::WriteLac(_) => number::WRITE_LAC,
        Reply::ReadLac(_) => number::READ_LAC,
        Reply::BookieInfo(_) => number::BOOKIE_INFO,
        Reply::StartTls => number::START_TLS,
        Reply::ForceLedger(_) => number::FORCE_LEDGER,
        Reply::ListEntries(_) => number::LIST_ENTRIES,
    }
}

fn status_of(value: FieldValue<'_>, field: &'static str) -> Result<Status, DecodeError> {
    value.i32(field).map(Status::from_code)
}

fn encode_reply(reply: &Reply, out: &mut BytesMut) {
    match reply {
        Reply::Add(reply) => message(out, field::ADD, |out| reply.encode(out)),
        Reply::Read(reply) => message(out, field::READ, |out| reply.encode(out)),
        Reply::Auth(reply) => message(out, field::AUTH, |out| reply.encode(out)),
        Reply::WriteLac(reply) => message(out, field::WRITE_LAC, |out| reply.encode(out)),
        Reply::ReadLac(reply) => message(out, field::READ_LAC, |out| {
            out.field_i32(1, reply.status.code());
            out.field_i64(2, reply.ledger);
            if let Some(body) = &reply.lac_body {
                out.field_bytes(3, body);
            }
            if let Some(body) = &reply.last_entry_body {
                out.field_bytes(4, body);
            }
        }),
        Reply::BookieInfo(reply) => message(out, field::BOOKIE_INFO, |out| {
            out.field_i32(1, reply.status.code());
            if let Some(bytes) = reply.total_bytes {
                out.field_u64(2, bytes);
            }
            if let Some(bytes) = reply.free_bytes {
                out.field_u64(3, bytes);
            }
        }),
        Reply::StartTls => out.field_bytes(field::START_TLS, &[]),
        Reply::ForceLedger(reply) => message(out, field::FORCE_LEDGER, |out| reply.encode(out)),
        Reply::ListEntries(reply) => message(out, field::LIST_ENTRIES, |out| {
            out.field_i32(1, reply.status.code());
            out.field_i64(2, reply.ledger);
            if let Some(body) = &reply.availability {
                out.field_bytes(3, body);
            }
        }),
    }
}

/// The reply in a response's field, or `None` if it is a field of a newer protocol.
fn decode_reply(
    frame: &Bytes,
    number: u32,
    value: FieldValue<'_>,
) -> Result<Option<Reply>, DecodeError> {
    let reply = match number {
        field::READ => Reply::Read(ReadReply::decode(
            frame,
            value.bytes("Response.readResponse")?,
        )?),
        field::ADD => Reply::Add(AddReply::decode(value.bytes("Response.addResponse")?)?),
        field::AUTH => Reply::Auth(Auth::decode(frame, value.bytes("Response.authResponse")?)?),
        field::WRITE_LAC => {
            Reply::WriteLac(AddReply::decode(value.bytes("Response.writeLacResponse")?)?)
        }
        field::READ_LAC => Reply::ReadLac(LacReply::decode(
            frame,
            value.bytes("Response.readLacResponse")?,
        )?),
        field::BOOKIE_INFO => {
            let bytes = value.bytes("Response.getBookieInfoResponse")?;
            Reply::BookieInfo(BookieInfo::decode(bytes)?)
        }
        field::START_TLS => Reply::StartTls,
        field::FORCE_LEDGER => Reply::ForceLedger(AddReply::decode(
            value.bytes("Response.forceLedgerResponse")?,
        )?),
        field::LIST_ENTRIES => {
            let bytes = value.bytes("Response.getListOfEntriesOfLedgerResponse")?;
            Reply::ListEntries(ListReply::decode(frame, bytes)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(reply))
}

impl AddReply {
    fn encode(self, out: &mut BytesMut) {
        out.field_i32(1, self.status.code());
        out.field_i64(2, self.ledger);
        if let Some(entry) = self.entry {
            out.field_i64(3, entry);
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("AddResponse", bytes);
        let (mut status, mut ledger, mut entry) = (None, None, None);
        while let Some((number, value, _)) = fields.next()? {
            match number {
                1 => status = Some(status_of(value, "AddResponse.status")?),
                2 => ledger = Some(value.i64("AddResponse.ledgerId")?),
                3 => entry = Some(value.i64("AddResponse.entryId")?),
                _ => {}
            }
        }
        Ok(Self {
            status: status.ok_or_else(|| DecodeError::missing("AddResponse.status"))?,
            ledger: ledger.ok_or_else(|| DecodeError::missing("AddResponse.ledgerId"))?,
            entry,
        })
    }
}

impl ReadReply {
    fn encode(&self, out: &mut BytesMut) {
        out.field_i32(1, self.status.code());
        out.field_i64(2, self.ledger);
        out.field_i64(3, self.entry);
        if let Some(body) = &self.body {
            out.field_bytes(4, body);
        }
        if let Some(lac) = self.max_lac {
            out.field_i64(5, lac);
        }
        if let Some(time) = self.lac_update_unix_ms {
            out.field_u64(6, time);
        }
    }

    fn decode(frame: &Bytes, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("ReadResponse", bytes);
        let (mut status, mut ledger, mut entry) = (None, None, None);
        let (mut body, mut max_lac, mut lac_update_unix_ms) = (None, None, None);
        while let Some((number, value, _)) = fields.next()? {
            match number {
                1 => status = Some(status_of(value, "ReadResponse.status")?),
                2 => ledger = Some(value.i64("ReadResponse.ledgerId")?),
                3 => entry = Some(value.i64("ReadResponse.entryId")?),
                4 => body = Some(frame.slice_ref(value.bytes("ReadResponse.body")?)),
                5 => max_lac = Some(value.i64("ReadResponse.maxLAC")?),
                6 => lac_update_unix_ms = Some(value.u64("ReadResponse.lacUpdateTimestamp")?),
                _ => {}
            }
        }
        Ok(Self {
            status: status.ok_or_else(|| DecodeError::missing("ReadResponse.status"))?,
            ledger: ledger.ok_or_else(|| DecodeError::missing("ReadResponse.ledgerId"))?,
            entry: entry.ok_or_else(|| DecodeError::missing("ReadResponse.entryId"))?,
            body,
            max_lac,
            lac_update_unix_ms,
        })
    }
}

impl LacReply {
    fn decode(frame: &Bytes, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("ReadLacResponse", bytes);
        let (mut status, mut ledger, mut lac_body, mut last_entry_body) = (None, None, None, None);
        while let Some((number, value, _)) = fields.next()? {
            match number {
                1 => status = Some(status_of(value, "ReadLacResponse.status")?),
                2 => ledger = Some(value.i64("ReadLacResponse.ledgerId")?),
                3 => lac_body = Some(frame.slice_ref(value.bytes("ReadLacResponse.lacBody")?)),
                4 => {
                    let bytes = value.bytes("ReadLacResponse.lastEntryBody")?;
                    last_entry_body = Some(frame.slice_ref(bytes));
                }
                _ => {}
            }
        }
        Ok(Self {
            status: status.ok_or_else(|| DecodeError::missing("ReadLacResponse.status"))?,
            ledger: ledger.ok_or_else(|| DecodeError::missing("ReadLacResponse.ledgerId"))?,
            lac_body,
            last_entry_body,
        })
    }
}

impl BookieInfo {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("GetBookieInfoResponse", bytes);
        let (mut status, mut total_bytes, mut free_bytes) = (None, None, None);
        while let Some((number, value, _)) = fields.next()? {
            match number {
                1 => status = Some(status_of(value, "GetBookieInfoResponse.status")?),
                2 => {
                    total_bytes = Some(value.u64("GetBookieInfoResponse.totalDiskCapacity")?);
                }
                3 => free_bytes = Some(value.u64("GetBookieInfoResponse.freeDiskSpace")?),
                _ => {}
            }
        }
        Ok(Self {
            status: status.ok_or_else(|| DecodeError::missing("GetBookieInfoResponse.status"))?,
            total_bytes,
            free_bytes,
        })
    }
}

impl ListReply {
    fn decode(frame: &Bytes, bytes: &[u8]) -> Result<Self, DecodeError> {
        const MESSAGE: &str = "GetListOfEntriesOfLedgerResponse";
        let mut fields = Fields::new(MESSAGE, bytes);
        let (mut status, mut ledger, mut availability) = (None, None, None);
        while let Some((number, value, _)) = fields.next()? {
            match number {
                1 => status = Some(status_of(value, MESSAGE)?),
                2 => ledger = Some(value.i64(MESSAGE)?),
                3 => availability = Some(frame.slice_ref(value.bytes(MESSAGE)?)),
                _ => {}
            }
        }
        Ok(Self {
            status: status.ok_or_else(|| DecodeError::missing(MESSAGE))?,
            ledger: ledger.ok_or_else(|| DecodeError::missing(MESSAGE))?,
            availability,
        })
    }
}
