//! The store's port: bodies of requests and replies, and a connection from its first byte on.
#![no_main]

use std::sync::Arc;

use distributedlog::wire::mux::{InitHeader, InitHeaders, Message, Tag};
use distributedlog_store::LogStore;
use distributedlog_store::remote::ServerSettings;
use distributedlog_store::remote::internals::{
    HELLO, Hello, ReplyResult, Request, connection_over, decode, decode_versioned, encode,
    encode_versioned, push,
};
use distributedlog_testkit::store::MemoryStore;
use libfuzzer_sys::fuzz_target;
use tokio::io::AsyncWriteExt;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = decode::<Request<'_>>(bytes) {
        let mut out = Vec::new();
        encode(&request, &mut out);
        let again = decode::<Request<'_>>(&out).expect("what was encoded decodes");
        assert_eq!(format!("{again:?}"), format!("{request:?}"));
    }
    let _ = decode::<ReplyResult<'_>>(bytes);
    let _ = decode_versioned::<Hello<'_>>(bytes);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        connection(bytes, false).await;
        connection(bytes, true).await;
    });
});

/// A client that sends this, behind a handshake or without one, reads nothing and hangs up.
async fn connection(bytes: &[u8], shakes_hands: bool) {
    let store = MemoryStore::new();
    store
        .create(&"s".parse().expect("a valid name"))
        .await
        .expect("created");
    let (mut client, server) = tokio::io::duplex(1 << 20);
    if shakes_hands {
        let hello = Hello {
            namespace: "/messaging/distributedlog",
            description: "fuzz",
            max_frame_bytes: 1 << 20,
            resume: None,
        };
        let (mut body, mut frame) = (Vec::new(), Vec::new());
        encode_versioned(&hello, &mut body);
        let headers = [InitHeader {
            key: HELLO,
            value: &body,
        }];
        let message = Message::Tinit {
            version: 1,
            headers: InitHeaders::new(&headers),
        };
        push(&mut frame, Tag::ONE, message);
        client.write_all(&frame).await.expect("it has room");
    }
    client.write_all(bytes).await.expect("it has room");
    client.shutdown().await.expect("a pipe");
    let store: Arc<dyn LogStore> = store;
    let _ = connection_over(server, store, ServerSettings::default()).await;
    drop(client);
}
