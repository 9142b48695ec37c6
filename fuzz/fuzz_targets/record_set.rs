//! A record set, plain or compressed, from its header to the records.
#![no_main]

use distributedlog::wire::record_set::{Header, RecordSet, SetIdentity};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = (Header::parse(bytes), SetIdentity::from_trailer(bytes));
    let mut scratch = vec![0; 1 << 16];
    let Ok(set) = RecordSet::parse(bytes, &mut scratch) else {
        return;
    };
    assert_eq!(
        set.records().count(),
        set.len(),
        "the set has the records that it counts"
    );
    let total: usize = set.records().map(|record| record.len() + 4).sum();
    assert!(
        total <= bytes.len().max(1 << 16),
        "no record lies outside of the set"
    );
    let _ = (set.identity(), set.trailing(), set.beyond(), set.header());
});
