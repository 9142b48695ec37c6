//! Framed thrift and its messages: requests, replies, the headers of the upgraded protocol.
#![no_main]

use distributedlog::wire::service::{Reply, Request};
use distributedlog::wire::thrift::MessageHeader;
use distributedlog::wire::{framed, sniff};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = sniff(bytes);
    if let Ok(Some(length)) = framed::frame_len(bytes, 1 << 16)
        && let Some(frame) = bytes.get(..length)
        && let Ok(body) = framed::frame_body(frame)
    {
        messages(body);
    }
    messages(bytes);
});

fn messages(body: &[u8]) {
    let _ = (
        framed::upgrade_accepted(body),
        framed::upgrade_request(body),
    );
    let _ = MessageHeader::decode(body);
    request(body);
    reply(body);
    if let Ok((header, message)) = framed::RequestHeader::decode(body) {
        header.contexts.iter().flatten().for_each(drop);
        let _ = header.any_client_id();
        request(message);
    }
    if let Ok((header, message)) = framed::ResponseHeader::decode(body) {
        header.contexts.iter().flatten().for_each(drop);
        reply(message);
    }
}

/// What decodes, encodes to bytes that decode to the same.
fn request(message: &[u8]) {
    let Ok((sequence_id, request)) = Request::decode(message) else {
        return;
    };
    let mut out = vec![0; request.encoded_len(sequence_id)];
    let written = request
        .encode(sequence_id, &mut out)
        .expect("the buffer is as long as counted");
    assert_eq!(written, out.len(), "encoded_len counts what encode writes");
    let (again_id, again) = Request::decode(&out).expect("what was encoded decodes");
    assert_eq!(
        (again_id, format!("{again:?}")),
        (sequence_id, format!("{request:?}"))
    );
}

fn reply(message: &[u8]) {
    let _ = Reply::decode_write(message);
    match Reply::decode(message) {
        Ok((_, Reply::ServerInfo(info))) => info.ownerships.iter().flatten().for_each(drop),
        Ok((_, Reply::BulkWrite(bulk))) => bulk.responses.iter().flatten().for_each(drop),
        _ => {}
    }
}
