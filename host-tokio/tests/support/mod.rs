//! A write proxy whose part the test plays, frame by frame, over real sockets.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a proxy's part is played for the frames that a test is about"
)]

pub mod framed;

use core::net::SocketAddr;
use core::time::Duration;

use distributedlog::wire::mux::{self, Frame, INIT_CHECK, InitHeaders, Message, Tag};
use distributedlog::wire::service::{
    Method, Ownerships, Reply, Request, ResponseHeader, SequenceId, ServerInfo, ServerStatus,
    WriteContext, WriteResponse,
};
use distributedlog::{Dlsn, StatusCode};
use distributedlog_tokio::{BuildError, HostFailureReason, ProxyClient, ProxyClientBuilder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Limit of steps that end by themselves, longer than they take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Returns the error of a client that cannot be built. It has more and more time, until each of its
/// hosts has failed for a reason of its own: a busy machine may take long for the first.
pub async fn build_error(client: ProxyClientBuilder) -> BuildError {
    let mut time = Duration::from_millis(200);
    loop {
        let built = client.clone().ready_timeout(time).build().await;
        let error = built.unwrap_err();
        match &error {
            BuildError::NoProxy { hosts, .. }
                if time < LIMIT
                    && hosts
                        .iter()
                        .any(|host| matches!(host.reason, HostFailureReason::NoAnswer)) =>
            {
                time *= 2;
            }
            _ => return error,
        }
    }
}

/// A proxy played by the test.
pub struct Proxy {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// One connection, seen from the proxy.
pub struct Peer {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A message that a peer received.
#[derive(Debug, PartialEq)]
pub enum Received {
    Call(Call),
    Check,
    Init,
    Ping(Tag),
    Drained(Tag),
    Discarded(Tag),
    End,
}

/// A request, with what tests look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub tag: Tag,
    pub method: Method,
    pub stream: String,
    pub data: Vec<u8>,
    pub records: Vec<Vec<u8>>,
    pub tried_hosts: Vec<String>,
    pub crc32: Option<i64>,
    pub is_record_set: bool,
    pub client_id: Option<String>,
    pub has_deadline: bool,
    /// Time until its deadline when it was sent.
    pub time: Option<Duration>,
}

impl Proxy {
    pub async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// Binds the same address again, after the first proxy is gone.
    pub async fn bind_at(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        Self {
            listener: socket.listen(64).unwrap(),
            address,
        }
    }

    pub fn name(&self) -> String {
        format!("inet!{}", self.address)
    }

    pub fn location(&self) -> String {
        format!("1;7;{}", self.address)
    }

    /// A client that waits for replies longer than a busy machine delays them.
    pub fn client(&self) -> ProxyClientBuilder {
        ProxyClient::builder()
            .proxies(self.name())
            .client_id("test-client")
            .attempt_timeout(LIMIT)
    }

    pub async fn accept(&self) -> Peer {
        Peer::new(self.accept_tcp().await)
    }

    pub async fn accept_tcp(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Accepts a connection and shakes hands as a proxy that owns nothing.
    pub async fn accept_handshake(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.accept_handshake().await;
        peer
    }

    /// A client of this proxy, with their connection.
    pub async fn client_and_peer(&self) -> (ProxyClient, Peer) {
        self.built(self.client()).await
    }

    /// As [`client_and_peer`](Self::client_and_peer), with settings.
    pub async fn built(&self, builder: ProxyClientBuilder) -> (ProxyClient, Peer) {
        let (client, peer) = tokio::join!(builder.build(), self.accept_handshake());
        (client.unwrap(), peer)
    }
}

impl Peer {
    pub fn new(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            buffer: Vec::new(),
        }
    }

    /// Returns the next frame that is no ping; replies to pings.
    pub async fn receive(&mut self) -> Received {
        loop {
            match self.receive_any().await {
                Received::Ping(tag) => self.send(tag, Message::Rping).await,
                other => return other,
            }
        }
    }

    /// Returns the next frame of any kind.
    pub async fn receive_any(&mut self) -> Received {
        loop {
            if let Some(length) = mux::frame_len(&self.buffer, 64 << 20).unwrap()
                && self.buffer.len() >= length
            {
                let frame: Vec<u8> = self.buffer.drain(..length).collect();
                return received(&Frame::decode(&frame).unwrap());
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Received::End,
                Ok(_) => {}
            }
        }
    }

    /// The next bytes, which no frame of a client's begins with.
    pub async fn read_exact(&mut self, bytes: &mut [u8]) {
        assert!(self.buffer.is_empty());
        self.stream.read_exact(bytes).await.unwrap();
    }

    /// Replies to the start of a session and to a handshake; returns after the handshake.
    pub async fn accept_handshake(&mut self) {
        self.handshake_with(&[]).await;
    }

    /// The same, as a proxy that owns these streams (stream, location).
    pub async fn handshake_with(&mut self, owned: &[(&str, &str)]) {
        let call = self.handshake_call().await;
        self.answer_handshake(&call, owned).await;
    }

    /// The same, as a proxy whose streams' storage is in this failure domain.
    pub async fn handshake_in(&mut self, domain: &str) {
        let call = self.handshake_call().await;
        let info = ServerInfo {
            status: Some(ServerStatus::WriteAndAccept),
            failure_domain: Some(domain),
            ..ServerInfo::default()
        };
        self.answer(&call, &Reply::ServerInfo(info)).await;
    }

    async fn handshake_call(&mut self) -> Call {
        loop {
            match self.receive().await {
                Received::Call(call) => {
                    assert_eq!(call.method, Method::HandshakeWithClientInfo);
                    return call;
                }
                other => self.reply_to_session_frame(other).await,
            }
        }
    }

    pub async fn answer_handshake(&mut self, call: &Call, owned: &[(&str, &str)]) {
        let info = ServerInfo {
            ownerships: Some(Ownerships::new(owned)),
            status: Some(ServerStatus::WriteAndAccept),
            failure_domain: None,
        };
        self.answer(call, &Reply::ServerInfo(info)).await;
    }

    /// Returns the next call that is no handshake; replies to the frames that keep the session
    /// alive.
    pub async fn call(&mut self) -> Call {
        loop {
            match self.receive().await {
                Received::Call(call) if call.method == Method::HandshakeWithClientInfo => {
                    self.answer_handshake(&call, &[]).await
                }
                Received::Call(call) => return call,
                other => self.reply_to_session_frame(other).await,
            }
        }
    }

    /// The next handshake.
    pub async fn handshake(&mut self) -> Call {
        loop {
            match self.receive().await {
                Received::Call(call) if call.method == Method::HandshakeWithClientInfo => {
                    return call;
                }
                other => self.reply_to_session_frame(other).await,
            }
        }
    }

    /// The next call; discards on the way are confirmed.
    pub async fn call_or_discarded(&mut self) -> Call {
        loop {
            match self.receive().await {
                Received::Call(call) => return call,
                Received::Discarded(tag) => self.send(tag, Message::Rdiscarded).await,
                other => self.reply_to_session_frame(other).await,
            }
        }
    }

    async fn reply_to_session_frame(&mut self, received: Received) {
        match received {
            Received::Check => {
                self.send(Tag::ONE, Message::BadRerr { error: INIT_CHECK })
                    .await
            }
            Received::Init => {
                self.send(
                    Tag::ONE,
                    Message::Rinit {
                        version: mux::VERSION,
                        headers: InitHeaders::default(),
                    },
                )
                .await
            }
            Received::Ping(_)
            | Received::Call(_)
            | Received::Drained(_)
            | Received::Discarded(_)
            | Received::End => {
                panic!("not expected here: {received:?}")
            }
        }
    }

    pub async fn send(&mut self, tag: Tag, message: Message<'_>) {
        let frame = Frame::new(tag, message);
        let mut bytes = vec![0; frame.encoded_len()];
        frame.encode(&mut bytes).unwrap();
        self.send_bytes(&bytes).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub async fn answer(&mut self, call: &Call, reply: &Reply<'_>) {
        let mut bytes = vec![0; mux::encoded_reply_len(call.method.name(), reply)];
        mux::encode_reply(
            call.tag,
            call.method.name(),
            SequenceId(0),
            reply,
            &mut bytes,
        )
        .unwrap();
        self.send_bytes(&bytes).await;
    }

    pub async fn answer_written(&mut self, call: &Call, at: Dlsn) {
        let text = at.to_text();
        self.answer(
            call,
            &Reply::Write(WriteResponse::success(Some(text.as_str()))),
        )
        .await;
    }

    pub async fn answer_status(&mut self, call: &Call, code: StatusCode, message: &str) {
        let header = ResponseHeader::with_message(code, message);
        self.answer(call, &Reply::Write(WriteResponse::new(header)))
            .await;
    }

    pub async fn answer_found(&mut self, call: &Call, location: &str) {
        self.answer(
            call,
            &Reply::Write(WriteResponse::new(ResponseHeader::found(location))),
        )
        .await;
    }

    /// Replies to every call of the connection until it ends: each write is stored as one entry.
    /// Returns the number of writes.
    pub async fn serve(mut self) -> usize {
        let mut count = 0;
        loop {
            match self.receive().await {
                Received::Call(call) if call.method == Method::HandshakeWithClientInfo => {
                    self.answer_handshake(&call, &[]).await
                }
                Received::Call(call) => {
                    self.answer_written(&call, Dlsn::new(1, count as i64, 0))
                        .await;
                    count += 1;
                }
                Received::End => return count,
                Received::Discarded(_) | Received::Drained(_) => {}
                other @ (Received::Check | Received::Init | Received::Ping(_)) => {
                    self.reply_to_session_frame(other).await
                }
            }
        }
    }
}

fn received(frame: &Frame<'_>) -> Received {
    match frame.message {
        Message::Tdispatch {
            contexts, payload, ..
        } => {
            let (_, request) = Request::decode(payload).unwrap();
            let mut call = Call::of(frame.tag, &request);
            call.client_id = contexts.client_id().map(str::to_owned);
            call.has_deadline = contexts.deadline().is_some();
            call.time = contexts.deadline().map(|deadline| deadline.budget());
            Received::Call(call)
        }
        Message::BadRerr { error } if error == INIT_CHECK => Received::Check,
        Message::Tinit { .. } => Received::Init,
        Message::Tping => Received::Ping(frame.tag),
        Message::Rdrain => Received::Drained(frame.tag),
        Message::Tdiscarded { discarded, .. } => Received::Discarded(discarded),
        other => panic!("a client does not say {other:?}"),
    }
}

const fn context<'a>(request: &'a Request<'a>) -> Option<&'a WriteContext<'a>> {
    match request {
        Request::Handshake
        | Request::HandshakeWithClientInfo { .. }
        | Request::Write { .. }
        | Request::SetAcceptNewStream { .. } => None,
        Request::Heartbeat { context, .. }
        | Request::HeartbeatWithOptions { context, .. }
        | Request::WriteWithContext { context, .. }
        | Request::WriteBulkWithContext { context, .. }
        | Request::Truncate { context, .. }
        | Request::Release { context, .. }
        | Request::Create { context, .. }
        | Request::Delete { context, .. }
        | Request::GetOwner { context, .. } => Some(context),
    }
}

impl Call {
    pub fn of(tag: Tag, request: &Request<'_>) -> Self {
        let mut call = Self {
            tag,
            method: request.method(),
            stream: request.stream().unwrap_or_default().to_owned(),
            data: Vec::new(),
            records: Vec::new(),
            tried_hosts: Vec::new(),
            crc32: None,
            is_record_set: false,
            client_id: None,
            has_deadline: false,
            time: None,
        };
        match request {
            Request::WriteWithContext { data, .. } => call.data = data.to_vec(),
            Request::WriteBulkWithContext { data, .. } => {
                call.records = data.iter().map(<[u8]>::to_vec).collect()
            }
            Request::Truncate { dlsn, .. } => call.data = dlsn.as_bytes().to_vec(),
            Request::HeartbeatWithOptions { options, .. } => {
                call.data = vec![u8::from(options.send_to_reader == Some(true))]
            }
            Request::SetAcceptNewStream { enabled } => call.data = vec![u8::from(*enabled)],
            _ => {}
        }
        if let Some(context) = context(request) {
            call.tried_hosts = context
                .tried_hosts
                .iter()
                .flatten()
                .map(str::to_owned)
                .collect();
            call.crc32 = context.crc32;
            call.is_record_set = context.is_record_set == Some(true);
        }
        call
    }
}
