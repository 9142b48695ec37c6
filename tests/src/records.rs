//! Contents of a store, compared with the acknowledged records.

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
    /// Position that the proxy acknowledged.
    pub dlsn: Dlsn,
    /// Payload.
    pub payload: Vec<u8>,
}

/// Reads all records of a stream, by position.
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

/// Asserts that each acknowledged record is read back at its position. Returns the number of
/// records in all streams.
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
