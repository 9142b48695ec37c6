//! A mux frame of a client or a proxy: what decodes, encodes to bytes that decode to the same.
#![no_main]

use distributedlog::wire::mux::{self, Frame, Message};
use libfuzzer_sys::fuzz_target;

/// The longest frame that is taken.
const LIMIT: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(length)) = mux::frame_len(bytes, LIMIT) else {
        return;
    };
    let Some(Ok(frame)) = bytes.get(..length).map(Frame::decode) else {
        return;
    };
    match frame.message {
        Message::Tdispatch {
            contexts,
            delegations,
            ..
        } => {
            contexts.iter().for_each(drop);
            delegations.iter().for_each(drop);
            let _ = (contexts.client_id(), contexts.trace(), contexts.deadline());
        }
        Message::Rdispatch { contexts, .. } => contexts.iter().for_each(drop),
        Message::Tinit { headers, .. } | Message::Rinit { headers, .. } => {
            headers.iter().for_each(drop);
        }
        Message::Treq { keys, .. } => keys.iter().for_each(drop),
        _ => {}
    }
    let mut out = vec![0; frame.encoded_len()];
    let written = frame
        .encode(&mut out)
        .expect("the buffer has the length that was counted");
    assert_eq!(written, out.len(), "encoded_len counts what encode writes");
    let again = Frame::decode(&out).expect("what was encoded decodes");
    assert_eq!(format!("{again:?}"), format!("{frame:?}"));
});
