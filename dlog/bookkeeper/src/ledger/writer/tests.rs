//! Scripts of the writer: what history demands of a client of BookKeeper, case by case. The
//! simulation of ledgers covers the combinations.

use core::time::Duration;

use bytes::Bytes;
use distributedlog::Instant;

use super::super::fixtures::{self, codec, id};
use super::*;
use crate::metadata::{LedgerMetadata, LedgerState};

const NOW: Instant = Instant::from_millis(1);

fn metadata() -> LedgerMetadata {
    fixtures::metadata(&[(0, ["a", "b", "c"])])
}

/// A writer, and what it asked for.
struct Script {
    writer: Writer,
    sends: Vec<(SendId, BookieId, Bytes)>,
    sets: Vec<Versioned>,
    reads: usize,
    confirmed: Vec<EntryId>,
    resolved: Vec<(EntryId, Fate)>,
    closed: Option<(Option<EntryId>, CloseReason)>,
}

impl Script {
    fn new(settings: WriterSettings) -> Self {
        Self::of(settings, metadata())
    }

    /// A writer of a ledger with this metadata.
    fn of(settings: WriterSettings, metadata: LedgerMetadata) -> Self {
        let created = Versioned {
            metadata,
            version: 0,
        };
        Self {
            writer: Writer::new(settings, codec(), created),
            sends: Vec::new(),
            sets: Vec::new(),
            reads: 0,
            confirmed: Vec::new(),
            resolved: Vec::new(),
            closed: None,
        }
    }

    fn run(&mut self) {
        while let Some(output) = self.writer.poll_output() {
            match output {
                WriterOutput::Send { send, bookie, body } => self.sends.push((send, bookie, body)),
                WriterOutput::SetMetadata(next) => self.sets.push(next),
                WriterOutput::ReadMetadata { .. } => self.reads += 1,
                WriterOutput::Confirmed { entry } => self.confirmed.push(entry),
                WriterOutput::Resolved { entry, fate } => self.resolved.push((entry, fate)),
                WriterOutput::Closed {
                    last_entry, reason, ..
                } => {
                    self.closed = Some((last_entry, reason));
                }
                WriterOutput::BookieFailed { .. } | WriterOutput::EnsembleChanged => {}
            }
        }
    }

    fn append(&mut self, count: usize) {
        for _ in 0..count {
            self.writer
                .append(NOW, &Bytes::from_static(b"x"))
                .expect("there is room");
        }
        self.run();
    }

    /// The latest send of an entry to a bookie.
    fn send(&self, entry: EntryId, bookie: &str) -> SendId {
        let is_it = |it: &&(SendId, BookieId, Bytes)| it.0.entry == entry && it.1 == id(bookie);
        self.sends.iter().rev().find(is_it).expect("it was sent").0
    }

    fn reply(&mut self, entry: EntryId, bookie: &str, status: Status) {
        let send = self.send(entry, bookie);
        self.writer
            .handle_reply(NOW, send, SendReply::Status(status));
        self.run();
    }

    fn candidates(&mut self, names: &[&str]) {
        self.writer
            .handle_candidates(NOW, names.iter().copied().map(id).collect());
        self.run();
    }

    fn set(&mut self, reply: SetReply) {
        self.writer.handle_set(NOW, reply);
        self.run();
    }

    fn stored(&mut self, metadata: LedgerMetadata, version: i32) {
        self.writer
            .handle_metadata(NOW, MetadataReply::Found(Versioned { metadata, version }));
        self.run();
    }
}

#[test]
fn w3_entries_are_confirmed_in_their_order_by_the_ack_quorum() {
    let mut script = Script::new(WriterSettings::default());
    script.append(2);
    script.reply(1, "a", Status::Ok);
    script.reply(1, "b", Status::Ok);
    script.reply(0, "c", Status::Ok);
    assert!(script.confirmed.is_empty());
    script.reply(0, "a", Status::Ok);
    assert_eq!(script.confirmed, [0, 1]);
}

#[test]
fn without_a_spare_bookie_it_goes_on_with_the_ack_quorum() {
    let mut script = Script::new(WriterSettings::default());
    script.append(1);
    script.writer.handle_disconnected(NOW, &id("c"));
    script.run();
    script.append(1);
    for entry in [0, 1] {
        script.reply(entry, "a", Status::Ok);
        script.reply(entry, "b", Status::Ok);
    }
    assert_eq!(script.confirmed, [0, 1]);
    assert_eq!((script.writer.failed_bookies(), script.sets.len()), (1, 0));
}

