//! One connection: the handshake, then its frames.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::wire::mux::{
    Frame, InitHeader, InitHeaders, Message, Server, Tag, VERSION as MUX_VERSION,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::close_reason::CloseReason;
use super::context::ServerContext;
use super::replies::{Replies, SHUTTING_DOWN, ServerEndpoint};
use super::requests::Requests;
use super::sessions::SessionGuard;
use crate::budget::{ByteBudget, GrowingRoom};
use crate::frames::{FrameReadError, FrameStream};
use crate::peer_protocol::{PeerProtocol, http_refusal};
use crate::remote::frames::push;
use crate::remote::protocol::{
    BUSY, HELLO, Hello, MAX_DESCRIPTION_BYTES, OtherVersion, REFUSED, VERSION, WELCOME, Welcome,
    decode_versioned, encode_versioned,
};
use crate::remote::secret::{self, CHALLENGE, Challenge, NONCE, PROOF, Prover, StoreSecret};

/// Maximum size in bytes of a client's frames before its handshake is complete.
const MAX_HELLO_BYTES: usize = 8 << 10;

/// Time for a client to confirm a drain. After it the server regards the drain as confirmed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves one connection until it ends. Without a permit, because there are too many connections,
/// refuses the client with that reason.
pub(super) async fn serve_connection(
    context: &Arc<ServerContext>,
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    has_permit: bool,
) -> Result<(), CloseReason> {
    let bounds = &context.bounds;
    let answers = bounds.answers.part(context.settings.max_answer_bytes);
    let session = Server::new(SHUTTING_DOWN);
    let endpoint = Arc::new(ServerEndpoint::new(session, Some(answers.clone())));
    let unfinished = GrowingRoom::new(bounds.unfinished.clone(), Arc::clone(&bounds.overdraft));
    let mut reader = FrameStream::new(from, MAX_HELLO_BYTES, Some(unfinished));
    let writing = endpoint.run(to, context.write_rate());
    tokio::pin!(writing);
    let handshaken = tokio::select! {
        biased;
        handshaken = handshake(context, &mut reader, &endpoint, has_permit) => handshaken,
        written = &mut writing => return written.map_err(CloseReason::Unwritable),
    };
    let ended = match handshaken {
        Ok(Some(client)) => {
            reader.set_limit(context.settings.max_frame_bytes);
            tokio::select! {
                biased;
                ended = serve_requests(context, &client, &mut reader, &endpoint, answers) => ended,
                written = &mut writing => return written.map_err(CloseReason::Unwritable),
            }
        }
        Ok(None) => Ok(()),
        Err(closed) => Err(closed),
    };
    endpoint.close();
    writing.await.ok();
    ended
}

/// A client after its handshake.
struct Client {
    session_guard: SessionGuard,
    max_frame_bytes: usize,
}

/// Reads the hello and replies to it. Returns `None` if the peer closed the connection before.
async fn handshake(
    context: &ServerContext,
    reader: &mut FrameStream<impl AsyncRead + Unpin>,
    endpoint: &ServerEndpoint,
    has_permit: bool,
) -> Result<Option<Client>, CloseReason> {
    let hello_timeout = context.settings.hello_timeout;
    let hello = match timeout(hello_timeout, first_frame(reader, endpoint)).await {
        Err(_) => return Err(CloseReason::Silent(hello_timeout)),
        Ok(Err(closed)) => return Err(refuse_foreign(reader.unread(), endpoint, closed)),
        Ok(Ok(None)) => return Ok(None),
        Ok(Ok(Some(frame))) => frame,
    };
    let (tag, hello) = match read_hello(context, &hello) {
        Ok((tag, hello, proven)) => {
            if let Some(secret) = &context.settings.secret {
                let proving = demand_proof(secret, proven, tag, reader, endpoint);
                match timeout(hello_timeout, proving).await {
                    Err(_) => return Err(CloseReason::Silent(hello_timeout)),
                    Ok(Err(closed)) => return Err(closed),
                    Ok(Ok(None)) => return Ok(None),
                    Ok(Ok(Some(()))) => {}
                }
            }
            (tag, hello)
        }
        Err((tag, key, why)) => return Err(refuse(endpoint, tag, key, why)),
    };
    if !has_permit {
        let why = format!(
            "the maximum number of connections ({}) is open",
            context.settings.max_connections
        );
        return Err(refuse(endpoint, tag, BUSY, why));
    }
    let session_guard = context.sessions.attach(hello.resume).await;
    debug!(
        session = session_guard.session.key().id,
        resumed = session_guard.resumed,
        "serves {}",
        hello.description
    );
    let welcome = Welcome {
        store: context.store.identity(),
        session: session_guard.session.key(),
        resumed: session_guard.resumed,
        // A client that pings on time may miss three pings in a row.
        ping_every_ms: millis(context.settings.idle_timeout / 4).max(1),
        max_frame_bytes: u32::try_from(context.settings.max_frame_bytes).unwrap_or(u32::MAX),
        grace_ms: millis(context.settings.session_grace),
    };
    let mut value = Vec::new();
    encode_versioned(&welcome, &mut value);
    reply_init(endpoint, tag, WELCOME, &value);
    Ok(Some(Client {
        session_guard,
        max_frame_bytes: hello.max_frame_bytes as usize,
    }))
}

