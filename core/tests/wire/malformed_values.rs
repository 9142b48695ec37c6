//! Record sets, positions and names that are wrong, and the error that says so: where, and what was
//! wrong.

use distributedlog::names::Name;
use distributedlog::wire::record_set::{
    MAX_PAYLOAD_BYTES, RecordSet, RecordSetBuilder, SetIdentity, WriterId,
};
use distributedlog::{Dlsn, stream_name};

use crate::malformed::bytes;

#[test]
fn bytes_flagged_as_a_record_set_that_are_none_are_refused_with_the_offset() {
    let sets = [
        ("nothing", "", "at offset 0: 0 bytes, a header has 16"),
        (
            "a header cut off",
            "00001000 00000000 00000000 0000",
            "at offset 0: 14 bytes, a header has 16",
        ),
        (
            "text",
            "'hello-golden-hello'",
            "at offset 0: the first word is 0x68656c6c, a record set's is 0x00001000 or 0x00001001",
        ),
        (
            "codec 2",
            "00001002 00000000 00000000 00000000",
            "at offset 0: codec 2, 0 (none) and 1 (LZ4) exist",
        ),
        (
            "a negative count",
            "00001000 ffffffff 00000000 00000000",
            "at offset 4: -1 is negative",
        ),
        (
            "a negative payload",
            "00001000 00000000 80000000 00000000",
            "at offset 8: -2147483648 is negative",
        ),
        (
            "a negative stored length",
            "00001000 00000000 00000000 ffffffff",
            "at offset 12: -1 is negative",
        ),
        (
            "more records than room",
            "00001000 00000002 00000004 00000004 00000000",
            "at offset 4: 2 records in a payload of 4 bytes",
        ),
        (
            "lengths that differ",
            "00001000 00000000 00000008 00000004 00000000",
            "at offset 8: uncompressed, yet its lengths 8 and 4 differ",
        ),
        (
            "stored beyond the end",
            "00001000 00000001 00000008 00000008 00000000",
            "at offset 12: the stored length is 8, 4 bytes follow the header",
        ),
        (
            "a payload beyond the limit",
            "00001001 00000001 7fffffff 00000001 00",
            "at offset 8: the uncompressed length is 2147483647, at most 1044464 are allowed",
        ),
        (
            "a record beyond the payload",
            "00001000 00000001 00000005 00000005 00000002 'x'",
            "at offset 16: record 0 has the length 2, 1 bytes of the payload are left",
        ),
        (
            "a second record beyond the payload",
            "00001000 00000002 0000000a 0000000a 00000002 'hi' 00000001",
            "at offset 22: record 1 has the length 1, 0 bytes of the payload are left",
        ),
        (
            "a record of negative length",
            "00001000 00000001 00000004 00000004 fffffffe",
            "at offset 16: record 0 has the length -2, 0 bytes of the payload are left",
        ),
        (
            "a record's length cut off",
            "00001000 00000002 00000008 00000008 00000001 'x' 000000",
            "at offset 21: record 1 has the length 0, 0 bytes of the payload are left",
        ),
    ];
    for (name, set, expected) in sets {
        let error = RecordSet::parse(&bytes(set), &mut [0; 64]).expect_err(name);
        assert_eq!(
            error.to_string(),
            format!("not a valid record set: {expected}"),
            "{name}"
        );
    }
    assert_eq!(MAX_PAYLOAD_BYTES, 1_044_464);
}

#[cfg(feature = "lz4")]
#[test]
fn a_compressed_record_set_is_bounded_before_it_is_decompressed() {
    use distributedlog::wire::record_set::Header;

    let sets = [
        (
            "no block",
            "00001001 00000001 00000004 00000000",
            64,
            "at offset 16: the stored bytes are no LZ4 block of 4 bytes",
        ),
        (
            "a block of fewer bytes",
            "00001001 00000001 00000008 00000005 4000000000",
            64,
            "at offset 16: the stored bytes are no LZ4 block of 8 bytes",
        ),
        (
            "a block of more bytes",
            "00001001 00000000 00000003 00000005 4000000000",
            64,
            "at offset 16: the stored bytes are no LZ4 block of 3 bytes",
        ),
        (
            "a match before the start",
            "00001001 00000001 00000010 00000008 10 00 ff00 1000 0000",
            64,
            "at offset 16: the stored bytes are no LZ4 block of 16 bytes",
        ),
        (
            "a buffer that is too small",
            "00001001 00000001 00000005 00000005 4000000000",
            4,
            "at offset 8: decompressing needs 5 bytes, the buffer has 4",
        ),
        (
            "a record beyond the payload",
            "00001001 00000001 00000004 00000005 4000000009",
            64,
            "at offset 16: record 0 has the length 9, 0 bytes of the payload are left",
        ),
    ];
    for (name, set, room, expected) in sets {
        let error = RecordSet::parse(&bytes(set), &mut vec![0; room]).expect_err(name);
        assert_eq!(
            error.to_string(),
            format!("not a valid record set: {expected}"),
            "{name}"
        );
    }
    // The most that any header can ask for is what a set may hold.
    let declared = Header::parse(&bytes("00001001 00000001 000feff0 00000001 00"))
        .expect("at the limit")
        .payload_bytes;
    assert_eq!(declared, MAX_PAYLOAD_BYTES);
    assert!(Header::parse(&bytes("00001001 00000001 000feff1 00000001 00")).is_err());
}

