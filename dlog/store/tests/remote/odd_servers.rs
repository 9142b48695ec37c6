//! Servers that speak the protocol, and answer as this program's never do.

use distributedlog::Dlsn;
use distributedlog::wire::mux::{Frame, Message, RequestKind, Status, Tag};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::kit::*;
use distributedlog_store::frames::FrameStream;
use distributedlog_store::remote::RemoteStore;
use distributedlog_store::remote::internals::{Reply, ReplyResult, encode, push};
use distributedlog_store::uri::Uri;
use distributedlog_store::{Lease, LogStore, StoreError};

/// Longest time between the pings of clients, in milliseconds.
const SELDOM_MS: u32 = 3_600_000;

/// Serves one connection. Each frame of the client gets the replies that `reply` returns.
async fn serve_one<F>(version: u16, ping_every_ms: u32, reply: F) -> Uri
where
    F: FnMut(&Frame<'_>) -> Vec<(Tag, Message<'static>)> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = Uri::local("127.0.0.1", listener.local_addr().expect("bound").port());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        welcome(&mut stream, version, ping_every_ms).await;
        answer_all(stream, reply).await;
    });
    uri
}

async fn answer_all<F>(stream: TcpStream, mut reply: F)
where
    F: FnMut(&Frame<'_>) -> Vec<(Tag, Message<'static>)>,
{
    let (from, mut to) = stream.into_split();
    let mut reader = FrameStream::new(from, 1 << 20, None);
    while let Ok(Some(bytes)) = reader.next().await {
        let mut out = Vec::new();
        for (tag, message) in reply(&Frame::decode(&bytes).expect("mux")) {
            push(&mut out, tag, message);
        }
        if to.write_all(&out).await.is_err() {
            return;
        }
    }
}

fn any_lease() -> Lease {
    Lease {
        stream: name("s"),
        epoch: 1,
    }
}

#[tokio::test]
async fn an_append_that_the_server_gives_up_is_unknown() {
    let uri = serve_one(1, SELDOM_MS, |frame| vec![(frame.tag, Message::Rdiscarded)]).await;
    let remote = client(&uri).await;
    let given_up = append(&remote, &any_lease(), "?").await;
    let Err(StoreError::Disconnected { detail, .. }) = &given_up else {
        panic!("{given_up:?}");
    };
    assert_eq!(detail, "it gave a request up");
}

#[tokio::test]
async fn creating_a_stream_is_not_repeated_when_the_server_gives_it_up() {
    let uri = serve_one(1, SELDOM_MS, |frame| vec![(frame.tag, Message::Rdiscarded)]).await;
    let remote = client(&uri).await;
    let given_up = remote.create(&name("s")).await;
    assert!(
        matches!(&given_up, Err(StoreError::Disconnected { .. })),
        "{given_up:?}"
    );
}

#[tokio::test]
async fn a_server_of_another_version_of_mux_is_refused() {
    let uri = serve_one(2, SELDOM_MS, |_| Vec::new()).await;
    match RemoteStore::connect(&uri, client_settings()).await {
        Err(StoreError::Refused { detail, .. }) => {
            assert_eq!(detail, "it speaks version 2 of mux, not 1");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_error_instead_of_a_pong_is_a_sign_of_life() {
    // Answers pings with errors, and an append once it has answered a ping after it.
    let position: &'static [u8] = {
        let mut reply = Vec::new();
        let appended: ReplyResult<'_> = Ok(Reply::Appended(Dlsn::new(1, 0, 0)));
        encode(&appended, &mut reply);
        reply.leak()
    };
    let mut appending = None;
    let uri = serve_one(1, 1, move |frame| {
        if frame.message != Message::Tping {
            appending = Some(frame.tag);
            return Vec::new();
        }
        let error = "Unexpected mux message type 65";
        let mut replies = vec![(Tag::ONE, Message::Rerr { error })];
        if let Some(tag) = appending.take() {
            let reply = RequestKind::Tdispatch.reply(Status::Ok, position);
            replies.push((tag, reply));
        }
        replies
    })
    .await;
    let remote = client(&uri).await;
    let appended = append(&remote, &any_lease(), "x").await;
    assert_eq!(appended, Ok(Dlsn::new(1, 0, 0)));
}

#[tokio::test]
async fn a_server_that_asks_and_takes_no_answers_is_left() {
    // More than the buffers of both sockets hold answers to.
    const MOST: usize = 64 << 20;
    for (message, name) in [(Message::Tping, "Tping"), (Message::Tdrain, "Tdrain")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let uri = Uri::local("127.0.0.1", listener.local_addr().expect("bound").port());
        let mut frames = Vec::new();
        for _ in 0..4096 {
            push(&mut frames, Tag::new(7).expect("a tag"), message);
        }
        let asking = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            welcome(&mut stream, 1, SELDOM_MS).await;
            let mut sent = 0;
            while sent < MOST && stream.write_all(&frames).await.is_ok() {
                sent += frames.len();
            }
            sent
        });
        let remote = client(&uri).await;
        let lost = append(&remote, &any_lease(), "?").await;
        let Err(StoreError::Disconnected { detail, .. }) = &lost else {
            panic!("{lost:?}");
        };
        let expected = format!("it sends {name} faster than it takes the answers");
        assert_eq!(*detail, expected);
        let sent = asking.await.expect("no panic");
        assert!(sent < MOST, "it was left only when it ended");
    }
}
