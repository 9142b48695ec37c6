//! Bytes of no format, and bytes of a format that were tampered with: no parser panics, loops, or
//! accepts what it cannot emit again.

use distributedlog::names::Name;
use distributedlog::wire::framed::{self, RequestHeader};
use distributedlog::wire::mux::{self, Frame, Message};
use distributedlog::wire::record_set::{self, RecordSet, RecordSetBuilder, SetIdentity};
use distributedlog::wire::service::{MessageHeader, Method, Reply, Request, RequestError};
use distributedlog::wire::{DecodeError, sniff};
use distributedlog::{Dlsn, stream_name};

use crate::generate::{Rng, identity, position};
use crate::golden_files::{exchanges, to_hex};

/// Inputs, each given to every parser.
const RANDOM_INPUTS: u64 = 1_000_000;
const GROWN_INPUTS: u64 = 1_000_000;
const TAMPERED_INPUTS: u64 = 2_000_000;

/// Prints the input of a failure, and the seed that makes it.
struct Input<'a>(u64, &'a [u8]);

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "failed with the seed {}, the input {}",
                self.0,
                to_hex(self.1)
            );
        }
    }
}

/// How many inputs each parser took, so that a run in which nothing is ever accepted does not pass
/// for a test.
#[derive(Debug, Default)]
struct Accepted {
    requests: u64,
    replies: u64,
    frames: u64,
    headers: u64,
    sets: u64,
    positions: u64,
    names: u64,
}

#[test]
fn random_bytes_are_refused_without_a_panic() {
    let (mut accepted, mut scratch) = (Accepted::default(), vec![0; 4096]);
    let mut bytes = [0; 96];
    for seed in 0..RANDOM_INPUTS {
        let rng = &mut Rng::new(seed);
        let length = rng.below(bytes.len());
        rng.fill(&mut bytes[..length]);
        // Mostly small numbers: lengths and counts that could be right.
        if seed % 2 == 0 {
            bytes[..length]
                .iter_mut()
                .for_each(|byte| *byte &= [0x0f, 0x03, 0xff, 0x8f][rng.below(4)]);
        }
        let input = Input(seed, &bytes[..length]);
        give_to_all(input.1, &mut scratch, &mut accepted);
    }
    println!("of {RANDOM_INPUTS} random inputs were taken: {accepted:?}");
}

#[test]
fn random_structs_behind_a_right_head_are_refused_or_read_without_a_panic() {
    let (mut accepted, mut scratch) = (Accepted::default(), vec![0; 4096]);
    let mut bytes = Vec::new();
    for seed in 0..GROWN_INPUTS {
        let rng = &mut Rng::new(seed ^ 0x51ab_0000_0000);
        bytes.clear();
        let method = rng.pick(&Method::ALL).name();
        bytes.extend_from_slice(&[0x80, 0x01, 0x00, *rng.pick(&[1, 1, 2, 2, 3, 4])]);
        bytes.extend_from_slice(&(method.len() as u32).to_be_bytes());
        bytes.extend_from_slice(method.as_bytes());
        bytes.extend_from_slice(&[0; 4]);
        grow_struct(rng, &mut bytes, 20);
        let input = Input(seed, &bytes);
        give_to_all(input.1, &mut scratch, &mut accepted);
    }
    println!("of {GROWN_INPUTS} random structs were taken: {accepted:?}");
    assert!(accepted.requests > 1_000 && accepted.replies > 1_000);
}

/// A struct of random fields, most of them whole, nested up to `depth` deep: deeper than decoding
/// allows.
fn grow_struct(rng: &mut Rng, bytes: &mut Vec<u8>, depth: usize) {
    for _ in 0..rng.below(4) {
        let kind = if depth > 12 {
            *rng.pick(&[12, 12, 12, 15, 11])
        } else {
            *rng.pick(&[2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15, 11, 8])
        };
        bytes.push(if rng.one_in(200) {
            rng.next() as u8
        } else {
            kind
        });
        bytes.extend_from_slice(&(rng.below(10) as i16 - 4).to_be_bytes());
        grow_value(rng, bytes, kind, depth);
    }
    bytes.push(0);
}

