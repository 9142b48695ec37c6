//! Connecting to a host: the handshake, and identifying other servers if it fails.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::wire::mux::{
    ClientEvent, Frame, InitHeader, InitHeaders, Message, Tag, VERSION as MUX_VERSION,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use super::connection::{Connection, MuxClient};
use crate::frames::{FrameReadError, FrameStream};
use crate::net::BoxedStream;
use crate::remote::ClientSettings;
use crate::remote::frames::push;
use crate::remote::protocol::{
    BUSY, HELLO, Hello, MAX_DESCRIPTION_BYTES, OtherVersion, REFUSED, SessionKey, VERSION, WELCOME,
    Welcome, decode_versioned, encode_versioned,
};
use crate::remote::secret::{self, CHALLENGE, Challenge, NONCE, Nonce, PROOF, Prover, StoreSecret};
use crate::tls;
use crate::uri::{Backend, HostPort, Uri};
use crate::{StoreError, StoreId};

/// Number of bytes that are read of an unknown server's reply to identify it.
const MAX_PROBE_BYTES: usize = 1024;

/// A connection after a successful handshake.
pub(super) struct Established {
    pub(super) reader: FrameStream<ReadHalf<BoxedStream>>,
    pub(super) writer: WriteHalf<BoxedStream>,
    pub(super) connection: Arc<Connection>,
}

/// The session and the store of a lost connection.
#[derive(Clone, Copy)]
pub(super) struct Previous {
    pub(super) session: SessionKey,
    /// The store's identity, if it is known.
    pub(super) store: Option<StoreId>,
}

/// Connects to the URI's host.
///
/// # Errors
/// [`StoreError::Refused`] if the host refused this client permanently, or has another store than
/// the previous connection; otherwise [`StoreError::Unreachable`].
pub(super) async fn connect(
    uri: &Uri,
    settings: &ClientSettings,
    previous: Option<Previous>,
) -> Result<Established, StoreError> {
    if uri.backend() == Backend::BookKeeper {
        let detail = "it is a BookKeeper namespace, and this client is for the stores of `dlog \
                      local`"
            .into();
        return Err(StoreError::Refused {
            address: uri.to_string(),
            detail,
        });
    }
    let [host] = uri.hosts() else {
        return Err(several_hosts(uri, settings).await);
    };
    let resume = previous.map(|previous| previous.session);
    let address = host.to_string();
    let established = match handshake(host, uri.namespace(), settings, resume).await {
        Ok(established) => established,
        Err(HandshakeError::Refused(detail)) => {
            return Err(StoreError::Refused { address, detail });
        }
        Err(HandshakeError::Unreachable(detail)) => {
            return Err(StoreError::Unreachable { address, detail });
        }
    };
    let before = previous.and_then(|previous| previous.store);
    match (before, established.connection.welcome.store) {
        (Some(before), Some(now)) if before != now => Err(StoreError::Refused {
            address,
            detail: format!(
                "it has the store {now}, and this client began with the store {before}, whose \
                 positions are of other records; bring that store back, or restart this process \
                 to use the other one"
            ),
        }),
        _ => Ok(established),
    }
}

/// Returns the error of a URI with several hosts: they are one ensemble of ZooKeeper. Were they
/// stores, a client would go from one to the other, and positions would be of other records.
async fn several_hosts(uri: &Uri, settings: &ClientSettings) -> StoreError {
    let hosts: Vec<String> = uri.hosts().iter().map(ToString::to_string).collect();
    let address = hosts.join(",");
    for host in uri.hosts() {
        if let Some(version) = zookeeper_version(host, settings).await {
            let detail = is_zookeeper(&version);
            return StoreError::Refused { address, detail };
        }
    }
    let detail = "several hosts name the servers of one ZooKeeper ensemble, and none of them \
                  answers as one; a store of `dlog local` has one address"
        .into();
    StoreError::Refused { address, detail }
}

/// Reason why a host does not serve this client.
enum HandshakeError {
    /// Temporary: trying again later can succeed.
    Unreachable(String),
    /// Permanent: the server or the address is the wrong one.
    Refused(String),
}

