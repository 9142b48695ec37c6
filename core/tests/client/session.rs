//! One test for each rule of a session. Recorded sessions are replayed in `replay`.

use core::time::Duration;

use distributedlog::client::RequestId;
use distributedlog::client::session::{
    Call, EncodeError, Envelope, Event, FailureReason, Lost, Protocol, Session, SessionError,
    Settings,
};
use distributedlog::wire::framed;
use distributedlog::wire::mux::{Contexts, Frame, INIT_CHECK, InitHeaders, Message, Status, Tag};
use distributedlog::wire::service::{Reply, Request, SequenceId, WriteContext};
use distributedlog::{Cause, Failure, Instant, WriteState};

type Wire = Session<2>;

const WRITE: Request<'_> = Request::WriteWithContext {
    stream: "s",
    data: b"record",
    context: NO_CONTEXT,
};
const NO_CONTEXT: WriteContext<'_> = WriteContext {
    tried_hosts: None,
    crc32: None,
    is_record_set: None,
    identity: None,
    attempt: None,
};

const fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

const fn id(number: u32) -> RequestId {
    RequestId::new(number, 0)
}

fn tag(number: u32) -> Tag {
    Tag::new(number).expect("a valid tag")
}

fn bytes(tag: Tag, message: Message<'_>) -> Vec<u8> {
    let frame = Frame::new(tag, message);
    let mut out = vec![0; frame.encoded_len()];
    frame.encode(&mut out).expect("room");
    out
}

fn answer_bytes(number: u32) -> Vec<u8> {
    let mut out = vec![0; 256];
    let reply = Reply::Void;
    let count = distributedlog::wire::mux::encode_reply(
        tag(number),
        "setAcceptNewStream",
        SequenceId(0),
        &reply,
        &mut out,
    )
    .expect("room");
    out.truncate(count);
    out
}

fn transmit(session: &mut Wire) -> Vec<u8> {
    let mut out = [0; 256];
    let count = session.poll_transmit(&mut out);
    out[..count].to_vec()
}

/// Takes a whole frame in, and checks that it was taken whole.
fn receive<'b>(session: &mut Wire, now: Instant, bytes: &'b [u8]) -> Option<Event<'b>> {
    let (count, event) = session
        .handle_received(now, bytes)
        .expect("a frame that has its place");
    assert_eq!(count, bytes.len());
    event
}

fn send(session: &mut Wire, now: Instant, number: u32) -> (Vec<u8>, Call) {
    let mut out = [0; 512];
    let (count, call) = session
        .encode_request(now, id(number), &WRITE, &Envelope::default(), &mut out)
        .expect("room");
    (out[..count].to_vec(), call)
}

/// A mux session whose start is over at 0 ms, and whose ping was answered.
fn mux() -> Wire {
    let settings = Settings::builder()
        .protocol(Protocol::ThriftMux)
        .client_id("me")
        .build()
        .expect("valid");
    let mut session = Wire::new(ms(0), settings, 1);
    assert_eq!(
        transmit(&mut session),
        bytes(Tag::ONE, Message::BadRerr { error: INIT_CHECK })
    );
    assert_eq!(
        receive(
            &mut session,
            ms(0),
            &bytes(Tag::ONE, Message::BadRerr { error: INIT_CHECK })
        ),
        None
    );
    assert_eq!(
        transmit(&mut session),
        bytes(
            Tag::ONE,
            Message::Tinit {
                version: 1,
                headers: InitHeaders::default()
            }
        )
    );
    assert!(!session.is_ready());
    let answer = bytes(
        Tag::ONE,
        Message::Rinit {
            version: 1,
            headers: InitHeaders::default(),
        },
    );
    assert_eq!(receive(&mut session, ms(0), &answer), Some(Event::Ready));
    assert_eq!(transmit(&mut session), bytes(Tag::ONE, Message::Tping));
    assert_eq!(
        receive(&mut session, ms(0), &bytes(Tag::ONE, Message::Rping)),
        None
    );
    session.handle_transmitted(ms(0), 19 + 10 + 8);
    session
}

