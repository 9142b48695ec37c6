//! Every way for a message or a frame to be wrong, by name, and the error that says so: the field,
//! the offset, what was wrong.

use std::collections::BTreeSet;

use distributedlog::wire::framed::{self, RequestHeader};
use distributedlog::wire::mux::{self, Frame};
use distributedlog::wire::service::{
    Method, Reply, Request, RequestError, SequenceId, WriteContext,
};
use distributedlog::wire::{DecodeError, FrameTooLarge, Protocol, sniff};

use crate::golden_files::from_hex;

/// Bytes written as hex with spaces, and `'text'`.
pub(crate) fn bytes(parts: &str) -> Vec<u8> {
    parts
        .split_whitespace()
        .flat_map(|part| match part.strip_prefix('\'') {
            Some(text) => text.trim_end_matches('\'').as_bytes().to_vec(),
            None => from_hex(part),
        })
        .collect()
}

/// A call's head: kind 1, the method's name, sequence id 7.
fn call(method: &str, arguments: &str) -> Vec<u8> {
    message(1, method, arguments)
}

fn message(kind: u8, method: &str, rest: &str) -> Vec<u8> {
    let head = [0x80, 0x01, 0x00, kind];
    let length = (method.len() as u32).to_be_bytes();
    [
        &head,
        length.as_slice(),
        method.as_bytes(),
        &[0, 0, 0, 7],
        &bytes(rest),
    ]
    .concat()
}

/// `error` says `expected`, and the first word of its kind is kept in `kinds`.
fn says(name: &str, error: DecodeError, expected: &str, kinds: &mut BTreeSet<String>) {
    assert_eq!(error.to_string(), expected, "{name}");
    let kind = format!("{:?}", error.kind);
    kinds.insert(
        kind.split([' ', '(', '{'])
            .next()
            .expect("a first word")
            .to_owned(),
    );
}