async fn handshake(
    host: &HostPort,
    namespace: &str,
    settings: &ClientSettings,
    resume: Option<SessionKey>,
) -> Result<Established, HandshakeError> {
    let limit = settings.connect_timeout;
    let stream = dial(host, settings)
        .await
        .map_err(|error| HandshakeError::Unreachable(error.to_string()))?;
    let stream = secure(host, settings, stream).await?;
    let (from, mut writer) = split(stream);
    let mut reader = FrameStream::new(from, settings.max_frame_bytes, None);
    let mut mux = MuxClient::initialising();
    let hello = EncodedHello::new(namespace, settings, resume)?;
    let exchanged = exchange(&hello, settings, &mut mux, &mut reader, &mut writer);
    let detail = match timeout(limit, exchanged).await {
        Ok(Ok(welcome)) => {
            let (address, most) = (host.to_string(), settings.max_append_bytes);
            return Ok(Established {
                reader,
                writer,
                connection: Arc::new(Connection::new(mux, welcome?, address, most)),
            });
        }
        Ok(Err(NoAnswer::Foreign(frame))) => {
            return Err(describe_peer(host, settings, &frame).await);
        }
        Ok(Err(NoAnswer::Unread(FrameReadError::TooLarge(_) | FrameReadError::Torn(_)))) => {
            return Err(describe_peer(host, settings, reader.unread()).await);
        }
        Ok(Err(NoAnswer::Unread(FrameReadError::Io(error)))) if tls::is_alert(&error) => {
            // In TLS 1.3 the server checks the client's certificate after the client's handshake.
            return Err(HandshakeError::Refused(tls::describe_alert(&error)));
        }
        Ok(Err(NoAnswer::Unread(FrameReadError::Io(error)))) => {
            format!("it accepted the connection, but sending the hello failed: {error}")
        }
        Ok(Err(NoAnswer::Ended)) => NO_REPLY.to_owned(),
        Err(_) => format!(
            "it accepted the connection, but did not reply within {} ms",
            limit.as_millis()
        ),
    };
    Err(match zookeeper_version(host, settings).await {
        Some(version) => HandshakeError::Refused(is_zookeeper(&version)),
        None => HandshakeError::Unreachable(detail),
    })
}

/// Description of a server that closes the connection when it has read the hello.
const NO_REPLY: &str = "it closed the connection without a reply: it is not a DistributedLog \
                        store, or is shutting down";

/// Reason why there is no answer to the hello.
enum NoAnswer {
    /// This frame is none.
    Foreign(Bytes),
    Unread(FrameReadError),
    /// The server closed the connection between frames.
    Ended,
}

/// Sends the hello, and proves the secret if the server asks for it and proves it first. Returns
/// the server's welcome.
async fn exchange(
    hello: &EncodedHello,
    settings: &ClientSettings,
    mux: &mut MuxClient,
    reader: &mut FrameStream<ReadHalf<BoxedStream>>,
    writer: &mut WriteHalf<BoxedStream>,
) -> Result<Result<Welcome, HandshakeError>, NoAnswer> {
    let secret = settings.secret.as_ref();
    let mut proof = None;
    // Bounded: a second challenge is no welcome.
    loop {
        let frame = hello.frame(proof.as_ref().map(<[u8; 32]>::as_slice));
        let sent = writer.write_all(&frame).await.map_err(FrameReadError::Io);
        sent.map_err(NoAnswer::Unread)?;
        let reply = reader.next().await.map_err(NoAnswer::Unread)?;
        let reply = reply.ok_or(NoAnswer::Ended)?;
        let event = Frame::decode(&reply).map(|frame| mux.handle_frame(&frame));
        if let Ok(ClientEvent::OtherVersion(version)) = event {
            let why = format!("it speaks version {version} of mux, not {MUX_VERSION}");
            return Ok(Err(HandshakeError::Refused(why)));
        }
        let Ok(ClientEvent::Begun(headers)) = event else {
            return Err(NoAnswer::Foreign(reply.clone()));
        };
        match find(&headers, CHALLENGE) {
            Some(challenge) if proof.is_none() => match hello.prove(secret, challenge) {
                Ok(proven) => proof = Some(proven),
                Err(why) => return Ok(Err(HandshakeError::Refused(why))),
            },
            Some(_) | None => {
                let is_proven = secret.is_none() || proof.is_some();
                let welcome = read_welcome(&headers);
                return Ok(welcome.and_then(|it| is_proven.then_some(it).ok_or_else(unproven)));
            }
        }
        mux.initialise();
    }
}