/// R12: the bytes behind the records are an identity, or another program's, and never an error.
#[test]
fn what_stands_behind_the_records_is_handed_out_and_only_a_whole_identity_is_one() {
    let identity = SetIdentity {
        writer: WriterId(*b"0123456789abcdef"),
        sequence: 9,
    };
    let mut buffer = [0; 256];
    let mut builder = RecordSetBuilder::new(200, true);
    builder.append(&mut buffer, b"record").expect("room");
    let set = builder.finish(&mut buffer, Some(&identity)).to_vec();
    assert_eq!(set.len(), 16 + 4 + 6 + 40);
    let read = |bytes: &[u8]| {
        let set = RecordSet::parse(bytes, &mut []).expect("a record set");
        assert!(set.records().eq([b"record".as_slice()]));
        (set.identity(), set.trailing().len(), set.beyond().len())
    };
    assert_eq!(read(&set), (Some(identity), 0, 0));
    assert_eq!(
        read(&[set.as_slice(), b"more"].concat()),
        (Some(identity), 0, 4)
    );
    for flipped in 26..66 {
        let mut other = set.clone();
        other[flipped] ^= 4;
        assert_eq!(
            read(&other),
            (None, 40, 0),
            "a trailer that is wrong at {flipped} is no identity"
        );
    }
    let mut longer = [set.as_slice(), b"more"].concat();
    longer[11] += 4;
    longer[15] += 4;
    assert_eq!(read(&longer), (Some(identity), 4, 0));
    let mut shorter = set[..set.len() - 1].to_vec();
    shorter[11] -= 1;
    shorter[15] -= 1;
    assert_eq!(read(&shorter), (None, 39, 0));
}

#[test]
fn every_malformed_position_is_refused_with_what_is_wrong() {
    let texts = [
        ("", "empty"),
        ("!!!", "'!' at offset 0 is not base64"),
        (
            "AQAAAAAAAAABAAAAAAAAAAIAAA\nAAAAAAw==",
            "'\\n' at offset 26 is not base64",
        ),
        (
            "AQAAAAAAAAABAAAAAAAAAAIAAAAAAAAAAw",
            "base64 that ends or is padded wrongly at offset 34",
        ),
        (
            "AQAAAAAAAAABAAAAAAAAAAIAAAAAAAAAAx==",
            "'x' at offset 33 is not base64",
        ),
        ("AQAA", "3 bytes of version 1, which has 25"),
        ("AAAA", "3 bytes of version 0, which has 200"),
        ("AgAA", "version 2, 1 and 0 exist"),
    ];
    for (text, expected) in texts {
        let error = text.parse::<Dlsn>().expect_err(text);
        assert_eq!(
            error.to_string(),
            format!("not a DLSN: {expected}"),
            "{text}"
        );
    }
    let error = "A".repeat(269).parse::<Dlsn>().expect_err("too long");
    assert_eq!(
        error.to_string(),
        "not a DLSN: 269 characters, a DLSN's text has 36"
    );
    assert_eq!(
        Dlsn::from_bytes(&[1; 26])
            .expect_err("too long")
            .to_string(),
        "not a DLSN: 26 bytes of version 1, which has 25"
    );
    assert_eq!(
        Dlsn::from_bytes(&[0; 25])
            .expect_err("too short")
            .to_string(),
        "not a DLSN: 25 bytes of version 0, which has 200"
    );
}

