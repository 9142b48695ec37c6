use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes, BytesMut};
use distributedlog::wire::record_set::{
    HEADER_BYTES, LENGTH_BYTES, MAX_SET_BYTES, RecordSetBuilder, SetIdentity, TRAILER_BYTES,
    WriterId,
};
use distributedlog_store::{Dlsn, EntryRecord, StoredEntry};
use serde::Deserialize;

/// Longest line that is accepted: a record of 1 MB takes less than 1.5 million bytes in base64.
const MAX_LINE_BYTES: usize = 4 << 20;

/// Most records of a set: each has at least a length.
const MAX_SLOTS: u32 = (MAX_SET_BYTES / LENGTH_BYTES) as u32;

/// The bytes of a response, taken line by line.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    bytes: BytesMut,
    /// Number of bytes at the front that have no end of a line.
    scanned: usize,
}

impl LineBuffer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next whole line. `None` if there is none yet.
    ///
    /// # Errors
    /// A line is longer than any of a write proxy.
    pub(super) fn pop(&mut self) -> Result<Option<Bytes>, String> {
        let rest = &self.bytes[self.scanned..];
        if let Some(offset) = rest.iter().position(|byte| *byte == b'\n') {
            let line = self.bytes.split_to(self.scanned + offset).freeze();
            self.bytes.advance(1);
            self.scanned = 0;
            return Ok(Some(line));
        }
        self.scanned = self.bytes.len();
        if self.scanned > MAX_LINE_BYTES {
            return Err("a line is longer than any of a write proxy".to_owned());
        }
        Ok(None)
    }
}

/// A line of the response to a read.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) event: String,
    dlsn: Option<String>,
    pub(super) next: Option<String>,
    #[serde(default)]
    written_ms: u64,
    #[serde(default)]
    slot: u32,
    #[serde(default)]
    slots: u32,
    writer: Option<String>,
    sequence: Option<u64>,
    payload: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) detail: Option<String>,
}

impl Line {
    /// Parses a line.
    ///
    /// # Errors
    /// It is none of a write proxy.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| format!("a line is none of a proxy: {error}"))
    }

    fn dlsn(&self) -> Result<Dlsn, String> {
        let text = self.dlsn.as_deref().ok_or("a line has no dlsn")?;
        parse_position(text).map(|(dlsn, _)| dlsn)
    }

    fn identity(&self) -> Result<Option<SetIdentity>, String> {
        let (Some(writer), Some(sequence)) = (&self.writer, self.sequence) else {
            return Ok(None);
        };
        let number = u128::from_str_radix(writer, 16).ok();
        let number = number.filter(|_| writer.len() == 32);
        let number = number.ok_or_else(|| format!("{writer} is no id of a writer"))?;
        Ok(Some(SetIdentity {
            writer: WriterId(number.to_be_bytes()),
            sequence,
        }))
    }
}

/// Parses a position, `1,0,5` or `1,0,5@1795460313000`. Returns it and the stream's time of
/// creation.
///
/// # Errors
/// It is none.
pub(super) fn parse_position(text: &str) -> Result<(Dlsn, Option<u64>), String> {
    let invalid = || format!("{text} is no position");
    let (dlsn, created) = match text.split_once('@') {
        Some((dlsn, created)) => (dlsn, Some(created.parse().map_err(|_| invalid())?)),
        None => (text, None),
    };
    let dlsn = distributedlog_store::dlsn_text::parse_dlsn(dlsn).map_err(|_| invalid())?;
    Ok((dlsn, created))
}

/// Makes stored entries of the lines of a read: the records of a set that has an identity become
/// that set again, so that duplicates of it are recognised; all other records stand alone.
#[derive(Debug)]
pub(super) struct Assembly {
    /// Position of the next record.
    pub(super) next: Dlsn,
    set: Option<PartialSet>,
}

#[derive(Debug)]
struct PartialSet {
    /// Position of the set's first slot.
    dlsn: Dlsn,
    identity: SetIdentity,
    slots: u32,
    first_slot: u32,
    written_unix_ms: u64,
    /// Empty for slots before the first that came: they are truncated.
    records: Vec<Vec<u8>>,
}

impl Assembly {
    pub(super) const fn from(next: Dlsn) -> Self {
        Self { next, set: None }
    }