/// Returns the value of the option with this key.
fn find<'a>(headers: &InitHeaders<'a>, key: &[u8]) -> Option<&'a [u8]> {
    let mut all = headers.iter();
    all.find(|header| header.key == key)
        .map(|header| header.value)
}

fn unproven() -> HandshakeError {
    let why = "it does not prove that it knows the secret: it was started without --secret-file, \
               or is not the store that it seems to be";
    HandshakeError::Refused(why.to_owned())
}

async fn dial(host: &HostPort, settings: &ClientSettings) -> io::Result<BoxedStream> {
    let limit = settings.connect_timeout;
    timeout(limit, settings.dial.dial(host))
        .await
        .map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {} ms", limit.as_millis()),
            )
        })?
}

/// Makes a TLS session over a connection, if the settings have TLS.
async fn secure(
    host: &HostPort,
    settings: &ClientSettings,
    stream: BoxedStream,
) -> Result<BoxedStream, HandshakeError> {
    let Some(tls) = &settings.tls else {
        return Ok(stream);
    };
    let limit = settings.connect_timeout;
    // On the heap: it is large, and plain connections would pay for it.
    match timeout(limit, Box::pin(tls.connect(&host.host, stream))).await {
        Ok(Ok(secured)) => Ok(Box::new(secured)),
        Ok(Err(error)) => Err(refused_tls(&error)),
        Err(_) => Err(HandshakeError::Unreachable(format!(
            "it accepted the connection, but the TLS handshake took more than {} ms",
            limit.as_millis()
        ))),
    }
}

/// Describes why a TLS handshake failed. What the certificates or the settings of one side rule out
/// does not pass by itself; a connection that ended may have been that of a store that restarts.
fn refused_tls(error: &io::Error) -> HandshakeError {
    let ended = matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    );
    if ended {
        return HandshakeError::Unreachable(
            "it ended the TLS handshake: it is shutting down, or speaks no TLS (`dlog local` does \
             with --tls-certificates; without it leave out --store-ca)"
                .to_owned(),
        );
    }
    if tls::is_alert(error) {
        return HandshakeError::Refused(tls::describe_alert(error));
    }
    HandshakeError::Refused(format!("the TLS handshake failed: {error}"))
}

/// The client's hello, encoded.
struct EncodedHello {
    value: Vec<u8>,
    /// Drawn for this handshake, if there is a secret.
    nonce: Option<Nonce>,
}

impl EncodedHello {
    fn new(
        namespace: &str,
        settings: &ClientSettings,
        resume: Option<SessionKey>,
    ) -> Result<Self, HandshakeError> {
        let description = &settings.description;
        let end = (0..=description.len().min(MAX_DESCRIPTION_BYTES))
            .rev()
            .find(|&end| description.is_char_boundary(end))
            .unwrap_or(0);
        let mut value = Vec::new();
        encode_versioned(
            &Hello {
                namespace,
                description: &description[..end],
                max_frame_bytes: u32::try_from(settings.max_frame_bytes).unwrap_or(u32::MAX),
                resume,
            },
            &mut value,
        );
        let nonce = match &settings.secret {
            None => None,
            Some(_) => Some(secret::nonce().ok_or_else(|| {
                let why = "this machine has no random numbers for the proof of the secret";
                HandshakeError::Refused(why.to_owned())
            })?),
        };
        Ok(Self { value, nonce })
    }

    /// Returns the frame of the hello, with a proof once the server asked for it.
    fn frame(&self, proof: Option<&[u8]>) -> Vec<u8> {
        let hello = InitHeader {
            key: HELLO,
            value: &self.value,
        };
        let nonce = self.nonce.as_ref().map(|nonce| InitHeader {
            key: NONCE,
            value: nonce,
        });
        let proof = proof.map(|value| InitHeader { key: PROOF, value });
        let headers: Vec<InitHeader<'_>> =
            [Some(hello), nonce, proof].into_iter().flatten().collect();
        let mut frame = Vec::new();
        push(
            &mut frame,
            Tag::ONE,
            Message::Tinit {
                version: MUX_VERSION,
                headers: InitHeaders::new(&headers),
            },
        );
        frame
    }

