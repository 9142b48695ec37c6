use distributedlog_bookkeeper::entry::{DigestType, EntryCodec, MasterKey};
use distributedlog_bookkeeper::wire::{Operation, Request};

use crate::recorded::frames;

/// Digest and password of a step's ledgers.
fn ledger_of(step: &str) -> (DigestType, &'static [u8]) {
    match step {
        "v3-digest-MAC" => (DigestType::Mac, b"secret"),
        "v3-digest-CRC32" => (DigestType::Crc32, b""),
        "v3-digest-CRC32C" => (DigestType::Crc32c, b"secret"),
        "v3-digest-DUMMY" => (DigestType::Dummy, b"secret"),
        "v3-deferred-sync-and-force" => (DigestType::Crc32c, b""),
        step if step.starts_with("v3") => (DigestType::Crc32, b"secret"),
        _ => (DigestType::Crc32, b""),
    }
}

#[test]
fn every_recorded_entry_is_verified_and_encodes_to_the_same_bytes() {
    let mut seen = 0;
    for recorded in frames().into_iter().filter(|it| it.from_client) {
        let step = recorded.step.as_str();
        let Ok(Request {
            operation: Operation::Add(add),
            ..
        }) = Request::decode(&recorded.frame)
        else {
            continue;
        };
        // Probes that are wrong on purpose, which the bookie stored.
        if step.contains("wrong") || step.contains("damaged") || step.contains("differ") {
            continue;
        }
        let (digest, password) = ledger_of(step);
        assert_eq!(
            add.master_key.as_bytes(),
            MasterKey::of_password(password).as_bytes(),
            "{step}"
        );
        let codec = EntryCodec::new(add.ledger, digest, password);
        let entry = codec
            .decode(add.entry, &add.body)
            .unwrap_or_else(|error| panic!("{step}: {error}"));
        let again = codec.encode(entry.entry, entry.lac, entry.length, &entry.payload);
        assert_eq!(again, add.body, "{step}");
        seen += 1;
    }
    assert_eq!(seen, 181);
}

#[test]
fn recorded_explicit_last_add_confirmed_are_verified_and_encode_to_the_same_bytes() {
    let mut seen = 0;
    for recorded in frames().into_iter().filter(|it| it.from_client) {
        let step = recorded.step.as_str();
        let Ok(Request {
            operation: Operation::WriteLac(write),
            ..
        }) = Request::decode(&recorded.frame)
        else {
            continue;
        };
        let (digest, password) = ledger_of(step);
        let codec = EntryCodec::new(write.ledger, digest, password);
        assert_eq!(codec.decode_lac(&write.body), Ok(write.lac), "{step}");
        assert_eq!(codec.encode_lac(write.lac), write.body, "{step}");
        seen += 1;
    }
    assert_eq!(seen, 10);
}