fn grow_value(rng: &mut Rng, bytes: &mut Vec<u8>, kind: u8, depth: usize) {
    let Some(deeper) = depth.checked_sub(1) else {
        return;
    };
    let count = if rng.one_in(100) {
        rng.next() as u32
    } else {
        rng.below(3) as u32
    };
    let elements = count.min(4);
    match kind {
        2 | 3 => bytes.push(rng.below(3) as u8),
        6 => bytes.extend_from_slice(&(rng.next() as u16).to_be_bytes()),
        8 => bytes.extend_from_slice(&(rng.below(600) as u32).to_be_bytes()),
        4 | 10 => bytes.extend_from_slice(&rng.next().to_be_bytes()),
        11 => {
            bytes.extend_from_slice(&count.to_be_bytes());
            bytes.resize(bytes.len() + elements as usize, b'x');
        }
        12 => grow_struct(rng, bytes, deeper),
        13 => {
            let (key, value) = (*rng.pick(&[11, 8, 12]), *rng.pick(&[11, 15, 2]));
            bytes.extend_from_slice(&[key, value]);
            bytes.extend_from_slice(&count.to_be_bytes());
            for _ in 0..elements {
                grow_value(rng, bytes, key, deeper);
                grow_value(rng, bytes, value, deeper);
            }
        }
        _ => {
            let element = *rng.pick(&[11, 12, 15, 2, 13]);
            bytes.push(element);
            bytes.extend_from_slice(&count.to_be_bytes());
            (0..elements).for_each(|_| grow_value(rng, bytes, element, deeper));
        }
    }
}

#[test]
fn tampered_messages_are_refused_without_a_panic() {
    let originals = originals();
    let (mut accepted, mut scratch) = (Accepted::default(), vec![0; 4096]);
    let mut bytes = Vec::new();
    for seed in 0..TAMPERED_INPUTS {
        let rng = &mut Rng::new(seed ^ 0x7a3f_0000_0000);
        tamper(rng, &originals, &mut bytes);
        let input = Input(seed, &bytes);
        give_to_all(input.1, &mut scratch, &mut accepted);
    }
    println!("of {TAMPERED_INPUTS} tampered inputs were taken: {accepted:?}");
    let Accepted {
        requests,
        replies,
        frames,
        headers,
        sets,
        positions,
        names,
    } = accepted;
    assert!(
        [requests, replies, frames, headers, sets, positions, names]
            .iter()
            .all(|&count| count > 1_000)
    );
}

/// Frames, the messages inside them, record sets, positions and names: what inputs are made of.
fn originals() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for exchange in exchanges() {
        for frame in exchange
            .frames
            .into_iter()
            .filter(|frame| frame.bytes.len() < 4096)
        {
            if let Some(start) = frame.bytes.windows(2).position(|two| two == [0x80, 0x01]) {
                all.push(frame.bytes[start..].to_vec());
                all.push(frame.bytes[4..].to_vec());
            }
            all.push(frame.bytes);
        }
    }
    let rng = &mut Rng::new(11);
    for index in 0..40 {
        let mut buffer = vec![0; 512];
        let mut builder = RecordSetBuilder::new(buffer.len(), true);
        while builder
            .append(&mut buffer, &[b'a'; 100][..rng.below(100)])
            .is_ok()
        {}
        let identity = identity(rng);
        all.push(
            builder
                .finish(&mut buffer, (index % 2 == 0).then_some(&identity))
                .to_vec(),
        );
        all.push(compressed(&builder, &mut buffer, &identity));
        all.push(identity.to_trailer().to_vec());
        all.push(position(rng).to_bytes().to_vec());
        all.push(position(rng).to_text().as_str().as_bytes().to_vec());
    }
    let names = [
        "inet!127.0.0.1:8000,[::1]:9",
        "zk!a:1,b:2!/c!d",
        "serverset!h:1!/p",
        "fail!x",
        "nil!",
        "a/b/c",
        "basic-stream-1",
    ];
    for _ in 0..12 {
        all.extend(names.iter().map(|name| name.as_bytes().to_vec()));
    }
    all
}