fn thrift() -> Wire {
    let mut session = Wire::new(ms(0), Settings::default(), 1);
    let question = transmit(&mut session);
    assert!(framed::upgrade_request(&question[4..]).is_some());
    session.handle_transmitted(ms(0), question.len());
    session
}

#[test]
fn a_peer_that_does_not_know_tinit_is_spoken_to_without() {
    for answer in [
        Message::Rerr { error: "what?" },
        Message::BadRerr { error: "what?" },
    ] {
        let settings = Settings::builder()
            .protocol(Protocol::ThriftMux)
            .build()
            .expect("valid");
        let mut session = Wire::new(ms(0), settings, 1);
        transmit(&mut session);
        assert_eq!(
            receive(&mut session, ms(1), &bytes(Tag::ONE, answer)),
            Some(Event::Ready)
        );
        assert_eq!(transmit(&mut session), bytes(Tag::ONE, Message::Tping));
    }
}

#[test]
fn a_peer_that_speaks_another_version_of_mux_is_left() {
    let settings = Settings::builder()
        .protocol(Protocol::ThriftMux)
        .build()
        .expect("valid");
    let mut session = Wire::new(ms(0), settings, 1);
    transmit(&mut session);
    receive(
        &mut session,
        ms(0),
        &bytes(Tag::ONE, Message::BadRerr { error: INIT_CHECK }),
    );
    let answer = bytes(
        Tag::ONE,
        Message::Rinit {
            version: 2,
            headers: InitHeaders::default(),
        },
    );
    assert_eq!(
        session.handle_received(ms(0), &answer),
        Err(SessionError::Version(2))
    );
}

#[test]
fn a_peer_that_does_not_know_the_upgrade_is_spoken_to_in_plain_thrift() {
    let mut session = thrift();
    let mut refusal = [0; 256];
    let count = framed::encode_upgrade_refusal(SequenceId(0), &mut refusal).expect("room");
    assert_eq!(
        receive(&mut session, ms(1), &refusal[..count]),
        Some(Event::Ready)
    );
    let (frame, _) = send(&mut session, ms(1), 7);
    assert_eq!(
        Request::decode(framed::frame_body(&frame).expect("a frame")),
        Ok((SequenceId(0), WRITE))
    );
}

#[test]
fn before_the_start_is_over_nothing_can_be_sent() {
    let mut session = thrift();
    let refused = session.encode_request(ms(0), id(1), &WRITE, &Envelope::default(), &mut [0; 512]);
    assert_eq!(refused, Err(EncodeError::NotReady));
}

#[test]
fn framed_thrift_takes_one_request_at_a_time_and_mux_as_many_as_there_are_places() {
    let settings = Settings::builder()
        .protocol(Protocol::PlainThrift)
        .build()
        .expect("valid");
    let mut plain = Wire::new(ms(0), settings, 1);
    assert!(plain.is_ready());
    for (mut session, places) in [(mux(), 2), (core::mem::replace(&mut plain, mux()), 1)] {
        assert_eq!(session.capacity(), places);
        for number in 0..places {
            send(&mut session, ms(1), number as u32);
        }
        let refused =
            session.encode_request(ms(1), id(9), &WRITE, &Envelope::default(), &mut [0; 512]);
        assert_eq!(refused, Err(EncodeError::Full));
        assert_eq!(session.in_flight(), places);
    }
}

#[test]
fn a_buffer_that_is_too_small_keeps_nothing_and_says_what_is_needed() {
    let mut session = mux();
    let needed = session.encoded_len(&WRITE, &Envelope::default());
    let mut out = vec![0; needed];
    let Err(EncodeError::BufferTooSmall(error)) = session.encode_request(
        ms(1),
        id(1),
        &WRITE,
        &Envelope::default(),
        &mut out[..needed - 1],
    ) else {
        panic!("it does not fit");
    };
    assert_eq!((error.needed, session.in_flight()), (needed, 0));
    assert!(
        session
            .encode_request(ms(1), id(1), &WRITE, &Envelope::default(), &mut out)
            .is_ok()
    );
}