#[test]
fn a_failed_bookie_is_replaced_in_the_background_and_gets_the_same_bytes() {
    let mut script = Script::new(WriterSettings::default());
    script.append(2);
    script.reply(0, "a", Status::Ok);
    script.reply(0, "b", Status::Ok);
    script.reply(1, "c", Status::Io);
    script.candidates(&["a", "d"]);
    let expected = ["a", "b", "d"].map(id);
    let segment = script.sets[0].metadata.last_segment();
    assert_eq!(
        (segment.first_entry, &segment.ensemble[..]),
        (1, &expected[..])
    );
    script.reply(1, "a", Status::Ok);
    script.reply(1, "b", Status::Ok);
    script.set(SetReply::Done(1));
    assert_eq!(script.confirmed, [0, 1]);
    let bodies: Vec<_> = script
        .sends
        .iter()
        .filter(|it| it.0.entry == 1)
        .map(|it| it.2.clone())
        .collect();
    assert_eq!(bodies.len(), 4, "a, b, c, then d");
    assert!(
        bodies.iter().all(|body| *body == bodies[0]),
        "W2 copies never differ"
    );
}

#[test]
fn while_a_change_is_stored_the_bookies_that_stay_confirm() {
    let mut script = Script::new(WriterSettings::default());
    script.candidates(&["d"]);
    script.append(2);
    script.reply(0, "c", Status::Ok);
    script.reply(1, "c", Status::Io);
    assert_eq!(script.sets.len(), 1);
    script.reply(0, "a", Status::Ok);
    assert!(
        script.confirmed.is_empty(),
        "c leaves: its copy does not count"
    );
    script.reply(0, "b", Status::Ok);
    script.append(1);
    for entry in [1, 2] {
        script.reply(entry, "a", Status::Ok);
        script.reply(entry, "b", Status::Ok);
    }
    assert_eq!(script.confirmed, [0, 1, 2]);
    assert_eq!(script.writer.pending_entries(), 0);
    script.set(SetReply::Done(1));
    // The metadata names the new bookie for all of them.
    for entry in [0, 1, 2] {
        script.reply(entry, "d", Status::Ok);
    }
    script.writer.close(NOW);
    script.run();
    script.set(SetReply::Done(2));
    assert_eq!(script.confirmed, [0, 1, 2]);
    assert!(script.resolved.is_empty());
    assert_eq!(script.closed, Some((Some(2), CloseReason::Finished)));
}

#[test]
fn what_is_confirmed_while_a_change_is_stored_is_bounded_by_half_of_the_window() {
    let settings = WriterSettings {
        max_pending_entries: 4,
        ..Default::default()
    };
    let mut script = Script::new(settings);
    script.candidates(&["d"]);
    script.append(4);
    script.reply(0, "c", Status::Io);
    for entry in 0..4 {
        script.reply(entry, "a", Status::Ok);
        script.reply(entry, "b", Status::Ok);
    }
    assert_eq!(script.confirmed, [0, 1]);
    // As ever, an entry without an outcome makes room for the next one.
    let refused = script.writer.append(NOW, &Bytes::new());
    assert_eq!(
        (refused, script.writer.pending_entries()),
        (Err(AppendError::Full), 2)
    );
    script.set(SetReply::Done(1));
    assert_eq!(script.confirmed, [0, 1, 2, 3]);
    script.append(1);
}

#[test]
fn what_is_confirmed_while_a_change_is_stored_stays_confirmed_when_another_client_recovers() {
    let mut script = Script::new(WriterSettings::default());
    script.candidates(&["d"]);
    script.append(2);
    script.reply(0, "c", Status::Io);
    script.reply(0, "a", Status::Ok);
    script.reply(0, "b", Status::Ok);
    assert_eq!(script.confirmed, [0]);
    script.set(SetReply::BadVersion);
    let mut recovered = metadata();
    recovered.state = LedgerState::InRecovery;
    script.stored(recovered, 3);
    let closing = &script.sets[1].metadata;
    assert_eq!(
        (closing.state, closing.last_entry, closing.length),
        (LedgerState::Closed, 0, 1)
    );
    script.set(SetReply::Done(4));
    assert_eq!(script.resolved, [(1, Fate::NotWritten)]);
    assert_eq!(script.closed, Some((Some(0), CloseReason::TakenOver)));
}

#[test]
fn t5_an_acknowledgement_of_a_bookie_that_left_does_not_count() {
    let mut script = Script::new(WriterSettings::default());
    script.candidates(&["d"]);
    script.append(1);
    let late = script.send(0, "c");
    script.reply(0, "a", Status::Ok);
    script.writer.handle_reply(NOW, late, SendReply::Lost);
    script.run();
    script.set(SetReply::Done(1));
    script
        .writer
        .handle_reply(NOW, late, SendReply::Status(Status::Ok));
    script.run();
    assert!(script.confirmed.is_empty());
    script.reply(0, "d", Status::Ok);
    assert_eq!(script.confirmed, [0]);
}

