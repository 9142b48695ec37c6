//! The client's side of every recorded session, byte for byte, given its ids, traces and deadlines.

use distributedlog::client::RequestId;
use distributedlog::client::session::{Envelope, Event, Protocol, Session, Settings};
use distributedlog::wire::framed::{self, RequestHeader};
use distributedlog::wire::mux::{Contexts, Frame, Message};
use distributedlog::wire::service::Request;
use distributedlog::{Instant, WriteState};

use crate::golden_files::{Direction, Exchange, GoldenFrame, Transport, exchanges};

const NOW: Instant = Instant::from_millis(1);

/// What a recorded request is made of.
struct Recorded<'a> {
    request: Request<'a>,
    envelope: Envelope,
    client_id: &'a str,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    sessions: usize,
    control_frames: usize,
    requests: usize,
    replies: usize,
}

#[test]
fn the_client_side_of_every_recorded_session_is_spoken_byte_for_byte() {
    let mut seen = Seen::default();
    for exchange in exchanges() {
        seen.sessions += 1;
        replay(&exchange, &mut seen);
    }
    assert_eq!(
        seen,
        Seen {
            sessions: 182,
            control_frames: 10,
            requests: 190,
            replies: 189
        }
    );
}

fn replay(exchange: &Exchange, seen: &mut Seen) {
    let name = &exchange.name;
    let protocol = match exchange.transport {
        Transport::Mux => Protocol::ThriftMux,
        Transport::Upgraded => Protocol::Thrift,
        Transport::Plain => Protocol::PlainThrift,
    };
    let client_id = exchange
        .frames
        .iter()
        .find_map(|frame| recorded(exchange.transport, frame))
        .map_or("", |it| it.client_id);
    let settings = Settings::builder()
        .protocol(protocol)
        .client_id(client_id)
        .max_frame_bytes(2 << 20)
        .build()
        .expect("valid");
    let mut session = Session::<4>::new(NOW, settings, 1);
    if is_request(exchange.transport, &exchange.frames[0]) {
        open(&mut session, exchange.transport);
    }
    let mut out = vec![0; 2 << 20];
    let mut last_request = None;
    for (index, frame) in exchange.frames.iter().enumerate() {
        let request = RequestId::new(index as u32, 0);
        match (frame.direction, recorded(exchange.transport, frame)) {
            (Direction::ToServer, Some(recorded)) => {
                seen.requests += 1;
                last_request = Some(request);
                let length = session.encoded_len(&recorded.request, &recorded.envelope);
                let (count, _) = session
                    .encode_request(
                        NOW,
                        request,
                        &recorded.request,
                        &recorded.envelope,
                        &mut out,
                    )
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(count, length, "{name}: {}", frame.summary);
                assert!(out[..count] == frame.bytes, "{name}: {}", frame.summary);
                session.handle_transmitted(NOW, count);
            }
            (Direction::ToServer, None) => {
                seen.control_frames += 1;
                let count = session.poll_transmit(&mut out);
                assert!(out[..count] == frame.bytes, "{name}: {}", frame.summary);
                session.handle_transmitted(NOW, count);
            }
            (Direction::ToClient, _) => {
                let (count, event) = session
                    .handle_received(NOW, &frame.bytes)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(count, frame.bytes.len(), "{name}");
                match event {
                    Some(Event::Reply { request, .. }) => {
                        assert_eq!(Some(request), last_request, "{name}");
                        seen.replies += 1;
                    }
                    Some(Event::Ready) | None => {}
                    Some(other) => panic!("{name}: {other:?}"),
                }
            }
        }
    }
    // A request in the record without an answer is one that the recording ended on.
    while let Some(lost) = session.poll_lost() {
        assert_eq!(lost.known, WriteState::Unknown, "{name}");
    }
}

/// Begins a session whose record leaves out its start.
fn open(session: &mut Session<4>, transport: Transport) {
    let answers: &[&[u8]] = match transport {
        Transport::Mux => &[
            b"\0\0\0\x0f\x7f\0\0\x01tinit check",
            b"\0\0\0\x06\xbc\0\0\x01\0\x01",
            b"\0\0\0\x04\xbf\0\0\x01",
        ],
        Transport::Upgraded => {
            &[b"\0\0\0\x28\x80\x01\0\x02\0\0\0\x1b__can__finagle__trace__v3__\0\0\0\0\0"]
        }
        Transport::Plain => &[],
    };
    let mut out = [0; 64];
    for answer in answers {
        let count = session.poll_transmit(&mut out);
        assert!(count > 0);
        session.handle_transmitted(NOW, count);
        session.handle_received(NOW, answer).expect("a good answer");
    }
    assert!(session.is_ready());
}

fn is_request(transport: Transport, frame: &GoldenFrame) -> bool {
    recorded(transport, frame).is_some()
}

/// The request in a frame; [`None`] when there is none, or it is the question for the upgrade.
fn recorded(transport: Transport, frame: &GoldenFrame) -> Option<Recorded<'_>> {
    if frame.direction == Direction::ToClient {
        return None;
    }
    match transport {
        Transport::Mux => {
            let Message::Tdispatch {
                contexts, payload, ..
            } = Frame::decode(&frame.bytes).expect("a mux frame").message
            else {
                return None;
            };
            let envelope = envelope(&contexts);
            let (_, request) = Request::decode(payload).expect("a request");
            Some(Recorded {
                request,
                envelope,
                client_id: contexts.client_id().unwrap_or_default(),
            })
        }
        Transport::Upgraded | Transport::Plain => {
            let body = framed::frame_body(&frame.bytes).expect("a frame");
            if framed::upgrade_request(body).is_some() {
                return None;
            }
            if body[0] == 0x80 {
                let (_, request) = Request::decode(body).expect("a request");
                return Some(Recorded {
                    request,
                    envelope: Envelope::default(),
                    client_id: "",
                });
            }
            let (header, message) = RequestHeader::decode(body).expect("a header");
            let (_, request) = Request::decode(message).expect("a request");
            let contexts: Vec<_> = header
                .contexts
                .expect("contexts")
                .iter()
                .map(|context| context.0)
                .collect();
            let envelope = envelope(&Contexts::new(&contexts));
            Some(Recorded {
                request,
                envelope,
                client_id: header.client_id.unwrap_or_default(),
            })
        }
    }
}

fn envelope(contexts: &Contexts<'_>) -> Envelope {
    Envelope {
        trace: contexts.trace(),
        deadline: contexts.deadline(),
    }
}
