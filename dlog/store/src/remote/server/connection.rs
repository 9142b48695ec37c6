use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::wire::mux::{
    Frame, InitHeader, InitHeaders, Message, Tag, VERSION as MUX_VERSION,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::close_reason::Closed;
use super::context::Served;
use super::requests::Requests;
use super::sessions::Attached;
use crate::remote::frames::{FrameReader, push};
use crate::remote::outbox::Outbox;
use crate::remote::protocol::{
    BUSY, HELLO, Hello, MAX_DESCRIPTION_BYTES, OtherVersion, REFUSED, VERSION, WELCOME, Welcome,
    decode_versioned, encode_versioned,
};

/// A client's first frames have to be smaller than this: nothing is known of it yet.
const MAX_HELLO_BYTES: usize = 8 << 10;

/// A client that is asked to send no more requests gets so long to agree.
const AGREEMENT: Duration = Duration::from_secs(1);

/// Serves one connection until it ends. Without a seat, because there are too many connections, the
/// client is told so.
pub(super) async fn serve_connection(
    served: &Arc<Served>,
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    has_seat: bool,
) -> Result<(), Closed> {
    let outbox = Arc::new(Outbox::default());
    let mut reader = FrameReader::new(from, MAX_HELLO_BYTES);
    let writing = outbox.run(to, served.settings.idle_timeout);
    tokio::pin!(writing);
    let greeted = tokio::select! {
        biased;
        greeted = greet(served, &mut reader, &outbox, has_seat) => greeted,
        written = &mut writing => return written.map_err(Closed::Unwritable),
    };
    let ended = match greeted {
        Ok(Some(client)) => {
            reader.set_limit(served.settings.max_frame_bytes);
            tokio::select! {
                biased;
                ended = converse(served, &client, &mut reader, &outbox) => ended,
                written = &mut writing => return written.map_err(Closed::Unwritable),
            }
        }
        Ok(None) => Ok(()),
        Err(closed) => Err(closed),
    };
    outbox.close();
    writing.await.ok();
    ended
}

/// A client that was welcomed.
struct Client {
    attached: Attached,
    max_frame_bytes: usize,
}

/// Reads the hello and answers it. `None` when the peer left before.
async fn greet(
    served: &Served,
    reader: &mut FrameReader<impl AsyncRead + Unpin>,
    outbox: &Outbox,
    has_seat: bool,
) -> Result<Option<Client>, Closed> {
    let hello_timeout = served.settings.hello_timeout;
    let hello = match timeout(hello_timeout, first_frame(reader, outbox)).await {
        Err(_) => return Err(Closed::Silent(hello_timeout)),
        Ok(Err(closed)) => return Err(closed),
        Ok(Ok(None)) => return Ok(None),
        Ok(Ok(Some(frame))) => frame,
    };
    let (tag, hello) = match read_hello(served, &hello) {
        Ok(hello) => hello,
        Err((tag, key, why)) => return Err(refuse(outbox, tag, key, why)),
    };
    if !has_seat {
        let why = format!(
            "{} connections are open, which is all that this server takes",
            served.settings.max_connections
        );
        return Err(refuse(outbox, tag, BUSY, why));
    }
    let attached = served.sessions.attach(hello.resume).await;
    debug!(
        session = attached.session.key().id,
        resumed = attached.resumed,
        "serves {}",
        hello.description
    );
    let welcome = Welcome {
        session: attached.session.key(),
        resumed: attached.resumed,
        ping_every_ms: millis(served.settings.idle_timeout / 4).max(1),
        max_frame_bytes: u32::try_from(served.settings.max_frame_bytes).unwrap_or(u32::MAX),
        grace_ms: millis(served.settings.session_grace),
    };
    let mut value = Vec::new();
    encode_versioned(&welcome, &mut value);
    answer_init(outbox, tag, WELCOME, &value);
    Ok(Some(Client {
        attached,
        max_frame_bytes: hello.max_frame_bytes as usize,
    }))
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn answer_init(outbox: &Outbox, tag: Tag, key: &[u8], value: &[u8]) {
    let headers = [InitHeader { key, value }];
    outbox.push(|out| {
        push(
            out,
            tag,
            Message::Rinit {
                version: MUX_VERSION,
                headers: InitHeaders::new(&headers),
            },
        )
    });
}

fn refuse(outbox: &Outbox, tag: Tag, key: &'static [u8], why: String) -> Closed {
    answer_init(outbox, tag, key, why.as_bytes());
    Closed::Refused(why)
}

/// The first frame that is not a question whether this side speaks mux with Tinit.
async fn first_frame(
    reader: &mut FrameReader<impl AsyncRead + Unpin>,
    outbox: &Outbox,
) -> Result<Option<Bytes>, Closed> {
    loop {
        let Some(bytes) = reader.next().await.map_err(Closed::Fault)? else {
            return Ok(None);
        };
        match Frame::decode(&bytes) {
            Ok(Frame {
                tag,
                message: check @ Message::BadRerr { .. },
            }) => _ = outbox.push(|out| push(out, tag, check)),
            Ok(_) => return Ok(Some(bytes)),
            Err(error) => {
                return Err(Closed::Protocol(format!(
                    "its first frame is none of mux: {error}"
                )));
            }
        }
    }
}

type Refusal = (Tag, &'static [u8], String);

fn read_hello<'a>(served: &Served, bytes: &'a [u8]) -> Result<(Tag, Hello<'a>), Refusal> {
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
            "this is a store; clients of a write proxy want the proxy's address".into(),
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
    let serves = &served.settings.namespace;
    if hello.namespace != serves {
        return Err(refused(
            tag,
            format!("it serves the namespace {serves}, not {}", hello.namespace),
        ));
    }
    Ok((tag, hello))
}

/// Answers requests until the connection ends, is superseded, or the server's drain is done.
async fn converse(
    served: &Arc<Served>,
    client: &Client,
    reader: &mut FrameReader<impl AsyncRead + Unpin>,
    outbox: &Arc<Outbox>,
) -> Result<(), Closed> {
    let requests = Requests::new(
        Arc::clone(served),
        Arc::clone(&client.attached.session),
        Arc::clone(outbox),
        client.max_frame_bytes,
    );
    let mut drain = served.drain.clone();
    let mut draining = false;
    // Whether the client has nothing more to say: everything it sent was read by then, and nothing
    // of it is lost in the socket.
    let mut agreed = false;
    let agreement = tokio::time::sleep(AGREEMENT);
    tokio::pin!(agreement);
    let idle = served.settings.idle_timeout;
    loop {
        let frame = tokio::select! {
            // What ends the conversation goes before what goes on with it, so that a busy client
            // cannot hold it off.
            biased;
            () = client.attached.superseded() => return Err(Closed::Superseded),
            () = begun(&mut drain), if !draining => {
                draining = true;
                agreement.as_mut().reset(Instant::now() + AGREEMENT);
                outbox.push(|out| push(out, Tag::ONE, Message::Tdrain));
                requests.begin_drain();
                continue;
            }
            () = &mut agreement, if draining && !agreed => {
                agreed = true;
                continue;
            }
            frame = timeout(idle, reader.next()) => frame.map_err(|_| Closed::Silent(idle))?.map_err(Closed::Fault)?,
            () = requests.all_answered(), if agreed => return Ok(()),
        };
        let Some(frame) = frame else { return Ok(()) };
        tokio::select! {
            biased;
            handled = handle(&requests, outbox, frame) => agreed |= handled? && draining,
            () = client.attached.superseded() => return Err(Closed::Superseded),
        }
    }
}

async fn begun(drain: &mut watch::Receiver<bool>) {
    // A server that was dropped ends its connections by itself.
    if drain.wait_for(|begun| *begun).await.is_err() {
        core::future::pending().await
    }
}

/// Handles one frame; whether it is the client's agreement to send no more requests.
async fn handle(requests: &Requests, outbox: &Outbox, bytes: Bytes) -> Result<bool, Closed> {
    let frame = Frame::decode(&bytes)
        .map_err(|error| Closed::Protocol(format!("a frame is none of mux: {error}")))?;
    match frame.message {
        Message::Tdispatch { payload, .. } => requests.start(frame.tag, payload, &bytes).await?,
        Message::Tdiscarded { discarded, .. } | Message::BadTdiscarded { discarded, .. } => {
            requests.discard(discarded);
        }
        Message::Tping => _ = outbox.push(|out| push(out, frame.tag, Message::Rping)),
        Message::Rdrain => return Ok(true),
        Message::Rping => {}
        other @ (Message::Treq { .. }
        | Message::Tinit { .. }
        | Message::Tdrain
        | Message::Tlease { .. }) => {
            let text = format!(
                "{} has no place in a session with a store",
                other.frame_type().name()
            );
            outbox.push(|out| push(out, frame.tag, Message::Rerr { error: &text }));
        }
        Message::Rreq { .. }
        | Message::Rdispatch { .. }
        | Message::Rdiscarded
        | Message::Rinit { .. }
        | Message::Rerr { .. }
        | Message::BadRerr { .. } => {
            return Err(Closed::Protocol("it answered what was not asked".into()));
        }
    }
    Ok(false)
}