#[test]
fn t6_acknowledgements_are_taken_back_before_anything_is_confirmed() {
    // Entry 0 lies on a, b and c, entry 1 on b, c and d: only the second one is affected by d.
    let mut wide = metadata();
    wide.ensemble_size = 4;
    wide.segments[0].ensemble.push(id("d"));
    let mut script = Script::of(WriterSettings::default(), wide);
    script.candidates(&["e"]);
    script.append(3);
    script.reply(1, "d", Status::Ok);
    script.reply(1, "b", Status::Ok);
    script.reply(0, "a", Status::Ok);
    assert!(script.confirmed.is_empty(), "entry 1 waits for entry 0");
    script.reply(2, "d", Status::Io);
    assert_eq!(script.sets.len(), 1);
    script.set(SetReply::Done(1));
    // Confirming entry 0 must not take entry 1 along: d had it, and d is gone.
    script.reply(0, "b", Status::Ok);
    assert_eq!(script.confirmed, [0]);
    script.reply(1, "e", Status::Ok);
    assert_eq!(script.confirmed, [0, 1]);
}

#[test]
fn t19_an_error_of_a_bookie_that_left_is_ignored() {
    let mut script = Script::new(WriterSettings::default());
    script.candidates(&["d"]);
    script.append(1);
    let late = script.send(0, "c");
    script.writer.handle_reply(NOW, late, SendReply::Lost);
    script.run();
    script.set(SetReply::Done(1));
    script
        .writer
        .handle_reply(NOW, late, SendReply::Status(Status::Fenced));
    script.run();
    script.reply(0, "a", Status::Ok);
    script.reply(0, "d", Status::Ok);
    assert_eq!((script.confirmed, script.closed), (vec![0], None));
}

#[test]
fn t7_the_same_entry_survives_the_failure_of_two_bookies_one_after_the_other() {
    let mut script = Script::new(WriterSettings::default());
    script.candidates(&["d", "e"]);
    script.append(1);
    script.reply(0, "b", Status::Io);
    // While the first change is under way the second bookie fails.
    script.reply(0, "c", Status::TooManyRequests);
    script.set(SetReply::Done(1));
    assert_eq!(script.sets.len(), 2);
    let second = script.sets[1].metadata.clone();
    assert_eq!(
        second.segments.len(),
        1,
        "no entry is confirmed: the segment is replaced"
    );
    assert_eq!(second.last_segment().ensemble, ["a", "d", "e"].map(id));
    script.set(SetReply::Done(2));
    script.reply(0, "d", Status::Ok);
    script.reply(0, "e", Status::Ok);
    assert_eq!(script.confirmed, [0]);
}

#[test]
fn t8_the_change_of_another_client_is_adopted() {
    let mut script = Script::new(WriterSettings::default());
    script.candidates(&["d"]);
    script.append(1);
    script.reply(0, "c", Status::Io);
    script.set(SetReply::BadVersion);
    let mut repaired = metadata();
    repaired.segments[0].ensemble[2] = id("z");
    script.stored(repaired, 4);
    script.reply(0, "a", Status::Ok);
    script.reply(0, "z", Status::Ok);
    assert_eq!((script.confirmed, script.sets.len()), (vec![0], 1));
}

#[test]
fn a_fenced_writer_closes_the_ledger_and_its_entries_are_not_written() {
    let mut script = Script::new(WriterSettings::default());
    script.append(2);
    script.reply(0, "a", Status::Ok);
    script.reply(0, "b", Status::Ok);
    script.reply(1, "a", Status::Ok);
    script.reply(1, "b", Status::Fenced);
    let next = &script.sets[0].metadata;
    assert_eq!(
        (next.state, next.last_entry, next.length),
        (LedgerState::Closed, 0, 1)
    );
    script.set(SetReply::Done(1));
    assert_eq!(script.resolved, [(1, Fate::NotWritten)]);
    assert_eq!(
        script.closed,
        Some((Some(0), CloseReason::Refused(Status::Fenced)))
    );
    assert_eq!(
        script.writer.append(NOW, &Bytes::new()),
        Err(AppendError::Closed)
    );
}

#[test]
fn an_entry_that_a_recovery_found_is_written_though_its_writer_was_fenced() {
    let mut script = Script::new(WriterSettings::default());
    script.append(2);
    script.reply(0, "a", Status::Fenced);
    script.set(SetReply::BadVersion);
    let mut recovered = metadata();
    recovered.state = LedgerState::Closed;
    (recovered.last_entry, recovered.length) = (0, 1);
    script.stored(recovered, 3);
    assert_eq!(script.resolved, [(0, Fate::Written), (1, Fate::NotWritten)]);
}

