//! Every frame of the captures, parsed to its meaning and emitted again byte for byte.

use distributedlog::Dlsn;
use distributedlog::wire::framed::{self, RequestHeader};
use distributedlog::wire::mux::{self, Context, Frame, Message, Status};
use distributedlog::wire::service::{
    BulkWriteResponse, MessageHeader, Reply, Request, SequenceId, ServerInfo, WriteContext,
    WriteResponse,
};
use distributedlog::wire::{Protocol, crc, record_set, sniff};

use crate::golden_files::{Direction, Exchange, GoldenFrame, RESULT_CUT_AT, Transport, exchanges};
use crate::meaning;

/// What was seen, so that a file that is skipped fails the test.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    files: usize,
    mux_frames: usize,
    framed_messages: usize,
    upgrades: usize,
    requests: usize,
    replies: usize,
    exceptions: usize,
    record_sets: usize,
    checksums: usize,
    results: usize,
}

#[test]
fn every_frame_of_every_capture_is_parsed_to_its_meaning_and_emitted_byte_for_byte() {
    let mut seen = Seen::default();
    for exchange in exchanges() {
        seen.files += 1;
        let mut upgraded = false;
        let mut last_reply = None;
        for frame in &exchange.frames {
            let reply = match exchange.transport {
                Transport::Mux => mux_frame(&exchange, frame, &mut seen),
                Transport::Upgraded | Transport::Plain => {
                    framed_message(&exchange, frame, &mut upgraded, &mut seen)
                }
            };
            last_reply = reply.or(last_reply);
        }
        check_result(&exchange, last_reply.as_deref(), &mut seen);
    }
    let expected = Seen {
        files: 182,
        mux_frames: 94,
        framed_messages: 305,
        upgrades: 4,
        requests: 190,
        replies: 108,
        exceptions: 81,
        record_sets: 21,
        checksums: 36,
        results: 180,
    };
    assert_eq!(seen, expected);
}

