//! The stream of a key.

use distributedlog::keys::{NameHash, stream_of_key};

fn names(range: core::ops::Range<u32>) -> Vec<NameHash> {
    range.map(|it| NameHash::of(&format!("s{it}"))).collect()
}

/// Returns how many of 60,000 keys each of the streams gets.
fn shares(names: &[NameHash]) -> Vec<u32> {
    let mut shares = vec![0; names.len()];
    for key in 0..60_000 {
        shares[stream_of_key(key.to_string().as_bytes(), names).unwrap()] += 1;
    }
    shares
}

#[test]
fn the_stream_of_a_key_is_the_same_in_every_version() {
    let streams = ["orders-1", "orders-2", "orders-3"].map(NameHash::of);
    let keys: [&[u8]; 4] = [b"customer-17", b"customer-18", b"", b"a"];
    let found = keys.map(|key| stream_of_key(key, &streams).unwrap());
    assert_eq!(found, [1, 2, 1, 0]);
    assert_eq!(stream_of_key(b"a", &[]), None);
}

#[test]
fn every_stream_gets_its_share_of_the_keys() {
    for streams in [1, 2, 5, 16] {
        let even = 60_000 / streams;
        for share in shares(&names(0..streams)) {
            assert!(share.abs_diff(even) < even / 12, "{share} of {even}");
        }
    }
}

#[test]
fn the_order_of_the_names_does_not_matter() {
    let streams = names(0..7);
    let mut turned = streams.clone();
    turned.rotate_left(3);
    for key in 0..1_000_u32 {
        let key = key.to_le_bytes();
        let found = streams[stream_of_key(&key, &streams).unwrap()];
        assert_eq!(found, turned[stream_of_key(&key, &turned).unwrap()]);
    }
}

#[test]
fn a_stream_that_is_added_takes_its_share_and_no_key_moves_between_the_others() {
    let (before, after) = (names(0..5), names(0..6));
    let mut moved = 0;
    for key in 0..60_000_u32 {
        let key = key.to_string();
        let old = stream_of_key(key.as_bytes(), &before).unwrap();
        let new = stream_of_key(key.as_bytes(), &after).unwrap();
        assert!(new == old || new == 5);
        moved += u32::from(new == 5);
    }
    assert!(moved.abs_diff(10_000) < 500, "{moved}");
}