#[cfg(feature = "lz4")]
fn compressed(builder: &RecordSetBuilder, buffer: &mut [u8], identity: &SetIdentity) -> Vec<u8> {
    let mut out = vec![0; record_set::max_compressed_len(buffer.len())];
    builder
        .finish_lz4(
            buffer,
            Some(identity),
            &mut record_set::Lz4Table::new(),
            &mut out,
        )
        .expect("room")
        .to_vec()
}

#[cfg(not(feature = "lz4"))]
fn compressed(builder: &RecordSetBuilder, buffer: &mut [u8], identity: &SetIdentity) -> Vec<u8> {
    builder.finish(buffer, Some(identity)).to_vec()
}

/// One of the originals with a few things done to it.
fn tamper(rng: &mut Rng, originals: &[Vec<u8>], bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend_from_slice(rng.pick::<Vec<u8>>(originals));
    for _ in 0..=rng.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.below(bytes.len());
        match rng.below(7) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes.truncate(at),
            2 | 3 => length_field(rng, bytes, at),
            4 => {
                let other = rng.pick(originals);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[rng.below(other.len())..]);
            }
            5 => {
                let end = (at + rng.below(24)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = rng.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => bytes[at] = rng.next() as u8,
        }
    }
    // A frame whose length field is wrong is refused at once: most of them get one that is right
    // again.
    if bytes.len() > 4 && bytes[0] == 0 && rng.below(4) != 0 {
        let length = bytes.len() as u32 - 4;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
    }
}

/// Overwrites what may be a length or a count with what no length should be.
fn length_field(rng: &mut Rng, bytes: &mut [u8], at: usize) {
    let length = bytes.len() as u32;
    let value = *rng.pick(&[
        0,
        1,
        2,
        length,
        length - 1,
        length + 1,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        0x00ff_ffff,
        0x1000_0000,
    ]);
    let width = [1, 2, 4][rng.below(3)].min(bytes.len() - at);
    bytes[at..at + width].copy_from_slice(&value.to_be_bytes()[4 - width..]);
}

fn give_to_all(bytes: &[u8], scratch: &mut [u8], accepted: &mut Accepted) {
    give_to_service(bytes, accepted);
    give_to_mux(bytes, accepted);
    give_to_framed(bytes, accepted);
    accepted.sets += u64::from(give_to_record_set(bytes, scratch));
    accepted.positions += u64::from(give_to_texts(bytes, accepted));
}

fn within(bytes: &[u8], error: &DecodeError) {
    assert!(
        error.offset <= bytes.len(),
        "{error} is beyond the {} bytes",
        bytes.len()
    );
}

fn give_to_service(bytes: &[u8], accepted: &mut Accepted) {
    let mut out = [0; 8192];
    match Request::decode(bytes) {
        Ok((sequence_id, request)) => {
            accepted.requests += 1;
            let length = request
                .encode(sequence_id, &mut out)
                .expect("no longer than what it was read from");
            assert_eq!(length, request.encoded_len(sequence_id));
            assert_eq!(Request::decode(&out[..length]), Ok((sequence_id, request)));
        }
        Err(RequestError::Malformed(error) | RequestError::BadArguments { error, .. }) => {
            within(bytes, &error)
        }
        Err(RequestError::UnknownMethod { name, .. }) => assert!(name.len() < bytes.len()),
    }
    match Reply::decode(bytes) {
        Ok((sequence_id, reply)) => {
            accepted.replies += 1;
            let (header, _) = MessageHeader::decode(bytes).expect("it has a head, too");
            let length = reply
                .encode(header.method, sequence_id, &mut out)
                .expect("room");
            assert_eq!(Reply::decode(&out[..length]), Ok((sequence_id, reply)));
        }
        Err(error) => within(bytes, &error),
    }
}