    /// Checks the server's proof, and returns this client's.
    ///
    /// # Errors
    /// The server does not know the secret.
    fn prove(&self, secret: Option<&StoreSecret>, challenge: &[u8]) -> Result<[u8; 32], String> {
        let (Some(secret), Some(client)) = (secret, &self.nonce) else {
            return Err("it answers a question that was not asked".to_owned());
        };
        let Some((server, proof)) = secret::split_challenge(challenge) else {
            return Err("its proof of the secret is malformed".to_owned());
        };
        let challenge = Challenge {
            client,
            server: &server,
            hello: &self.value,
        };
        if !secret.is_proof(Prover::Server, &challenge, proof) {
            return Err(
                "it knows another secret: the file of this client's --store-secret-file and that \
                 of the store's --secret-file must have the same content"
                    .to_owned(),
            );
        }
        Ok(secret.prove(Prover::Client, &challenge))
    }
}

/// Reads the welcome in the options of a server that accepted the session.
fn read_welcome(headers: &InitHeaders<'_>) -> Result<Welcome, HandshakeError> {
    let text = |key| find(headers, key).map(|value| String::from_utf8_lossy(value).into_owned());
    if let Some(why) = text(REFUSED) {
        return Err(HandshakeError::Refused(why));
    }
    if let Some(why) = text(BUSY) {
        return Err(HandshakeError::Unreachable(why));
    }
    // A write proxy, or a peer that speaks mux but not Tinit.
    let welcome = find(headers, WELCOME).ok_or_else(is_write_proxy)?;
    match decode_versioned(welcome) {
        Ok(Ok(welcome)) => Ok(welcome),
        Ok(Err(OtherVersion(version))) => {
            let ours = env!("CARGO_PKG_VERSION");
            let why = format!(
                "it speaks version {version} of the store's protocol; this is dlog {ours}, which \
                 speaks version {VERSION}"
            );
            Err(HandshakeError::Refused(why))
        }
        Err(malformed) => Err(HandshakeError::Refused(format!(
            "its welcome is {malformed}"
        ))),
    }
}

fn is_write_proxy() -> HandshakeError {
    HandshakeError::Refused(
        "it speaks mux, as a write proxy does, but is not a store; give the URI of `dlog local`"
            .into(),
    )
}

/// Describes the server that replied to the hello with the bytes `said`.
async fn describe_peer(host: &HostPort, settings: &ClientSettings, said: &[u8]) -> HandshakeError {
    let is_http = said.starts_with(b"HTTP/");
    let text = said[..said.len().min(32)].escape_ascii();
    HandshakeError::Refused(if is_http {
        format!("it is an HTTP server (\"{text}\"), not a DistributedLog store")
    } else if let Some(version) = zookeeper_version(host, settings).await {
        is_zookeeper(&version)
    } else {
        format!("it is not a DistributedLog store: it answered \"{text}\"")
    })
}

fn is_zookeeper(version: &str) -> String {
    format!(
        "ZooKeeper{version} answers there, so this is a BookKeeper namespace; this client is for \
         the stores of `dlog local`"
    )
}

/// Returns the version of a ZooKeeper server behind a blank, empty if it does not tell, or `None`
/// if the server is another one. It is asked on a new connection, by the four-letter command that
/// every version answers, if only by refusing it.
pub(super) async fn zookeeper_version(
    host: &HostPort,
    settings: &ClientSettings,
) -> Option<String> {
    let mut reply = Vec::new();
    let probe = async {
        let mut stream = dial(host, settings).await?;
        stream.write_all(b"srvr").await?;
        // Bounded: ZooKeeper answers and closes; other servers may send anything, or nothing until
        // the timeout.
        stream
            .take(MAX_PROBE_BYTES as u64)
            .read_to_end(&mut reply)
            .await
    };
    timeout(settings.connect_timeout, probe).await.ok()?.ok();
    let text = String::from_utf8_lossy(&reply);
    let line = text.lines().next()?;
    let is_zookeeper = line.starts_with("Zookeeper version:")
        || line.starts_with("This ZooKeeper instance")
        || line.starts_with("srvr is not executed");
    let known = line
        .strip_prefix("Zookeeper version: ")
        .and_then(|version| version.split([',', '-']).next())
        .map_or(String::new(), |v| format!(" {v}"));
    is_zookeeper.then_some(known)
}
