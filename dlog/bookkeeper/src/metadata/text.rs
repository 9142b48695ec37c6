//! Format 2: protobuf's text format, as far as `LedgerMetadataFormat` uses it. No crate reads it
//! for proto2 messages without their definitions.

use core::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Format, LedgerMetadata, LedgerState, Partial, Segment, add_member, digest_of, length_of,
    size_of,
};
use crate::entry::DigestType;
use crate::wire::{DecodeError, DecodeErrorKind};

/// Maximum depth of blocks in fields that are not known, which are skipped.
const MAX_DEPTH: usize = 16;

pub(super) fn decode(body: &[u8]) -> Result<LedgerMetadata, DecodeError> {
    let mut input = Input { rest: body };
    let mut partial = Partial::default();
    loop {
        input.skip_space();
        let from = input.rest;
        let Some(name) = input.name()? else {
            return partial.complete(Format::Text);
        };
        match name {
            b"quorumSize" => partial.write_quorum = Some(input.size("quorumSize")?),
            b"ensembleSize" => partial.ensemble_size = Some(input.size("ensembleSize")?),
            b"ackQuorumSize" => partial.ack_quorum = Some(input.size("ackQuorumSize")?),
            b"length" => partial.length = Some(length_of(input.number("length")?)?),
            b"lastEntryId" => partial.last_entry = Some(input.number("lastEntryId")?),
            b"ctime" => partial.created_unix_ms = Some(input.number("ctime")?),
            b"cToken" => partial.creator_token = Some(input.number("cToken")?),
            b"state" => partial.state = Some(state(input.word("state")?)?),
            b"digestType" => partial.digest = Some(digest(input.word("digestType")?)?),
            b"password" => partial.password = Some(input.string("password")?),
            b"segment" => partial.add_segment(segment(&mut input)?)?,
            b"customMetadata" => {
                let (key, value) = custom(&mut input)?;
                partial.custom.insert(key, value);
            }
            _ => {
                input.skip_value(0)?;
                let taken = from.len() - input.rest.len();
                partial.unknown.put_slice(from[..taken].trim_ascii());
                partial.unknown.put_u8(b'\n');
            }
        }
    }
}

fn segment(input: &mut Input<'_>) -> Result<Segment, DecodeError> {
    input.open("segment")?;
    let (mut ensemble, mut first_entry) = (Vec::new(), None);
    while let Some(name) = input.name_in_block("segment")? {
        match name {
            b"ensembleMember" => {
                let member = input.string("segment.ensembleMember")?;
                add_member(&mut ensemble, utf8("segment.ensembleMember", &member)?)?;
            }
            b"firstEntryId" => first_entry = Some(input.number("segment.firstEntryId")?),
            _ => input.skip_value(1)?,
        }
    }
    let first_entry = first_entry.ok_or_else(|| DecodeError::missing("segment.firstEntryId"))?;
    Ok(Segment {
        first_entry,
        ensemble,
    })
}

fn custom(input: &mut Input<'_>) -> Result<(String, Bytes), DecodeError> {
    input.open("customMetadata")?;
    let (mut key, mut value) = (None, Bytes::new());
    while let Some(name) = input.name_in_block("customMetadata")? {
        match name {
            b"key" => {
                let text = input.string("customMetadata.key")?;
                key = Some(utf8("customMetadata.key", &text)?.to_owned());
            }
            b"value" => value = input.string("customMetadata.value")?,
            _ => input.skip_value(1)?,
        }
    }
    Ok((
        key.ok_or_else(|| DecodeError::missing("customMetadata.key"))?,
        value,
    ))
}

fn utf8<'a>(field: &'static str, bytes: &'a [u8]) -> Result<&'a str, DecodeError> {
    core::str::from_utf8(bytes).map_err(|_| DecodeError::new(field, DecodeErrorKind::NotUtf8))
}

fn state(word: &[u8]) -> Result<LedgerState, DecodeError> {
    Ok(match word {
        b"OPEN" => LedgerState::Open,
        b"IN_RECOVERY" => LedgerState::InRecovery,
        b"CLOSED" => LedgerState::Closed,
        _ => return Err(DecodeError::new("state", DecodeErrorKind::Syntax)),
    })
}

