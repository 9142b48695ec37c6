//! Format 3: a protobuf message behind its length.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Format, LedgerMetadata, LedgerState, Partial, Segment, add_member, digest_of, length_of,
    size_of, state_of,
};
use crate::wire::{DecodeError, DecodeErrorKind, Fields, Sink};

pub(super) fn decode(body: &[u8]) -> Result<LedgerMetadata, DecodeError> {
    // The length makes the whole a field without its key: one with a key is read the same way.
    let mut keyed = Vec::with_capacity(body.len() + 1);
    keyed.push(1 << 3 | 2);
    keyed.extend_from_slice(body);
    let mut outer = Fields::new("LedgerMetadataFormat", &keyed);
    let missing = DecodeError::new("LedgerMetadataFormat", DecodeErrorKind::Truncated);
    let (_, message, _) = outer.next()?.ok_or(missing)?;
    let mut fields = Fields::new(
        "LedgerMetadataFormat",
        message.bytes("LedgerMetadataFormat")?,
    );
    let mut partial = Partial::default();
    while let Some((number, value, encoded)) = fields.next()? {
        match number {
            1 => partial.write_quorum = Some(size_of("quorumSize", value.i64("quorumSize")?)?),
            2 => {
                partial.ensemble_size = Some(size_of("ensembleSize", value.i64("ensembleSize")?)?);
            }
            3 => partial.length = Some(length_of(value.i64("length")?)?),
            4 => partial.last_entry = Some(value.i64("lastEntryId")?),
            5 => partial.state = Some(state_of(value.i64("state")?)?),
            6 => partial.add_segment(segment(value.bytes("segment")?)?)?,
            7 => partial.digest = Some(digest_of(value.i64("digestType")?)?),
            8 => partial.password = Some(Bytes::copy_from_slice(value.bytes("password")?)),
            9 => partial.ack_quorum = Some(size_of("ackQuorumSize", value.i64("ackQuorumSize")?)?),
            10 => partial.created_unix_ms = Some(value.i64("ctime")?),
            11 => {
                let (key, value) = custom(value.bytes("customMetadata")?)?;
                partial.custom.insert(key, value);
            }
            12 => partial.creator_token = Some(value.i64("cToken")?),
            _ => partial.unknown.put_slice(encoded),
        }
    }
    partial.complete(Format::Binary)
}

fn segment(bytes: &[u8]) -> Result<Segment, DecodeError> {
    let mut fields = Fields::new("segment", bytes);
    let (mut ensemble, mut first_entry) = (Vec::new(), None);
    while let Some((number, value, _)) = fields.next()? {
        match number {
            1 => add_member(&mut ensemble, value.text("segment.ensembleMember")?)?,
            2 => first_entry = Some(value.i64("segment.firstEntryId")?),
            _ => {}
        }
    }
    let first_entry = first_entry.ok_or_else(|| DecodeError::missing("segment.firstEntryId"))?;
    Ok(Segment {
        first_entry,
        ensemble,
    })
}

fn custom(bytes: &[u8]) -> Result<(String, Bytes), DecodeError> {
    let mut fields = Fields::new("customMetadata", bytes);
    let (mut key, mut payload) = (None, Bytes::new());
    while let Some((number, value, _)) = fields.next()? {
        match number {
            1 => key = Some(value.text("customMetadata.key")?.to_owned()),
            2 => payload = Bytes::copy_from_slice(value.bytes("customMetadata.value")?),
            _ => {}
        }
    }
    Ok((
        key.ok_or_else(|| DecodeError::missing("customMetadata.key"))?,
        payload,
    ))
}

pub(super) fn encode(metadata: &LedgerMetadata, out: &mut BytesMut) {
    let mut message = BytesMut::new();
    message.field_u64(1, metadata.write_quorum as u64);
    message.field_u64(2, metadata.ensemble_size as u64);
    message.field_u64(3, metadata.length);
    message.field_i64(4, metadata.last_entry);
    message.field_u64(5, state_code(metadata.state));
    for segment in &metadata.segments {
        let mut inner = BytesMut::new();
        for member in &segment.ensemble {
            inner.field_bytes(1, member.as_str().as_bytes());
        }
        inner.field_i64(2, segment.first_entry);
        message.field_bytes(6, &inner);
    }
    if let Some(digest) = metadata.digest {
        message.field_i32(7, digest.code());
    }
    if let Some(password) = &metadata.password {
        message.field_bytes(8, password);
    }
    message.field_u64(9, metadata.ack_quorum as u64);
    if let Some(time) = metadata.created_unix_ms {
        message.field_i64(10, time);
    }
    for (key, value) in &metadata.custom {
        let mut inner = BytesMut::new();
        inner.field_bytes(1, key.as_bytes());
        inner.field_bytes(2, value);
        message.field_bytes(11, &inner);
    }
    if let Some(token) = metadata.creator_token {
        message.field_i64(12, token);
    }
    message.put_slice(&metadata.unknown);
    out.varint(message.len() as u64);
    out.put_slice(&message);
}

const fn state_code(state: LedgerState) -> u64 {
    match state {
        LedgerState::Open => 1,
        LedgerState::InRecovery => 2,
        LedgerState::Closed => 3,
    }
}
