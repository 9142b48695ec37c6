//! Everything that a client of BookKeeper decodes: frames of bookies, entries, and nodes of
//! ZooKeeper. What decodes encodes to something that decodes to the same.
#![no_main]

use bytes::{Bytes, BytesMut};
use distributedlog_bookkeeper::entry::{DigestType, EntryCodec};
use distributedlog_bookkeeper::metadata::{BookieRegistration, Layout, LedgerMetadata};
use distributedlog_bookkeeper::namespace::{Compression, EnvelopedEntry, LockMember, LogSegment};
use distributedlog_bookkeeper::wire::{Request, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let frame = Bytes::copy_from_slice(bytes);
    if let Ok(request) = Request::decode(&frame) {
        let mut out = BytesMut::new();
        request.encode(&mut out);
        assert_eq!(Request::decode(&out.freeze().slice(4..)), Ok(request));
    }
    if let Ok(response) = Response::decode(&frame) {
        let mut out = BytesMut::new();
        response.encode(&mut out);
        assert_eq!(Response::decode(&out.freeze().slice(4..)), Ok(response));
    }
    if let Ok(metadata) = LedgerMetadata::decode(bytes) {
        assert_eq!(LedgerMetadata::decode(&metadata.encode()), Ok(metadata));
    }
    for digest in [DigestType::Crc32, DigestType::Dummy] {
        let codec = EntryCodec::new(0, digest, b"");
        _ = codec.decode_any(&frame);
        _ = codec.decode_lac(bytes);
    }
    _ = BookieRegistration::decode(bytes);
    _ = Layout::decode(bytes);
    if let Ok(segment) = LogSegment::decode(bytes) {
        assert_eq!(LogSegment::decode(segment.encode().as_bytes()), Ok(segment));
    }
    if let Ok(entry) = EnvelopedEntry::decode(&frame) {
        let records: Vec<_> = entry.records().collect();
        let again = EnvelopedEntry::encode(&records, Compression::None);
        if let Ok(payload) = again {
            let again = EnvelopedEntry::decode(&payload).expect("our own entry");
            assert!(again.records().eq(records));
        }
    }
    if let Ok(name) = core::str::from_utf8(bytes) {
        _ = LockMember::decode(name);
    }
});