/// Parts of a hello that a proof of the secret is about.
struct ToProve<'a> {
    hello: &'a [u8],
    nonce: Option<&'a [u8]>,
}

/// Proves to the client that this server knows the secret, and has the client prove it too. Returns
/// `None` if the client closed the connection before, as one with another secret does.
async fn demand_proof(
    secret: &StoreSecret,
    about: ToProve<'_>,
    tag: Tag,
    reader: &mut FrameStream<impl AsyncRead + Unpin>,
    endpoint: &ServerEndpoint,
) -> Result<Option<()>, CloseReason> {
    let refused = |why: &str| refuse(endpoint, tag, REFUSED, why.to_owned());
    let Some(client) = about.nonce.and_then(|nonce| nonce.try_into().ok()) else {
        return Err(refused(
            "it requires a secret: give this client the file of the store's --secret-file with \
             --store-secret-file",
        ));
    };
    let Some(server) = &secret::nonce() else {
        return Err(refused(
            "it has no random numbers for the proof of its secret",
        ));
    };
    let challenge = Challenge {
        client,
        server,
        hello: about.hello,
    };
    let mut value = server.to_vec();
    value.extend_from_slice(&secret.prove(Prover::Server, &challenge));
    reply_init(endpoint, tag, CHALLENGE, &value);
    let Some(bytes) = reader.next().await.map_err(CloseReason::Read)? else {
        return Ok(None);
    };
    let is_proven = match Frame::decode(&bytes).map(|frame| frame.message) {
        Ok(Message::Tinit { headers, .. }) => {
            let mut headers = headers.iter();
            let proof = headers.find(|header| header.key == PROOF);
            proof.is_some_and(|it| secret.is_proof(Prover::Client, &challenge, it.value))
        }
        Ok(_) | Err(_) => false,
    };
    if is_proven {
        return Ok(Some(()));
    }
    Err(refused(
        "the proof of the secret is wrong: the file of this client's --store-secret-file and that \
         of the store's --secret-file must have the same content",
    ))
}

/// Returns the refusal of a client without TLS, in its own protocol.
pub(super) fn plain_refusal(protocol: PeerProtocol) -> Option<Vec<u8>> {
    match protocol {
        PeerProtocol::Http | PeerProtocol::Http2 => Some(http_refusal(HTTP_HINT)),
        PeerProtocol::Mux => {
            let headers = [InitHeader {
                key: REFUSED,
                value: b"it requires TLS: name its authority with --store-ca FILE",
            }];
            let mut out = Vec::new();
            let message = Message::Rinit {
                version: MUX_VERSION,
                headers: InitHeaders::new(&headers),
            };
            push(&mut out, Tag::ONE, message);
            Some(out)
        }
        PeerProtocol::Tls | PeerProtocol::FramedThrift => None,
    }
}

/// Answer to clients of HTTP.
const HTTP_HINT: &str = "This is the port of a DistributedLog store (dlog local), for its proxies, \
                         readers and tool: give them distributedlog://HOST:PORT/NAMESPACE. HTTP is \
                         at a write proxy: dlog proxy --http-port PORT.";

