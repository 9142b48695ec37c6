use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::proto::varint_len;
use super::{DecodeError, DecodeErrorKind, FieldValue, Fields, Sink};
use crate::entry::MasterKey;
use crate::{EntryId, LedgerId};

/// Beginning of every request and response: which request it is, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of the operation, as the protocol counts them. A response repeats its request's.
    pub operation: i32,
    /// Number by which a response is matched to its request: unique among the requests in flight of
    /// one connection.
    pub txn_id: u64,
    /// Priority of the request.
    pub priority: Priority,
}

/// Priority of a request in a bookie's queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// The priority of reads and writes, which is not sent.
    #[default]
    Normal,
    /// The priority of recovery, 100: a bookie that is read-only accepts a recovery's entries only
    /// with it.
    High,
}

/// The version of the protocol, `VERSION_THREE`.
const VERSION: u64 = 3;

impl Header {
    pub(super) fn encode(self, out: &mut BytesMut) {
        let length = 2
            + 1
            + varint_len(i64::from(self.operation).cast_unsigned())
            + 1
            + varint_len(self.txn_id)
            + if self.priority == Priority::High {
                2
            } else {
                0
            };
        out.varint(1 << 3 | 2);
        out.varint(length as u64);
        out.field_u64(1, VERSION);
        out.field_i32(2, self.operation);
        out.field_u64(3, self.txn_id);
        if self.priority == Priority::High {
            out.field_u64(4, 100);
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("BKPacketHeader", bytes);
        let (mut version, mut operation, mut txn_id, mut priority) = (None, None, None, 0);
        while let Some((number, value, _)) = fields.next()? {
            match number {
                1 => version = Some(value.i64("BKPacketHeader.version")?),
                2 => operation = Some(value.i32("BKPacketHeader.operation")?),
                3 => txn_id = Some(value.u64("BKPacketHeader.txnId")?),
                4 => priority = value.u64("BKPacketHeader.priority")?,
                _ => {}
            }
        }
        let version = version.ok_or_else(|| DecodeError::missing("BKPacketHeader.version"))?;
        if version.cast_unsigned() != VERSION {
            let kind = DecodeErrorKind::OutOfRange(version);
            return Err(DecodeError::new("BKPacketHeader.version", kind));
        }
        Ok(Self {
            operation: operation.ok_or_else(|| DecodeError::missing("BKPacketHeader.operation"))?,
            txn_id: txn_id.ok_or_else(|| DecodeError::missing("BKPacketHeader.txnId"))?,
            priority: if priority == 0 {
                Priority::Normal
            } else {
                Priority::High
            },
        })
    }
}

/// A request to a bookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Number by which the response is matched.
    pub txn_id: u64,
    /// Priority in the bookie's queues.
    pub priority: Priority,
    /// The request's own part.
    pub operation: Operation,
}

/// Part of a [`Request`] that differs by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Stores an entry.
    Add(Add),
    /// Returns an entry, or the last one.
    Read(Read),
    /// Authenticates the connection. Before it is done a bookie refuses everything else.
    Auth(Auth),
    /// Announces an explicit last add confirmed.
    WriteLac(WriteLac),
    /// Returns the last add confirmed that the bookie knows of a ledger.
    ReadLac(LedgerId),
    /// Returns the bookie's capacity and free space in bytes.
    BookieInfo,
    /// Begins TLS on this connection.
    StartTls,
    /// Makes entries durable that were added with deferred sync. BookKeeper 4.5 never replies.
    ForceLedger(LedgerId),
    /// Returns which entries of a ledger the bookie has.
    ListEntries(LedgerId),
}

/// Storing one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// The ledger. A bookie stores by the ids inside of `body`: [`crate::entry`] writes both.
    pub ledger: LedgerId,
    /// The entry.
    pub entry: EntryId,
    /// Key of the ledger's password.
    pub master_key: MasterKey,
    /// Header, digest and payload.
    pub body: Bytes,
    /// A recovery writes the entry back: allowed on a fenced ledger.
    pub recovery: bool,
    /// The bookie may reply before the entry is durable; [`Operation::ForceLedger`] ends that.
    pub deferred_sync: bool,
}

/// Reading one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The ledger.
    pub ledger: LedgerId,
    /// The entry, or [`NO_ENTRY`](crate::NO_ENTRY) for the last that the bookie has.
    pub entry: EntryId,
    /// Effects besides reading.
    pub mode: ReadMode,
}