#[test]
fn t10_a_close_whose_reply_is_lost_is_resolved_by_reading() {
    let mut script = Script::new(WriterSettings::default());
    script.append(1);
    script.reply(0, "a", Status::Ok);
    script.reply(0, "b", Status::Ok);
    script.writer.close(NOW);
    script.run();
    let stored = script.sets[0].metadata.clone();
    script.set(SetReply::Unknown);
    assert_eq!(script.reads, 1);
    script.stored(stored, 1);
    assert_eq!(script.closed, Some((Some(0), CloseReason::Finished)));
}

#[test]
fn t18_a_silent_bookie_fails_by_its_bytes_and_by_time_and_the_others_go_on() {
    let settings = WriterSettings {
        max_unanswered_bytes_per_bookie: 200,
        ..Default::default()
    };
    let mut script = Script::new(settings);
    script.append(1);
    assert_eq!(
        script.writer.poll_timeout(),
        Some(NOW + settings.add_timeout)
    );
    for entry in 0..20 {
        script.reply(entry, "a", Status::Ok);
        script.reply(entry, "b", Status::Ok);
        script.append(1);
    }
    assert_eq!(script.confirmed.len(), 20);
    assert_eq!(script.writer.failed_bookies(), 1);
    let sent = script.sends.iter().filter(|it| it.1 == id("c")).count();
    assert!(
        sent <= 6,
        "{sent} entries of 41 bytes were sent to a bookie that may have 200"
    );
}

#[test]
fn a_bookie_that_failed_and_has_no_replacement_is_tried_again() {
    let mut script = Script::new(WriterSettings::default());
    script.append(1);
    script.writer.handle_disconnected(NOW, &id("c"));
    let retry = NOW + WriterSettings::default().retry_interval;
    script
        .writer
        .handle_timeout(retry + Duration::from_millis(1));
    script.run();
    let sends = script.sends.iter().filter(|it| it.1 == id("c")).count();
    assert_eq!(sends, 2);
}

#[test]
fn what_is_pending_is_bounded_by_entries_and_bytes() {
    let settings = WriterSettings {
        max_pending_entries: 2,
        ..Default::default()
    };
    let mut script = Script::new(settings);
    script.append(2);
    assert_eq!(
        script.writer.append(NOW, &Bytes::new()),
        Err(AppendError::Full)
    );
    let settings = WriterSettings {
        max_pending_bytes: 10,
        ..Default::default()
    };
    let mut script = Script::new(settings);
    let large = Bytes::from_static(&[0; 11]);
    script
        .writer
        .append(NOW, &large)
        .expect("one larger entry alone is allowed");
    assert_eq!(
        script.writer.append(NOW, &Bytes::new()),
        Err(AppendError::Full)
    );
    let huge = Bytes::from(vec![0; MAX_FRAME_BYTES]);
    let error = script.writer.append(NOW, &huge);
    assert!(
        matches!(error, Err(AppendError::TooLarge { .. })),
        "{error:?}"
    );
}

#[test]
fn with_fewer_bookies_than_the_ack_quorum_the_ledger_is_closed() {
    let mut script = Script::new(WriterSettings::default());
    script.append(1);
    script.writer.handle_disconnected(NOW, &id("b"));
    script.writer.handle_disconnected(NOW, &id("c"));
    script.run();
    script.set(SetReply::Done(1));
    assert_eq!(script.resolved, [(0, Fate::NotWritten)]);
    assert_eq!(
        script.closed,
        Some((Some(NO_ENTRY), CloseReason::NotEnoughBookies))
    );
}

#[test]
fn bookies_that_stall_together_are_waited_for_when_none_can_take_their_place() {
    let settings = WriterSettings::default();
    let mut script = Script::new(settings);
    script.append(1);
    script.reply(0, "a", Status::Ok);
    // The first of both can be spared, the second cannot.
    let later = NOW + settings.add_timeout;
    script.writer.handle_timeout(later);
    script.run();
    assert_eq!(script.writer.failed_bookies(), 1);
    assert_eq!(script.closed, None);
    script.reply(0, "c", Status::Ok);
    assert_eq!(script.confirmed, [0], "a late answer counts");

    script.append(1);
    script.reply(1, "a", Status::Ok);
    script.writer.handle_disconnected(NOW, &id("c"));
    script.run();
    let closing = &script.sets[0].metadata;
    assert_eq!(
        (closing.state, closing.last_entry),
        (LedgerState::Closed, 0),
        "a connection that is lost is another matter"
    );
}
