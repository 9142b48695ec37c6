//! A proxy that acknowledges everything and keeps nothing: what is left is the writer, its
//! connection and the operating system.

use core::net::SocketAddr;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use distributedlog::Dlsn;
use distributedlog::wire::mux::{self, Frame, InitHeaders, Message, Tag};
use distributedlog::wire::service::{
    Method, Reply, Request, SequenceId, ServerInfo, ServerStatus, WriteResponse,
};

/// Serves on a free port, with one thread for each connection.
pub(crate) fn spawn() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut bytes, mut start, mut end) = (vec![0; 4 << 20], 0, 0);
    let mut out = Vec::new();
    let mut entry = 0;
    loop {
        let count = stream.read(&mut bytes[end..])?;
        if count == 0 {
            return Ok(());
        }
        end += count;
        while let Some(length) =
            mux::frame_len(&bytes[start..end], bytes.len()).map_err(io::Error::other)?
            && end - start >= length
        {
            answer(&bytes[start..start + length], &mut out, &mut entry)?;
            start += length;
        }
        bytes.copy_within(start..end, 0);
        end -= start;
        start = 0;
        stream.write_all(&out)?;
        out.clear();
    }
}

fn answer(frame: &[u8], out: &mut Vec<u8>, entry: &mut i64) -> io::Result<()> {
    let Frame { tag, message } = Frame::decode(frame).map_err(io::Error::other)?;
    let answer = if let Message::Tdispatch { payload, .. } = message {
        return answer_request(tag, payload, out, entry);
    } else if let Message::Tinit { version, .. } = message {
        Message::Rinit {
            version,
            headers: InitHeaders::default(),
        }
    } else if let Message::Tping = message {
        Message::Rping
    } else if let Message::BadRerr { error } = message {
        Message::BadRerr { error }
    } else {
        return Ok(());
    };
    let frame = Frame::new(tag, answer);
    let start = out.len();
    out.resize(start + frame.encoded_len(), 0);
    frame.encode(&mut out[start..]).map_err(io::Error::other)?;
    Ok(())
}

fn answer_request(tag: Tag, payload: &[u8], out: &mut Vec<u8>, entry: &mut i64) -> io::Result<()> {
    let (_, request) =
        Request::decode(payload).map_err(|error| io::Error::other(error.to_string()))?;
    *entry += 1;
    let text = Dlsn::new(1, *entry, 0).to_text();
    let reply = if request.method() == Method::HandshakeWithClientInfo {
        Reply::ServerInfo(ServerInfo {
            ownerships: None,
            status: Some(ServerStatus::WriteAndAccept),
            failure_domain: None,
        })
    } else {
        Reply::Write(WriteResponse::success(Some(text.as_str())))
    };
    let (start, name) = (out.len(), request.method().name());
    out.resize(start + mux::encoded_reply_len(name, &reply), 0);
    mux::encode_reply(tag, name, SequenceId(0), &reply, &mut out[start..])
        .map_err(io::Error::other)?;
    Ok(())
}
