//! Every parser of a device, on untrusted bytes. The panic handler calls a function that does not
//! exist: if a parser can panic, the program does not link for bare metal. On a host it runs once
//! over no bytes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;

use distributedlog::wire::mux::{self, Frame, Message};
use distributedlog::wire::record_set::{Header, RecordSet, SetIdentity};
use distributedlog::wire::service::{Reply, Request, ServerInfo, WriteResponse};
use distributedlog::wire::thrift::MessageHeader;
use distributedlog::wire::{framed, sniff};
use distributedlog::{Dlsn, stream_name};

/// Maximum length of a frame.
const LIMIT: usize = 4096;

/// Parses a frame of mux, and everything that its message borrows.
fn mux(bytes: &[u8]) -> Option<()> {
    let length = mux::frame_len(bytes, LIMIT).ok()??;
    let frame = Frame::decode(bytes.get(..length)?).ok()?;
    match frame.message {
        Message::Tdispatch {
            contexts,
            delegations,
            payload,
            ..
        } => {
            contexts.iter().for_each(seen);
            delegations.iter().for_each(seen);
            seen((contexts.client_id(), contexts.trace(), contexts.deadline()));
            seen(Request::decode(payload));
        }
        Message::Rdispatch {
            contexts, payload, ..
        } => {
            contexts.iter().for_each(seen);
            reply(payload);
        }
        Message::Tinit { headers, .. } | Message::Rinit { headers, .. } => {
            headers.iter().for_each(seen)
        }
        Message::Treq { keys, .. } => keys.iter().for_each(seen),
        other => seen(other),
    }
    Some(())
}

/// Parses a reply of each method.
fn reply(message: &[u8]) {
    match Reply::decode(message) {
        Ok((
            _,
            Reply::ServerInfo(ServerInfo {
                ownerships: Some(ownerships),
                ..
            }),
        )) => ownerships.iter().for_each(seen),
        Ok((
            _,
            Reply::Write(WriteResponse {
                dlsn: Some(text), ..
            }),
        )) => seen(text.parse::<Dlsn>()),
        Ok((_, Reply::BulkWrite(answer))) => answer.responses.iter().flatten().for_each(seen),
        other => seen(other),
    }
}

/// Parses a frame of framed thrift.
fn framed(bytes: &[u8]) -> Option<()> {
    let length = framed::frame_len(bytes, LIMIT).ok()??;
    let body = framed::frame_body(bytes.get(..length)?).ok()?;
    seen((
        framed::upgrade_accepted(body),
        framed::upgrade_request(body),
        MessageHeader::decode(body),
    ));
    if let Ok((header, message)) = framed::RequestHeader::decode(body) {
        header.contexts.iter().flatten().for_each(seen);
        seen(Request::decode(message));
    }
    let (header, message) = framed::ResponseHeader::decode(body).ok()?;
    header.contexts.iter().flatten().for_each(seen);
    reply(message);
    Some(())
}

/// Parses a record set, from its header to the records.
fn record_set(bytes: &[u8], scratch: &mut [u8]) -> Option<()> {
    seen(Header::parse(bytes));
    let set = RecordSet::parse(bytes, scratch).ok()?;
    set.records().for_each(seen);
    seen((set.identity(), set.trailing(), set.beyond()));
    Some(())
}

/// Runs all parsers on the same bytes.
fn parse(bytes: &[u8], scratch: &mut [u8]) {
    seen((
        sniff(bytes),
        Dlsn::from_bytes(bytes),
        SetIdentity::from_trailer(bytes),
    ));
    seen((mux(bytes), framed(bytes), record_set(bytes, scratch)));
    if let Ok(text) = core::str::from_utf8(bytes) {
        seen((text.parse::<Dlsn>(), stream_name::validate(text)));
    }
    #[cfg(feature = "can-panic")]
    seen(bytes[0]);
}

/// Uses a parsed value, so that the compiler cannot leave out the parser.
#[inline(never)]
fn seen<T>(value: T) {
    black_box(&value);
}

#[cfg(not(target_os = "none"))]
fn main() {
    parse(black_box(&[]), &mut []);
    println!("ok");
}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let mut scratch = [0; 64];
    loop {
        parse(black_box(&[]), black_box(&mut scratch));
    }
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        /// Undefined: the linker names it in its error.
        fn a_parser_can_panic() -> !;
    }
    // SAFETY: it is never called, because no program that refers to it links.
    unsafe { a_parser_can_panic() }
}