    /// Takes the line of a record or of a damaged set. Returns an entry that is complete now, and
    /// the position of its first record that may be delivered.
    ///
    /// # Errors
    /// The line is none of a write proxy.
    pub(super) fn take(&mut self, line: &Line) -> Result<Option<(StoredEntry, Dlsn)>, String> {
        let dlsn = line.dlsn()?;
        if line.event == "malformed" {
            self.set = None;
            self.next = dlsn.slot(line.slots.max(1));
            let damaged = EntryRecord {
                payload: Bytes::new(),
                slots: line.slots.max(1),
                is_record_set: true,
            };
            return Ok(Some((entry(dlsn, line.written_ms, damaged), dlsn)));
        }
        if line.slot >= line.slots || line.slots > MAX_SLOTS {
            return Err(format!(
                "a record is number {} of {}",
                line.slot, line.slots
            ));
        }
        let payload = line.payload.as_deref().ok_or("a record has no payload")?;
        let payload = STANDARD.decode(payload);
        let payload = payload.map_err(|error| format!("a record is not base64: {error}"))?;
        let Some(identity) = line.identity()? else {
            self.set = None;
            self.next = dlsn.slot(1);
            let record = EntryRecord {
                payload: payload.into(),
                slots: 1,
                is_record_set: false,
            };
            return Ok(Some((entry(dlsn, line.written_ms, record), dlsn)));
        };
        let first = Dlsn {
            slot_id: dlsn.slot_id - i64::from(line.slot),
            ..dlsn
        };
        let set = self.set.take().filter(|set| set.dlsn == first);
        let mut set = set.unwrap_or_else(|| PartialSet {
            dlsn: first,
            identity,
            slots: line.slots,
            first_slot: line.slot,
            written_unix_ms: line.written_ms,
            records: vec![Vec::new(); line.slot as usize],
        });
        if set.records.len() != line.slot as usize {
            return Err(format!("a record of the set at {first} is missing"));
        }
        set.records.push(payload);
        if line.slot + 1 < line.slots {
            self.set = Some(set);
            return Ok(None);
        }
        self.next = dlsn.slot(1);
        let start = first.slot(set.first_slot);
        set.whole().map(|entry| Some((entry, start)))
    }
}

impl PartialSet {
    fn whole(self) -> Result<StoredEntry, String> {
        let bytes = self.records.iter().map(|it| it.len() + LENGTH_BYTES);
        let bytes = bytes.sum::<usize>() + HEADER_BYTES + TRAILER_BYTES;
        let mut buffer = vec![0; bytes];
        let mut builder = RecordSetBuilder::new(bytes, true);
        for record in &self.records {
            let appended = builder.append(&mut buffer, record);
            appended.map_err(|error| format!("the set at {}: {error}", self.dlsn))?;
        }
        let set = builder.finish(&mut buffer, Some(&self.identity));
        let record = EntryRecord {
            payload: Bytes::copy_from_slice(set),
            slots: self.slots,
            is_record_set: true,
        };
        Ok(entry(self.dlsn, self.written_unix_ms, record))
    }
}

fn entry(dlsn: Dlsn, written_unix_ms: u64, record: EntryRecord) -> StoredEntry {
    StoredEntry {
        dlsn,
        written_unix_ms,
        records: vec![record],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lines: &[&str]) -> Result<Vec<(StoredEntry, Dlsn)>, String> {
        let mut assembly = Assembly::from(Dlsn::INITIAL);
        let mut taken = Vec::new();
        for line in lines {
            taken.extend(assembly.take(&Line::parse(line.as_bytes())?)?);
        }
        Ok(taken)
    }

    fn of_set(slot: u32, slots: u32, dlsn: &str) -> String {
        format!(
            concat!(
                r#"{{"event":"record","dlsn":"{}","written_ms":7,"slot":{},"slots":{},"#,
                r#""writer":"8f14e45f0000000000000000000000ff","sequence":17,"payload":"YQ=="}}"#
            ),
            dlsn, slot, slots
        )
    }

    #[test]
    fn a_set_with_an_identity_becomes_that_set_again_and_other_records_stand_alone() {
        let alone = r#"{"event":"record","dlsn":"1,0,0","slot":0,"slots":1,"payload":"YW4="}"#;
        let lines = [alone, &of_set(0, 2, "1,0,1"), &of_set(1, 2, "1,0,2")];
        let taken = taken(&lines).expect("lines of a proxy");
        let [(alone, _), (set, start)] = &taken[..] else {
            panic!("{taken:?}");
        };
        assert_eq!(
            (alone.records[0].is_record_set, &*alone.records[0].payload),
            (false, &b"an"[..])
        );
        assert_eq!((set.dlsn, *start), (Dlsn::new(1, 0, 1), Dlsn::new(1, 0, 1)));
        let parsed =
            distributedlog::wire::record_set::RecordSet::parse(&set.records[0].payload, &mut []);
        let parsed = parsed.expect("a set");
        assert_eq!(parsed.identity().map(|it| it.sequence), Some(17));
    }

    #[test]
    fn a_set_whose_beginning_is_truncated_starts_where_the_stream_does() {
        let lines = [of_set(1, 3, "1,4,1"), of_set(2, 3, "1,4,2")];
        let taken = taken(&[&lines[0], &lines[1]]).expect("lines of a proxy");
        let (set, start) = &taken[0];
        assert_eq!((set.dlsn, *start), (Dlsn::new(1, 4, 0), Dlsn::new(1, 4, 1)));
        assert_eq!(set.records[0].slots, 3);
    }

    #[test]
    fn what_no_proxy_sends_is_refused() {
        let huge = of_set(4_000_000_000, 4_000_000_001, "1,0,0");
        let gap = [of_set(0, 3, "1,0,0"), of_set(2, 3, "1,0,2")];
        assert!(taken(&[&huge]).is_err());
        assert!(taken(&[&gap[0], &gap[1]]).is_err());
        assert!(taken(&["{}"]).is_err());
        assert!(taken(&[r#"{"event":"record","dlsn":"x","slot":0,"slots":1}"#]).is_err());
    }
}