#[test]
fn an_answer_frees_its_tag_and_the_next_request_gets_it() {
    let mut session = mux();
    let (first, _) = send(&mut session, ms(1), 1);
    let (second, _) = send(&mut session, ms(1), 2);
    assert_eq!(
        (Frame::peek_tag(&first), Frame::peek_tag(&second)),
        (Some(tag(2)), Some(tag(3)))
    );
    assert_eq!(
        receive(&mut session, ms(2), &answer_bytes(2)),
        Some(Event::Reply {
            request: id(1),
            reply: Reply::Void
        })
    );
    let (third, _) = send(&mut session, ms(3), 3);
    assert_eq!(Frame::peek_tag(&third), Some(tag(2)));
}

#[test]
fn bytes_that_come_one_by_one_mean_the_same() {
    let mut session = mux();
    send(&mut session, ms(1), 1);
    let answer = [answer_bytes(2), bytes(tag(5), Message::Tping)].concat();
    let (mut start, mut events) = (0, 0);
    for end in 1..=answer.len() {
        let (count, event) = session
            .handle_received(ms(2), &answer[start..end])
            .expect("good frames");
        start += count;
        events += usize::from(event.is_some());
    }
    assert_eq!((start, events), (answer.len(), 1));
    assert_eq!(transmit(&mut session), bytes(tag(5), Message::Rping));
}

#[test]
fn a_frame_above_the_limit_is_refused_from_its_first_four_bytes() {
    for protocol in [Protocol::ThriftMux, Protocol::Thrift, Protocol::PlainThrift] {
        let settings = Settings::builder()
            .protocol(protocol)
            .max_frame_bytes(1_000)
            .build()
            .expect("valid");
        let mut session = Wire::new(ms(0), settings, 1);
        assert_eq!(
            session.handle_received(ms(1), &997_u32.to_be_bytes()[..3]),
            Ok((0, None))
        );
        let Err(SessionError::FrameTooLarge(error)) =
            session.handle_received(ms(1), &997_u32.to_be_bytes())
        else {
            panic!("it is above the limit");
        };
        assert_eq!((error.length, error.limit), (1_001, 1_000));
        assert_eq!(
            session.handle_received(ms(1), &996_u32.to_be_bytes()),
            Ok((0, None))
        );
    }
}

#[test]
fn a_nack_was_not_started_and_an_error_may_have_been() {
    let status = |status| Message::Rdispatch {
        status,
        contexts: Contexts::default(),
        payload: b"why",
    };
    for (message, failure) in [
        (
            status(Status::Nack),
            Failure::overloaded(Cause::Refused, None),
        ),
        (status(Status::Error), Failure::unanswered(Cause::Exception)),
        (
            Message::Rerr { error: "why" },
            Failure::unanswered(Cause::ProtocolError),
        ),
    ] {
        let mut session = mux();
        send(&mut session, ms(1), 1);
        let event = Some(Event::Failed {
            request: id(1),
            failure,
            reason: FailureReason::Message("why"),
        });
        assert_eq!(receive(&mut session, ms(2), &bytes(tag(2), message)), event);
        assert_eq!(session.in_flight(), 0);
    }
}

#[test]
fn an_answer_that_cannot_be_read_fails_its_own_request_only() {
    let mut session = mux();
    send(&mut session, ms(1), 1);
    send(&mut session, ms(1), 2);
    let nonsense = Message::Rdispatch {
        status: Status::Ok,
        contexts: Contexts::default(),
        payload: b"nonsense",
    };
    let nonsense = bytes(tag(2), nonsense);
    let Some(Event::Failed {
        request,
        failure,
        reason,
    }) = receive(&mut session, ms(2), &nonsense)
    else {
        panic!("it has failed");
    };
    assert_eq!(
        (request, failure),
        (id(1), Failure::unanswered(Cause::ProtocolError))
    );
    let text = "its reply cannot be read: message.version at offset 0: begins with 0x6e6f6e73, \
                must begin with 0x8001 and the message's kind";
    assert_eq!(reason.to_string(), text);
    assert!(matches!(
        receive(&mut session, ms(2), &answer_bytes(3)),
        Some(Event::Reply { .. })
    ));
}

