use std::io;

use bytes::Bytes;
use distributedlog::wire::mux::{
    Frame, InitHeader, InitHeaders, Message, Tag, VERSION as MUX_VERSION,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use crate::StoreError;
use crate::net::BoxedStream;
use crate::remote::ClientSettings;
use crate::remote::frames::{FrameFault, FrameReader, push};
use crate::remote::protocol::{
    BUSY, HELLO, Hello, MAX_DESCRIPTION_BYTES, OtherVersion, REFUSED, SessionKey, VERSION, WELCOME,
    Welcome, decode_versioned, encode_versioned,
};
use crate::uri::{Backend, HostPort, Uri};

/// What is read of a stranger's answer to say what it is.
const STRANGER_BYTES: usize = 1024;

/// A connection whose hello was answered with a welcome.
pub(super) struct Greeted {
    pub(super) reader: FrameReader<ReadHalf<BoxedStream>>,
    pub(super) writer: WriteHalf<BoxedStream>,
    pub(super) welcome: Welcome,
    pub(super) address: String,
}

/// Connects to the first of the URI's hosts that serves this client.
///
/// # Errors
/// [`StoreError::Refused`] when a host said that it will not, now or later, else
/// [`StoreError::Unreachable`] with what each host met.
pub(super) async fn connect(
    uri: &Uri,
    settings: &ClientSettings,
    resume: Option<SessionKey>,
) -> Result<Greeted, StoreError> {
    if uri.backend() == Backend::BookKeeper {
        let detail = "BookKeeper namespaces are not supported yet; start `dlog local` and use the \
                      distributedlog:// URI that it prints"
            .into();
        return Err(StoreError::Refused {
            address: uri.to_string(),
            detail,
        });
    }
    let mut refused = None;
    let mut met = Vec::new();
    for host in uri.hosts() {
        match greet(host, uri.namespace(), settings, resume).await {
            Ok(greeted) => return Ok(greeted),
            Err(Unwelcome::Refused(detail)) => {
                refused = refused.or_else(|| {
                    Some(StoreError::Refused {
                        address: host.to_string(),
                        detail,
                    })
                })
            }
            Err(Unwelcome::Unreachable(detail)) => met.push((host.to_string(), detail)),
        }
    }
    Err(refused.unwrap_or_else(|| unreachable_at(met)))
}

/// The hosts, and what was met at each.
fn unreachable_at(mut met: Vec<(String, String)>) -> StoreError {
    if met.len() == 1
        && let Some((address, detail)) = met.pop()
    {
        return StoreError::Unreachable { address, detail };
    }
    let address = met
        .iter()
        .map(|(host, _)| host.as_str())
        .collect::<Vec<_>>()
        .join(",");
    let detail = met
        .iter()
        .map(|(host, detail)| format!("{host}: {detail}"))
        .collect::<Vec<_>>()
        .join("; ");
    StoreError::Unreachable { address, detail }
}

/// Why a host does not serve this client.
enum Unwelcome {
    /// Not now.
    Unreachable(String),
    /// Neither now nor later.
    Refused(String),
}

async fn greet(
    host: &HostPort,
    namespace: &str,
    settings: &ClientSettings,
    resume: Option<SessionKey>,
) -> Result<Greeted, Unwelcome> {
    let patience = settings.connect_timeout;
    let stream = dial(host, settings)
        .await
        .map_err(|error| Unwelcome::Unreachable(error.to_string()))?;
    let (from, mut to) = split(stream);
    let mut reader = FrameReader::new(from, settings.max_frame_bytes);
    let hello = hello_frame(namespace, settings, resume);
    let answered = timeout(patience, async {
        to.write_all(&hello).await.map_err(FrameFault::Io)?;
        reader.next().await
    });
    let silence = match answered.await {
        Ok(Ok(Some(frame))) => match read_answer(&frame) {
            Some(Ok(welcome)) => {
                return Ok(Greeted {
                    reader,
                    writer: to,
                    welcome,
                    address: host.to_string(),
                });
            }
            Some(Err(unwelcome)) => return Err(unwelcome),
            None => return Err(Unwelcome::Refused(stranger(host, settings, &frame).await)),
        },
        Ok(Err(FrameFault::TooLarge(_) | FrameFault::Torn(_))) => {
            return Err(Unwelcome::Refused(
                stranger(host, settings, reader.unread()).await,
            ));
        }
        Ok(Ok(None)) => "it closed the connection without an answer: it is no DistributedLog \
                         store, or is shutting down"
            .to_owned(),
        Ok(Err(FrameFault::Io(error))) => format!("it took the connection but no hello: {error}"),
        Err(_) => format!(
            "it took the connection but answered nothing for {} ms",
            patience.as_millis()
        ),
    };
    Err(match zookeeper(host, settings).await {
        Some(zookeeper) => Unwelcome::Refused(zookeeper),
        None => Unwelcome::Unreachable(silence),
    })
}

async fn dial(host: &HostPort, settings: &ClientSettings) -> io::Result<BoxedStream> {
    let patience = settings.connect_timeout;
    timeout(patience, settings.dial.dial(host))
        .await
        .map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {} ms", patience.as_millis()),
            )
        })?
}

