//! A proxy that speaks framed thrift.

use distributedlog::Dlsn;
use distributedlog::wire::framed::{self, RequestHeader, ResponseHeader};
use distributedlog::wire::mux::Tag;
use distributedlog::wire::service::{
    Method, Ownerships, Reply, Request, SequenceId, ServerInfo, ServerStatus, WriteResponse,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Call;

/// One connection, seen from the proxy. `upgraded` once both sides put headers before their
/// messages.
pub struct FramedPeer {
    stream: TcpStream,
    buffer: Vec<u8>,
    upgraded: bool,
}

impl FramedPeer {
    pub const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            upgraded: false,
        }
    }

    /// Returns the body of the next frame; `None` at the connection's end.
    async fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(length) = framed::frame_len(&self.buffer, 64 << 20).unwrap()
                && self.buffer.len() >= length
            {
                let frame: Vec<u8> = self.buffer.drain(..length).collect();
                return Some(framed::frame_body(&frame).unwrap().to_vec());
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn send(&mut self, length: usize, encode: impl FnOnce(&mut [u8])) {
        let mut bytes = vec![0; length];
        encode(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Replies to the client's test for the upgrade.
    pub async fn answer_upgrade(&mut self, accept: bool) {
        let message = self.frame().await.expect("a client asks first");
        let sequence_id =
            framed::upgrade_request(&message).expect("the first message asks for the upgrade");
        let mut bytes = [0; 256];
        let length = if accept {
            framed::encode_upgrade_reply(sequence_id, &mut bytes).unwrap()
        } else {
            framed::encode_upgrade_refusal(sequence_id, &mut bytes).unwrap()
        };
        self.send(length, |out| out.copy_from_slice(&bytes[..length]))
            .await;
        self.upgraded = accept;
    }

    /// The next request; [`None`] at the connection's end.
    pub async fn receive(&mut self) -> Option<Call> {
        let body = self.frame().await?;
        let (header, message) = if self.upgraded {
            let (header, message) = RequestHeader::decode(&body).unwrap();
            (Some(header), message)
        } else {
            (None, &body[..])
        };
        let (_, request) = Request::decode(message).unwrap();
        let mut call = Call::of(Tag::ONE, &request);
        call.client_id = header.and_then(|header| header.any_client_id().map(str::to_owned));
        call.has_deadline = header.is_some_and(|header| {
            header
                .contexts
                .is_some_and(|contexts| contexts.deadline().is_some())
        });
        Some(call)
    }

    /// The next request that is no handshake.
    pub async fn call(&mut self) -> Call {
        loop {
            let call = self.receive().await.expect("a request comes");
            if call.method != Method::HandshakeWithClientInfo {
                return call;
            }
            let info = ServerInfo {
                ownerships: Some(Ownerships::new(&[])),
                status: Some(ServerStatus::WriteAndAccept),
                failure_domain: None,
            };
            self.answer(&call, &Reply::ServerInfo(info)).await;
        }
    }

    pub async fn answer(&mut self, call: &Call, reply: &Reply<'_>) {
        let header = self.upgraded.then(ResponseHeader::default);
        let name = call.method.name();
        let length = framed::encoded_reply_len(header.as_ref(), name, reply);
        let encode = |out: &mut [u8]| {
            framed::encode_reply(header.as_ref(), name, SequenceId(0), reply, out).unwrap();
        };
        self.send(length, encode).await;
    }

    pub async fn answer_written(&mut self, call: &Call, at: Dlsn) {
        let text = at.to_text();
        self.answer(
            call,
            &Reply::Write(WriteResponse::success(Some(text.as_str()))),
        )
        .await;
    }
}
