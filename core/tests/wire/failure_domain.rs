//! The name of a failure domain in a proxy's handshake, an extension that the original skips.

use distributedlog::FailureDomain;
use distributedlog::wire::service::{Reply, SequenceId, ServerInfo, ServerStatus};

use crate::malformed::bytes;

/// A reply to `handshake` with the status that takes everything, and further fields behind it.
fn reply(further: &str) -> Vec<u8> {
    bytes(&format!(
        "80010002 00000009 'handshake' 00000007 0c0000 080002 00000064 {further} 00 00"
    ))
}

fn info(failure_domain: Option<&str>) -> Reply<'_> {
    Reply::ServerInfo(ServerInfo {
        ownerships: None,
        status: Some(ServerStatus::WriteAndAccept),
        failure_domain,
    })
}

#[test]
fn a_proxy_that_says_no_failure_domain_sends_what_the_original_does() {
    let mut out = [0; 64];
    let length = info(None).encode("handshake", SequenceId(7), &mut out);
    assert_eq!(&out[..length.unwrap()], reply(""));
}

#[test]
fn a_failure_domain_is_the_third_field_of_a_handshakes_reply() {
    let longest = "d".repeat(FailureDomain::MAX_NAME_BYTES);
    let hex = format!("0b0003 000000ff '{longest}'");
    for (name, field) in [
        ("disk-1", "0b0003 00000006 'disk-1'"),
        ("straße", "0b0003 00000007 'straße'"),
        (longest.as_str(), hex.as_str()),
    ] {
        let expected = reply(field);
        let mut out = [0; 512];
        let length = info(Some(name)).encode("handshake", SequenceId(7), &mut out);
        assert_eq!(&out[..length.unwrap()], expected);
        assert_eq!(
            Reply::decode(&expected),
            Ok((SequenceId(7), info(Some(name))))
        );
    }
}

#[test]
fn a_failure_domain_that_is_malformed_is_read_as_none_and_the_rest_of_the_handshake_as_it_is() {
    let too_long = format!("0b0003 00000100 '{}'", "d".repeat(256));
    for field in [
        "0b0003 00000000",
        &too_long,
        // Not UTF-8.
        "0b0003 00000002 c328",
        // A number, a list of numbers, a struct.
        "080003 00000001",
        "0f0003 08 00000001 00000001",
        "0c0003 00",
    ] {
        let message = reply(field);
        assert_eq!(
            Reply::decode(&message),
            Ok((SequenceId(7), info(None))),
            "{field}"
        );
    }
}

#[test]
fn a_failure_domain_that_is_cut_off_is_an_error_as_any_other_field_is() {
    let message = bytes("80010002 00000009 'handshake' 00000007 0c0000 0b0003 00000009 'disk'");
    assert!(Reply::decode(&message).is_err());
}