#[test]
fn every_malformed_name_is_refused_with_what_is_wrong_and_where() {
    let names = [
        (
            "",
            "an address, host:port, is missing, at offset 0 of the name",
        ),
        (
            "inet!",
            "an address, host:port, is missing, at offset 5 of the name",
        ),
        (
            "inet!a:1,",
            "an address, host:port, is missing, at offset 9 of the name",
        ),
        (
            "inet!host",
            "a port, as in host:port, is missing, at offset 9 of the name",
        ),
        (
            "inet![::1]",
            "a port, as in host:port, is missing, at offset 10 of the name",
        ),
        (
            "inet!:8000",
            "the host in front of the port is missing, at offset 5 of the name",
        ),
        (
            "inet!a:1,b:0",
            "the port is not a number from 1 to 65535, at offset 11 of the name",
        ),
        (
            "inet!a:65536",
            "the port is not a number from 1 to 65535, at offset 7 of the name",
        ),
        (
            "inet!a:+80",
            "the port is not a number from 1 to 65535, at offset 7 of the name",
        ),
        (
            "inet!a:",
            "the port is not a number from 1 to 65535, at offset 7 of the name",
        ),
        (
            "inet!a b:1",
            "a character that no host has, at offset 6 of the name",
        ),
        (
            "inet!/127.0.0.1:1",
            "a character that no host has, at offset 5 of the name",
        ),
        (
            "inet!::1:8000",
            "an IPv6 address needs brackets, as in [::1]:8000, at offset 5 of the name",
        ),
        (
            "inet![::1:8000",
            "the bracket is not closed, at offset 5 of the name",
        ),
        (
            "inet![localhost]:8000",
            "the text in brackets is not an IPv6 address, at offset 6 of the name",
        ),
        (
            "fixedinet!a:1,[::x]:2",
            "the text in brackets is not an IPv6 address, at offset 15 of the name",
        ),
        (
            "zk!a:1",
            "a path that begins with / is missing, as in zk!host:2181!/path, at offset 6 of the \
             name",
        ),
        (
            "zk!a:1!path",
            "a path that begins with / is missing, as in zk!host:2181!/path, at offset 7 of the \
             name",
        ),
        (
            "serverset!a:1!",
            "a path that begins with / is missing, as in zk!host:2181!/path, at offset 14 of the \
             name",
        ),
        (
            "zk!a!/path",
            "a port, as in host:port, is missing, at offset 4 of the name",
        ),
        (
            "http://127.0.0.1:8002",
            "a URL is no name of write proxies: write inet!host:port, with the port for thrift",
        ),
        (
            "inet!tcp://a:1",
            "a URL is no name of write proxies: write inet!host:port, with the port for thrift",
        ),
        (
            "http!a:1",
            "unknown kind of name: inet!, fixedinet!, nil!, neg!, fail!, zk! and serverset! exist",
        ),
        (
            "Inet!a:1",
            "unknown kind of name: inet!, fixedinet!, nil!, neg!, fail!, zk! and serverset! exist",
        ),
    ];
    for (text, expected) in names {
        assert_eq!(
            Name::parse(text).expect_err(text).to_string(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn every_malformed_stream_name_is_refused_with_what_is_wrong_and_where() {
    let names = [
        ("", "is empty"),
        ("/", "is empty"),
        (".hidden", "begins with '.', which is reserved"),
        ("/.hidden", "begins with '.', which is reserved"),
        ("<default>", "begins with '<', which is reserved"),
        ("a b", "has ' ' at offset 1, which no name may have"),
        ("a<b", "has '<' at offset 1, which no name may have"),
        ("é>", "has '>' at offset 2, which no name may have"),
        ("a\0", "has '\\0' at offset 1, which no name may have"),
        ("a\tb", "has '\\t' at offset 1, which no name may have"),
        (
            "a\u{7f}",
            "has '\\u{7f}' at offset 1, which no name may have",
        ),
        (
            "a\u{e000}",
            "has '\\u{e000}' at offset 1, which no name may have",
        ),
        (
            "a\u{fffd}",
            "has '\u{fffd}' at offset 1, which no name may have",
        ),
        ("a/", "ends with '/' at offset 1"),
        ("/a/", "ends with '/' at offset 2"),
        ("a//b", "has an empty path part at offset 2"),
        ("//a", "has an empty path part at offset 1"),
        ("a/./b", "has a relative path part at offset 2"),
        ("a/..", "has a relative path part at offset 2"),
    ];
    for (name, expected) in names {
        let error = stream_name::validate(name).expect_err(name);
        assert_eq!(
            error.to_string(),
            format!("the stream name {expected}"),
            "{name:?}"
        );
    }
}