fn digest(word: &[u8]) -> Result<DigestType, DecodeError> {
    digest_of(match word {
        b"CRC32" => 1,
        b"HMAC" => 2,
        b"CRC32C" => 3,
        b"DUMMY" => 4,
        _ => return Err(DecodeError::new("digestType", DecodeErrorKind::Syntax)),
    })
}

/// Text that is left to read.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn skip_space(&mut self) {
        // Bounded by the text.
        loop {
            self.rest = self.rest.trim_ascii_start();
            if self.rest.first() != Some(&b'#') {
                return;
            }
            let end = self.rest.iter().position(|&byte| byte == b'\n');
            self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(&[byte]) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A field's name, or `None` at the end of the text.
    fn name(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        self.skip_space();
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.take_word("LedgerMetadataFormat").map(Some)
    }

    /// A field's name, or `None` at the end of the block, which is taken.
    fn name_in_block(&mut self, field: &'static str) -> Result<Option<&'a [u8]>, DecodeError> {
        if self.eat(b'}') {
            Ok(None)
        } else {
            self.take_word(field).map(Some)
        }
    }

    fn take_word(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        self.skip_space();
        let end = self
            .rest
            .iter()
            .position(|byte| !byte.is_ascii_alphanumeric() && !b"_-+.".contains(byte))
            .unwrap_or(self.rest.len());
        if end == 0 {
            let kind = if self.rest.is_empty() {
                DecodeErrorKind::Truncated
            } else {
                DecodeErrorKind::Syntax
            };
            return Err(DecodeError::new(field, kind));
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(word)
    }

    fn colon(&mut self, field: &'static str) -> Result<(), DecodeError> {
        if self.eat(b':') {
            Ok(())
        } else {
            Err(DecodeError::new(field, DecodeErrorKind::Syntax))
        }
    }

    fn open(&mut self, field: &'static str) -> Result<(), DecodeError> {
        // A colon before a block is allowed and never written.
        self.eat(b':');
        if self.eat(b'{') {
            Ok(())
        } else {
            Err(DecodeError::new(field, DecodeErrorKind::Syntax))
        }
    }

    fn word(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        self.colon(field)?;
        self.take_word(field)
    }

    fn number(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        let word = self.word(field)?;
        let syntax = DecodeError::new(field, DecodeErrorKind::Syntax);
        utf8(field, word)?.parse().map_err(|_| syntax)
    }

    fn size(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        size_of(field, self.number(field)?)
    }

    fn string(&mut self, field: &'static str) -> Result<Bytes, DecodeError> {
        self.colon(field)?;
        let mut text = BytesMut::new();
        self.literal(field, &mut text)?;
        // Bounded by the text: literals beside each other are one string.
        loop {
            self.skip_space();
            if !matches!(self.rest.first(), Some(b'"' | b'\'')) {
                return Ok(text.freeze());
            }
            self.literal(field, &mut text)?;
        }
    }

    fn literal(&mut self, field: &'static str, out: &mut BytesMut) -> Result<(), DecodeError> {
        let syntax = DecodeError::new(field, DecodeErrorKind::Syntax);
        self.skip_space();
        let Some(&quote @ (b'"' | b'\'')) = self.rest.first() else {
            return Err(syntax);
        };
        self.rest = &self.rest[1..];
        loop {
            let byte = self.byte(field)?;
            if byte == quote {
                return Ok(());
            }
            match byte {
                b'\\' => out.put_u8(self.escape(field)?),
                b'\n' => return Err(syntax),
                other => out.put_u8(other),
            }
        }
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let truncated = DecodeError::new(field, DecodeErrorKind::Truncated);
        let (&byte, rest) = self.rest.split_first().ok_or(truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    fn escape(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let syntax = DecodeError::new(field, DecodeErrorKind::Syntax);
        Ok(match self.byte(field)? {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            same @ (b'\\' | b'\'' | b'"' | b'?') => same,
            first @ b'0'..=b'7' => {
                u8::try_from(self.digits(u32::from(first - b'0'), 8, 2)).map_err(|_| syntax)?
            }
            b'x' | b'X' => {
                let before = self.rest.len();
                let value = self.digits(0, 16, 2);
                if before == self.rest.len() {
                    return Err(syntax);
                }
                u8::try_from(value).map_err(|_| syntax)?
            }
            _ => return Err(syntax),
        })
    }

    /// Takes up to `count` digits more.
    fn digits(&mut self, mut value: u32, radix: u32, count: usize) -> u32 {
        for _ in 0..count {
            let Some(digit) = self
                .rest
                .first()
                .and_then(|&byte| char::from(byte).to_digit(radix))
            else {
                break;
            };
            value = value * radix + digit;
            self.rest = &self.rest[1..];
        }
        value
    }

    /// Skips the value of a field that is not known: a scalar, a string or a block.
    fn skip_value(&mut self, depth: usize) -> Result<(), DecodeError> {
        const FIELD: &str = "LedgerMetadataFormat";
        if depth == MAX_DEPTH {
            let kind = DecodeErrorKind::TooMany { limit: MAX_DEPTH };
            return Err(DecodeError::new(FIELD, kind));
        }
        self.eat(b':');
        self.skip_space();
        match self.rest.first() {
            Some(b'{') => {
                self.rest = &self.rest[1..];
                while self.name_in_block(FIELD)?.is_some() {
                    self.skip_value(depth + 1)?;
                }
                Ok(())
            }
            Some(b'"' | b'\'') => self.literal(FIELD, &mut BytesMut::new()),
            Some(_) | None => self.take_word(FIELD).map(|_| ()),
        }
    }
}

pub(super) fn encode(metadata: &LedgerMetadata, out: &mut BytesMut) {
    write_text(metadata, out).expect("a growing buffer takes every text");
}

fn write_text(metadata: &LedgerMetadata, out: &mut BytesMut) -> core::fmt::Result {
    writeln!(out, "quorumSize: {}", metadata.write_quorum)?;
    writeln!(out, "ensembleSize: {}", metadata.ensemble_size)?;
    writeln!(out, "length: {}", metadata.length)?;
    writeln!(out, "lastEntryId: {}", metadata.last_entry)?;
    let state = match metadata.state {
        LedgerState::Open => "OPEN",
        LedgerState::InRecovery => "IN_RECOVERY",
        LedgerState::Closed => "CLOSED",
    };
    writeln!(out, "state: {state}")?;
    for segment in &metadata.segments {
        out.write_str("segment {\n")?;
        for member in &segment.ensemble {
            write_string(out, "  ensembleMember", member.as_str().as_bytes())?;
        }
        writeln!(out, "  firstEntryId: {}\n}}", segment.first_entry)?;
    }
    if let Some(digest) = metadata.digest {
        let name = match digest {
            DigestType::Crc32 => "CRC32",
            DigestType::Mac => "HMAC",
            DigestType::Crc32c => "CRC32C",
            DigestType::Dummy => "DUMMY",
        };
        writeln!(out, "digestType: {name}")?;
    }
    if let Some(password) = &metadata.password {
        write_string(out, "password", password)?;
    }
    writeln!(out, "ackQuorumSize: {}", metadata.ack_quorum)?;
    if let Some(time) = metadata.created_unix_ms {
        writeln!(out, "ctime: {time}")?;
    }
    for (key, value) in &metadata.custom {
        out.write_str("customMetadata {\n")?;
        write_string(out, "  key", key.as_bytes())?;
        write_string(out, "  value", value)?;
        out.write_str("}\n")?;
    }
    if let Some(token) = metadata.creator_token {
        writeln!(out, "cToken: {token}")?;
    }
    out.put_slice(&metadata.unknown);
    Ok(())
}

/// Writes a string as protobuf does: what is not printable ASCII in three octal digits.
fn write_string(out: &mut BytesMut, name: &str, bytes: &[u8]) -> core::fmt::Result {
    write!(out, "{name}: \"")?;
    for &byte in bytes {
        match byte {
            7 => out.write_str("\\a")?,
            8 => out.write_str("\\b")?,
            b'\t' => out.write_str("\\t")?,
            b'\n' => out.write_str("\\n")?,
            11 => out.write_str("\\v")?,
            12 => out.write_str("\\f")?,
            b'\r' => out.write_str("\\r")?,
            b'"' | b'\\' | b'\'' => write!(out, "\\{}", char::from(byte))?,
            32..127 => out.write_char(char::from(byte))?,
            _ => write!(out, "\\{byte:03o}")?,
        }
    }
    out.write_str("\"\n")
}
