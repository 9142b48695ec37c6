//! Raw clients, which say bytes and read frames, and the proxies that they talk to.

use core::net::SocketAddr;
use std::sync::Arc;

use distributedlog::wire::framed;
use distributedlog::wire::mux::{self, Contexts, Frame, Message, Tag};
use distributedlog::wire::service::{Reply, Request, SequenceId, WriteContext};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Proxy, RunningProxy, Settings, SettingsBuilder, WallClock};
use distributedlog_testkit::store::MemoryStore;

/// A time of day that does not pass.
#[derive(Debug)]
pub(super) struct StoppedClock(pub(super) u64);

impl WallClock for StoppedClock {
    fn unix_nanos(&self) -> u64 {
        self.0
    }
}

/// The defaults, on a port of the system's choice.
pub(super) fn settings() -> SettingsBuilder {
    Settings::builder()
        .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
        .shard(1)
}

/// A proxy over a store in memory.
pub(super) async fn start(settings: SettingsBuilder) -> (RunningProxy, Arc<MemoryStore>) {
    let store = MemoryStore::new();
    (start_on(settings, &store).await, store)
}

pub(super) async fn start_on(settings: SettingsBuilder, store: &Arc<MemoryStore>) -> RunningProxy {
    let settings = settings.build().expect("valid settings");
    Proxy::start(settings, Arc::clone(store) as _)
        .await
        .expect("a free port")
}

/// A connection that speaks raw bytes.
pub(super) struct Raw {
    pub(super) stream: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    pub(super) async fn connect(proxy: &RunningProxy) -> Self {
        let stream = TcpStream::connect(proxy.local_addr())
            .await
            .expect("the proxy listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Self {
            stream,
            received: Vec::new(),
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the proxy reads");
    }

    /// The next frame, its length field included; `None` when the proxy closed the connection.
    pub(super) async fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(length) =
                mux::frame_len(&self.received, 64 << 20).expect("frames of valid lengths")
                && self.received.len() >= length
            {
                return Some(self.received.drain(..length).collect());
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) => {
                    assert!(
                        self.received.is_empty(),
                        "closed in the middle of a frame: {:x?}",
                        self.received
                    );
                    return None;
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Asserts that the proxy closes the connection without another word.
    pub(super) async fn closed(&mut self) {
        let frame = self.frame().await;
        assert!(frame.is_none(), "expected the end, got {:x?}", frame);
    }

    /// Sends a frame of mux.
    pub(super) async fn say(&mut self, tag: u32, message: Message<'_>) {
        self.send(&mux_frame(tag, message)).await;
    }

    /// Sends a request over mux.
    pub(super) async fn dispatch(&mut self, tag: u32, request: &Request<'_>) {
        self.send(&dispatch(tag, &[], request)).await;
    }

    /// Reads a frame of mux: its tag and what it says, in words.
    pub(super) async fn heard(&mut self) -> (u32, String) {
        let frame = self.frame().await.expect("an answer");
        let Frame { tag, message } = Frame::decode(&frame).expect("a frame of mux");
        (tag.get(), meaning(&message))
    }

    /// A request over mux, and its answer in words.
    pub(super) async fn ask(&mut self, request: &Request<'_>) -> String {
        self.dispatch(7, request).await;
        let (tag, answer) = self.heard().await;
        assert_eq!(tag, 7, "{answer}");
        answer
    }

    /// A request over framed thrift, and its answer in words.
    pub(super) async fn ask_framed(&mut self, request: &Request<'_>) -> String {
        self.send(&framed_call(request)).await;
        self.heard_framed().await
    }

    /// Reads a frame of thrift without the upgrade.
    pub(super) async fn heard_framed(&mut self) -> String {
        let frame = self.frame().await.expect("an answer");
        of_reply(framed::frame_body(&frame).expect("a frame"))
    }
}

pub(super) fn mux_frame(tag: u32, message: Message<'_>) -> Vec<u8> {
    let frame = Frame::new(Tag::new(tag).expect("a tag"), message);
    let mut bytes = vec![0; frame.encoded_len()];
    frame
        .encode(&mut bytes)
        .expect("the buffer is as long as the frame");
    bytes
}

pub(super) fn dispatch(tag: u32, contexts: &[mux::Context<'_>], request: &Request<'_>) -> Vec<u8> {
    let contexts = Contexts::new(contexts);
    let mut bytes = vec![0; mux::encoded_request_len(&contexts, request)];
    mux::encode_request(
        Tag::new(tag).expect("a tag"),
        &contexts,
        request,
        &mut bytes,
    )
    .expect("the buffer is as long as the frame");
    bytes
}

pub(super) fn framed_call(request: &Request<'_>) -> Vec<u8> {
    let mut bytes = vec![0; framed::encoded_request_len(None, request)];
    framed::encode_request(None, SequenceId(0), request, &mut bytes)
        .expect("the buffer is as long as the frame");
    bytes
}

/// What a frame says, in words.
pub(super) fn meaning(message: &Message<'_>) -> String {
    let (Message::Rdispatch {
        status, payload, ..
    }
    | Message::Rreq { status, payload }) = message
    else {
        return format!("{message:?}");
    };
    match status {
        mux::Status::Ok => of_reply(payload),
        mux::Status::Error | mux::Status::Nack => {
            format!("{status:?}: {}", String::from_utf8_lossy(payload))
        }
    }
}

/// What a thrift message says, in words: codes, then positions, locations and messages where there
/// are any.
pub(super) fn of_reply(message: &[u8]) -> String {
    let (_, reply) = Reply::decode(message).expect("a reply");
    match reply {
        Reply::ServerInfo(info) => {
            let mut owned: Vec<String> = info
                .ownerships
                .into_iter()
                .flatten()
                .map(|(stream, owner)| format!("{stream}={owner}"))
                .collect();
            owned.sort();
            let status = info.status.map_or(0, |status| status.as_i32());
            let domain = info.failure_domain.map(|name| format!(" in {name}"));
            format!("server {status:?} {owned:?}{}", domain.unwrap_or_default())
        }
        Reply::Write(response) => of_response(&response),
        Reply::BulkWrite(response) => {
            let each: Vec<String> = response
                .responses
                .into_iter()
                .flatten()
                .map(|response| of_response(&response))
                .collect();
            let header = distributedlog::wire::service::WriteResponse {
                header: response.header,
                dlsn: None,
            };
            format!("bulk {} {each:?}", of_response(&header))
        }
        Reply::Void => "void".to_owned(),
        Reply::Exception { kind, message } => format!("exception {}: {message}", kind.as_i32()),
    }
}

fn of_response(response: &distributedlog::wire::service::WriteResponse<'_>) -> String {
    let mut text = response.header.code.as_i32().to_string();
    if let Some(dlsn) = response.dlsn {
        let dlsn: distributedlog::Dlsn = dlsn.parse().expect("a position");
        text += &format!(
            " at {}/{}/{}",
            dlsn.log_segment_sequence_no, dlsn.entry_id, dlsn.slot_id
        );
    }
    if let Some(location) = response.header.location {
        text += &format!(" -> {location}");
    }
    if let Some(message) = response.header.message {
        text += &format!(" ({message})");
    }
    text
}

pub(super) fn write<'a>(stream: &'a str, data: &'a [u8]) -> Request<'a> {
    Request::WriteWithContext {
        stream,
        data,
        context: WriteContext::default(),
    }
}