/// Effects of a [`Read`] besides reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// None.
    Plain,
    /// Fences the ledger: the bookie stores no more entries of its writer. Without the right key
    /// the bookie refuses.
    Fence(Option<MasterKey>),
    /// Waits until the bookie's last add confirmed exceeds `previous_lac`, and returns the entry
    /// after that if the bookie has it. The read's entry must be [`NO_ENTRY`](crate::NO_ENTRY).
    LongPoll {
        /// Last add confirmed that the reader knows.
        previous_lac: EntryId,
        /// Maximum wait in whole milliseconds; `None` returns at once. The bookie's timer is
        /// coarse: a wait of 500 ms has been seen to take 1,318 ms.
        wait: Option<Duration>,
    },
}

/// One step of authentication, the same in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Name of the plugin; `AuthDisabled` in the response of a bookie that asks for none.
    pub plugin: String,
    /// The plugin's own message.
    pub payload: Bytes,
}

/// Announcing an explicit last add confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteLac {
    /// The ledger.
    pub ledger: LedgerId,
    /// Last add confirmed.
    pub lac: EntryId,
    /// Key of the ledger's password.
    pub master_key: MasterKey,
    /// Ledger, last add confirmed and digest.
    pub body: Bytes,
}

pub(super) mod number {
    //! Numbers of operations.
    pub(in crate::wire) const READ: i32 = 1;
    pub(in crate::wire) const ADD: i32 = 2;
    pub(in crate::wire) const AUTH: i32 = 5;
    pub(in crate::wire) const WRITE_LAC: i32 = 6;
    pub(in crate::wire) const READ_LAC: i32 = 7;
    pub(in crate::wire) const BOOKIE_INFO: i32 = 8;
    pub(in crate::wire) const START_TLS: i32 = 9;
    pub(in crate::wire) const FORCE_LEDGER: i32 = 10;
    pub(in crate::wire) const LIST_ENTRIES: i32 = 11;
}

pub(super) mod field {
    //! Numbers of the fields that hold an operation's part, in requests and responses.
    pub(in crate::wire) const READ: u32 = 100;
    pub(in crate::wire) const ADD: u32 = 101;
    pub(in crate::wire) const AUTH: u32 = 102;
    pub(in crate::wire) const WRITE_LAC: u32 = 103;
    pub(in crate::wire) const READ_LAC: u32 = 104;
    pub(in crate::wire) const BOOKIE_INFO: u32 = 105;
    pub(in crate::wire) const START_TLS: u32 = 106;
    pub(in crate::wire) const FORCE_LEDGER: u32 = 107;
    pub(in crate::wire) const LIST_ENTRIES: u32 = 108;
}

/// Bit set of total capacity (1) and free space (2).
const INFO_REQUESTED: u64 = 3;

impl Operation {
    const fn number(&self) -> i32 {
        match self {
            Self::Add(_) => number::ADD,
            Self::Read(_) => number::READ,
            Self::Auth(_) => number::AUTH,
            Self::WriteLac(_) => number::WRITE_LAC,
            Self::ReadLac(_) => number::READ_LAC,
            Self::BookieInfo => number::BOOKIE_INFO,
            Self::StartTls => number::START_TLS,
            Self::ForceLedger(_) => number::FORCE_LEDGER,
            Self::ListEntries(_) => number::LIST_ENTRIES,
        }
    }
}

impl Request {
    /// Appends the request as a frame, its length field included.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let header = Header {
            operation: self.operation.number(),
            txn_id: self.txn_id,
            priority: self.priority,
        };
        header.encode(out);
        encode_operation(&self.operation, out);
        // Entries above the limit of a frame are refused where they are made: the length fits.
        let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Decodes the body of a frame. Payloads are slices of it.
    ///
    /// # Errors
    /// [`DecodeError`] with the field that is wrong. The sender of such a frame does not follow the
    /// protocol: bookies close the connection.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("Request", frame);
        let (mut header, mut operation) = (None, None);
        while let Some((number, value, _)) = fields.next()? {
            if number == 1 {
                header = Some(Header::decode(value.bytes("Request.header")?)?);
            } else if let Some(found) = decode_operation(frame, number, value)? {
                operation = Some(found);
            }
        }
        let header = header.ok_or_else(|| DecodeError::missing("Request.header"))?;
        let operation = operation.ok_or_else(|| DecodeError::missing("Request.operation"))?;
        if operation.number() != header.operation {
            let kind = DecodeErrorKind::OutOfRange(i64::from(header.operation));
            return Err(DecodeError::new("BKPacketHeader.operation", kind));
        }
        Ok(Self {
            txn_id: header.txn_id,
            priority: header.priority,
            operation,
        })
    }
}