fn mux_frame(exchange: &Exchange, golden: &GoldenFrame, seen: &mut Seen) -> Option<String> {
    let name = &exchange.name;
    seen.mux_frames += 1;
    assert_eq!(
        mux::frame_len(&golden.bytes, golden.bytes.len()),
        Ok(Some(golden.bytes.len())),
        "{name}"
    );
    if golden.direction == Direction::ToServer {
        assert_eq!(sniff(&golden.bytes), Some(Protocol::Mux), "{name}");
    }
    let frame = Frame::decode(&golden.bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(
        meaning::of_mux(&frame),
        without_offset(&golden.summary),
        "{name}"
    );
    emits(name, &golden.bytes, |out| frame.encode(out));
    assert_eq!(frame.encoded_len(), golden.bytes.len(), "{name}");
    if let Message::Tdispatch {
        contexts, payload, ..
    } = frame.message
    {
        let request = request(name, payload, seen);
        // The same frame from nothing but values: typed contexts, and the request inside without a
        // buffer in between.
        let (client_id, trace, deadline) =
            (contexts.client_id(), contexts.trace(), contexts.deadline());
        let (client_id, trace) = (
            client_id.expect("a client id"),
            trace.expect("a trace").to_bytes(),
        );
        let deadline = deadline.expect("a deadline");
        assert!(!deadline.budget().is_zero(), "{name}");
        let deadline = deadline.to_bytes();
        let contexts = [
            Context::client_id(client_id),
            Context::trace(&trace),
            Context::deadline(&deadline),
        ];
        emits(name, &golden.bytes, |out| {
            mux::encode_request(frame.tag, &(&contexts).into(), &request, out)
        });
        assert_eq!(
            mux::encoded_request_len(&(&contexts).into(), &request),
            golden.bytes.len(),
            "{name}"
        );
    }
    if let Message::Rdispatch {
        status, payload, ..
    } = frame.message
    {
        assert_eq!(status, Status::Ok, "{name}");
        let (method, sequence_id, reply) = reply(name, payload, seen);
        emits(name, &golden.bytes, |out| {
            mux::encode_reply(frame.tag, method, sequence_id, &reply, out)
        });
        assert_eq!(
            mux::encoded_reply_len(method, &reply),
            golden.bytes.len(),
            "{name}"
        );
        return Some(meaning::of_reply(&reply));
    }
    None
}

fn framed_message(
    exchange: &Exchange,
    golden: &GoldenFrame,
    upgraded: &mut bool,
    seen: &mut Seen,
) -> Option<String> {
    let name = &exchange.name;
    seen.framed_messages += 1;
    assert_eq!(
        framed::frame_len(&golden.bytes, golden.bytes.len()),
        Ok(Some(golden.bytes.len())),
        "{name}"
    );
    let body = framed::frame_body(&golden.bytes).expect("a whole frame");
    // The frames of a session that was captured from its start show its transport; the others begin
    // in the middle, with a header in front of the call.
    let starts_upgraded = exchange.transport == Transport::Upgraded
        && framed::upgrade_request(body).is_none()
        && !is_upgrade_answer(body);
    *upgraded |= starts_upgraded;
    match golden.direction {
        Direction::ToServer => {
            if !starts_upgraded {
                assert_eq!(sniff(&golden.bytes), Some(Protocol::FramedThrift), "{name}");
            }
            if framed::upgrade_request(body).is_some() {
                seen.upgrades += 1;
                assert_eq!(
                    format!("framed {}", meaning::of_thrift(body)),
                    without_offset(&golden.summary),
                    "{name}"
                );
                emits(name, &golden.bytes, framed::encode_upgrade_request);
                return None;
            }
            let (header, message) = split_request(*upgraded, body);
            assert_eq!(
                format!("framed {}", meaning::of_thrift(message)),
                without_offset(&golden.summary),
                "{name}"
            );
            let request = request(name, message, seen);
            if let Some(header) = &header {
                assert!(
                    header.any_client_id().is_some()
                        && header.contexts.expect("contexts").deadline().is_some(),
                    "{name}"
                );
            }
            emits(name, &golden.bytes, |out| {
                framed::encode_request(header.as_ref(), SequenceId(0), &request, out)
            });
            assert_eq!(
                framed::encoded_request_len(header.as_ref(), &request),
                golden.bytes.len(),
                "{name}"
            );
            None
        }
        Direction::ToClient => {
            if is_upgrade_answer(body) {
                *upgraded = framed::upgrade_accepted(body).expect("an answer");
                emits(name, &golden.bytes, |out| {
                    framed::encode_upgrade_reply(SequenceId(0), out)
                });
                return None;
            }
            let (header, message) = if *upgraded {
                let (header, message) = framed::ResponseHeader::decode(body).expect("a header");
                assert_eq!(header, framed::ResponseHeader::default(), "{name}");
                (Some(header), message)
            } else {
                (None, body)
            };
            assert_eq!(
                format!("framed {}", meaning::of_thrift(message)),
                without_offset(&golden.summary),
                "{name}"
            );
            let (method, sequence_id, reply) = reply(name, message, seen);
            emits(name, &golden.bytes, |out| {
                framed::encode_reply(header.as_ref(), method, sequence_id, &reply, out)
            });
            assert_eq!(
                framed::encoded_reply_len(header.as_ref(), method, &reply),
                golden.bytes.len(),
                "{name}"
            );
            Some(meaning::of_reply(&reply))
        }
    }
}

fn split_request(upgraded: bool, body: &[u8]) -> (Option<RequestHeader<'_>>, &[u8]) {
    if !upgraded {
        return (None, body);
    }
    let (header, message) = RequestHeader::decode(body).expect("a header");
    let mut bytes = vec![0; header.encoded_len()];
    header.encode(&mut bytes).expect("as long as it said");
    assert_eq!([&bytes, message].concat(), body);
    (Some(header), message)
}

fn is_upgrade_answer(body: &[u8]) -> bool {
    MessageHeader::decode(body).is_ok_and(|(header, _)| header.method == framed::UPGRADE_METHOD)
}

/// Parses a call and emits it again, once as it was read and once from slices of its elements.
fn request<'a>(name: &str, message: &'a [u8], seen: &mut Seen) -> Request<'a> {
    seen.requests += 1;
    let (sequence_id, request) =
        Request::decode(message).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(
        request.method().name(),
        MessageHeader::decode(message).expect("a message").0.method,
        "{name}"
    );
    emits(name, message, |out| request.encode(sequence_id, out));
    assert_eq!(request.encoded_len(sequence_id), message.len(), "{name}");
    if let Request::WriteBulkWithContext {
        stream,
        data,
        context,
    } = request
    {
        let records: Vec<&[u8]> = data.iter().collect();
        let again = Request::WriteBulkWithContext {
            stream,
            data: records.as_slice().into(),
            context,
        };
        assert_eq!(again, request, "{name}");
        emits(name, message, |out| again.encode(sequence_id, out));
    }
    if let Request::WriteWithContext {
        stream,
        data,
        context,
    } = request
    {
        let hosts: Vec<&str> = context.tried_hosts.unwrap_or_default().iter().collect();
        let tried_hosts = context.tried_hosts.map(|_| hosts.as_slice().into());
        let again = Request::WriteWithContext {
            stream,
            data,
            context: WriteContext {
                tried_hosts,
                ..context
            },
        };
        assert_eq!(again, request, "{name}");
        emits(name, message, |out| again.encode(sequence_id, out));
        check_write(name, stream, data, &context, seen);
    }
    if let Request::Truncate {
        stream,
        dlsn,
        context,
    } = request
        && let (Ok(dlsn), Some(sum)) = (dlsn.parse::<Dlsn>(), context.crc32)
    {
        seen.checksums += 1;
        assert_eq!(i64::from(crc::truncate(stream, &dlsn)), sum, "{name}");
    }
    if let Request::Heartbeat { stream, context } = request
        && let Some(sum) = context.crc32
    {
        seen.checksums += 1;
        assert_eq!(i64::from(crc::stream(stream)), sum, "{name}");
    }
    request
}