#[test]
fn frames_that_have_no_place_there_end_the_connection() {
    for (number, message) in [
        (
            2,
            Message::Rdispatch {
                status: Status::Ok,
                contexts: Contexts::default(),
                payload: b"",
            },
        ),
        (2, Message::Rdiscarded),
        (9, Message::Rerr { error: "" }),
        (
            1,
            Message::Rinit {
                version: 1,
                headers: InitHeaders::default(),
            },
        ),
        (5, Message::Rping),
        (
            1,
            Message::Tinit {
                version: 1,
                headers: InitHeaders::default(),
            },
        ),
        (
            0,
            Message::Tdiscarded {
                discarded: Tag::ONE,
                reason: "",
            },
        ),
    ] {
        let mut session = mux();
        let frame = bytes(tag(number), message);
        let result = session.handle_received(ms(1), &frame);
        assert!(
            matches!(result, Err(SessionError::Unexpected { tag, .. }) if tag == number),
            "{result:?}"
        );
    }
}

#[test]
fn a_discarded_request_keeps_its_tag_until_the_peer_is_done_with_it() {
    for confirmation in [bytes(tag(2), Message::Rdiscarded), answer_bytes(2)] {
        let mut session = mux();
        let (_, call) = send(&mut session, ms(1), 1);
        assert!(session.discard(ms(2), call));
        assert!(!session.discard(ms(2), call), "once is enough");
        let told = transmit(&mut session);
        let told = Frame::decode(&told).expect("a frame");
        assert_eq!(told.tag, Tag::ZERO);
        assert!(
            matches!(told.message, Message::Tdiscarded { discarded, .. } if discarded == tag(2))
        );
        let (next, _) = send(&mut session, ms(3), 2);
        assert_eq!(Frame::peek_tag(&next), Some(tag(3)));
        assert_eq!(
            receive(&mut session, ms(4), &confirmation),
            Some(Event::Discarded { request: id(1) })
        );
        let (next, _) = send(&mut session, ms(5), 3);
        assert_eq!(Frame::peek_tag(&next), Some(tag(2)));
    }
}

#[test]
fn a_peer_that_replied_before_the_discard_was_sent_gets_no_discard() {
    let mut session = mux();
    let (_, first) = send(&mut session, ms(1), 1);
    let (_, second) = send(&mut session, ms(1), 2);
    session.discard(ms(2), first);
    session.discard(ms(2), second);
    assert_eq!(
        receive(&mut session, ms(3), &answer_bytes(2)),
        Some(Event::Discarded { request: id(1) })
    );
    let told = transmit(&mut session);
    let told = Frame::decode(&told).expect("exactly one frame");
    assert!(matches!(told.message, Message::Tdiscarded { discarded, .. } if discarded == tag(3)));
    assert!(!session.discard(ms(4), first), "it has ended");
}

