//! Scripts of the recovery: what history demands of a client of BookKeeper, case by case.

use bytes::Bytes;

use super::super::fixtures::{body, codec, id, metadata};
use super::*;
use crate::wire::Status;
use crate::{EntryId, NO_ENTRY};

struct Script {
    recovery: Recovery,
    requests: Vec<(RecoveryRequest, BookieId, bool)>,
    sets: Vec<Versioned>,
    end: Option<Result<LedgerMetadata, RecoveryError>>,
}

impl Script {
    fn new(metadata: LedgerMetadata, candidates: &[&str]) -> Self {
        let settings = RecoverySettings { read_ahead: 2 };
        let known = Versioned {
            metadata,
            version: 0,
        };
        let candidates = candidates.iter().copied().map(id).collect();
        let recovery = Recovery::new(settings, codec(), known, candidates);
        let mut script = Self {
            recovery,
            requests: Vec::new(),
            sets: Vec::new(),
            end: None,
        };
        script.run();
        assert_eq!(script.sets[0].metadata.state, LedgerState::InRecovery);
        script.set(SetReply::Done(1));
        script
    }

    fn run(&mut self) {
        while let Some(output) = self.recovery.poll_output() {
            match output {
                RecoveryOutput::Read { request, bookie } => {
                    self.requests.push((request, bookie, false));
                }
                RecoveryOutput::WriteBack {
                    request, bookie, ..
                } => {
                    self.requests.push((request, bookie, true));
                }
                RecoveryOutput::SetMetadata(next) => self.sets.push(next),
                RecoveryOutput::ReadMetadata { .. } => {}
                RecoveryOutput::Closed(it) => self.end = Some(Ok(it.stored.metadata)),
                RecoveryOutput::Failed(error) => self.end = Some(Err(error)),
            }
        }
    }

    fn set(&mut self, reply: SetReply) {
        self.recovery.handle_set(reply);
        self.run();
    }

    fn request(&self, entry: EntryId, bookie: &str, is_write: bool) -> RecoveryRequest {
        let is_it = |it: &&(RecoveryRequest, BookieId, bool)| {
            it.0.entry == entry && it.1 == id(bookie) && it.2 == is_write
        };
        let found = self.requests.iter().rev().find(is_it);
        found
            .unwrap_or_else(|| panic!("entry {entry} was not asked of {bookie}"))
            .0
    }

    fn read(&mut self, entry: EntryId, bookie: &str, answer: ReadAnswer) {
        let request = self.request(entry, bookie, false);
        self.recovery.handle_read(request, answer);
        self.run();
    }

    fn written(&mut self, entry: EntryId, bookie: &str, reply: SendReply) {
        let request = self.request(entry, bookie, true);
        self.recovery.handle_written(request, reply);
        self.run();
    }
}

const OK: SendReply = SendReply::Status(Status::Ok);
const ABC: [(EntryId, [&str; 3]); 1] = [(0, ["a", "b", "c"])];

#[test]
fn t3_with_one_silent_bookie_the_end_is_found_from_the_other_two() {
    let mut script = Script::new(metadata(&ABC), &[]);
    script.read(NO_ENTRY, "a", body(1, 0));
    script.read(NO_ENTRY, "b", body(1, 0));
    script.read(1, "a", body(1, 0));
    script.read(2, "a", ReadAnswer::Absent);
    script.read(2, "b", ReadAnswer::Absent);
    script.written(1, "a", OK);
    assert_eq!(
        script.sets.len(),
        1,
        "the ack quorum must have the entry before it counts"
    );
    script.written(1, "b", OK);
    let closed = &script.sets[1].metadata;
    assert_eq!(
        (closed.state, closed.last_entry, closed.length),
        (LedgerState::Closed, 1, 2)
    );
    script.set(SetReply::Done(2));
    assert!(matches!(script.end, Some(Ok(_))));
}

#[test]
fn t12_a_damaged_entry_and_a_failed_disk_are_never_the_end() {
    for answer in [
        ReadAnswer::Unknown,
        ReadAnswer::Body(Bytes::from_static(&[0; 60])),
    ] {
        let mut script = Script::new(metadata(&ABC), &[]);
        script.read(NO_ENTRY, "a", ReadAnswer::Absent);
        script.read(NO_ENTRY, "b", ReadAnswer::Absent);
        script.read(0, "a", ReadAnswer::Absent);
        script.read(0, "b", answer.clone());
        assert_eq!(script.end, None);
        script.read(0, "c", answer);
        assert_eq!(script.end, Some(Err(RecoveryError::Undecided { entry: 0 })));
    }
}