/// Calls, from `create` (head: 18 bytes) unless it says otherwise.
const CALLS: &[(&str, &str, &str, &str)] = &[
    (
        "nothing after the head",
        "create",
        "",
        "arguments at offset 18: needs 1 bytes, 0 are left",
    ),
    (
        "a field cut off in its id",
        "create",
        "0b ff",
        "arguments at offset 19: needs 2 bytes, 1 are left",
    ),
    (
        "a text cut off in its length",
        "create",
        "0bffff 0000",
        "stream at offset 21: needs 4 bytes, 2 are left",
    ),
    (
        "a text longer than the message",
        "create",
        "0bffff 00000005 'abc'",
        "stream at offset 21: the length 5 is beyond the 3 bytes left",
    ),
    (
        "a text of negative length",
        "create",
        "0bffff ffffffff",
        "stream at offset 21: the length -1 is negative",
    ),
    (
        "a text that is not UTF-8",
        "create",
        "0bffff 00000003 61ff62 00",
        "stream at offset 26: not UTF-8",
    ),
    (
        "a number for the stream",
        "create",
        "08ffff 00000001 00",
        "stream at offset 18: has thrift type 8, must have 11",
    ),
    (
        "a field of no type",
        "create",
        "07ffff 00",
        "arguments at offset 18: 7 is no thrift type",
    ),
    (
        "no stream",
        "create",
        "0cfffe 00 00",
        "stream at offset 23: missing",
    ),
    (
        "no data",
        "write",
        "0bffff 00000001 's' 00",
        "data at offset 26: missing",
    ),
    (
        "no records",
        "writeBulkWithContext",
        "0bffff 00000001 's' 00",
        "data at offset 41: missing",
    ),
    (
        "no position",
        "truncate",
        "0bffff 00000001 's' 00",
        "dlsn at offset 29: missing",
    ),
    (
        "no switch",
        "setAcceptNewStream",
        "00",
        "enabled at offset 31: missing",
    ),
    (
        "bytes after the arguments",
        "handshake",
        "00 ff",
        "arguments at offset 22: 1 bytes follow its end",
    ),
    (
        "a context that is a text",
        "create",
        "0bfffe 00000000 00",
        "ctx at offset 18: has thrift type 11, must have 12",
    ),
    (
        "a context cut off",
        "create",
        "0cfffe 0a0002 00",
        "WriteContext.crc32 at offset 24: needs 8 bytes, 1 are left",
    ),
    (
        "tried hosts in a list",
        "create",
        "0cfffe 0f0001 0b 00000000 00 00",
        "WriteContext.triedHosts at offset 21: has thrift type 15, must have 14",
    ),
    (
        "tried hosts that are numbers",
        "create",
        "0cfffe 0e0001 08 00000001 00000001 00 00",
        "WriteContext.triedHosts at offset 24: has thrift type 8, must have 11",
    ),
    (
        "fewer than no tried hosts",
        "create",
        "0cfffe 0e0001 0b 80000000",
        "WriteContext.triedHosts at offset 25: the length -2147483648 is negative",
    ),
    (
        "more tried hosts than bytes",
        "create",
        "0cfffe 0e0001 0b 7fffffff 00000000",
        "WriteContext.triedHosts at offset 25: the length 8589934588 is beyond the 4 bytes left",
    ),
    (
        "a tried host longer than the rest",
        "create",
        "0cfffe 0e0001 0b 00000001 00000009 'ab'",
        "WriteContext.triedHosts at offset 29: the length 9 is beyond the 2 bytes left",
    ),
    (
        "an identity of another length",
        "create",
        "0cfffe 0b0004 00000003 'abc' 00 00",
        "WriteContext.identity at offset 28: has 3 bytes, must have 24",
    ),
    (
        "more records than bytes",
        "writeBulkWithContext",
        "0ffffe 0b 00000004 00000000 00000000",
        "data at offset 36: the length 16 is beyond the 8 bytes left",
    ),
    (
        "an unknown field cut off",
        "create",
        "0a0009 0000",
        "unknown field at offset 21: needs 8 bytes, 2 are left",
    ),
    (
        "an unknown list of no type",
        "create",
        "0f0009 07 00000001 00",
        "unknown field at offset 21: 7 is no thrift type",
    ),
    (
        "an unknown list of type 0 with elements",
        "create",
        "0f0009 00 00000001 00",
        "unknown field at offset 26: 0 is no thrift type",
    ),
    (
        "an unknown list longer than the rest",
        "create",
        "0f0009 0a 00000002 0000000000000000",
        "unknown field at offset 22: the length 16 is beyond the 8 bytes left",
    ),
    (
        "an unknown map longer than the rest",
        "create",
        "0d0009 0b 0b 7fffffff 00",
        "unknown field at offset 23: the length 17179869176 is beyond the 1 bytes left",
    ),
];

