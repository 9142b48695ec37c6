//! The requests of the original's client in the recorded sessions, sent to this proxy: its replies
//! mean the same as the original proxy's.
//!
//! The test compares codes, the presence of positions and locations, slots, log segments where they
//! mean something, server states, and ownerships. The intended differences are listed below, with
//! the reason.

use std::sync::Arc;

use distributedlog::wire::framed::{self, ResponseHeader};
use distributedlog::wire::mux::{Context, Frame, Message, Status};
use distributedlog::wire::service::{MessageHeader, Reply, WriteResponse};

use super::golden_files::{Direction, Exchange, Transport, exchanges};
use super::kit::{Raw, StoppedClock, dispatch, settings, start_on, write};
use crate::RunningProxy;
use distributedlog_store::Owner;
use distributedlog_testkit::store::MemoryStore;

/// Exchanges with a different reply of this proxy: the exchange, our reply, and the reason.
const DIFFERENCES: [(&str, &str, &str); 4] = [
    (
        "getOwner-unowned",
        "getOwner: 302 to itself",
        "the original's proxy crashes inside; ours says who would own the stream",
    ),
    (
        "getOwner-foreign",
        "getOwner: 302 to 1;12;localhost:8130",
        "the original's proxy crashes inside; ours names the owner",
    ),
    (
        "truncate-bad-dlsn",
        "truncate: 403 with a message",
        "the original's proxy crashes inside; ours answers in kind",
    ),
    (
        "writeBulkWithContext-redirect-FOUND",
        "writeBulkWithContext: bulk 302 to 1;12;localhost:8130 []",
        "the original's says 515, and leaves the client to find the owner by another request",
    ),
];

/// Time at which the sessions were recorded, so that their deadlines have not passed.
const RECORDED_UNIX_NS: u64 = 0x18ea_a802_36d6_9f00;

/// The recorded proxies: shard, announced address, true if they spoke mux, and the sessions with
/// each, in order.
const RECORDED: [(i32, &str, bool, &[&str]); 3] = [
    (
        11,
        "localhost:8120",
        true,
        &["server-mx-mux", "server-mx-ttwitter", "server-mx-plain"],
    ),
    (
        13,
        "localhost:8140",
        false,
        &["server-nomx-ttwitter", "server-nomx-plain"],
    ),
    (
        12,
        "localhost:8130",
        true,
        &["server-mx-b-clientmux", "server-mx-b-clientttwitter"],
    ),
];

/// A proxy like a recorded one. The one with shard 12 owned a stream before the recordings, of
/// which it had written a record.
async fn proxy_like(shard: i32, address: &str, thriftmux: bool) -> RunningProxy {
    let store = MemoryStore::new();
    store.set_owner(
        &"golden-foreign".parse().expect("a valid name"),
        &Owner {
            shard: 12,
            address: "localhost:8130".into(),
        },
    );
    let settings = settings()
        .shard(shard)
        .announce(Some(address.into()))
        .thriftmux(thriftmux)
        .require_client_id(true)
        .wall_clock(Arc::new(StoppedClock(RECORDED_UNIX_NS)));
    let proxy = start_on(settings, &store).await;
    if shard == 12 {
        let mut other = Raw::connect(&proxy).await;
        other
            .send(&dispatch(
                2,
                &[Context::client_id("before")],
                &write("golden-foreign", b"x"),
            ))
            .await;
        other.heard().await;
    }
    proxy
}

#[tokio::test]
async fn recorded_sessions_are_answered_as_the_original_answered_them() {
    let exchanges = exchanges();
    let mut replayed = 0;
    let mut seen = Vec::new();
    for (shard, address, thriftmux, sessions) in RECORDED {
        let proxy = proxy_like(shard, address, thriftmux).await;
        for session in sessions {
            let mut client = Raw::connect(&proxy).await;
            for exchange in exchanges
                .iter()
                .filter(|exchange| exchange.name.split('/').next() == Some(session))
            {
                seen.extend(replay(exchange, &proxy, &mut client).await);
                replayed += 1;
            }
        }
    }
    assert_eq!(
        replayed,
        exchanges.len(),
        "every recording belongs to a session"
    );
    for (exchange, ..) in DIFFERENCES {
        assert!(
            seen.contains(&exchange),
            "{exchange} does not differ any more"
        );
    }
}

/// The part of an exchange's name that says what is done.
fn operation(exchange: &Exchange) -> &str {
    let (_, file) = exchange.name.split_once('/').expect("a folder and a file");
    file.trim_end_matches(".hex")
        .split_once('-')
        .expect("a number and a name")
        .1
}

