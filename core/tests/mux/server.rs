//! The server's side of mux against a model of what it must do: frames of clients of every kind,
//! replies and drains in any order.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "all messages that the model does not name have no meaning for a server"
)]

use std::collections::BTreeMap;

use distributedlog::wire::mux::{
    Frame, INIT_CHECK, Message, RequestKind, Server, ServerError, ServerEvent, Status, Tag,
    TraceKeys,
};
use distributedlog_testkit::Random;

use super::{any_message, request};

/// What a server must know, kept in the simplest way.
#[derive(Default)]
struct Model {
    in_flight: BTreeMap<Tag, u64>,
    asked: bool,
    agreed: bool,
    refuses: bool,
    started: u64,
    answered: u64,
}

impl Model {
    /// Checks what the server says of a frame, and starts the request in it as its user would.
    fn check(&mut self, server: &mut Server<u64>, frame: &Frame<'_>) {
        let mut bytes = vec![0; frame.encoded_len()];
        frame.encode(&mut bytes).expect("it has room");
        let event = server.handle_frame(&bytes);
        let kind = match frame.message {
            Message::Treq { .. } => RequestKind::Treq,
            Message::Tdispatch { .. } => RequestKind::Tdispatch,
            _ => return self.check_control(event, frame),
        };
        let tag = frame.tag;
        match event {
            Ok(ServerEvent::Request(request)) => {
                assert!(tag != Tag::ZERO && !self.refuses);
                assert_eq!((request.tag, request.kind), (tag, kind));
                assert_eq!(request.payload, b"payload");
                self.started += 1;
                server.start(tag, kind, self.started);
                assert_eq!(self.in_flight.insert(tag, self.started), None);
            }
            Ok(ServerEvent::Send(answer)) => {
                assert_eq!(answer.tag, tag);
                assert!(!self.in_flight.contains_key(&tag));
                if tag == Tag::ZERO {
                    assert!(matches!(answer.message, Message::Rerr { .. }));
                } else {
                    assert!(self.refuses);
                    assert_eq!(answer.message, kind.reply(Status::Nack, b"too late"));
                }
            }
            Err(ServerError::TagInUse(used)) => {
                assert!(used == tag && self.in_flight.contains_key(&tag));
            }
            other => panic!("{frame:?} is {other:?}"),
        }
    }

    fn check_control(&mut self, event: Result<ServerEvent<'_>, ServerError>, frame: &Frame<'_>) {
        let event = event.expect("it is a frame");
        let answer = |message| ServerEvent::Send(Frame::new(frame.tag, message));
        let expected = match frame.message {
            Message::Tping => answer(Message::Rping),
            Message::Tdrain => answer(Message::Rdrain),
            Message::BadRerr { error: INIT_CHECK } => answer(frame.message),
            Message::Tinit { version, headers } => ServerEvent::Init {
                tag: frame.tag,
                version,
                headers,
            },
            Message::Tdiscarded { discarded, .. } | Message::BadTdiscarded { discarded, .. } => {
                ServerEvent::Discarded(discarded)
            }
            Message::Rdrain => {
                self.agreed |= self.asked;
                self.refuses |= self.asked;
                ServerEvent::Nothing
            }
            Message::Rping | Message::Tlease { .. } => ServerEvent::Nothing,
            _ => ServerEvent::Unexpected(*frame),
        };
        assert_eq!(event, expected);
    }

    /// Finishes a request, if there is one.
    fn answer(&mut self, server: &mut Server<u64>, random: &mut Random) {
        let tags: Vec<Tag> = self.in_flight.keys().copied().collect();
        let Some(&tag) = tags.get(random.index(tags.len())) else {
            return;
        };
        let request = self.in_flight.remove(&tag).expect("it is one of them");
        assert_eq!(server.request(tag), Some(&request));
        assert_eq!(server.finish(tag).map(|(_, it)| it), Some(request));
        assert_eq!(server.finish(tag), None, "each gets one reply");
        self.answered += 1;
    }

    fn compare(&self, server: &Server<u64>) {
        let kept = server.requests().map(|(tag, request)| (tag, *request));
        assert!(kept.eq(self.in_flight.iter().map(|(tag, it)| (*tag, *it))));
        assert_eq!(server.is_agreed(), self.agreed);
        let none = self.in_flight.is_empty();
        assert_eq!(server.is_drained(), self.agreed && none);
    }
}

/// A frame that a client could send, or should not.
fn any_frame(random: &mut Random, tag: Tag, discarded: Tag) -> Frame<'static> {
    let payload = b"payload";
    let message = any_message(random, discarded, |random| match random.below(3) {
        0 => Message::Treq {
            keys: TraceKeys::default(),
            payload,
        },
        _ => request(payload),
    });
    Frame::new(tag, message)
}

#[test]
fn a_server_does_with_every_frame_what_its_model_says_in_any_order_of_replies_and_drains() {
    let (mut answered, mut drained) = (0, 0);
    for seed in 0..500 {
        let (mut random, mut model) = (Random::new(seed), Model::default());
        let mut server = Server::new("too late");
        let steps = 50 + random.below(300);
        for _ in 0..steps {
            // Few tags, so that they meet; those of clients that count from one, and others.
            let tag = |random: &mut Random| {
                let number = random.below(if seed % 2 == 0 { 8 } else { 64 }) as u32;
                let is_far = seed % 4 == 3 && number.is_multiple_of(5);
                Tag::new(if is_far { 0x7f_ffff - number } else { number }).expect("a tag")
            };
            match random.below(100) {
                0 => {
                    let asks = server.drain();
                    assert_eq!(asks.is_some(), !model.asked);
                    assert!(
                        asks.is_none_or(|frame| frame == Frame::new(Tag::ONE, Message::Tdrain))
                    );
                    model.asked = true;
                }
                1 if model.asked => {
                    server.refuse();
                    model.refuses = true;
                }
                2 if model.asked => {
                    server.agree();
                    (model.agreed, model.refuses) = (true, true);
                }
                3..=45 => model.answer(&mut server, &mut random),
                _ => {
                    let (tag, discarded) = (tag(&mut random), tag(&mut random));
                    model.check(&mut server, &any_frame(&mut random, tag, discarded));
                }
            }
            model.compare(&server);
        }
        answered += model.answered;
        drained += u64::from(server.is_drained());
    }
    assert!(answered > 3_000 && drained > 10, "{answered}, {drained}");
}

#[test]
fn bytes_that_are_no_frame_are_refused_with_their_tag_if_they_have_one() {
    let mut server = Server::<()>::new("too late");
    // The type 99 with the tag 7, and a frame that ends within its tag.
    let unknown = server.handle_frame(&[0, 0, 0, 4, 99, 0, 0, 7]);
    let tag = Tag::new(7);
    assert!(matches!(unknown, Err(ServerError::Malformed(it, _)) if it == tag));
    let short = server.handle_frame(&[0, 0, 0, 2, 65, 0]);
    assert!(matches!(short, Err(ServerError::Malformed(None, _))));
    // No bytes make it panic.
    let mut random = Random::new(1);
    for _ in 0..100_000 {
        let mut bytes: Vec<u8> = (0..random.index(40)).map(|_| random.bits() as u8).collect();
        if let Some(length) = bytes.len().checked_sub(4) {
            bytes[..4].copy_from_slice(&(length as u32).to_be_bytes());
        }
        let _ = server.handle_frame(&bytes);
    }
}
