use bytes::Bytes;
use distributedlog_bookkeeper::namespace::{
    Compression, EnvelopedEntry, LockMember, LogRecord, LogSegment, NamespaceError, RecordKind,
    SegmentState,
};

use crate::recorded::{dl_entries, dl_nodes};

#[test]
fn every_recorded_log_segment_decodes_and_encodes_to_the_same_text() {
    let (mut in_progress, mut completed) = (0, 0);
    for node in dl_nodes()
        .iter()
        .filter(|node| node.path.contains("/ledgers/"))
    {
        let (parent, name) = node.path.rsplit_once('/').expect("a path");
        if !parent.ends_with("<default>/ledgers") {
            continue;
        }
        let data = node.data();
        let segment = LogSegment::decode(&data).expect("a recorded segment");
        assert_eq!(
            segment.encode().as_bytes(),
            data,
            "{} {}",
            node.step,
            node.path
        );
        assert_eq!(segment.node_name(), name);
        match segment.state {
            SegmentState::InProgress => in_progress += 1,
            SegmentState::Completed(_) => completed += 1,
        }
    }
    assert_eq!((in_progress, completed), (11, 51));
}

#[test]
fn older_versions_of_log_segments_have_their_fields_too() {
    for text in [
        "1;7;10",
        "1;7;10;20;999",
        "2;7;10;3",
        "12884901890;7;10;20;999;3;4;1",
        "3;7;10;3;0;0",
        "12884901892;7;10;20;999;3;4;1;2;1",
    ] {
        let segment = LogSegment::decode(text.as_bytes()).expect("a valid text");
        assert_eq!(segment.encode(), text);
        assert_eq!((segment.ledger, segment.first_txid), (7, 10));
        if segment.version > 1 {
            assert_eq!(segment.sequence_number, 3);
        }
    }
    assert_eq!(
        LogSegment::decode(b"6;7;10"),
        Err(NamespaceError::SegmentVersion(6))
    );
    assert_eq!(
        LogSegment::decode(b"5;7;10"),
        Err(NamespaceError::Segment { field: 3 })
    );
    assert_eq!(
        LogSegment::decode(b"5;x;10;1;0;0;-1"),
        Err(NamespaceError::Segment { field: 1 })
    );
    assert!(LogSegment::decode(b"").is_err());
}

#[test]
fn every_recorded_entry_of_a_log_decodes_and_encodes_to_the_same_bytes() {
    let (mut plain, mut compressed, mut kinds) = (0, 0, [0; 4]);
    for payload in dl_entries() {
        let entry = EnvelopedEntry::decode(&payload).expect("a recorded entry");
        let records: Vec<LogRecord> = entry.records().collect();
        for record in &records {
            let kind = match record.kind {
                RecordKind::User => 0,
                RecordKind::RecordSet => 1,
                RecordKind::Control => 2,
                RecordKind::EndOfStream => 3,
            };
            kinds[kind] += 1;
            if record.kind == RecordKind::Control {
                assert_eq!(record.payload, "control");
            }
        }
        let again = EnvelopedEntry::encode(&records, Compression::None).expect("small records");
        if payload[4] == 0 {
            assert_eq!(again, payload);
            plain += 1;
        } else {
            assert_eq!(EnvelopedEntry::decode(&again), Ok(entry));
            compressed += 1;
        }
    }
    assert_eq!((plain, compressed, kinds), (140, 4, [62, 16, 76, 2]));
}

#[test]
fn a_damaged_entry_of_a_log_is_an_error_or_other_records_and_never_panics() {
    for payload in dl_entries() {
        for end in 0..payload.len() {
            let cut = EnvelopedEntry::decode(&payload.slice(..end));
            assert!(cut.is_err(), "{end} of {} bytes", payload.len());
        }
        for at in 0..payload.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut damaged = payload.to_vec();
                damaged[at] = byte;
                if let Ok(entry) = EnvelopedEntry::decode(&Bytes::from(damaged)) {
                    _ = entry.records().count();
                }
            }
        }
    }
}

#[test]
fn recorded_members_of_locks_are_understood_and_named_alike() {
    let mut seen = 0;
    for node in dl_nodes() {
        let Some((_, name)) = node.path.split_once("/lock/") else {
            continue;
        };
        let member = LockMember::decode(name).expect("a recorded member");
        let id = member.client_id.expect("no recorded id has an underscore");
        assert_eq!(id.as_bytes(), node.data());
        let session = member.session.expect("as the id");
        assert_eq!(
            format!("{}{:010}", LockMember::prefix(&id, session), member.number),
            name
        );
        seen += 1;
    }
    assert_eq!(seen, 12);
}
