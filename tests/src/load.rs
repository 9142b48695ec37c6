//! A client that loads a proxy and keeps the acknowledged records: plain mux over one socket,
//! without retries, so that the proxy's reply to each record is known.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::io;

use distributedlog::wire::mux::{
    Contexts, Frame, Message, Status, Tag, encode_request, encoded_request_len, frame_len,
};
use distributedlog::wire::service::{Reply, Request, WriteContext};
use distributedlog::{Dlsn, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::records::Acknowledged;

/// Maximum size of a proxy's reply frame.
const MAX_FRAME_BYTES: usize = 1 << 20;

/// First tag of a request: 0 and 1 have other uses.
const FIRST_TAG: u32 = 2;

/// A connection to a proxy.
pub struct RawClient {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    received: Vec<u8>,
    draining: bool,
}

/// Reply of a proxy to one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteReply {
    /// The record is stored at this position.
    Stored(Dlsn),
    /// The record is not acknowledged; the status code and the message.
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
        Ok(Self {
            from,
            to,
            received: Vec::new(),
            draining: false,
        })
    }

    /// Sends a write of one record.
    ///
    /// # Errors
    /// The socket's.
    pub async fn send(&mut self, tag: u32, stream: &str, payload: &[u8]) -> io::Result<()> {
        let request = Request::WriteWithContext {
            stream,
            data: payload,
            context: WriteContext::default(),
        };
        let contexts = Contexts::default();
        let mut frame = vec![0; encoded_request_len(&contexts, &request)];
        let tag = Tag::new(tag).expect("tags are small");
        encode_request(tag, &contexts, &request, &mut frame).expect("as long as was counted");
        self.to.write_all(&frame).await
    }

    /// Receives the next reply, to any of the requests. Returns `None` if the proxy asks for no
    /// more requests instead.
    ///
    /// # Errors
    /// The connection ended.
    ///
    /// # Panics
    /// The proxy sent a frame that is no reply.
    pub async fn receive(&mut self) -> io::Result<Option<(u32, WriteReply)>> {
        loop {
            if let Some(length) = frame_len(&self.received, MAX_FRAME_BYTES).expect("small answers")
                && length <= self.received.len()
            {
                let bytes: Vec<u8> = self.received.drain(..length).collect();
                let frame = Frame::decode(&bytes).expect("a mux frame");
                if let Message::Rdispatch {
                    status, payload, ..
                } = frame.message
                {
                    return Ok(Some((frame.tag.get(), decode_reply(status, payload))));
                }
                assert_eq!(frame.message, Message::Tdrain, "only this comes by itself");
                self.draining = true;
                let agreed = Frame::new(frame.tag, Message::Rdrain);
                let mut bytes = vec![0; agreed.encoded_len()];
                agreed.encode(&mut bytes).expect("as long as was counted");
                self.to.write_all(&bytes).await?;
                return Ok(None);
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
    pub async fn write(&mut self, stream: &str, payload: &[u8]) -> io::Result<WriteReply> {
        self.send(FIRST_TAG, stream, payload).await?;
        loop {
            if let Some((_, reply)) = self.receive().await? {
                return Ok(reply);
            }
        }
    }
}

fn decode_reply(status: Status, payload: &[u8]) -> WriteReply {
    match status {
        Status::Ok => {}
        Status::Error | Status::Nack => {
            return WriteReply::Failed(None, String::from_utf8_lossy(payload).into_owned());
        }
    }
    match Reply::decode(payload).expect("a thrift reply").1 {
        Reply::Write(response) => match response
            .dlsn
            .filter(|_| response.header.code == StatusCode::Success)
        {
            Some(dlsn) => WriteReply::Stored(dlsn.parse().expect("a DLSN")),
            None => WriteReply::Failed(
                Some(response.header.code),
                response.header.message.unwrap_or_default().to_owned(),
            ),
        },
        Reply::Exception { message, .. } => WriteReply::Failed(None, message.to_owned()),
        other @ (Reply::ServerInfo(_) | Reply::BulkWrite(_) | Reply::Void) => {
            panic!("unexpected {other:?}")
        }
    }
}

/// Result of a load.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Acknowledged records.
    pub acknowledged: Vec<Acknowledged>,
    /// Writes that the proxy refused, by message.
    pub failed: HashMap<String, usize>,
    /// Number of writes without a reply.
    pub unknown: usize,
}

/// Writes to the streams in turn, `in_flight` records at a time, until the connection ends, the
/// proxy asks for no more, or `count` records were answered. Payloads begin with `prefix` and a
/// number, so that each is written once.
pub async fn write_until_the_end(
    address: SocketAddr,
    streams: &[&str],
    prefix: &str,
    in_flight: u32,
    count: usize,
) -> Loaded {
    let mut loaded = Loaded::default();
    let Ok(mut client) = RawClient::connect(address).await else {
        return loaded;
    };
    let mut pending: HashMap<u32, Acknowledged> = HashMap::new();
    let mut free: Vec<u32> = (FIRST_TAG..FIRST_TAG + in_flight).collect();
    let mut number = 0;
    loop {
        while !client.draining
            && number < count
            && let Some(tag) = free.pop()
        {
            let stream = streams[number % streams.len()].to_owned();
            let record = Acknowledged {
                stream,
                dlsn: Dlsn::INVALID,
                payload: format!("{prefix}-{number}").into_bytes(),
            };
            number += 1;
            let sent = client.send(tag, &record.stream, &record.payload).await;
            pending.insert(tag, record);
            if sent.is_err() {
                // Replies that arrived before the connection ended are still read: their records
                // are acknowledged.
                client.draining = true;
            }
        }
        if pending.is_empty() {
            break;
        }
        match client.receive().await {
            Ok(Some((tag, reply))) => {
                let record = pending
                    .remove(&tag)
                    .expect("an answer belongs to a request");
                free.push(tag);
                loaded.count(record, reply);
            }
            Ok(None) => {}
            Err(_) => break,
        }
    }
    loaded.unknown = pending.len();
    loaded
}

impl Loaded {
    fn count(&mut self, record: Acknowledged, reply: WriteReply) {
        match reply {
            WriteReply::Stored(dlsn) => self.acknowledged.push(Acknowledged { dlsn, ..record }),
            WriteReply::Failed(code, message) => {
                *self
                    .failed
                    .entry(format!("{code:?} {message}"))
                    .or_default() += 1
            }
        }
    }
}