#[test]
fn every_malformed_call_is_refused_with_its_field_and_offset() {
    let mut kinds = BTreeSet::new();
    for &(name, method, arguments, expected) in CALLS {
        match Request::decode(&call(method, arguments)) {
            Err(RequestError::BadArguments {
                method: found,
                sequence_id: SequenceId(7),
                error,
            }) => {
                assert_eq!(found.name(), method, "{name}");
                says(name, error, expected, &mut kinds);
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    // Structs inside each other, one more than the limit; the limit itself is fine.
    for (depth, fine) in [(16, true), (17, false)] {
        let nested = format!(
            "{} {} 0bffff 00000001 's' 00",
            "0c0009 ".repeat(depth),
            "00 ".repeat(depth)
        );
        match Request::decode(&call("create", &nested)) {
            Ok(_) => assert!(fine),
            Err(RequestError::BadArguments { error, .. }) => {
                assert!(!fine);
                says(
                    "nested too deep",
                    error,
                    "unknown field at offset 69: nested deeper than 16",
                    &mut kinds,
                );
            }
            Err(other) => panic!("{other}"),
        }
    }
    let seen = [
        "LengthBeyondBuffer",
        "Missing",
        "NegativeLength",
        "NotUtf8",
        "TooDeep",
        "TrailingBytes",
        "Truncated",
        "UnknownType",
    ];
    let seen: BTreeSet<String> = seen
        .into_iter()
        .chain(["WrongLength", "WrongType"])
        .map(str::to_owned)
        .collect();
    assert_eq!(kinds, seen);
}

#[test]
fn a_message_that_is_no_call_is_not_an_unknown_method() {
    let mut kinds = BTreeSet::new();
    let no_calls = [
        (
            "nothing",
            Vec::new(),
            "message.version at offset 0: needs 4 bytes, 0 are left",
        ),
        (
            "the old protocol",
            bytes("00000005 'write'"),
            "message.version at offset 0: begins with 0x00000005, must begin with 0x8001 and the \
             message's kind",
        ),
        (
            "a kind of its own",
            message(9, "write", "00"),
            "message.version at offset 3: unexpected message of kind 9",
        ),
        (
            "a reply",
            message(2, "write", "00"),
            "message.kind at offset 3: unexpected message of kind 2",
        ),
        (
            "a call that wants no answer",
            message(4, "write", "00"),
            "message.kind at offset 3: unexpected message of kind 4",
        ),
        (
            "a name beyond the end",
            bytes("80010001 00000099 'write'"),
            "message.name at offset 4: the length 153 is beyond the 5 bytes left",
        ),
        (
            "no sequence id",
            bytes("80010001 00000005 'write' 0000"),
            "message.sequenceId at offset 13: needs 4 bytes, 2 are left",
        ),
    ];
    for (name, message, expected) in no_calls {
        match Request::decode(&message) {
            Err(RequestError::Malformed(error)) => says(name, error, expected, &mut kinds),
            other => panic!("{name}: {other:?}"),
        }
    }
    // Its arguments are not even looked at.
    let unknown = call("shutdown", "ffff");
    assert_eq!(
        Request::decode(&unknown),
        Err(RequestError::UnknownMethod {
            name: "shutdown",
            sequence_id: SequenceId(7)
        })
    );
    let upgrade = call(framed::UPGRADE_METHOD, "00");
    assert_eq!(
        Request::decode(&upgrade),
        Err(RequestError::UnknownMethod {
            name: framed::UPGRADE_METHOD,
            sequence_id: SequenceId(7)
        })
    );
}

#[test]
fn arguments_come_in_any_order_and_unknown_fields_are_skipped() {
    let fields = [
        "0cfffd 0a0002 0000000000000005 00",
        "0bfffe 00000002 'hi'",
        "0bffff 00000001 's'",
        "0d0009 0b 0c 00000001 00000000 080001 00000001 00",
    ];
    let context = WriteContext {
        crc32: Some(5),
        ..WriteContext::default()
    };
    let expected = Request::WriteWithContext {
        stream: "s",
        data: b"hi",
        context,
    };
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let arguments = order.map(|index: usize| fields[index]).join(" ") + " 00";
        assert_eq!(
            Request::decode(&call("writeWithContext", &arguments)),
            Ok((SequenceId(7), expected))
        );
    }
    // Of a field that comes twice, the last counts; what a caller leaves out of the context, it
    // does not say.
    let twice = call("create", "0bffff 00000001 'a' 0bffff 00000001 'b' 00");
    assert_eq!(
        Request::decode(&twice),
        Ok((
            SequenceId(7),
            Request::Create {
                stream: "b",
                context: WriteContext::default()
            }
        ))
    );
    // Empty collections may leave their elements' type open.
    let empty = call(
        "create",
        "0cfffe 0e0001 00 00000000 0f0009 00 00000000 00 0bffff 00000001 's' 00",
    );
    let Ok((_, Request::Create { context, .. })) = Request::decode(&empty) else {
        panic!("no create")
    };
    assert!(context.tried_hosts.is_some_and(|hosts| hosts.is_empty()));
}

#[test]
fn every_malformed_reply_is_refused_with_its_field_and_offset() {
    let mut kinds = BTreeSet::new();
    let replies = [
        (
            "a call",
            call("write", "00"),
            "message.kind at offset 3: unexpected message of kind 1",
        ),
        (
            "of an unknown method",
            message(2, "shutdown", "00"),
            "message.name at offset 4: no such method in DistributedLogService",
        ),
        (
            "no result",
            message(2, "write", "00"),
            "result.success at offset 18: missing",
        ),
        (
            "a result without a header",
            message(2, "write", "0c0000 00 00"),
            "WriteResponse.header at offset 21: missing",
        ),
        (
            "a header without a code",
            message(2, "write", "0c0000 0c0001 00 00 00"),
            "ResponseHeader.code at offset 24: missing",
        ),
        (
            "a code that is a text",
            message(2, "write", "0c0000 0c0001 0b0001 00000000"),
            "ResponseHeader.code at offset 23: has thrift type 11, must have 8",
        ),
        (
            "a handshake's result for a write",
            message(2, "write", "0c0000 0d0001 0b0b 00000000 00 00"),
            "WriteResponse.header at offset 20: has thrift type 13, must have 12",
        ),
        (
            "more answers than bytes",
            message(2, "writeBulkWithContext", "0c0000 0f0002 0c 00000005 00"),
            "BulkWriteResponse.writeResponses at offset 39: the length 5 is beyond the 1 bytes \
             left",
        ),
        (
            "owners that are numbers",
            message(
                2,
                "handshake",
                "0c0000 0d0001 0b 08 00000001 00000000 00000000",
            ),
            "ServerInfo.ownerships at offset 28: has thrift type 8, must have 11",
        ),
        (
            "bytes after the result",
            message(2, "setAcceptNewStream", "00 00"),
            "result at offset 31: 1 bytes follow its end",
        ),
        (
            "an exception cut off",
            message(3, "write", "0b0001 00000009 'oh'"),
            "exception.message at offset 20: the length 9 is beyond the 2 bytes left",
        ),
    ];
    for (name, message, expected) in replies {
        match Reply::decode(&message) {
            Err(error) => says(name, error, expected, &mut kinds),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(kinds.contains("UnknownMethod"));
}

#[test]
fn every_malformed_mux_frame_is_refused_with_its_field_and_offset() {
    let mut kinds = BTreeSet::new();
    let frames = [
        (
            "nothing",
            "",
            "frame.length at offset 0: needs 4 bytes, 0 are left",
        ),
        (
            "a length that is too short",
            "00000003 41000001",
            "frame.length at offset 0: has 4 bytes, must have 3",
        ),
        (
            "a length that is too long",
            "7fffffff 41000001",
            "frame.length at offset 0: has 4 bytes, must have 2147483647",
        ),
        (
            "no type",
            "00000000",
            "frame.type at offset 4: needs 1 bytes, 0 are left",
        ),
        (
            "an unknown type",
            "00000004 2a000001",
            "frame.type at offset 4: 42 is no mux frame type",
        ),
        (
            "no tag",
            "00000002 4100",
            "frame.tag at offset 5: needs 3 bytes, 1 are left",
        ),
        (
            "a fragment",
            "00000004 02800001",
            "frame.tag at offset 5: the frame is a fragment, which this version of mux does not \
             have",
        ),
        (
            "bytes after a ping",
            "00000005 41000001 00",
            "Tping at offset 8: 1 bytes follow its end",
        ),
        (
            "no contexts",
            "00000004 02000001",
            "Tdispatch.contexts at offset 8: needs 2 bytes, 0 are left",
        ),
        (
            "more contexts than bytes",
            "00000008 02000001 ffff0000",
            "Tdispatch.contexts at offset 8: the length 262140 is beyond the 2 bytes left",
        ),
        (
            "a context cut off",
            "0000000a 02000001 0001 0009 0000",
            "Tdispatch.contexts at offset 10: the length 9 is beyond the 2 bytes left",
        ),
        (
            "a destination that is not UTF-8",
            "0000000b 02000001 0000 0001ff 0000",
            "Tdispatch.destination at offset 12: not UTF-8",
        ),
        (
            "more delegations than bytes",
            "0000000a 02000001 0000 0000 0001",
            "Tdispatch.delegations at offset 12: the length 4 is beyond the 0 bytes left",
        ),
        (
            "no status",
            "00000004 fe000001",
            "Rdispatch.status at offset 8: needs 1 bytes, 0 are left",
        ),
        (
            "an unknown status",
            "00000007 fe000001 03 0000",
            "Rdispatch.status at offset 8: 3 is no mux status; 0, 1 and 2 are",
        ),
        (
            "an answer's status of old that is unknown",
            "00000005 ff000001 09",
            "Rreq.status at offset 8: 9 is no mux status; 0, 1 and 2 are",
        ),
        (
            "more keys than bytes",
            "00000006 01000001 0201",
            "Treq.keys at offset 8: the length 4 is beyond the 1 bytes left",
        ),
        (
            "a discarded fragment",
            "00000007 42000000 800001",
            "Tdiscarded.tag at offset 8: the frame is a fragment, which this version of mux does \
             not have",
        ),
        (
            "a reason that is not UTF-8",
            "00000008 42000000 000002 c3",
            "Tdiscarded.reason at offset 11: not UTF-8",
        ),
        (
            "an old peer's reason that is not UTF-8",
            "00000008 c2000000 000002 c3",
            "BadTdiscarded.reason at offset 11: not UTF-8",
        ),
        (
            "an error that is not UTF-8",
            "00000005 80000001 ff",
            "Rerr.error at offset 8: not UTF-8",
        ),
        (
            "an old peer's error that is not UTF-8",
            "00000005 7f000001 ff",
            "BadRerr.error at offset 8: not UTF-8",
        ),
        (
            "a start without a version",
            "00000005 44000001 00",
            "Tinit.version at offset 8: needs 2 bytes, 1 are left",
        ),
        (
            "a start with a header cut off",
            "0000000b 44000001 0001 00000005 61",
            "Tinit.headers at offset 10: the length 5 is beyond the 1 bytes left",
        ),
        (
            "a lease without an amount",
            "00000005 43000000 00",
            "Tlease.amount at offset 9: needs 8 bytes, 0 are left",
        ),
        (
            "a lease of nothing",
            "00000004 43000000",
            "Tlease.unit at offset 8: needs 1 bytes, 0 are left",
        ),
    ];
    for (name, frame, expected) in frames {
        match Frame::decode(&bytes(frame)) {
            Err(error) => says(name, error, expected, &mut kinds),
            other => panic!("{name}: {other:?}"),
        }
    }
    for kind in [
        "Fragment",
        "UnknownFrameType",
        "UnknownStatus",
        "WrongLength",
        "TrailingBytes",
    ] {
        assert!(kinds.contains(kind), "{kind}");
    }
}

#[test]
fn a_frame_that_is_too_large_is_refused_by_its_first_four_bytes() {
    for frame_len in [mux::frame_len, framed::frame_len] {
        assert_eq!(frame_len(&[0, 0, 0], 100), Ok(None));
        assert_eq!(frame_len(&[0, 0, 0, 96], 100), Ok(Some(100)));
        assert_eq!(
            frame_len(&[0, 0, 0, 97], 100),
            Err(FrameTooLarge {
                length: 101,
                limit: 100
            })
        );
        assert_eq!(
            frame_len(&[0xff; 4], 100),
            Err(FrameTooLarge {
                length: 0x1_0000_0003,
                limit: 100
            })
        );
        // What an HTTP client says first.
        assert!(frame_len(b"GET / HTTP/1.1", 16 << 20).is_err());
    }
}

#[test]
fn the_first_bytes_tell_mux_from_thrift_and_both_from_the_rest() {
    assert_eq!(sniff(b"\0\0\0\x0f"), None);
    assert_eq!(sniff(b"\0\0\0\x0f\x7f"), Some(Protocol::Mux));
    assert_eq!(sniff(b"\0\0\0\x0f\x02\0\0\x02"), Some(Protocol::Mux));
    assert_eq!(sniff(b"\0\0\0\x0f\x44"), Some(Protocol::Mux));
    assert_eq!(sniff(b"\0\0\0\x0f\x80"), None);
    assert_eq!(sniff(b"\0\0\0\x0f\x80\x01"), Some(Protocol::FramedThrift));
    assert_eq!(sniff(b"\0\0\0\x0f\x80\x02"), Some(Protocol::Unknown));
    assert_eq!(sniff(b"GET / HTTP/1.1"), Some(Protocol::Unknown));
    assert_eq!(sniff(b"\x16\x03\x01\x02\0\x01"), Some(Protocol::Unknown));
    assert_eq!(
        sniff(b"\x16\x03\x01\x02\x01\x01"),
        Some(Protocol::Mux),
        "TLS may look like a mux Treq; its length is refused instead"
    );
    assert!(mux::frame_len(b"\x16\x03\x01\x02\x01\x01", 16 << 20).is_err());
}

#[test]
fn every_malformed_upgrade_header_is_refused_with_its_field_and_offset() {
    let mut kinds = BTreeSet::new();
    let ids = "0a0001 0000000000000001 0a0002 0000000000000001";
    let headers = [
        (
            "no trace id",
            "0a0002 0000000000000001 00".to_owned(),
            "RequestHeader.trace_id at offset 12: missing",
        ),
        (
            "no span id",
            "0a0001 0000000000000001 00".to_owned(),
            "RequestHeader.span_id at offset 12: missing",
        ),
        (
            "a thrift message",
            "80010001".to_owned(),
            "RequestHeader at offset 0: 128 is no thrift type",
        ),
        (
            "a client id without a name",
            format!("{ids} 0c0006 00 00"),
            "ClientId.name at offset 26: missing",
        ),
        (
            "a context without a value",
            format!("{ids} 0f0008 0c 00000001 0b0001 00000000 00 00"),
            "RequestContext.value at offset 38: missing",
        ),
        (
            "a context without a key",
            format!("{ids} 0f0008 0c 00000001 0b0002 00000000 00 00"),
            "RequestContext.key at offset 38: missing",
        ),
        (
            "no end",
            ids.to_owned(),
            "RequestHeader at offset 22: needs 1 bytes, 0 are left",
        ),
    ];
    for (name, header, expected) in headers {
        match RequestHeader::decode(&bytes(&header)) {
            Err(error) => says(name, error, expected, &mut kinds),
            other => panic!("{name}: {other:?}"),
        }
    }
    let cut = bytes("00000002 00");
    let body = framed::frame_body(&cut).map_err(|error| error.to_string());
    assert_eq!(
        body,
        Err("frame.length at offset 0: has 1 bytes, must have 2".to_owned())
    );
    assert!(
        framed::upgrade_accepted(&call(framed::UPGRADE_METHOD, "00")).is_err(),
        "a call is no answer"
    );
    assert!(
        framed::upgrade_accepted(&message(2, "write", "00")).is_err(),
        "nor is another method's reply"
    );
}

#[test]
fn every_method_is_found_by_its_name() {
    for method in Method::ALL {
        assert_eq!(Method::from_name(method.name()), Some(method));
    }
    assert_eq!(Method::from_name("Write"), None);
}