fn hello_frame(namespace: &str, settings: &ClientSettings, resume: Option<SessionKey>) -> Vec<u8> {
    let description = &settings.description;
    let end = (0..=description.len().min(MAX_DESCRIPTION_BYTES))
        .rev()
        .find(|&end| description.is_char_boundary(end))
        .unwrap_or(0);
    let max_frame_bytes = u32::try_from(settings.max_frame_bytes).unwrap_or(u32::MAX);
    let mut value = Vec::new();
    encode_versioned(
        &Hello {
            namespace,
            description: &description[..end],
            max_frame_bytes,
            resume,
        },
        &mut value,
    );
    let headers = [InitHeader {
        key: HELLO,
        value: &value,
    }];
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

/// What the first frame says; `None` when it is none that answers a hello.
fn read_answer(bytes: &Bytes) -> Option<Result<Welcome, Unwelcome>> {
    match Frame::decode(bytes).ok()?.message {
        Message::Rinit { headers, .. } => {
            let text = |key| {
                headers
                    .iter()
                    .find(|header| header.key == key)
                    .map(|header| String::from_utf8_lossy(header.value).into_owned())
            };
            if let Some(why) = text(REFUSED) {
                return Some(Err(Unwelcome::Refused(why)));
            }
            if let Some(why) = text(BUSY) {
                return Some(Err(Unwelcome::Unreachable(why)));
            }
            let Some(header) = headers.iter().find(|header| header.key == WELCOME) else {
                return Some(Err(proxy()));
            };
            Some(match decode_versioned(header.value) {
                Ok(Ok(welcome)) => Ok(welcome),
                Ok(Err(OtherVersion(version))) => {
                    let ours = env!("CARGO_PKG_VERSION");
                    let why = format!(
                        "it speaks version {version} of the store's protocol; this is dlog \
                         {ours}, which speaks version {VERSION}"
                    );
                    Err(Unwelcome::Refused(why))
                }
                Err(malformed) => Err(Unwelcome::Refused(format!("its welcome is {malformed}"))),
            })
        }
        // A peer that speaks mux but not Tinit.
        Message::Rerr { .. } | Message::BadRerr { .. } => Some(Err(proxy())),
        Message::Treq { .. }
        | Message::Rreq { .. }
        | Message::Tdispatch { .. }
        | Message::Rdispatch { .. }
        | Message::Tdrain
        | Message::Rdrain
        | Message::Tping
        | Message::Rping
        | Message::Tdiscarded { .. }
        | Message::Rdiscarded
        | Message::Tlease { .. }
        | Message::Tinit { .. }
        | Message::BadTdiscarded { .. } => None,
    }
}

fn proxy() -> Unwelcome {
    Unwelcome::Refused(
        "it speaks mux, as a write proxy does, but has no store; give the URI of `dlog local`"
            .into(),
    )
}

/// What someone is who answered the hello with these bytes.
async fn stranger(host: &HostPort, settings: &ClientSettings, said: &[u8]) -> String {
    if !said.starts_with(b"HTTP/")
        && let Some(zookeeper) = zookeeper(host, settings).await
    {
        return zookeeper;
    }
    let said = &said[..said.len().min(32)];
    let text = said.escape_ascii();
    if said.starts_with(b"HTTP/") {
        format!("it is an HTTP server (\"{text}\"), not a DistributedLog store")
    } else {
        format!("it is not a DistributedLog store: it answered \"{text}\"")
    }
}

/// Asks on a fresh connection whether ZooKeeper is there, with the four letters that every version
/// of it answers.
async fn zookeeper(host: &HostPort, settings: &ClientSettings) -> Option<String> {
    let mut answer = Vec::new();
    let asking = async {
        let mut stream = dial(host, settings).await?;
        stream.write_all(b"srvr").await?;
        // Others answer anything or nothing; ZooKeeper answers and closes.
        stream
            .take(STRANGER_BYTES as u64)
            .read_to_end(&mut answer)
            .await
    };
    timeout(settings.connect_timeout, asking).await.ok()?.ok();
    let text = String::from_utf8_lossy(&answer);
    let line = text.lines().next()?;
    let is_zookeeper = line.starts_with("Zookeeper version:")
        || line.starts_with("This ZooKeeper instance")
        || line.starts_with("srvr is not executed");
    let known = line
        .strip_prefix("Zookeeper version: ")
        .and_then(|version| version.split([',', '-']).next())
        .map_or(String::new(), |v| format!(" {v}"));
    is_zookeeper.then(|| {
        format!(
            "ZooKeeper{known} answers there, so this is a BookKeeper namespace; those are not \
             supported yet: start `dlog local` and use its URI"
        )
    })
}