/// The checksum and the record set of a write, except where the capture is about wrong ones.
fn check_write(name: &str, stream: &str, data: &[u8], context: &WriteContext<'_>, seen: &mut Seen) {
    if let Some(sum) = context.crc32 {
        seen.checksums += 1;
        assert_eq!(
            i64::from(crc::write(stream, data)) == sum,
            !name.contains("bad-crc"),
            "{name}"
        );
    }
    if context.is_record_set == Some(true) {
        seen.record_sets += 1;
        let mut scratch = vec![0; record_set::MAX_PAYLOAD_BYTES];
        let set = record_set::RecordSet::parse(data, &mut scratch);
        if name.contains("garbage") {
            assert_eq!(set.expect_err("garbage").offset, 0, "{name}");
        } else if cfg!(feature = "lz4") || !name.contains("lz4") {
            let set = set.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(
                set.records().len() > 0 && set.trailing().is_empty() && set.beyond().is_empty(),
                "{name}"
            );
        }
    }
}

/// Parses a reply and emits it again, once as it was read and once from slices of its elements.
fn reply<'a>(name: &str, message: &'a [u8], seen: &mut Seen) -> (&'a str, SequenceId, Reply<'a>) {
    let method = MessageHeader::decode(message).expect("a message").0.method;
    let (sequence_id, reply) =
        Reply::decode(message).unwrap_or_else(|error| panic!("{name}: {error}"));
    emits(name, message, |out| reply.encode(method, sequence_id, out));
    assert_eq!(
        reply.encoded_len(method, sequence_id),
        message.len(),
        "{name}"
    );
    match reply {
        Reply::Exception { .. } => seen.exceptions += 1,
        Reply::Void | Reply::Write(_) => seen.replies += 1,
        Reply::ServerInfo(info) => {
            seen.replies += 1;
            let pairs: Vec<(&str, &str)> = info.ownerships.unwrap_or_default().iter().collect();
            let again = Reply::ServerInfo(ServerInfo {
                ownerships: info.ownerships.map(|_| pairs.as_slice().into()),
                ..info
            });
            assert_eq!(again, reply, "{name}");
            emits(name, message, |out| again.encode(method, sequence_id, out));
        }
        Reply::BulkWrite(bulk) => {
            seen.replies += 1;
            let responses: Vec<WriteResponse<'_>> =
                bulk.responses.unwrap_or_default().iter().collect();
            let again = BulkWriteResponse {
                responses: bulk.responses.map(|_| responses.as_slice().into()),
                ..bulk
            };
            let again = Reply::BulkWrite(again);
            assert_eq!(again, reply, "{name}");
            emits(name, message, |out| again.encode(method, sequence_id, out));
        }
    }
    (method, sequence_id, reply)
}

/// The last reply is what the original's client printed as its result. The sessions of its multi
/// stream writer have none.
fn check_result(exchange: &Exchange, reply: Option<&str>, seen: &mut Seen) {
    if exchange.result.is_empty() {
        return;
    }
    seen.results += 1;
    let name = &exchange.name;
    let Some(reply) = reply else {
        // The original's client gave up waiting for an answer that never came.
        assert!(exchange.result.contains("TimeoutException"), "{name}");
        return;
    };
    if exchange.result.len() < RESULT_CUT_AT {
        assert_eq!(reply, exchange.result, "{name}");
    } else {
        assert!(
            reply.starts_with(&exchange.result),
            "{name}: {reply} is not {}",
            exchange.result
        );
    }
}

fn emits<E: core::fmt::Debug>(
    name: &str,
    bytes: &[u8],
    encode: impl FnOnce(&mut [u8]) -> Result<usize, E>,
) {
    let mut out = vec![0xaa; bytes.len()];
    let length = encode(&mut out).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    assert_eq!(length, bytes.len(), "{name}");
    assert!(out == bytes, "{name}: emitted other bytes");
}

/// A summary without where in the frame the thrift message begins.
fn without_offset(summary: &str) -> &str {
    summary.rsplit_once("@").map_or(summary, |(front, _)| front)
}