/// Sends the client's messages and compares the replies. Returns the listed difference that
/// applied, if any.
async fn replay(
    exchange: &Exchange,
    proxy: &RunningProxy,
    client: &mut Raw,
) -> Option<&'static str> {
    let (mut expected, mut answers) = (Vec::new(), Vec::new());
    for frame in &exchange.frames {
        match frame.direction {
            Direction::ToServer => {
                if framed::frame_body(&frame.bytes)
                    .is_ok_and(|body| framed::upgrade_request(body).is_some())
                {
                    // A client asks that once on each connection; this one had given up its last.
                    *client = Raw::connect(proxy).await;
                }
                client.send(&frame.bytes).await;
            }
            Direction::ToClient => {
                expected.push(meaning(exchange.transport, &frame.bytes));
                let answer = client.frame().await.unwrap_or_else(|| {
                    panic!("{}: the proxy closed the connection", exchange.name)
                });
                answers.push(meaning(exchange.transport, &answer));
            }
        }
    }
    // Under mux, replies come in the order in which they are ready.
    expected.sort();
    answers.sort();
    if answers == expected {
        return None;
    }
    let difference = DIFFERENCES
        .iter()
        .find(|(name, ours, _)| *name == operation(exchange) && answers == [*ours]);
    match difference {
        Some((name, ..)) => Some(name),
        None => panic!(
            "{}\n ours: {answers:#?}\n theirs: {expected:#?}",
            exchange.name
        ),
    }
}

fn meaning(transport: Transport, frame: &[u8]) -> String {
    match transport {
        Transport::Mux => match Frame::decode(frame).expect("a frame of mux") {
            Frame {
                message:
                    Message::Rdispatch {
                        status: Status::Ok,
                        payload,
                        ..
                    },
                ..
            } => of_message(payload),
            Frame { tag, message } => format!("{tag} {message:?}"),
        },
        Transport::Plain => of_message(framed::frame_body(frame).expect("a frame")),
        Transport::Upgraded => {
            let body = framed::frame_body(frame).expect("a frame");
            if framed::upgrade_accepted(body) == Ok(true) {
                return "upgraded".to_owned();
            }
            let (header, message) = ResponseHeader::decode(body).expect("a response header");
            format!(
                "{}{}",
                if header == ResponseHeader::default() {
                    ""
                } else {
                    "header "
                },
                of_message(message)
            )
        }
    }
}

fn of_message(message: &[u8]) -> String {
    let (head, _) = MessageHeader::decode(message).expect("a thrift message");
    let (_, reply) = Reply::decode(message).expect("a reply");
    let what = match reply {
        Reply::ServerInfo(info) => {
            let mut owned: Vec<_> = info.ownerships.into_iter().flatten().collect();
            owned.sort_unstable();
            format!("server {:?} {owned:?}", info.status)
        }
        Reply::Write(response) => of_response(&response),
        Reply::BulkWrite(response) => {
            let each: Vec<String> = response
                .responses
                .into_iter()
                .flatten()
                .map(|response| of_response(&response))
                .collect();
            let header = WriteResponse {
                header: response.header,
                dlsn: None,
            };
            format!("bulk {} [{}]", of_response(&header), each.join(", "))
        }
        Reply::Void => "void".to_owned(),
        Reply::Exception { kind, message } if message.contains("NoClientIdSpecifiedException") => {
            format!("{kind}: no client id")
        }
        Reply::Exception { kind, .. } => format!("{kind}"),
    };
    format!("{}: {what}", head.method)
}

fn of_response(response: &WriteResponse<'_>) -> String {
    let mut text = response.header.code.as_i32().to_string();
    if let Some(location) = response.header.location {
        let own = ["1;11;localhost:8120", "1;13;localhost:8140"].contains(&location);
        text += &format!(" to {}", if own { "itself" } else { location });
    }
    if let Some(dlsn) = response.dlsn {
        let dlsn: distributedlog::Dlsn = dlsn.parse().expect("a position");
        // Entries count otherwise (the original writes a control record after each), and so do log
        // segments (it opens the next one also after a request that failed inside).
        text += &format!(
            " at slot {}{}",
            dlsn.slot_id,
            if dlsn == distributedlog::Dlsn::INITIAL {
                " of the first entry"
            } else {
                ""
            }
        );
    }
    if response.header.message.is_some() {
        text += " with a message";
    }
    text
}