fn encode_operation(operation: &Operation, out: &mut BytesMut) {
    match operation {
        Operation::Add(add) => add.encode(out),
        Operation::Read(read) => message(out, field::READ, |out| read.encode(out)),
        Operation::Auth(auth) => message(out, field::AUTH, |out| auth.encode(out)),
        Operation::WriteLac(write) => message(out, field::WRITE_LAC, |out| {
            out.field_i64(1, write.ledger);
            out.field_i64(2, write.lac);
            out.field_bytes(3, write.master_key.as_bytes());
            out.field_bytes(4, &write.body);
        }),
        Operation::ReadLac(ledger) => {
            message(out, field::READ_LAC, |out| out.field_i64(1, *ledger));
        }
        Operation::BookieInfo => {
            message(out, field::BOOKIE_INFO, |out| {
                out.field_u64(1, INFO_REQUESTED)
            });
        }
        Operation::StartTls => out.field_bytes(field::START_TLS, &[]),
        Operation::ForceLedger(ledger) => {
            message(out, field::FORCE_LEDGER, |out| out.field_i64(1, *ledger));
        }
        Operation::ListEntries(ledger) => {
            message(out, field::LIST_ENTRIES, |out| out.field_i64(1, *ledger));
        }
    }
}

/// Appends a message that is small: its length is known after it is encoded.
pub(super) fn message(out: &mut BytesMut, number: u32, encode: impl FnOnce(&mut BytesMut)) {
    let mut inner = BytesMut::new();
    encode(&mut inner);
    out.field_bytes(number, &inner);
}

impl Add {
    /// Encodes in place: an entry may have a megabyte, which is copied once.
    fn encode(&self, out: &mut BytesMut) {
        let key = self.master_key.as_bytes();
        let length = 1
            + varint_len(self.ledger.cast_unsigned())
            + 1
            + varint_len(self.entry.cast_unsigned())
            + 2
            + key.len()
            + 1
            + varint_len(self.body.len() as u64)
            + self.body.len()
            + if self.deferred_sync { 2 } else { 0 }
            + if self.recovery { 3 } else { 0 };
        out.reserve(length + 16);
        out.varint(u64::from(field::ADD) << 3 | 2);
        out.varint(length as u64);
        out.field_i64(1, self.ledger);
        out.field_i64(2, self.entry);
        out.field_bytes(3, key);
        out.field_bytes(4, &self.body);
        if self.deferred_sync {
            out.field_u64(5, 1);
        }
        if self.recovery {
            out.field_u64(100, 1);
        }
    }

    fn decode(frame: &Bytes, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("AddRequest", bytes);
        let (mut ledger, mut entry, mut key, mut body) = (None, None, None, None);
        let (mut flags, mut flag) = (0, 0);
        while let Some((number, value, _)) = fields.next()? {
            match number {
                1 => ledger = Some(value.i64("AddRequest.ledgerId")?),
                2 => entry = Some(value.i64("AddRequest.entryId")?),
                3 => key = Some(master_key(value, "AddRequest.masterKey")?),
                4 => body = Some(frame.slice_ref(value.bytes("AddRequest.body")?)),
                5 => flags = value.u64("AddRequest.writeFlags")?,
                100 => flag = value.u64("AddRequest.flag")?,
                _ => {}
            }
        }
        Ok(Self {
            ledger: ledger.ok_or_else(|| DecodeError::missing("AddRequest.ledgerId"))?,
            entry: entry.ok_or_else(|| DecodeError::missing("AddRequest.entryId"))?,
            master_key: key.ok_or_else(|| DecodeError::missing("AddRequest.masterKey"))?,
            body: body.ok_or_else(|| DecodeError::missing("AddRequest.body"))?,
            recovery: flag == 1,
            deferred_sync: flags & 1 == 1,
        })
    }
}

fn master_key(value: FieldValue<'_>, field: &'static str) -> Result<MasterKey, DecodeError> {
    let bytes = value.bytes(field)?;
    let found = bytes.len();
    let kind = DecodeErrorKind::WrongLength {
        expected: MasterKey::LEN,
        found,
    };
    <[u8; MasterKey::LEN]>::try_from(bytes)
        .map(MasterKey::from_bytes)
        .map_err(|_| DecodeError::new(field, kind))
}

