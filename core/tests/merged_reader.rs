//! The merged reader in fixed memory.

use distributedlog::merge::{EntryError, MergedReader, Stored};
use distributedlog::wire::record_set::{RecordSetBuilder, SetIdentity, WriterId};
use distributedlog::{Dlsn, StreamIndex};
use distributedlog_testkit::Random;

type Reader = MergedReader<3, 2, 2>;

/// A set of records of a writer.
fn set(writer: u8, sequence: u64, records: &[&str]) -> Vec<u8> {
    let mut builder = RecordSetBuilder::new(1_000, true);
    let mut buffer = vec![0; 1_000];
    for record in records {
        builder.append(&mut buffer, record.as_bytes()).unwrap();
    }
    let writer = WriterId([writer; 16]);
    let identity = SetIdentity { writer, sequence };
    builder.finish(&mut buffer, Some(&identity)).to_vec()
}

/// Passes an entry in. Returns the records and whether they may be duplicates.
fn read<const S: usize, const W: usize, const N: usize>(
    reader: &mut MergedReader<S, W, N>,
    stream: u16,
    entry: i64,
    set: &[u8],
) -> (Vec<(i64, String)>, bool) {
    let dlsn = Dlsn::new(1, entry, 0);
    let records = reader
        .entry(StreamIndex(stream), dlsn, Stored::RecordSet(set), &mut [])
        .unwrap();
    let may_be_duplicates = records.may_be_duplicates();
    let text = |record: &[u8]| String::from_utf8(record.to_vec()).unwrap();
    let records = records.map(|(dlsn, record)| (dlsn.slot_id, text(record)));
    (records.collect(), may_be_duplicates)
}

fn texts(records: &[(i64, String)]) -> Vec<&str> {
    records.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn the_copy_of_a_set_in_another_stream_is_not_delivered() {
    let mut reader = Reader::new();
    let both = set(1, 7, &["a", "b"]);
    let (records, doubtful) = read(&mut reader, 0, 0, &both);
    assert_eq!((texts(&records), doubtful), (vec!["a", "b"], false));
    assert_eq!(records[1].0, 1);
    assert_eq!(read(&mut reader, 2, 4, &both).0, []);
    let next = set(1, 8, &["c"]);
    assert_eq!(texts(&read(&mut reader, 2, 5, &next).0), ["c"]);
    let counts = reader.counts();
    assert_eq!((counts.delivered, counts.duplicates), (3, 2));
    assert_eq!(reader.position(StreamIndex(2)), Some(Dlsn::new(1, 5, 1)));
}

#[test]
fn a_reader_goes_on_at_its_positions_also_in_the_middle_of_a_set() {
    let mut positions = [Dlsn::INITIAL; 3];
    positions[1] = Dlsn::new(1, 3, 2);
    let mut reader = Reader::from_positions(positions);
    let three = set(1, 0, &["a", "b", "c"]);
    assert_eq!(read(&mut reader, 1, 2, &three).0, []);
    let (records, _) = read(&mut reader, 1, 3, &three);
    assert_eq!(records, [(2, "c".to_owned())]);
    assert_eq!(reader.counts().delivered, 1);
}

#[test]
fn records_without_an_identity_are_delivered_as_they_come() {
    let mut reader = Reader::new();
    for stream in 0..2 {
        let stored = Stored::Record(b"plain");
        let entry = reader.entry(StreamIndex(stream), Dlsn::INITIAL, stored, &mut []);
        assert_eq!(entry.unwrap().count(), 1);
    }
}

#[test]
fn sets_of_a_writer_that_may_have_been_forgotten_are_delivered_and_marked() {
    let mut reader = Reader::new();
    for writer in 0..3 {
        assert!(!read(&mut reader, 0, writer.into(), &set(writer, 0, &["a"])).1 || writer == 2);
    }
    // The first of two was forgotten for the third.
    let (records, doubtful) = read(&mut reader, 1, 0, &set(0, 0, &["a"]));
    assert_eq!((texts(&records), doubtful), (vec!["a"], true));
    assert_eq!(reader.counts().uncertain, 2);
}

#[test]
fn what_cannot_be_decoded_is_an_error_and_the_reader_goes_on() {
    let mut reader = Reader::new();
    let (at, bad) = (Dlsn::new(1, 0, 0), Stored::RecordSet(b"no set"));
    let error = reader.entry(StreamIndex(0), at, bad, &mut []).unwrap_err();
    assert!(matches!(error, EntryError::RecordSet(_)), "{error}");
    let error = reader.entry(StreamIndex(3), at, bad, &mut []).unwrap_err();
    assert_eq!(error.to_string(), "the merged reader has 3 streams");
    assert_eq!(texts(&read(&mut reader, 0, 1, &set(1, 0, &["a"])).0), ["a"]);
    assert_eq!(reader.counts().malformed, 1);
}

/// R12: of many sets, which reach several streams with gaps and in any order within the window,
/// each is delivered once, and none that was not delivered is dropped.
#[test]
fn every_set_is_delivered_once_whatever_the_order_of_the_streams() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut reader = MergedReader::<3, 4, 4>::new();
        let mut streams: [Vec<(u8, u64)>; 3] = Default::default();
        for sequence in 0..300 {
            let writer = random.below(4) as u8;
            let first = random.below(3) as usize;
            streams[first].push((writer, sequence));
            if random.chance(0.3) {
                streams[(first + 1) % 3].push((writer, sequence));
            }
        }
        let mut delivered = std::collections::BTreeSet::new();
        let mut at = [0; 3];
        while (0..3).any(|stream| at[stream] < streams[stream].len()) {
            // The streams are read at about the same pace: a window is 192 sets at least.
            let slowest = (0..3).min_by_key(|stream| at[*stream]).unwrap();
            let mut stream = random.below(3) as usize;
            if at[stream] > at[slowest] + 20 || at[stream] >= streams[stream].len() {
                stream = (0..3).find(|it| at[*it] < streams[*it].len()).unwrap();
            }
            let (writer, sequence) = streams[stream][at[stream]];
            let bytes = set(writer, sequence, &["x"]);
            let (records, doubtful) = read(&mut reader, stream as u16, at[stream] as i64, &bytes);
            assert!(!doubtful, "seed {seed}");
            let new = delivered.insert((writer, sequence));
            assert_eq!(records.len(), usize::from(new), "seed {seed}");
            at[stream] += 1;
        }
        assert_eq!(delivered.len(), 300);
    }
}