#[test]
fn t2_a_new_ensemble_without_entries_ends_behind_the_segment_before() {
    let segments = [(0, ["a", "b", "c"]), (4, ["a", "b", "d"])];
    let mut script = Script::new(metadata(&segments), &[]);
    for bookie in ["b", "d"] {
        script.read(NO_ENTRY, bookie, ReadAnswer::Absent);
    }
    for bookie in ["b", "d"] {
        script.read(4, bookie, ReadAnswer::Absent);
    }
    // The length is in the last confirmed entry, which lies in the ensemble before. It is read
    // once.
    let requests = script.requests.len();
    script.read(3, "a", ReadAnswer::Unknown);
    assert_eq!(script.requests.len(), requests);
    script.read(3, "c", body(3, 2));
    let closed = &script.sets[1].metadata;
    assert_eq!(
        (closed.last_entry, closed.length, closed.segments.len()),
        (3, 4, 2)
    );
}

#[test]
fn t1_every_read_of_a_recovery_fences() {
    let script = Script::new(metadata(&ABC), &[]);
    let key = crate::entry::MasterKey::of_password(b"");
    let (request, ..) = script.requests[0];
    let request = RecoveryRequest {
        entry: 9,
        ..request
    };
    let crate::wire::Operation::Read(read) = request.read(1, 7, key).operation else {
        panic!("a read");
    };
    assert_eq!(read.mode, crate::wire::ReadMode::Fence(Some(key)));
}

#[test]
fn what_lies_behind_a_hole_is_not_part_of_the_ledger() {
    let mut script = Script::new(metadata(&ABC), &[]);
    script.read(NO_ENTRY, "a", body(1, -1));
    script.read(NO_ENTRY, "b", ReadAnswer::Absent);
    script.read(1, "a", body(1, -1));
    script.read(0, "a", ReadAnswer::Absent);
    script.read(0, "c", ReadAnswer::Absent);
    let closed = &script.sets[1].metadata;
    assert_eq!((closed.last_entry, closed.length), (NO_ENTRY, 0));
    assert!(
        script.requests.iter().all(|it| !it.2),
        "nothing is written back behind the end"
    );
}

#[test]
fn an_entry_that_was_found_gets_its_quorum_on_a_replacement_that_the_close_names() {
    let mut script = Script::new(metadata(&ABC), &["d"]);
    script.read(NO_ENTRY, "a", body(0, -1));
    script.read(NO_ENTRY, "b", ReadAnswer::Absent);
    script.read(0, "a", body(0, -1));
    script.written(0, "a", OK);
    script.written(0, "b", SendReply::Lost);
    script.written(0, "c", SendReply::Lost);
    script.written(0, "d", OK);
    script.read(1, "a", ReadAnswer::Absent);
    script.read(1, "b", ReadAnswer::Absent);
    let closed = &script.sets[1].metadata;
    assert_eq!(closed.last_entry, 0);
    assert_eq!(closed.last_segment().ensemble, ["a", "b", "d"].map(id));
    assert_eq!(
        closed.segments.len(),
        1,
        "no entry was confirmed before: the segment is replaced"
    );
}

#[test]
fn t17_the_end_that_another_client_stored_is_adopted() {
    let mut script = Script::new(metadata(&ABC), &[]);
    for bookie in ["a", "b"] {
        script.read(NO_ENTRY, bookie, ReadAnswer::Absent);
    }
    for bookie in ["a", "b"] {
        script.read(0, bookie, ReadAnswer::Absent);
    }
    script.set(SetReply::BadVersion);
    let mut other = metadata(&ABC);
    other.state = LedgerState::Closed;
    (other.last_entry, other.length) = (5, 6);
    let stored = Versioned {
        metadata: other.clone(),
        version: 9,
    };
    script
        .recovery
        .handle_metadata(MetadataReply::Found(stored));
    script.run();
    assert_eq!(script.end, Some(Ok(other)));
}

#[test]
fn too_few_answers_to_the_fence_leave_the_ledger_for_another_recovery() {
    let mut script = Script::new(metadata(&ABC), &[]);
    script.read(NO_ENTRY, "a", body(3, 2));
    script.read(NO_ENTRY, "b", ReadAnswer::Unknown);
    script.read(NO_ENTRY, "c", ReadAnswer::Unknown);
    assert_eq!(script.end, Some(Err(RecoveryError::NotCovered)));
    assert_eq!(script.sets.len(), 1);
}