fn give_to_mux(bytes: &[u8], accepted: &mut Accepted) {
    let _ = sniff(bytes);
    if let Ok(Some(length)) = mux::frame_len(bytes, 4096) {
        assert!((4..=4096).contains(&length));
    }
    match Frame::decode(bytes) {
        Ok(frame) => {
            accepted.frames += 1;
            assert_eq!(Frame::peek_tag(bytes), Some(frame.tag));
            let mut out = [0; 8192];
            let length = frame
                .encode(&mut out)
                .expect("as long as what it was read from");
            // A frame is emitted as it came, to the byte: it has no second way to say the same.
            assert_eq!(&out[..length], bytes);
            if let Message::Tdispatch {
                contexts, payload, ..
            } = frame.message
            {
                let _ = (
                    contexts.client_id(),
                    contexts.trace(),
                    contexts.deadline().map(mux::Deadline::budget),
                );
                give_to_service(payload, accepted);
            }
            if let Message::Rdispatch { payload, .. } = frame.message {
                give_to_service(payload, accepted);
            }
        }
        Err(error) => within(bytes, &error),
    }
}

fn give_to_framed(bytes: &[u8], accepted: &mut Accepted) {
    let body = framed::frame_body(bytes).unwrap_or(bytes);
    let _ = (
        framed::upgrade_request(body),
        framed::upgrade_accepted(body),
    );
    match RequestHeader::decode(body) {
        Ok((header, message)) => {
            accepted.headers += 1;
            let _ = (
                header.any_client_id(),
                header.contexts.and_then(|contexts| contexts.deadline()),
            );
            let mut out = [0; 8192];
            let length = header.encode(&mut out).expect("room");
            assert_eq!(
                RequestHeader::decode(&out[..length]),
                Ok((header, [].as_slice()))
            );
            give_to_service(message, accepted);
        }
        Err(error) => within(body, &error),
    }
    match framed::ResponseHeader::decode(body) {
        Ok((_, message)) => give_to_service(message, accepted),
        Err(error) => within(body, &error),
    }
}

fn give_to_record_set(bytes: &[u8], scratch: &mut [u8]) -> bool {
    let _ = SetIdentity::from_trailer(bytes);
    match RecordSet::parse(bytes, scratch) {
        Ok(set) => {
            assert_eq!(set.records().count(), set.len());
            let payload: usize = set.records().map(|record| 4 + record.len()).sum();
            let identity = if set.identity().is_some() {
                record_set::TRAILER_BYTES
            } else {
                0
            };
            assert_eq!(
                payload + identity + set.trailing().len(),
                set.header().payload_bytes
            );
            assert_eq!(
                16 + set.header().stored_bytes + set.beyond().len(),
                bytes.len()
            );
            true
        }
        Err(error) => {
            assert!(
                error.offset <= bytes.len().max(16 + record_set::MAX_PAYLOAD_BYTES),
                "{error}"
            );
            false
        }
    }
}

fn give_to_texts(bytes: &[u8], accepted: &mut Accepted) -> bool {
    let from_bytes = Dlsn::from_bytes(bytes);
    if let Ok(dlsn) = from_bytes {
        assert_eq!(Dlsn::from_bytes(&dlsn.to_bytes()), Ok(dlsn));
    }
    let Ok(text) = core::str::from_utf8(bytes) else {
        return from_bytes.is_ok();
    };
    let from_text = text.parse::<Dlsn>();
    if let Ok(dlsn) = from_text {
        assert_eq!(dlsn.to_text().as_str().parse(), Ok(dlsn));
    }
    match Name::parse(text) {
        Ok(name) => {
            accepted.names += 1;
            let printed = name.to_string();
            assert_eq!(
                Name::parse(&printed).map(|name| name.to_string()),
                Ok(printed)
            );
        }
        Err(error) => assert!(error.offset <= text.len()),
    }
    match stream_name::validate(text) {
        Ok(name) => assert_eq!(stream_name::validate(name), Ok(name)),
        Err(error) => assert!(error.offset <= text.len()),
    }
    from_bytes.is_ok() || from_text.is_ok()
}
