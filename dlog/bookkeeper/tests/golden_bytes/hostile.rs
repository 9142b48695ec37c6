use bytes::Bytes;
use distributedlog_bookkeeper::metadata::LedgerMetadata;
use distributedlog_bookkeeper::wire::{Request, Response};

use crate::recorded::{frames, nodes};

/// Damages of some bytes: cut at every length, and each byte replaced by some that matter to the
/// encoding.
fn damages(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cut = (0..bytes.len()).map(|end| bytes[..end].to_vec());
    let replaced = (0..bytes.len()).flat_map(move |at| {
        [
            0,
            1,
            0x7f,
            0x80,
            0xff,
            bytes[at] ^ 1,
            bytes[at].wrapping_add(8),
        ]
        .map(|byte| {
            let mut damaged = bytes.to_vec();
            damaged[at] = byte;
            damaged
        })
    });
    cut.chain(replaced)
}

#[test]
fn damaged_frames_are_errors_or_other_messages_and_never_panic() {
    let mut refused = 0;
    for recorded in frames().iter().filter(|it| it.frame.len() < 200) {
        for damaged in damages(&recorded.frame).map(Bytes::from) {
            let is_error = if recorded.from_client {
                Request::decode(&damaged).is_err()
            } else {
                Response::decode(&damaged).is_err()
            };
            refused += usize::from(is_error);
        }
    }
    assert!(refused > 100_000, "{refused} damaged frames were refused");
}

#[test]
fn damaged_metadata_is_an_error_or_other_metadata_that_encodes_and_decodes_again() {
    let mut refused = 0;
    for node in nodes() {
        for damaged in damages(&node.data()) {
            match LedgerMetadata::decode(&damaged) {
                Err(_) => refused += 1,
                Ok(metadata) => {
                    let again = LedgerMetadata::decode(&metadata.encode());
                    assert_eq!(
                        again.as_ref(),
                        Ok(&metadata),
                        "{:?}",
                        damaged.escape_ascii()
                    );
                }
            }
        }
    }
    assert!(refused > 10_000, "{refused} damaged nodes were refused");
}
