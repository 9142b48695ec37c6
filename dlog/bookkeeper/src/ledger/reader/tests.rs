//! Scripts of the reader.

use core::time::Duration;

use bytes::Bytes;

use super::super::fixtures::{self, body, codec};
use super::*;
use crate::entry::EntryError;

const NOW: Instant = Instant::from_millis(1);

fn metadata() -> LedgerMetadata {
    fixtures::metadata(&[(0, ["a", "b", "c"]), (3, ["a", "b", "d"])])
}

fn reader() -> Reader {
    Reader::new(ReaderSettings::default(), codec(), metadata()).expect("three bookies")
}

/// The bookies that are asked now, as the script writes them: `b:1` is bookie b for entry 1.
fn asked(reader: &mut Reader) -> (Vec<String>, Vec<ReadRequest>, Vec<ReaderOutput>) {
    let (mut names, mut requests, mut results) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(output) = reader.poll_output() {
        if let ReaderOutput::Read { request, bookie } = output {
            names.push(format!("{bookie}:{}", request.entry));
            requests.push(request);
        } else {
            results.push(output);
        }
    }
    (names, requests, results)
}

#[test]
fn r2_an_entry_is_asked_of_its_segments_bookies_from_its_remainder_on() {
    let mut reader = reader();
    for entry in [1, 2, 4] {
        assert!(reader.read(NOW, entry));
    }
    let (names, requests, _) = asked(&mut reader);
    assert_eq!(names, ["b:1", "c:2", "b:4"]);
    reader.handle_reply(NOW, requests[2], ReadAnswer::Unknown);
    assert_eq!(asked(&mut reader).0, ["d:4"]);
}

#[test]
fn results_come_in_the_order_of_asking() {
    let mut reader = reader();
    reader.read(NOW, 0);
    reader.read(NOW, 1);
    let (_, requests, _) = asked(&mut reader);
    reader.handle_reply(NOW, requests[1], body(1, 0));
    assert_eq!(asked(&mut reader).2, []);
    reader.handle_reply(NOW, requests[0], body(0, -1));
    let (_, _, results) = asked(&mut reader);
    let entries: Vec<_> = results
        .iter()
        .map(|it| matches!(it, ReaderOutput::Entry(_)))
        .collect();
    assert_eq!(entries, [true, true]);
}

#[test]
fn a_slow_bookie_costs_the_speculative_timeout() {
    let mut reader = reader();
    reader.read(NOW, 0);
    let (_, slow, _) = asked(&mut reader);
    let later = reader.poll_timeout().expect("it speculates");
    assert_eq!(later, NOW + Duration::from_millis(200));
    reader.handle_timeout(later);
    let (names, fast, _) = asked(&mut reader);
    assert_eq!(names, ["b:0"]);
    reader.handle_reply(later, fast[0], body(0, -1));
    assert_eq!(asked(&mut reader).2.len(), 1);
    // The late answer changes nothing.
    reader.handle_reply(later, slow[0], body(0, -1));
    assert_eq!(asked(&mut reader), (vec![], vec![], vec![]));
    assert_eq!(reader.poll_timeout(), None);
}

#[test]
fn t20_a_damaged_replica_is_reported_and_the_next_one_is_read() {
    let mut reader = reader();
    reader.read(NOW, 0);
    let (_, requests, _) = asked(&mut reader);
    let damaged = ReadAnswer::Body(Bytes::from_static(&[0; 60]));
    reader.handle_reply(NOW, requests[0], damaged);
    let (names, next, results) = asked(&mut reader);
    assert_eq!(names, ["b:0"]);
    assert_eq!(
        results,
        [ReaderOutput::Damaged {
            entry: 0,
            bookie: BookieId::new("a"),
            error: EntryError::Digest
        }]
    );
    reader.handle_reply(NOW, next[0], body(0, -1));
    assert!(matches!(asked(&mut reader).2[..], [ReaderOutput::Entry(_)]));
}

#[test]
fn absence_counts_only_if_no_bookie_said_anything_else() {
    let answers = |last: ReadAnswer| {
        let mut reader = reader();
        reader.read(NOW, 0);
        for answer in [ReadAnswer::Absent, ReadAnswer::Absent, last] {
            let (_, requests, _) = asked(&mut reader);
            reader.handle_reply(NOW, requests[0], answer);
        }
        asked(&mut reader).2
    };
    let none = ReaderOutput::Failed(ReadError::NoEntry { entry: 0 });
    assert_eq!(answers(ReadAnswer::Absent), [none]);
    let unreadable = ReaderOutput::Failed(ReadError::Unreadable { entry: 0 });
    assert_eq!(answers(ReadAnswer::Unknown), [unreadable]);
}

#[test]
fn what_is_read_at_the_same_time_is_bounded() {
    let settings = ReaderSettings {
        max_entries: 2,
        ..ReaderSettings::default()
    };
    let mut reader = Reader::new(settings, codec(), metadata()).expect("three bookies");
    assert!(reader.read(NOW, 0) && reader.read(NOW, 1));
    assert!(!reader.read(NOW, 2));
}

#[test]
fn t11_the_last_add_confirmed_is_the_largest_that_a_header_names_once_the_answers_cover() {
    let mut lac = LacReader::new(codec(), &metadata()).expect("three bookies");
    let requests: Vec<_> = lac.requests().map(|it| it.0).collect();
    assert_eq!(lac.handle_reply(requests[0], &body(5, 4)), Ok(None));
    assert_eq!(
        lac.handle_reply(requests[1], &ReadAnswer::Unknown),
        Ok(None)
    );
    assert_eq!(
        lac.handle_reply(requests[2], &ReadAnswer::Absent),
        Ok(Some(4))
    );
    // No entry is in the last ensemble: everything before it is confirmed.
    let mut lac = LacReader::new(codec(), &metadata()).expect("three bookies");
    assert_eq!(lac.handle_reply(requests[0], &ReadAnswer::Absent), Ok(None));
    assert_eq!(
        lac.handle_reply(requests[1], &ReadAnswer::Absent),
        Ok(Some(2))
    );
    let mut lac = LacReader::new(codec(), &metadata()).expect("three bookies");
    for request in &requests[..2] {
        assert_eq!(lac.handle_reply(*request, &ReadAnswer::Unknown), Ok(None));
    }
    let end = lac.handle_reply(requests[2], &ReadAnswer::Unknown);
    assert_eq!(end, Err(ReadError::NotCovered));
}