impl Read {
    fn encode(&self, out: &mut BytesMut) {
        out.field_i64(1, self.ledger);
        out.field_i64(2, self.entry);
        match self.mode {
            ReadMode::Plain => {}
            ReadMode::Fence(key) => {
                if let Some(key) = key {
                    out.field_bytes(3, key.as_bytes());
                }
                out.field_u64(100, 1);
            }
            ReadMode::LongPoll { previous_lac, wait } => {
                out.field_i64(4, previous_lac);
                if let Some(wait) = wait {
                    out.field_u64(5, u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                }
                out.field_u64(100, 2);
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("ReadRequest", bytes);
        let (mut ledger, mut entry, mut key, mut previous, mut wait, mut flag) =
            (None, None, None, crate::NO_ENTRY, None, 0);
        while let Some((number, value, _)) = fields.next()? {
            match number {
                1 => ledger = Some(value.i64("ReadRequest.ledgerId")?),
                2 => entry = Some(value.i64("ReadRequest.entryId")?),
                3 => key = Some(master_key(value, "ReadRequest.masterKey")?),
                4 => previous = value.i64("ReadRequest.previousLAC")?,
                5 => wait = Some(Duration::from_millis(value.u64("ReadRequest.timeOut")?)),
                100 => flag = value.u64("ReadRequest.flag")?,
                _ => {}
            }
        }
        Ok(Self {
            ledger: ledger.ok_or_else(|| DecodeError::missing("ReadRequest.ledgerId"))?,
            entry: entry.ok_or_else(|| DecodeError::missing("ReadRequest.entryId"))?,
            mode: match flag {
                1 => ReadMode::Fence(key),
                2 => ReadMode::LongPoll {
                    previous_lac: previous,
                    wait,
                },
                _ => ReadMode::Plain,
            },
        })
    }
}

impl Auth {
    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.field_bytes(1, self.plugin.as_bytes());
        out.field_bytes(2, &self.payload);
    }

    pub(super) fn decode(frame: &Bytes, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("AuthMessage", bytes);
        let (mut plugin, mut payload) = (None, Bytes::new());
        while let Some((number, value, _)) = fields.next()? {
            match number {
                1 => plugin = Some(value.text("AuthMessage.authPluginName")?),
                2 => payload = frame.slice_ref(value.bytes("AuthMessage.payload")?),
                _ => {}
            }
        }
        Ok(Self {
            plugin: plugin
                .ok_or_else(|| DecodeError::missing("AuthMessage.authPluginName"))?
                .to_owned(),
            payload,
        })
    }
}

impl WriteLac {
    fn decode(frame: &Bytes, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("WriteLacRequest", bytes);
        let (mut ledger, mut lac, mut key, mut body) = (None, None, None, None);
        while let Some((number, value, _)) = fields.next()? {
            match number {
                1 => ledger = Some(value.i64("WriteLacRequest.ledgerId")?),
                2 => lac = Some(value.i64("WriteLacRequest.lac")?),
                3 => key = Some(master_key(value, "WriteLacRequest.masterKey")?),
                4 => body = Some(frame.slice_ref(value.bytes("WriteLacRequest.body")?)),
                _ => {}
            }
        }
        Ok(Self {
            ledger: ledger.ok_or_else(|| DecodeError::missing("WriteLacRequest.ledgerId"))?,
            lac: lac.ok_or_else(|| DecodeError::missing("WriteLacRequest.lac"))?,
            master_key: key.ok_or_else(|| DecodeError::missing("WriteLacRequest.masterKey"))?,
            body: body.ok_or_else(|| DecodeError::missing("WriteLacRequest.body"))?,
        })
    }
}

/// The operation in a request's field, or `None` if it is a field of a newer protocol.
fn decode_operation(
    frame: &Bytes,
    number: u32,
    value: FieldValue<'_>,
) -> Result<Option<Operation>, DecodeError> {
    let operation = match number {
        field::READ => Operation::Read(Read::decode(value.bytes("Request.readRequest")?)?),
        field::ADD => Operation::Add(Add::decode(frame, value.bytes("Request.addRequest")?)?),
        field::AUTH => Operation::Auth(Auth::decode(frame, value.bytes("Request.authRequest")?)?),
        field::WRITE_LAC => {
            let bytes = value.bytes("Request.writeLacRequest")?;
            Operation::WriteLac(WriteLac::decode(frame, bytes)?)
        }
        field::READ_LAC => Operation::ReadLac(ledger_of(
            value.bytes("Request.readLacRequest")?,
            "ReadLacRequest",
        )?),
        field::BOOKIE_INFO => Operation::BookieInfo,
        field::START_TLS => Operation::StartTls,
        field::FORCE_LEDGER => {
            let bytes = value.bytes("Request.forceLedgerRequest")?;
            Operation::ForceLedger(ledger_of(bytes, "ForceLedgerRequest")?)
        }
        field::LIST_ENTRIES => {
            let bytes = value.bytes("Request.getListOfEntriesOfLedgerRequest")?;
            Operation::ListEntries(ledger_of(bytes, "GetListOfEntriesOfLedgerRequest")?)
        }
        _ => return Ok(None),
    };
    Ok(Some(operation))
}

/// The ledger of a message whose only field it is.
fn ledger_of(bytes: &[u8], message: &'static str) -> Result<LedgerId, DecodeError> {
    let mut fields = Fields::new(message, bytes);
    let mut ledger = None;
    while let Some((number, value, _)) = fields.next()? {
        if number == 1 {
            ledger = Some(value.i64(message)?);
        }
    }
    ledger.ok_or_else(|| DecodeError::missing(message))
}
