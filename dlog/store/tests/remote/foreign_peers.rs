//! Peers that are not this program's clients or servers.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::wire::mux::{
    Contexts, Delegations, Frame, InitHeader, InitHeaders, Message, Status, Tag,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::kit::*;
use distributedlog_store::frames::FrameStream;
use distributedlog_store::remote::internals::push;
use distributedlog_store::remote::internals::{
    HELLO, Hello, Operation, REFUSED, Reply, ReplyResult, Request, SessionKey, VERSION, WELCOME,
    Welcome, decode, decode_versioned, encode, encode_versioned,
};
use distributedlog_store::remote::{RemoteStore, ServerSettings};
use distributedlog_store::uri::Uri;
use distributedlog_store::{LogStore, StoreError};
use distributedlog_testkit::ports::ReservedPort;

/// A server that handles each connection with `reply`.
async fn fake<F: Future<Output = ()> + Send>(
    reply: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> Uri {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = Uri::local("127.0.0.1", listener.local_addr().expect("bound").port());
    tokio::spawn(async move {
        loop {
            reply(listener.accept().await.expect("accepts").0).await;
        }
    });
    uri
}

async fn refusal(uri: &Uri) -> String {
    match RemoteStore::connect(uri, client_settings()).await {
        Err(StoreError::Refused { detail, .. }) => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn zookeeper_is_recognized_and_named() {
    let uri = fake(async |mut stream: TcpStream| {
        let mut four = [0; 4];
        if stream.read_exact(&mut four).await.is_ok() && &four == b"srvr" {
            let text = b"Zookeeper version: 3.5.10-beta, built on 01/01/2026\n\
                Latency min/avg/max: 0/0/0\n";
            stream.write_all(text).await.ok();
        }
    });
    let uri = uri.await;
    let detail = refusal(&uri).await;
    assert!(
        detail.starts_with("ZooKeeper 3.5.10 answers there, so this is a BookKeeper namespace"),
        "{detail}"
    );
}

#[tokio::test]
async fn zookeeper_that_refuses_its_four_letter_command_is_recognized() {
    let uri = fake(async |mut stream: TcpStream| {
        let mut four = [0; 4];
        if stream.read_exact(&mut four).await.is_ok() && &four == b"srvr" {
            stream
                .write_all(b"srvr is not executed because it is not in the whitelist.\n")
                .await
                .ok();
        }
    });
    assert!(refusal(&uri.await).await.contains("a BookKeeper namespace"));
}

#[tokio::test]
async fn a_bookkeeper_uri_is_refused_without_connecting() {
    let uri = "distributedlog-bk://127.0.0.1:1/messaging/x"
        .parse()
        .expect("a URI");
    assert!(refusal(&uri).await.contains("it is a BookKeeper namespace"));
}

#[tokio::test]
async fn an_http_server_is_recognized() {
    let uri = fake(async |mut stream: TcpStream| {
        let mut some = [0; 16];
        stream.read_exact(&mut some).await.ok();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .ok();
    });
    assert!(
        refusal(&uri.await)
            .await
            .starts_with("it is an HTTP server")
    );
}

#[tokio::test]
async fn the_greeting_of_another_protocol_is_quoted() {
    let uri = fake(async |mut stream: TcpStream| {
        stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await.ok();
        stream.read_u8().await.ok();
    });
    assert_eq!(
        refusal(&uri.await).await,
        "it is not a DistributedLog store: it answered \"SSH-2.0-OpenSSH_9.6\\r\\n\""
    );
}

#[tokio::test]
async fn a_write_proxy_is_recognized() {
    let uri = fake(async |mut stream: TcpStream| {
        let mut frame = Vec::new();
        push(
            &mut frame,
            Tag::ONE,
            Message::Rinit {
                version: 1,
                headers: InitHeaders::default(),
            },
        );
        stream.write_all(&frame).await.ok();
        stream.read_u8().await.ok();
    });
    assert!(refusal(&uri.await).await.contains("as a write proxy does"));
}

#[tokio::test]
async fn a_server_that_closes_at_the_hello_and_a_closed_port_are_unreachable() {
    let uri = fake(async |mut stream: TcpStream| _ = stream.read_u8().await).await;
    let closed = RemoteStore::connect(&uri, client_settings())
        .await
        .expect_err("no store");
    assert!(
        matches!(&closed, StoreError::Unreachable { .. }),
        "{closed:?}"
    );
    let port = ReservedPort::new();
    let closed = Uri::local("127.0.0.1", port.number());
    let closed = RemoteStore::connect(&closed, client_settings())
        .await
        .expect_err("no store");
    assert!(
        matches!(&closed, StoreError::Unreachable { detail, .. } if detail.contains("refused")),
        "{closed:?}"
    );
}

#[tokio::test]
async fn another_namespace_is_refused_and_the_right_one_named() {
    let Running {
        uri,
        server: _server,
        ..
    } = running(ServerSettings::default()).await;
    let other = uri
        .to_string()
        .replace("/messaging/distributedlog", "/messaging/other")
        .parse()
        .expect("a URI");
    assert_eq!(
        refusal(&other).await,
        "it serves the namespace /messaging/distributedlog, not /messaging/other"
    );
}

fn hello(namespace: &str) -> Vec<u8> {
    let mut value = Vec::new();
    encode_versioned(
        &Hello {
            namespace,
            description: "test",
            max_frame_bytes: 1 << 20,
            resume: None,
        },
        &mut value,
    );
    value
}

fn init(value: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let headers = [InitHeader { key: HELLO, value }];
    push(
        &mut frame,
        Tag::ONE,
        Message::Tinit {
            version: 1,
            headers: InitHeaders::new(&headers),
        },
    );
    frame
}

fn dispatch(tag: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let tag = Tag::new(tag).expect("a tag");
    push(
        &mut frame,
        tag,
        Message::Tdispatch {
            contexts: Contexts::default(),
            destination: "",
            delegations: Delegations::default(),
            payload,
        },
    );
    frame
}

/// Returns the text of the header with this key in the server's reply to a hello.
fn header(frame: &Bytes, key: &[u8]) -> Option<String> {
    let Message::Rinit { headers, .. } = Frame::decode(frame).expect("mux").message else {
        panic!("no Rinit")
    };
    headers
        .iter()
        .find(|header| header.key == key)
        .map(|header| String::from_utf8_lossy(header.value).into_owned())
}

async fn first_reply(address: core::net::SocketAddr, bytes: &[u8]) -> Option<Bytes> {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(bytes).await.expect("sent");
    FrameStream::new(stream, 1 << 20, None)
        .next()
        .await
        .ok()
        .flatten()
}

#[tokio::test]
async fn a_hello_of_another_version_is_refused_with_both_versions() {
    let Running { server, .. } = running(ServerSettings::default()).await;
    let mut future = hello("/messaging/distributedlog");
    future[0] = 9;
    future.extend(b"what a later version adds");
    let reply = first_reply(server.local_addr(), &init(&future))
        .await
        .expect("a reply");
    let why = header(&reply, REFUSED).expect("a refusal");
    assert!(
        why.contains(&format!(
            "speaks version {VERSION} of the store's protocol, not 9"
        )),
        "{why}"
    );
}

#[tokio::test]
async fn an_invalid_hello_is_refused_with_the_reason() {
    let Running { server, .. } = running(ServerSettings::default()).await;
    let address = server.local_addr();
    let why = async |bytes: Vec<u8>| {
        header(
            &first_reply(address, &bytes).await.expect("a reply"),
            REFUSED,
        )
        .expect("a refusal")
    };
    assert!(
        why(init(&[u8::try_from(VERSION).unwrap(), 200]))
            .await
            .contains("the hello is malformed")
    );
    assert!(why(init(&[])).await.contains("no version"));
    assert!(
        why(dispatch(2, b""))
            .await
            .contains("begins with Tinit, not with Tdispatch")
    );
    let mut plain = Vec::new();
    push(
        &mut plain,
        Tag::ONE,
        Message::Tinit {
            version: 1,
            headers: InitHeaders::default(),
        },
    );
    assert!(why(plain).await.contains("this is a store"));
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_only_their_own_connection() {
    let Running { server, uri, .. } = running(ServerSettings::default()).await;
    let good = client(&uri).await;
    for bytes in [
        &[0xff; 64][..],
        &[0, 0, 0, 0],
        &[0, 0, 0, 4, 99, 0, 0, 1],
        b"\0\0\x20\0",
    ] {
        assert_eq!(
            first_reply(server.local_addr(), bytes).await,
            None,
            "{bytes:?}"
        );
    }
    good.list().await.expect("undisturbed");
}

#[tokio::test]
async fn a_client_of_http_gets_a_response_that_names_the_port() {
    let Running { server, uri, .. } = running(ServerSettings::default()).await;
    for request in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.local_addr())
            .await
            .expect("connects");
        stream.write_all(request).await.expect("sent");
        let mut response = String::new();
        // A reset is an end too.
        let _ = stream.read_to_string(&mut response).await;
        assert!(
            response.starts_with("HTTP/1.1 400 Bad Request\r\n")
                && response.contains("the port of a DistributedLog store"),
            "{response}"
        );
    }
    client(&uri).await.list().await.expect("undisturbed");
}

#[tokio::test]
async fn an_oversized_frame_is_refused_before_it_is_buffered() {
    let Running { server, .. } = running(ServerSettings {
        max_frame_bytes: 1000,
        ..ServerSettings::default()
    })
    .await;
    let mut stream = TcpStream::connect(server.local_addr())
        .await
        .expect("connects");
    stream
        .write_all(&init(&hello("/messaging/distributedlog")))
        .await
        .expect("sent");
    // Only the length is sent: the server does not wait for the rest.
    stream
        .write_all(&1000_u32.to_be_bytes())
        .await
        .expect("sent");
    let mut all = Vec::new();
    stream
        .read_to_end(&mut all)
        .await
        .expect("the server closes");
}

#[tokio::test]
async fn a_malformed_request_gets_a_reply_and_the_connection_stays_open() {
    let Running { server, .. } = running(ServerSettings::default()).await;
    let mut stream = TcpStream::connect(server.local_addr())
        .await
        .expect("connects");
    let mut good = Vec::new();
    let list = Operation::List {
        after: None,
        prefix: String::new(),
        limit: 1,
    };
    encode(&Request::Do(list), &mut good);
    let mut trailing = good.clone();
    trailing.push(0);
    let no_records = [0, 1, b's', 1, 0];
    let bad_name = [2, 0, 3, b'a', b' ', b'b'];
    stream
        .write_all(&init(&hello("/messaging/distributedlog")))
        .await
        .expect("sent");
    let bad: [&[u8]; 6] = [
        b"",
        &[99],
        &trailing,
        &no_records,
        &bad_name,
        &[0, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ];
    for (tag, payload) in (2..).zip(bad) {
        stream
            .write_all(&dispatch(tag, payload))
            .await
            .expect("sent");
    }
    stream.write_all(&dispatch(50, &good)).await.expect("sent");
    let mut reader = FrameStream::new(stream, 1 << 20, None);
    reader.next().await.expect("a welcome").expect("a welcome");
    for tag in 2..8 {
        let bytes = reader.next().await.expect("a reply").expect("a reply");
        let frame = Frame::decode(&bytes).expect("mux");
        assert_eq!(frame.tag.get(), tag);
        assert!(
            matches!(
                frame.message,
                Message::Rdispatch {
                    status: Status::Error,
                    ..
                }
            ),
            "{tag}: {frame:?}"
        );
    }
    let bytes = reader.next().await.expect("a reply").expect("a reply");
    let Message::Rdispatch {
        status: Status::Ok,
        payload,
        ..
    } = Frame::decode(&bytes).expect("mux").message
    else {
        panic!("not ok")
    };
    assert_eq!(
        decode::<ReplyResult<'_>>(payload),
        Ok(Ok(Reply::Names {
            names: vec![],
            more: false
        }))
    );
}

#[tokio::test]
async fn a_client_that_resumes_its_session_supersedes_its_half_open_connection() {
    let Running { server, .. } = running(ServerSettings::default()).await;
    let welcomed = async |resume: Option<SessionKey>| {
        let mut value = Vec::new();
        let hello = Hello {
            namespace: "/messaging/distributedlog",
            description: "test",
            max_frame_bytes: 1 << 20,
            resume,
        };
        encode_versioned(&hello, &mut value);
        let mut stream = TcpStream::connect(server.local_addr())
            .await
            .expect("connects");
        stream.write_all(&init(&value)).await.expect("sent");
        let mut reader = FrameStream::new(stream, 1 << 20, None);
        let frame = reader.next().await.expect("a reply").expect("a reply");
        let Message::Rinit { headers, .. } = Frame::decode(&frame).expect("mux").message else {
            panic!("no Rinit")
        };
        let welcome = headers
            .iter()
            .find(|header| header.key == WELCOME)
            .expect("a welcome");
        (
            reader,
            decode_versioned::<Welcome>(welcome.value)
                .expect("well-formed")
                .expect("our version"),
        )
    };
    let (mut first, welcome) = welcomed(None).await;
    assert!(!welcome.resumed);
    let (mut second, again) = welcomed(Some(welcome.session)).await;
    assert!(again.resumed);
    assert_eq!(again.session, welcome.session);
    assert!(
        matches!(first.next().await, Ok(None)),
        "the first connection is closed"
    );
    let guessed = SessionKey {
        secret: !welcome.session.secret,
        ..welcome.session
    };
    let (_third, other) = welcomed(Some(guessed)).await;
    assert!(
        !other.resumed && other.session.id != welcome.session.id,
        "another one's session is not to be had"
    );
    assert!(
        is_pending(second.next()).await,
        "the second connection lives on"
    );
}

/// Returns true if the future is not ready at once.
async fn is_pending<T>(future: impl Future<Output = T>) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = tokio::task::yield_now() => true,
    }
}

#[tokio::test]
async fn one_connection_too_many_is_refused_with_the_reason() {
    let Running {
        uri,
        server: _server,
        ..
    } = running(ServerSettings {
        max_connections: 1,
        ..ServerSettings::default()
    })
    .await;
    let _first = client(&uri).await;
    let second = RemoteStore::connect(&uri, client_settings())
        .await
        .expect_err("full");
    assert!(
        matches!(
            &second,
            StoreError::Unreachable { detail, .. }
                if detail == "the maximum number of connections (1) is open"
        ),
        "{second:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_nothing_or_only_half_a_frame_is_closed() {
    use distributedlog_store::remote::internals::connection_over;
    let settings = ServerSettings::default();
    for (sent, limit) in [
        (Vec::new(), settings.hello_timeout),
        (vec![0, 0, 0, 50, 1], settings.hello_timeout),
        (
            init(&hello("/messaging/distributedlog")),
            settings.idle_timeout,
        ),
        (
            [
                init(&hello("/messaging/distributedlog")),
                vec![0, 0, 0, 50, 1],
            ]
            .concat(),
            settings.idle_timeout,
        ),
    ] {
        let store = distributedlog_testkit::store::MemoryStore::new() as Arc<dyn LogStore>;
        let (mut peer, ours) = tokio::io::duplex(1 << 16);
        let started = tokio::time::Instant::now();
        peer.write_all(&sent).await.expect("sent");
        let closed = connection_over(ours, store, settings.clone())
            .await
            .expect_err("hung up");
        assert!(closed.contains("no complete frame arrived"), "{closed}");
        let took = started.elapsed();
        assert!(
            took >= limit && took < limit + Duration::from_secs(1),
            "{took:?}"
        );
    }
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..100_000 {
        let length = random() % 48;
        let mut bytes: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        // Small numbers are discriminants and lengths, which lead deeper into the decoder.
        bytes.iter_mut().take(6).for_each(|byte| *byte %= 8);
        decode::<Request<'_>>(&bytes).ok();
        decode::<ReplyResult<'_>>(&bytes).ok();
        decode_versioned::<Hello<'_>>(&bytes).ok();
    }
}