/// Names the protocol of a peer whose first bytes are not a frame, and answers it in HTTP if that
/// is what it speaks. Returns `closed` if the protocol is not known.
fn refuse_foreign(first: &[u8], endpoint: &ServerEndpoint, closed: CloseReason) -> CloseReason {
    let protocol = PeerProtocol::of(first);
    let Some(protocol) = protocol.filter(|it| *it != PeerProtocol::Mux) else {
        return closed;
    };
    if matches!(protocol, PeerProtocol::Http | PeerProtocol::Http2) {
        let answer = http_refusal(HTTP_HINT);
        endpoint.with(|_, output| output.push(|out| out.extend_from_slice(&answer)));
    }
    CloseReason::Foreign(protocol)
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn reply_init(endpoint: &ServerEndpoint, tag: Tag, key: &[u8], value: &[u8]) {
    let headers = [InitHeader { key, value }];
    let message = Message::Rinit {
        version: MUX_VERSION,
        headers: InitHeaders::new(&headers),
    };
    endpoint.send(tag, message);
}

fn refuse(endpoint: &ServerEndpoint, tag: Tag, key: &'static [u8], why: String) -> CloseReason {
    reply_init(endpoint, tag, key, why.as_bytes());
    CloseReason::Refused(why)
}

/// Reads the first frame of the session. Frames before it that only probe for support of Tinit get
/// their reply here.
async fn first_frame(
    reader: &mut FrameStream<impl AsyncRead + Unpin>,
    endpoint: &ServerEndpoint,
) -> Result<Option<Bytes>, CloseReason> {
    loop {
        endpoint.room().await;
        let Some(bytes) = reader.next().await.map_err(CloseReason::Read)? else {
            return Ok(None);
        };
        match Frame::decode(&bytes) {
            Ok(Frame {
                tag,
                message: check @ Message::BadRerr { .. },
            }) => endpoint.send(tag, check),
            Ok(_) => return Ok(Some(bytes)),
            Err(error) => {
                return Err(CloseReason::Protocol(format!(
                    "its first frame is not a mux frame: {error}"
                )));
            }
        }
    }
}

type Refusal = (Tag, &'static [u8], String);

fn read_hello<'a>(
    context: &ServerContext,
    bytes: &'a [u8],
) -> Result<(Tag, Hello<'a>, ToProve<'a>), Refusal> {
    let refused = |tag, why| (tag, REFUSED, why);
    let frame = Frame::decode(bytes).map_err(|error| refused(Tag::ONE, error.to_string()))?;
    let tag = frame.tag;
    let Message::Tinit { headers, .. } = frame.message else {
        return Err(refused(
            tag,
            format!(
                "a session with a store begins with Tinit, not with {}",
                frame.message.frame_type().name()
            ),
        ));
    };
    let Some(header) = headers.iter().find(|header| header.key == HELLO) else {
        return Err(refused(
            tag,
            "this is a store, not a write proxy; give the proxy's address".into(),
        ));
    };
    let hello: Hello<'a> = match decode_versioned(header.value) {
        Ok(Ok(hello)) => hello,
        Ok(Err(OtherVersion(version))) => {
            let ours = env!("CARGO_PKG_VERSION");
            let why = format!(
                "this is dlog {ours}, which speaks version {VERSION} of the store's protocol, not \
                 {version}"
            );
            return Err(refused(tag, why));
        }
        Err(malformed) => return Err(refused(tag, format!("the hello is {malformed}"))),
    };
    if hello.description.len() > MAX_DESCRIPTION_BYTES {
        return Err(refused(
            tag,
            format!("the description is longer than {MAX_DESCRIPTION_BYTES} bytes"),
        ));
    }
    let serves = &context.settings.namespace;
    if hello.namespace != serves {
        return Err(refused(
            tag,
            format!("it serves the namespace {serves}, not {}", hello.namespace),
        ));
    }
    let nonce = headers.iter().find(|header| header.key == NONCE);
    let proven = ToProve {
        hello: header.value,
        nonce: nonce.map(|nonce| nonce.value),
    };
    Ok((tag, hello, proven))
}

/// Serves requests until the connection ends, is superseded, or the server's drain is complete.
async fn serve_requests(
    context: &Arc<ServerContext>,
    client: &Client,
    reader: &mut FrameStream<impl AsyncRead + Unpin>,
    endpoint: &Arc<ServerEndpoint>,
    answers: ByteBudget,
) -> Result<(), CloseReason> {
    let requests = Requests::new(
        Arc::clone(context),
        Arc::clone(&client.session_guard.session),
        Replies {
            endpoint: Arc::clone(endpoint),
            answers,
            max_frame_bytes: client.max_frame_bytes,
        },
    );
    let mut drain = context.drain.clone();
    let mut draining = false;
    let drain_timeout = tokio::time::sleep(DRAIN_TIMEOUT);
    tokio::pin!(drain_timeout);
    let idle = context.settings.idle_timeout;
    loop {
        let drain_confirmed = draining && requests.is_drain_agreed();
        let frame = tokio::select! {
            // Reasons to end come first, so that a busy client cannot delay them.
            biased;
            () = client.session_guard.superseded() => return Err(CloseReason::Superseded),
            () = drain_begun(&mut drain), if !draining => {
                draining = true;
                drain_timeout.as_mut().reset(Instant::now() + DRAIN_TIMEOUT);
                requests.begin_drain();
                continue;
            }
            () = &mut drain_timeout, if draining && !drain_confirmed => {
                requests.agree_to_drain();
                continue;
            }
            frame = next_frame(reader, endpoint, idle) => frame
                .map_err(|_| CloseReason::Silent(idle))?
                .map_err(CloseReason::Read)?,
            () = requests.all_replied(), if drain_confirmed => return Ok(()),
        };
        let Some(frame) = frame else { return Ok(()) };
        tokio::select! {
            biased;
            handled = requests.handle_frame(&frame) => handled?,
            () = client.session_guard.superseded() => return Err(CloseReason::Superseded),
        }
        requests.flush(reader.unread().is_empty());
    }
}

/// Reads the next frame within a time, once there is room for its answer.
///
/// # Cancel safety
///
/// Dropping the future loses nothing.
async fn next_frame(
    reader: &mut FrameStream<impl AsyncRead + Unpin>,
    endpoint: &ServerEndpoint,
    idle: Duration,
) -> Result<Result<Option<Bytes>, FrameReadError>, Elapsed> {
    endpoint.room().await;
    timeout(idle, reader.next()).await
}

async fn drain_begun(drain: &mut watch::Receiver<bool>) {
    // A server that was dropped aborts its connections by itself.
    if drain.wait_for(|begun| *begun).await.is_err() {
        core::future::pending().await
    }
}
