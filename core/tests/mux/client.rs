//! The client's side of mux against a model of what it must do: calls, discards, and frames of
//! servers of every kind in any order; then against the server's side.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "all messages that the model does not name are not valid for a client"
)]

use std::collections::BTreeMap;

use distributedlog::client::{Heap, Inline, Memory};
use distributedlog::wire::mux::{
    Call, CallResult, Client, ClientEvent, FinishedCall, Frame, INIT_CHECK, InitHeaders, Message,
    RequestKind, Server, ServerEvent, Status, Tag,
};
use distributedlog_testkit::Random;

use super::{any_message, request};

/// Maximum number of calls: few, so that tags are used again soon.
const CALLS: usize = 6;

/// A call that the server is not done with.
struct Awaited {
    call: Call,
    value: u64,
    discarded: bool,
}

/// What a client must know, kept in the simplest way.
#[derive(Default)]
struct Model {
    in_flight: BTreeMap<Tag, Awaited>,
    /// Discards of which the server was not notified, in order.
    discards: Vec<Tag>,
    begun: bool,
    checked: bool,
    draining: bool,
    calls: u64,
    finished: u64,
}

impl Model {
    fn start<M: Memory>(&mut self, client: &mut Client<u64, CALLS, M>) {
        let Some(tag) = client.next_tag() else {
            assert_eq!(self.in_flight.len(), CALLS);
            return;
        };
        assert!(tag > Tag::ONE);
        self.calls += 1;
        let (value, discarded) = (self.calls, false);
        let call = client.start(value);
        let awaited = Awaited {
            call,
            value,
            discarded,
        };
        assert!(
            self.in_flight.insert(tag, awaited).is_none(),
            "the server has not replied to the last call with tag {tag}"
        );
    }

    fn discard<M: Memory>(&mut self, client: &mut Client<u64, CALLS, M>, tag: Tag) {
        let Some(awaited) = self.in_flight.get_mut(&tag) else {
            return;
        };
        let first = !core::mem::replace(&mut awaited.discarded, true);
        let change = |value: &mut u64| *value += 1_000_000;
        assert_eq!(client.discard(awaited.call, change), first);
        if first {
            awaited.value += 1_000_000;
            self.discards.push(tag);
        }
    }

    fn notify<M: Memory>(&mut self, client: &mut Client<u64, CALLS, M>) {
        let expected = self.discards.first().map(|discarded| Message::Tdiscarded {
            discarded: *discarded,
            reason: "nobody waits for it",
        });
        let frame = client.next_discard();
        assert!(frame.is_none_or(|frame| frame.tag == Tag::ZERO));
        assert_eq!(frame.map(|frame| frame.message), expected);
        if expected.is_some() {
            client.discard_sent();
            self.discards.remove(0);
        }
    }

    /// Returns what a frame of the server is.
    fn receive<'a>(&mut self, frame: &Frame<'a>) -> ClientEvent<'a, u64> {
        let (tag, is_one) = (frame.tag, frame.tag == Tag::ONE);
        match frame.message {
            Message::Rdispatch {
                status, payload, ..
            } => self.finish(tag, CallResult::Replied(status, payload)),
            Message::Rdiscarded => self.finish(tag, CallResult::GivenUp),
            Message::Rerr { error } | Message::BadRerr { error } if !is_one => {
                self.finish(tag, CallResult::NotHandled(error))
            }
            Message::Rerr { .. } | Message::BadRerr { .. } if self.begun => ClientEvent::Nothing,
            Message::Rerr { error } | Message::BadRerr { error }
                if error == INIT_CHECK && !self.checked =>
            {
                self.checked = true;
                ClientEvent::CheckPassed
            }
            Message::Rerr { .. } | Message::BadRerr { .. } => {
                self.begun = true;
                ClientEvent::Begun(InitHeaders::default())
            }
            Message::Rinit { version, headers } if is_one && self.checked && !self.begun => {
                if version != 1 {
                    return ClientEvent::OtherVersion(version);
                }
                self.begun = true;
                ClientEvent::Begun(headers)
            }
            Message::Rping if is_one => ClientEvent::Nothing,
            Message::Tping => ClientEvent::Ping,
            Message::Tdrain => ClientEvent::Drain {
                first: !core::mem::replace(&mut self.draining, true),
            },
            Message::Tlease { unit, amount } => ClientEvent::Lease { unit, amount },
            _ => ClientEvent::Unexpected,
        }
    }

    fn finish<'a>(&mut self, tag: Tag, result: CallResult<'a>) -> ClientEvent<'a, u64> {
        let Some(Awaited {
            value, discarded, ..
        }) = self.in_flight.remove(&tag)
        else {
            return ClientEvent::Unexpected;
        };
        self.finished += 1;
        self.discards.retain(|discard| *discard != tag);
        ClientEvent::Finished(FinishedCall { value, discarded }, result)
    }

    fn compare<M: Memory>(&self, client: &Client<u64, CALLS, M>) {
        assert_eq!(client.in_flight(), self.in_flight.len());
        assert_eq!(client.is_draining(), self.draining);
        assert_eq!(client.next_tag().is_none(), self.in_flight.len() == CALLS);
    }
}

