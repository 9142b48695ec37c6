//! A client that keeps a proxy busy and remembers what was acknowledged: plain mux over one socket, nothing retried, so that it is known of
//! each record what the proxy said of it.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::io;

use distributedlog::wire::mux::{Contexts, Frame, Message, Status, Tag, encode_request, encoded_request_len, frame_len};
use distributedlog::wire::service::{Reply, Request, WriteContext};
use distributedlog::{Dlsn, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::records::Acknowledged;

/// The largest frame that a proxy answers with.
const MAX_FRAME_BYTES: usize = 1 << 20;

/// The first tag of a request: 0 and 1 have other uses.
const FIRST_TAG: u32 = 2;

/// A connection to a proxy.
pub struct RawClient {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    received: Vec<u8>,
}

/// What a proxy said of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is stored there.
    Stored(Dlsn),
    /// It is not acknowledged: the status code and the message.
    Failed(Option<StatusCode>, String),
}

impl RawClient {
    /// Connects, and dispatches at once, without mux's session start.
    ///
    /// # Errors
    /// The socket's.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (from, to) = stream.into_split();
        Ok(Self { from, to, received: Vec::new() })
    }

    /// Sends a write of one record.
    ///
    /// # Errors
    /// The socket's.
    pub async fn send(&mut self, tag: u32, stream: &str, payload: &[u8]) -> io::Result<()> {
        let request = Request::WriteWithContext { stream, data: payload, context: WriteContext::default() };
        let contexts = Contexts::default();
        let mut frame = vec![0; encoded_request_len(&contexts, &request)];
        let tag = Tag::new(tag).expect("tags are small");
        encode_request(tag, &contexts, &request, &mut frame).expect("as long as was counted");
        self.to.write_all(&frame).await
    }

    /// Receives the next answer, whichever request it belongs to.
    ///
    /// # Errors
    /// The connection ended.
    ///
    /// # Panics
    /// The proxy sent what is no answer.
    pub async fn receive(&mut self) -> io::Result<(u32, Said)> {
        loop {
            if let Some(length) = frame_len(&self.received, MAX_FRAME_BYTES).expect("small answers")
                && length <= self.received.len()
            {
                let bytes: Vec<u8> = self.received.drain(..length).collect();
                let frame = Frame::decode(&bytes).expect("a mux frame");
                if let Message::Rdispatch { status, payload, .. } = frame.message {
                    return Ok((frame.tag.get(), what_was_said(status, payload)));
                }
                let harmless = matches!(frame.message, Message::Tdrain | Message::Tping | Message::Rping);
                assert!(harmless, "unexpected {}", frame.message.frame_type().name());
                continue;
            }
            if self.from.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Writes one record and waits for the answer.
    ///
    /// # Errors
    /// The connection ended; whether the record was written is unknown.
    pub async fn write(&mut self, stream: &str, payload: &[u8]) -> io::Result<Said> {
        self.send(FIRST_TAG, stream, payload).await?;
        Ok(self.receive().await?.1)
    }
}

fn what_was_said(status: Status, payload: &[u8]) -> Said {
    match status {
        Status::Ok => {}
        Status::Error | Status::Nack => return Said::Failed(None, String::from_utf8_lossy(payload).into_owned()),
    }
    match Reply::decode(payload).expect("a thrift reply").1 {
        Reply::Write(response) => match response.dlsn.filter(|_| response.header.code == StatusCode::Success) {
            Some(dlsn) => Said::Stored(dlsn.parse().expect("a DLSN")),
            None => Said::Failed(Some(response.header.code), response.header.message.unwrap_or_default().to_owned()),
        },
        Reply::Exception { message, .. } => Said::Failed(None, message.to_owned()),
        other @ (Reply::ServerInfo(_) | Reply::BulkWrite(_) | Reply::Void) => panic!("unexpected {other:?}"),
    }
}

/// What a load did.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What the proxy acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// What the proxy said not to be written, by message.
    pub failed: HashMap<String, usize>,
    /// How many writes got no answer.
    pub unknown: usize,
}

/// Writes to the streams in turn, `in_flight` records at a time, until the connection ends or `count` records were answered. Payloads begin
/// with `prefix` and a number, so that each is written once.
pub async fn write_until_the_end(address: SocketAddr, streams: &[&str], prefix: &str, in_flight: u32, count: usize) -> Loaded {
    let mut loaded = Loaded::default();
    let mut pending: HashMap<u32, (usize, Vec<u8>)> = HashMap::new();
    let Ok(mut client) = RawClient::connect(address).await else { return loaded };
    let mut number = 0;
    let mut answered = 0;
    let mut free: Vec<u32> = (FIRST_TAG..FIRST_TAG + in_flight).collect();
    'connection: while answered < count {
        while let Some(tag) = free.pop() {
            if number == count {
                break;
            }
            let payload = format!("{prefix}-{number}").into_bytes();
            let stream = number % streams.len();
            number += 1;
            let sent = client.send(tag, streams[stream], &payload).await;
            pending.insert(tag, (stream, payload));
            if sent.is_err() {
                break 'connection;
            }
        }
        let Ok((tag, said)) = client.receive().await else { break };
        let (stream, payload) = pending.remove(&tag).expect("an answer belongs to a request");
        answered += 1;
        free.push(tag);
        match said {
            Said::Stored(dlsn) => loaded.acknowledged.push(Acknowledged { stream: streams[stream].to_owned(), dlsn, payload }),
            Said::Failed(code, message) => *loaded.failed.entry(format!("{code:?} {message}")).or_default() += 1,
        }
    }
    // Answers that came before the connection ended are read still: they were acknowledged.
    while !pending.is_empty() {
        let Ok((tag, said)) = client.receive().await else { break };
        let Some((stream, payload)) = pending.remove(&tag) else { continue };
        if let Said::Stored(dlsn) = said {
            loaded.acknowledged.push(Acknowledged { stream: streams[stream].to_owned(), dlsn, payload });
        }
    }
    loaded.unknown = pending.len();
    loaded
}
