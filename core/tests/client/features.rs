//! Sessions that leave protocols out by their type.

use distributedlog::client::RequestId;
use distributedlog::client::session::{Envelope, Event, MuxWrites, Protocol, Session, Settings};
use distributedlog::wire::mux::{self, Frame, INIT_CHECK, InitHeaders, Message, Tag};
use distributedlog::wire::service::{
    Reply, Request, ResponseHeader, SequenceId, WriteContext, WriteResponse,
};
use distributedlog::{Cause, Failure, Instant, StatusCode};

type Narrow = Session<2, MuxWrites>;

const NOW: Instant = Instant::from_millis(1);

fn handshake(session: &mut Narrow, answer: Message<'_>) -> bool {
    let mut bytes = [0; 64];
    session.poll_transmit(&mut bytes);
    let count = Frame::new(Tag::ONE, answer).encode(&mut bytes).unwrap();
    session.handle_received(NOW, &bytes[..count]).unwrap().1 == Some(Event::Ready)
}

/// What a reply to the method means to a session that sent one write.
fn answered<'b>(
    session: &mut Narrow,
    method: &str,
    reply: &Reply<'_>,
    bytes: &'b mut [u8],
) -> Event<'b> {
    let (request, mut out) = (RequestId::new(1, 0), [0; 256]);
    let write = Request::WriteWithContext {
        stream: "s",
        data: b"record",
        context: WriteContext::default(),
    };
    session
        .encode_request(NOW, request, &write, &Envelope::default(), &mut out)
        .unwrap();
    let count =
        mux::encode_reply(Tag::new(2).unwrap(), method, SequenceId(0), reply, bytes).unwrap();
    session
        .handle_received(NOW, &bytes[..count])
        .unwrap()
        .1
        .expect("an answer")
}

#[test]
fn a_session_of_writes_over_mux_reads_their_answers_and_no_others() {
    let settings = Settings::builder()
        .protocol(Protocol::ThriftMux)
        .build()
        .unwrap();
    let mut session = Narrow::with_features(NOW, settings, 1).unwrap();
    assert!(!handshake(&mut session, Message::Rerr { error: INIT_CHECK }) && !session.is_ready());
    assert!(handshake(
        &mut session,
        Message::Rinit {
            version: mux::VERSION,
            headers: InitHeaders::default()
        }
    ));
    assert_eq!(session.capacity(), 2);

    let header = ResponseHeader {
        code: StatusCode::Success,
        message: None,
        location: None,
    };
    let written = Reply::Write(WriteResponse {
        header,
        dlsn: Some("AAAA"),
    });
    let mut bytes = [0; 256];
    for method in ["write", "writeWithContext"] {
        let event = answered(&mut session, method, &written, &mut bytes);
        assert_eq!(
            event,
            Event::Reply {
                request: RequestId::new(1, 0),
                reply: written
            }
        );
    }
    let exception = Reply::Exception {
        kind: distributedlog::wire::service::ExceptionKind::InternalError,
        message: "why",
    };
    assert!(matches!(
        answered(&mut session, "writeWithContext", &exception, &mut bytes),
        Event::Reply { reply, .. } if reply == exception
    ));
    // What it never asks for, and has no reader for.
    for (method, reply) in [
        ("setAcceptNewStream", Reply::Void),
        ("getOwner", written),
        ("nonsense", written),
    ] {
        let event = answered(&mut session, method, &reply, &mut bytes);
        let failure = Failure::unanswered(Cause::ProtocolError);
        let Event::Failed {
            request,
            failure: known,
            reason,
        } = event
        else {
            panic!("{method}: {event:?}")
        };
        assert_eq!(
            (request, known),
            (RequestId::new(1, 0), failure),
            "{method}"
        );
        let text = if method == "nonsense" {
            "its reply cannot be read: message.name"
        } else {
            "its reply is not one to a write"
        };
        assert!(reason.to_string().starts_with(text), "{method}: {reason}");
    }
}

#[test]
fn a_protocol_that_the_features_leave_out_is_refused() {
    for (protocol, name) in [
        (Protocol::Thrift, "thrift"),
        (Protocol::PlainThrift, "plain_thrift"),
    ] {
        let settings = Settings::builder().protocol(protocol).build().unwrap();
        let refused = Narrow::with_features(NOW, settings, 1).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "protocol is {name}; it must be thriftmux: \
                 the session's features leave the others out"
            )
        );
    }
}
