//! Saved positions of merged readers: as JSON, and as the bytes that the npm package keeps.
#![no_main]

use distributedlog::merge::{Deduplicator, MergeSettings, SavedDedup};
use distributedlog::wire::record_set::SetIdentity;
use distributedlog_reader::{MergePosition, ReaderPosition};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(position) = serde_json::from_slice::<MergePosition>(bytes) {
        let saved = serde_json::to_vec(&position).expect("a position is written");
        let again: MergePosition =
            serde_json::from_slice(&saved).expect("what was written is read");
        assert_eq!(again, position);
    }
    if let Ok(position) = core::str::from_utf8(bytes).map_or(Err(()), |json| {
        ReaderPosition::from_json(json).map_err(|_| ())
    }) {
        let again = ReaderPosition::from_json(&position.to_json());
        assert_eq!(again.expect("what was written is read"), position);
    }
    if let Ok(saved) = SavedDedup::from_bytes(bytes) {
        let mut deduplicator = saved.restore(MergeSettings::default());
        let mut identities = Vec::new();
        for writer in deduplicator.saved().0.iter().take(4) {
            identities.push(SetIdentity {
                writer: writer.writer,
                sequence: u64::MAX,
            });
            identities.push(SetIdentity {
                writer: writer.writer,
                sequence: 0,
            });
        }
        for identity in identities {
            let _ = deduplicator.check(identity, 0, 2);
            let _ = deduplicator.check(identity, 1, 2);
        }
        let bytes = SavedDedup::of(&deduplicator).to_bytes();
        let again = SavedDedup::from_bytes(&bytes).expect("what was written is read");
        let again: Deduplicator = again.restore(MergeSettings::default());
        assert_eq!(again.saved(), deduplicator.saved());
    }
});