/// A frame that a server could send, or should not.
fn any_frame(random: &mut Random, tag: Tag) -> Frame<'static> {
    let message = any_message(random, tag, |random| match random.below(4) {
        0 => Message::Rdiscarded,
        _ => RequestKind::Tdispatch.reply(Status::Ok, b"payload"),
    });
    Frame::new(tag, message)
}

/// Lives of clients. Returns the number of calls that finished.
fn live<M: Memory>() -> u64 {
    let mut finished = 0;
    for seed in 0..300 {
        let (mut random, mut model) = (Random::new(seed), Model::default());
        let mut client = Client::<u64, CALLS, M>::checking();
        if random.below(2) == 0 {
            (client, model.checked) = (Client::initialising(), true);
        }
        let steps = 50 + random.below(300);
        for _ in 0..steps {
            let tag = Tag::new(random.below(10) as u32).expect("a tag");
            match random.below(10) {
                0..=3 => model.start(&mut client),
                4 => model.discard(&mut client, tag),
                5 => model.notify(&mut client),
                _ => {
                    let frame = any_frame(&mut random, tag);
                    assert_eq!(client.handle_frame(&frame), model.receive(&frame));
                }
            }
            model.compare(&client);
        }
        let mut cursor = 0;
        let lost: Vec<u64> = core::iter::from_fn(|| client.next_lost(&mut cursor)).collect();
        let awaited = model.in_flight.values().filter(|call| !call.discarded);
        assert_eq!(lost, awaited.map(|call| call.value).collect::<Vec<_>>());
        finished += model.finished;
    }
    finished
}

#[test]
fn a_client_does_with_every_frame_what_its_model_says_in_any_order_of_calls_and_discards() {
    let (fixed, growing) = (live::<Inline>(), live::<Heap>());
    assert!(fixed == growing && fixed > 5_000, "{fixed}, {growing}");
}

#[test]
fn both_sides_of_a_session_agree_on_the_tags_in_use_however_their_frames_are_delayed() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut client = Client::<u64, CALLS, Heap>::initialising();
        let mut server = Server::<()>::new("too late");
        let (mut to_server, mut to_client) = (Vec::<Vec<u8>>::new(), Vec::<Vec<u8>>::new());
        let put = |queue: &mut Vec<Vec<u8>>, frame: Frame<'_>| {
            let mut bytes = vec![0; frame.encoded_len()];
            frame.encode(&mut bytes).expect("it has room");
            queue.push(bytes);
        };
        let (mut calls, mut started, mut finished) = (Vec::new(), 0, 0);
        for _ in 0..400 {
            match random.below(7) {
                0 | 1 => {
                    if let Some(tag) = client.next_tag() {
                        put(&mut to_server, Frame::new(tag, request(b"")));
                        started += 1;
                        calls.push(client.start(started));
                    }
                }
                2 if !calls.is_empty() => {
                    client.discard(calls[random.index(calls.len())], |_| {});
                    if let Some(frame) = client.next_discard() {
                        put(&mut to_server, frame);
                        client.discard_sent();
                    }
                }
                3 | 4 if !to_server.is_empty() => {
                    // A tag that is used twice would be an error here.
                    match server.handle_frame(&to_server.remove(0)).expect("in order") {
                        ServerEvent::Request(request) => {
                            server.start(request.tag, request.kind, ())
                        }
                        ServerEvent::Discarded(tag) if server.finish(tag).is_some() => {
                            put(&mut to_client, Frame::new(tag, Message::Rdiscarded));
                        }
                        ServerEvent::Discarded(_) => {}
                        other => panic!("{other:?}"),
                    }
                }
                5 => {
                    let tags: Vec<Tag> = server.requests().map(|(tag, ())| tag).collect();
                    if let Some(tag) = tags.get(random.index(tags.len())) {
                        let (kind, ()) = server.finish(*tag).expect("it is one of them");
                        let reply = kind.reply(Status::Ok, b"");
                        put(&mut to_client, Frame::new(*tag, reply));
                    }
                }
                6 if !to_client.is_empty() => {
                    let bytes = to_client.remove(0);
                    let frame = Frame::decode(&bytes).expect("the server's");
                    assert!(matches!(
                        client.handle_frame(&frame),
                        ClientEvent::Finished(..)
                    ));
                    finished += 1;
                }
                _ => {}
            }
            assert_eq!(started - finished, client.in_flight() as u64);
        }
        assert!(finished > 20, "seed {seed}: {finished}");
    }
}