#[test]
fn framed_thrift_waits_for_the_answer_of_a_discarded_request_and_not_for_ever() {
    let settings = Settings::builder()
        .protocol(Protocol::PlainThrift)
        .build()
        .expect("valid");
    let mut session = Wire::new(ms(0), settings, 1);
    let (_, call) = send(&mut session, ms(1), 1);
    assert_eq!(session.poll_timeout(), None);
    session.discard(ms(10), call);
    assert_eq!(transmit(&mut session), b"");
    assert_eq!(session.poll_timeout(), Some(ms(4_010)));
    assert_eq!(session.handle_timeout(ms(4_009)), Ok(()));
    assert_eq!(
        session.handle_timeout(ms(4_010)),
        Err(SessionError::Unresponsive)
    );
    let mut reply = [0; 256];
    let count = framed::encode_reply(
        None,
        "setAcceptNewStream",
        SequenceId(0),
        &Reply::Void,
        &mut reply,
    )
    .expect("room");
    assert_eq!(
        receive(&mut session, ms(4_011), &reply[..count]),
        Some(Event::Discarded { request: id(1) })
    );
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn a_lost_connection_says_of_each_request_whether_a_byte_of_it_left() {
    let mut session = mux();
    let (first, _) = send(&mut session, ms(1), 1);
    send(&mut session, ms(1), 2);
    for (taken, expected) in [
        (0, [WriteState::NotWritten; 2]),
        (1, [WriteState::Unknown, WriteState::NotWritten]),
    ] {
        let mut session = mux();
        send(&mut session, ms(1), 1);
        send(&mut session, ms(1), 2);
        session.handle_transmitted(ms(1), taken);
        let lost: Vec<Lost> = core::iter::from_fn(|| session.poll_lost()).collect();
        assert_eq!(
            lost,
            [(1, expected[0]), (2, expected[1])].map(|(number, known)| Lost {
                request: id(number),
                known
            })
        );
    }
    session.handle_transmitted(ms(1), first.len() + 1);
    let lost: Vec<WriteState> = core::iter::from_fn(|| session.poll_lost())
        .map(|lost| lost.known)
        .collect();
    assert_eq!(lost, [WriteState::Unknown; 2]);
}

#[test]
fn control_frames_count_in_the_stream_like_requests() {
    let mut session = mux();
    receive(&mut session, ms(1), &bytes(tag(5), Message::Tping));
    let pong = transmit(&mut session);
    send(&mut session, ms(1), 1);
    session.handle_transmitted(ms(1), pong.len());
    assert_eq!(
        session.poll_lost().map(|lost| lost.known),
        Some(WriteState::NotWritten)
    );
}

#[test]
fn a_peer_that_drains_is_confirmed_and_gets_nothing_new() {
    let mut session = mux();
    send(&mut session, ms(1), 1);
    assert_eq!(
        receive(&mut session, ms(2), &bytes(tag(9), Message::Tdrain)),
        Some(Event::Draining)
    );
    assert_eq!(transmit(&mut session), bytes(tag(9), Message::Rdrain));
    let refused = session.encode_request(ms(3), id(2), &WRITE, &Envelope::default(), &mut [0; 512]);
    assert_eq!(refused, Err(EncodeError::Draining));
    assert!(matches!(
        receive(&mut session, ms(4), &answer_bytes(2)),
        Some(Event::Reply { .. })
    ));
}

#[test]
fn a_lease_that_is_over_refuses_requests_until_the_next() {
    let mut session = mux();
    let lease = |amount| bytes(Tag::ZERO, Message::Tlease { unit: 0, amount });
    let granted = Some(Event::Lease {
        length: Duration::from_millis(100),
    });
    assert_eq!(receive(&mut session, ms(10), &lease(100)), granted);
    send(&mut session, ms(109), 1);
    let refused =
        session.encode_request(ms(110), id(2), &WRITE, &Envelope::default(), &mut [0; 512]);
    assert_eq!(refused, Err(EncodeError::LeaseExpired));
    assert_eq!(receive(&mut session, ms(111), &lease(100)), granted);
    send(&mut session, ms(111), 2);
}

#[test]
fn an_idle_connection_is_asked_whether_it_lives_and_given_up_if_nothing_comes() {
    let mut session = mux();
    assert_eq!(session.poll_timeout(), Some(ms(5_000)));
    assert_eq!(session.handle_timeout(ms(4_999)), Ok(()));
    assert_eq!(transmit(&mut session), b"");
    assert_eq!(session.handle_timeout(ms(5_000)), Ok(()));
    assert_eq!(transmit(&mut session), bytes(Tag::ONE, Message::Tping));
    session.handle_transmitted(ms(5_000), 8);
    assert_eq!(session.poll_timeout(), Some(ms(9_000)));
    // Any frame from the peer is a sign of life.
    receive(&mut session, ms(8_000), &bytes(Tag::ONE, Message::Rping));
    assert_eq!(session.poll_timeout(), Some(ms(13_000)));
    assert_eq!(session.handle_timeout(ms(13_000)), Ok(()));
    assert_eq!(
        session.handle_timeout(ms(17_000)),
        Err(SessionError::Unresponsive)
    );
}

#[test]
fn a_silent_connection_with_requests_under_way_is_asked_sooner() {
    let mut session = mux();
    send(&mut session, ms(3_000), 1);
    assert_eq!(session.poll_timeout(), Some(ms(4_000)));
    receive(&mut session, ms(3_500), &bytes(tag(5), Message::Tping));
    assert_eq!(session.poll_timeout(), Some(ms(4_500)));
}

#[test]
fn a_peer_has_its_time_to_answer_from_when_the_question_left() {
    let mut session = mux();
    let (frame, _) = send(&mut session, ms(1), 1);
    session.handle_timeout(ms(1_001)).expect("it is only asked");
    let ping = transmit(&mut session);
    assert_eq!(session.poll_timeout(), Some(ms(5_001)));
    // The request is still leaving, slowly.
    session.handle_transmitted(ms(4_000), frame.len() - 1);
    session.handle_transmitted(ms(7_000), 1 + ping.len());
    assert_eq!(session.poll_timeout(), Some(ms(11_000)));
    session.handle_transmitted(ms(7_000), 0);
    assert_eq!(session.poll_timeout(), Some(ms(11_000)));
}

#[test]
fn without_an_idle_interval_only_silence_with_requests_under_way_is_asked_about() {
    let settings = Settings::builder()
        .protocol(Protocol::ThriftMux)
        .idle_ping_interval(None)
        .build()
        .expect("valid");
    let mut session = Wire::new(ms(0), settings, 1);
    transmit(&mut session);
    receive(
        &mut session,
        ms(0),
        &bytes(Tag::ONE, Message::Rerr { error: "" }),
    );
    assert_eq!(
        (transmit(&mut session), session.poll_timeout()),
        (Vec::new(), None)
    );
    send(&mut session, ms(10), 1);
    assert_eq!(session.poll_timeout(), Some(ms(1_010)));
}

#[test]
fn a_peer_that_pings_faster_than_it_takes_the_answers_is_left() {
    let mut session = mux();
    for number in 2..10 {
        receive(&mut session, ms(1), &bytes(tag(number), Message::Tping));
    }
    assert_eq!(
        session.handle_received(ms(1), &bytes(tag(10), Message::Tping)),
        Err(SessionError::PingFlood)
    );
    assert_eq!(transmit(&mut session).len(), 8 * 8);
}

#[test]
fn a_small_buffer_gets_control_frames_one_by_one() {
    let mut session = mux();
    receive(&mut session, ms(1), &bytes(tag(5), Message::Tping));
    receive(&mut session, ms(1), &bytes(tag(6), Message::Tping));
    let mut out = [0; 15];
    assert_eq!(session.poll_transmit(&mut out[..7]), 0);
    assert_eq!(
        (
            session.poll_transmit(&mut out),
            session.poll_transmit(&mut out),
            session.poll_transmit(&mut out)
        ),
        (8, 8, 0)
    );
}

#[test]
fn no_bytes_make_a_session_panic() {
    let mut dice = crate::simulation::dice::Dice(11);
    for round in 0..20_000_u64 {
        let settings = Settings::builder()
            .protocol(
                [Protocol::ThriftMux, Protocol::Thrift, Protocol::PlainThrift][round as usize % 3],
            )
            .max_frame_bytes(256)
            .build()
            .expect("valid");
        let mut session = if round % 6 == 0 {
            mux()
        } else {
            Wire::new(ms(0), settings, round)
        };
        if session.is_ready() {
            send(&mut session, ms(0), 1);
        }
        let mut frame = [0; 40];
        frame.fill_with(|| dice.next() as u8);
        let length = dice.below(36) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        if dice.percent(80) {
            let kinds = [2_i8, -2, 64, 65, -65, 66, -66, 67, 68, -68, -128, 127, 0];
            frame[4] = kinds[dice.below(13) as usize].cast_unsigned();
            frame[5..8].copy_from_slice(&[0, 0, dice.below(4) as u8]);
        }
        let _ = session.handle_received(ms(1), &frame);
        let _ = (
            session.handle_timeout(ms(100_000)),
            transmit(&mut session),
            session.poll_lost(),
        );
    }
}
