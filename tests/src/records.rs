//! What a store holds, and whether it is what was acknowledged.

use std::collections::HashMap;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_reader::{LogReader, ReadEvent};
use distributedlog_store::{LogStore, StreamName};

/// An acknowledged record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The stream.
    pub stream: String,
    /// Where the proxy said that it is.
    pub dlsn: Dlsn,
    /// What was written.
    pub payload: Vec<u8>,
}

/// All records of a stream by their positions, read from its start.
///
/// # Panics
/// The stream cannot be read, has a damaged record set, or has two records at one position.
pub async fn read_all(store: &Arc<dyn LogStore>, stream: &str) -> HashMap<Dlsn, Vec<u8>> {
    let name: StreamName = stream.parse().expect("the tests' names are valid");
    let mut reader = LogReader::new(Arc::clone(store), name, Dlsn::INITIAL);
    let mut records = HashMap::new();
    let mut last = Dlsn::NON_INCLUSIVE_LOWER_BOUND;
    while let Some(event) = reader
        .next_available()
        .await
        .expect("the stream can be read")
    {
        match event {
            ReadEvent::Record(record) => {
                assert!(record.dlsn > last, "{stream}: {} after {last}", record.dlsn);
                last = record.dlsn;
                records.insert(record.dlsn, record.payload.to_vec());
            }
            ReadEvent::Malformed(set) => panic!("{stream}: {set}"),
        }
    }
    records
}

/// Asserts that each acknowledged record is read back exactly where its DLSN says; how many records
/// the streams hold in all.
///
/// # Panics
/// One is lost, or another one is in its place.
pub async fn assert_read_back(store: &Arc<dyn LogStore>, acknowledged: &[Acknowledged]) -> usize {
    let mut streams: Vec<&str> = acknowledged
        .iter()
        .map(|record| record.stream.as_str())
        .collect();
    streams.sort_unstable();
    streams.dedup();
    let mut held = 0;
    for stream in streams {
        let records = read_all(store, stream).await;
        held += records.len();
        for record in acknowledged.iter().filter(|record| record.stream == stream) {
            match records.get(&record.dlsn) {
                Some(payload) => assert_eq!(
                    *payload, record.payload,
                    "{stream} at {}: another record",
                    record.dlsn
                ),
                None => panic!(
                    "{stream} at {}: the acknowledged record is lost",
                    record.dlsn
                ),
            }
        }
    }
    held
}
