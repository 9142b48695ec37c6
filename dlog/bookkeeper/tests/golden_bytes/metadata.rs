use distributedlog_bookkeeper::entry::DigestType;
use distributedlog_bookkeeper::metadata::{
    BookieAddress, BookieRegistration, Format, Layout, LedgerMetadata, LedgerState,
};

use crate::recorded::nodes;

#[test]
fn every_recorded_metadata_node_decodes_and_encodes_to_the_same_bytes() {
    let mut seen = Vec::new();
    for node in nodes() {
        let data = node.data();
        if !data.starts_with(b"BookieMetadata") {
            continue;
        }
        let metadata = LedgerMetadata::decode(&data)
            .unwrap_or_else(|error| panic!("{} {}: {error}", node.step, node.path));
        let encoded = metadata.encode();
        assert_eq!(
            String::from_utf8_lossy(&encoded),
            String::from_utf8_lossy(&data),
            "{} {}",
            node.step,
            node.path
        );
        assert_eq!(encoded, data);
        seen.push(metadata.format);
    }
    let count = |format| seen.iter().filter(|it| **it == format).count();
    let counts = (
        count(Format::Lines),
        count(Format::Text),
        count(Format::Binary),
    );
    assert_eq!(counts, (2, 20, 37));
}

#[test]
fn one_ledger_means_the_same_in_every_format_as_far_as_the_format_can_say_it() {
    let decoded = |step: &str| {
        let nodes = nodes();
        let node = nodes
            .iter()
            .find(|node| node.step == step)
            .expect("a recorded step");
        LedgerMetadata::decode(&node.data()).expect("valid")
    };
    let text = decoded("format-2-closed");
    let binary = decoded("format-3-closed");
    for metadata in [&text, &binary] {
        assert_eq!(metadata.state, LedgerState::Closed);
        assert_eq!(
            (
                metadata.ensemble_size,
                metadata.write_quorum,
                metadata.ack_quorum
            ),
            (3, 3, 2)
        );
        assert_eq!(metadata.digest, Some(DigestType::Crc32));
        assert_eq!(
            metadata.password.as_deref(),
            Some("se\"cr\\et\u{e9}".as_bytes())
        );
        assert_eq!(metadata.custom["application"], "dlog");
        assert_eq!(metadata.custom["bin"], &b"\x00\n\xc8\x22"[..]);
    }
    assert_eq!((text.length, text.last_entry), (1, 0));
    assert_eq!((binary.length, binary.last_entry), (1, 0));
    let lines = decoded("format-1-closed");
    assert_eq!(
        (lines.digest, lines.password.clone(), lines.last_entry),
        (None, None, 0)
    );
}

#[test]
fn an_entry_lies_in_the_segment_with_the_largest_first_entry_not_above_it() {
    let nodes = nodes();
    let changed = nodes
        .iter()
        .filter(|node| node.step == "v3-ensemble-change")
        .filter_map(|node| LedgerMetadata::decode(&node.data()).ok())
        .find(|metadata| metadata.segments.len() == 2)
        .expect("a ledger whose ensemble changed at entry 2");
    let first_of = |entry| changed.segment_of(entry).first_entry;
    assert_eq!(
        (first_of(0), first_of(1), first_of(2), first_of(900)),
        (0, 0, 2, 2)
    );
    assert_eq!(changed.last_segment().first_entry, 2);
}

#[test]
fn recorded_layouts_and_registrations_are_understood() {
    let (mut layouts, mut registrations) = (Vec::new(), 0);
    for node in nodes()
        .into_iter()
        .filter(|node| node.step == "fresh-cluster")
    {
        if node.path.ends_with("/LAYOUT") {
            layouts.push(Layout::decode(&node.data()).expect("known"));
        } else if let Some(id) = node.path.strip_prefix("/ledgers/available/127.0.0.1:") {
            let found = BookieRegistration::decode(&node.data()).expect("valid");
            let port = id.parse().expect("a port");
            let address = BookieAddress {
                host: "127.0.0.1".to_owned(),
                port,
            };
            // 4.5 registers without data.
            assert!(found.rpc.is_none() || found.rpc == Some(address));
            registrations += usize::from(found.rpc.is_some());
        }
    }
    assert_eq!(layouts, [Layout::Hierarchical, Layout::Flat]);
    assert_eq!(registrations, 3);
}
