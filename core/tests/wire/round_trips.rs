//! Every encoded value decodes to the same value, and needs a buffer of exactly its measured
//! length.

use core::fmt::Debug;

use distributedlog::names::Name;
use distributedlog::wire::BufferTooSmall;
use distributedlog::wire::framed::{self, RequestHeader};
use distributedlog::wire::mux::{self, Context, Deadline, Frame, Message, Tag, TraceId};
use distributedlog::wire::record_set::{
    AppendError, Codec, HEADER_BYTES, MAX_PAYLOAD_BYTES, RecordSet, RecordSetBuilder, SetIdentity,
};
use distributedlog::wire::service::{Reply, Request, SequenceId};
use distributedlog::{Dlsn, stream_name};

use crate::generate::{Elements, Generator, Pool, Rng, Seed, identity, position};

const CASES: u64 = 4_000;

/// Runs `check` for many seeds, each with a generator over its pool.
fn for_seeds(check: impl Fn(&Generator<'_>, &mut Rng)) {
    let pool = Pool::new(1);
    let elements = Elements::new(&pool, 2);
    let generator = Generator {
        pool: &pool,
        elements: &elements,
    };
    for seed in 0..CASES {
        let _seed = Seed(seed);
        check(&generator, &mut Rng::new(seed));
    }
}

/// Encodes into exactly as many bytes as it says it needs; with one byte less it is refused with
/// that number.
fn encoded(needed: usize, encode: impl Fn(&mut [u8]) -> Result<usize, BufferTooSmall>) -> Vec<u8> {
    let mut out = vec![0; needed];
    assert_eq!(encode(&mut out), Ok(needed));
    assert_eq!(
        encode(&mut vec![0; needed - 1]),
        Err(BufferTooSmall {
            needed,
            available: needed - 1
        })
    );
    out
}

/// The decoded value is emitted with the same bytes.
fn again(bytes: &[u8], encode: impl Fn(&mut [u8]) -> Result<usize, BufferTooSmall>) {
    assert_eq!(encoded(bytes.len(), encode), bytes);
}

fn same<T: PartialEq + Debug>(decoded: T, value: T) {
    assert_eq!(decoded, value);
}

#[test]
fn every_request_comes_back_as_it_was() {
    for_seeds(|generator, rng| {
        let (request, sequence_id) = (generator.request(rng), SequenceId(rng.next() as i32));
        let bytes = encoded(request.encoded_len(sequence_id), |out| {
            request.encode(sequence_id, out)
        });
        let decoded = Request::decode(&bytes).expect("a request");
        same(decoded, (sequence_id, request));
        again(&bytes, |out| decoded.1.encode(sequence_id, out));
    });
}

#[test]
fn every_reply_comes_back_as_it_was() {
    for_seeds(|generator, rng| {
        let ((method, reply), sequence_id) = (generator.reply(rng), SequenceId(rng.next() as i32));
        let bytes = encoded(reply.encoded_len(method, sequence_id), |out| {
            reply.encode(method, sequence_id, out)
        });
        let decoded = Reply::decode(&bytes).expect("a reply");
        same(decoded, (sequence_id, reply));
        again(&bytes, |out| decoded.1.encode(method, sequence_id, out));
    });
}

#[test]
fn every_mux_frame_comes_back_as_it_was() {
    for_seeds(|generator, rng| {
        let frame = generator.frame(rng);
        let bytes = encoded(frame.encoded_len(), |out| frame.encode(out));
        assert_eq!(
            mux::frame_len(&bytes[..4], bytes.len()),
            Ok(Some(bytes.len()))
        );
        assert!(mux::frame_len(&bytes[..4], bytes.len() - 1).is_err());
        assert_eq!(Frame::peek_tag(&bytes), Some(frame.tag));
        let decoded = Frame::decode(&bytes).expect("a frame");
        same(decoded, frame);
        again(&bytes, |out| decoded.encode(out));
    });
}

#[test]
fn a_request_written_into_its_frame_is_the_frame_around_the_request() {
    for_seeds(|generator, rng| {
        let (request, tag) = (
            generator.request(rng),
            Tag::new(rng.next() as u32 >> 9).expect("23 bits"),
        );
        let trace = TraceId {
            span_id: rng.next(),
            parent_id: rng.next(),
            trace_id: rng.next(),
            flags: rng.next(),
        };
        let deadline = Deadline {
            timestamp_ns: rng.next() as i64,
            deadline_ns: rng.next() as i64,
        };
        let (trace_bytes, deadline_bytes) = (trace.to_bytes(), deadline.to_bytes());
        let client_id = generator.pool.text(rng);
        let contexts = [
            Context::client_id(client_id),
            Context::trace(&trace_bytes),
            Context::deadline(&deadline_bytes),
        ];
        let contexts = (&contexts).into();
        let bytes = encoded(mux::encoded_request_len(&contexts, &request), |out| {
            mux::encode_request(tag, &contexts, &request, out)
        });
        let frame = Frame::decode(&bytes).expect("a frame");
        let Message::Tdispatch {
            contexts,
            destination: "",
            delegations,
            payload,
        } = frame.message
        else {
            panic!("{frame:?} is no dispatch");
        };
        assert!(delegations.is_empty());
        assert_eq!(
            (frame.tag, Request::decode(payload)),
            (tag, Ok((SequenceId(0), request)))
        );
        assert_eq!(
            (contexts.client_id(), contexts.trace(), contexts.deadline()),
            (Some(client_id), Some(trace), Some(deadline))
        );
    });
}

#[test]
fn every_upgraded_message_comes_back_as_it_was() {
    for_seeds(|generator, rng| {
        let (header, request) = (generator.request_header(rng), generator.request(rng));
        let needed = framed::encoded_request_len(Some(&header), &request);
        let bytes = encoded(needed, |out| {
            framed::encode_request(Some(&header), SequenceId(7), &request, out)
        });
        let (decoded, message) =
            RequestHeader::decode(framed::frame_body(&bytes).expect("a frame")).expect("a header");
        same(decoded, header);
        assert_eq!(Request::decode(message), Ok((SequenceId(7), request)));

        let (header, (method, reply)) = (generator.response_header(rng), generator.reply(rng));
        let needed = framed::encoded_reply_len(Some(&header), method, &reply);
        let bytes = encoded(needed, |out| {
            framed::encode_reply(Some(&header), method, SequenceId(7), &reply, out)
        });
        let (decoded, message) =
            framed::ResponseHeader::decode(framed::frame_body(&bytes).expect("a frame"))
                .expect("a header");
        same(decoded, header);
        assert_eq!(Reply::decode(message), Ok((SequenceId(7), reply)));
    });
}

#[test]
fn a_declined_upgrade_is_an_exception_that_says_so() {
    let mut out = [0; 256];
    let length = framed::encode_upgrade_refusal(SequenceId(3), &mut out).expect("room");
    let body = framed::frame_body(&out[..length]).expect("a frame");
    assert_eq!(framed::upgrade_accepted(body), Ok(false));
    assert_eq!(framed::upgrade_request(body), None);
    let length = framed::encode_upgrade_reply(SequenceId(3), &mut out).expect("room");
    assert_eq!(
        framed::upgrade_accepted(framed::frame_body(&out[..length]).expect("a frame")),
        Ok(true)
    );
    let length = framed::encode_upgrade_request(&mut out).expect("room");
    assert_eq!(
        framed::upgrade_request(framed::frame_body(&out[..length]).expect("a frame")),
        Some(SequenceId(0))
    );
}

#[test]
fn every_position_comes_back_from_bytes_and_text_in_the_same_order() {
    for_seeds(|_, rng| {
        let (first, second) = (position(rng), position(rng));
        assert_eq!(Dlsn::from_bytes(&first.to_bytes()), Ok(first));
        assert_eq!(first.to_text().as_str().parse(), Ok(first));
        let parts = |dlsn: Dlsn| [dlsn.log_segment_sequence_no, dlsn.entry_id, dlsn.slot_id];
        assert_eq!(first.cmp(&second), parts(first).cmp(&parts(second)));
    });
}

/// R12: the identity is the same on every copy, behind the records, where the original's reader
/// never looks.
#[test]
fn every_record_set_comes_back_record_by_record_with_its_identity() {
    for_seeds(|generator, rng| {
        let identity = if rng.one_in(2) {
            Some(identity(rng))
        } else {
            None
        };
        let mut buffer = vec![0xaa; HEADER_BYTES + 40 + rng.below(1_500)];
        let mut builder = RecordSetBuilder::new(buffer.len(), identity.is_some());
        let mut records: Vec<&[u8]> = Vec::new();
        loop {
            let record = generator.pool.bytes(rng);
            let fits = builder.fits(record.len());
            match builder.append(&mut buffer, record) {
                Ok(()) => {
                    assert!(fits);
                    records.push(record);
                }
                Err(error) => {
                    assert!(!fits);
                    let too_large = record.len() > builder.max_record_bytes();
                    assert_eq!(
                        matches!(error, AppendError::RecordTooLarge { .. }),
                        too_large
                    );
                    break;
                }
            }
        }
        let capacity = buffer.len();
        let plain = builder.finish(&mut buffer, identity.as_ref());
        assert!(plain.len() <= capacity);
        holds(plain, &records, identity);
        #[cfg(feature = "lz4")]
        compressed_too(&builder, &mut buffer, &records, identity);
    });
}

fn holds(bytes: &[u8], records: &[&[u8]], identity: Option<SetIdentity>) {
    let mut scratch = vec![0; MAX_PAYLOAD_BYTES];
    let set = RecordSet::parse(bytes, &mut scratch).expect("a record set");
    assert_eq!(
        (set.len(), set.is_empty(), set.identity()),
        (records.len(), records.is_empty(), identity)
    );
    assert!(set.records().eq(records.iter().copied()));
    assert!(set.trailing().is_empty() && set.beyond().is_empty());
}

#[cfg(feature = "lz4")]
fn compressed_too(
    builder: &RecordSetBuilder,
    buffer: &mut [u8],
    records: &[&[u8]],
    identity: Option<SetIdentity>,
) {
    use distributedlog::wire::record_set::{Lz4Table, max_compressed_len};

    let mut table = Lz4Table::new();
    let mut out = vec![0; max_compressed_len(buffer.len())];
    let plain = builder.finish(buffer, identity.as_ref()).len();
    let bytes = builder
        .finish_lz4(buffer, identity.as_ref(), &mut table, &mut out)
        .expect("room")
        .to_vec();
    assert!(bytes.len() <= plain);
    holds(&bytes, records, identity);
    // Finishing is repeatable, so that a set can be sent again or differently.
    assert_eq!(builder.finish(buffer, identity.as_ref()).len(), plain);
    let needed = max_compressed_len(plain);
    let refused = builder
        .finish_lz4(
            buffer,
            identity.as_ref(),
            &mut table,
            &mut vec![0; needed - 1],
        )
        .map(<[u8]>::len);
    assert_eq!(
        refused,
        Err(BufferTooSmall {
            needed,
            available: needed - 1
        })
    );
}

#[cfg(feature = "lz4")]
#[test]
fn a_set_that_lz4_would_not_make_smaller_is_stored_as_it_is() {
    use distributedlog::wire::record_set::{
        Header, Lz4Table, MAX_RECORD_BYTES, MAX_SET_BYTES, max_compressed_len,
    };

    let mut random = vec![0; MAX_RECORD_BYTES];
    Rng::new(5).fill(&mut random);
    let (mut buffer, mut out) = (
        vec![0; MAX_SET_BYTES],
        vec![0; max_compressed_len(MAX_SET_BYTES)],
    );
    for (record, codec) in [
        (&random, Codec::None),
        (&vec![7; MAX_RECORD_BYTES], Codec::Lz4),
    ] {
        let mut builder = RecordSetBuilder::new(buffer.len(), false);
        builder
            .append(&mut buffer, record)
            .expect("the longest record fits the largest set");
        assert_eq!(builder.append(&mut buffer, b""), Err(AppendError::Full));
        let bytes = builder
            .finish_lz4(&mut buffer, None, &mut Lz4Table::new(), &mut out)
            .expect("room")
            .to_vec();
        assert_eq!(Header::parse(&bytes).expect("a header").codec, codec);
        holds(&bytes, &[record], None);
    }
}

#[test]
fn a_record_set_never_grows_beyond_what_a_proxy_stores() {
    use distributedlog::wire::record_set::{
        MAX_RECORD_BYTES, MAX_RECORD_BYTES_WITH_IDENTITY, MAX_SET_BYTES,
    };

    for (with_identity, max) in [
        (false, MAX_RECORD_BYTES),
        (true, MAX_RECORD_BYTES_WITH_IDENTITY),
    ] {
        let mut buffer = vec![0; 2 * MAX_SET_BYTES];
        let mut builder = RecordSetBuilder::new(buffer.len(), with_identity);
        assert_eq!(builder.max_record_bytes(), max);
        let refused = builder.append(&mut buffer, &vec![1; max + 1]);
        assert_eq!(
            refused,
            Err(AppendError::RecordTooLarge {
                length: max + 1,
                max
            })
        );
        builder
            .append(&mut buffer, &vec![1; max])
            .expect("the longest record fits");
        let identity = with_identity.then(|| identity(&mut Rng::new(3)));
        assert_eq!(
            builder.finish(&mut buffer, identity.as_ref()).len(),
            MAX_SET_BYTES
        );
    }
    assert_eq!(Codec::default(), Codec::None);
}

#[test]
fn a_name_is_printed_as_it_was_read() {
    let names = [
        "inet!127.0.0.1:8000",
        "inet!a.example:1,b.example:65535,[::1]:8000,[2001:db8::1]:80",
        "fixedinet!localhost:8000",
        "nil!",
        "neg!",
        "fail!no such thing: 5!",
        "fail!",
        "zk!zk1:2181,zk2:2181!/messaging/proxies",
        "zk!127.0.0.1:2181!/messaging/proxies!http",
        "serverset!zk1:2181!/messaging/proxies",
    ];
    for text in names {
        let name = Name::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(name.to_string(), text);
        assert_eq!(Name::parse(&name.to_string()), Ok(name));
    }
    assert_eq!(
        Name::parse("a:1,[::1]:2").map(|name| name.to_string()),
        Ok("inet!a:1,[::1]:2".to_owned())
    );
}

#[test]
fn stream_names_that_the_original_takes_are_taken() {
    for name in [
        "basic-stream-3",
        "a",
        "a/b",
        "a.b",
        "a..b",
        "a/.b",
        "a/b..c",
        "stréam",
        "世界",
        "a:b",
        "#1",
    ] {
        assert_eq!(stream_name::validate(name), Ok(name));
        assert_eq!(stream_name::validate(&format!("/{name}")), Ok(name));
    }
}
