//! Recognises peers that speak another protocol than the port that they connected to.

use core::fmt;

use distributedlog::wire::{Protocol, sniff};

/// Number of first bytes that suffice to recognise a protocol.
pub const FIRST_BYTES: usize = 8;

/// Protocol of a peer, by the first bytes that it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerProtocol {
    /// HTTP/1.
    Http,
    /// HTTP/2 without TLS.
    Http2,
    /// A TLS handshake.
    Tls,
    /// Mux frames: thriftmux, or the store's protocol.
    Mux,
    /// Framed thrift.
    FramedThrift,
}

impl PeerProtocol {
    /// Determines the protocol of a peer that began with these bytes. Returns `None` if it is none
    /// of these, or if there are too few bytes; [`FIRST_BYTES`] suffice.
    #[must_use]
    pub fn of(first: &[u8]) -> Option<Self> {
        const METHODS: [&[u8]; 9] = [
            b"GET ",
            b"POST ",
            b"PUT ",
            b"HEAD ",
            b"DELETE ",
            b"OPTIONS ",
            b"PATCH ",
            b"CONNECT ",
            b"TRACE ",
        ];
        if first.starts_with(b"PRI * HT") {
            return Some(Self::Http2);
        }
        if METHODS.iter().any(|method| first.starts_with(method)) {
            return Some(Self::Http);
        }
        // A handshake record of version 3.x, with a ClientHello. As the length of a frame it would
        // be above 350 MB.
        if let [0x16, 0x03, 0..=4, _, _, 0x01, ..] = first {
            return Some(Self::Tls);
        }
        // A first frame of 16 MiB or more is not a frame.
        match (first, sniff(first)?) {
            ([0, ..], Protocol::Mux) => Some(Self::Mux),
            ([0, ..], Protocol::FramedThrift) => Some(Self::FramedThrift),
            _ => None,
        }
    }
}

impl fmt::Display for PeerProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Http2 => "HTTP/2",
            Self::Tls => "TLS",
            Self::Mux => "mux",
            Self::FramedThrift => "framed thrift",
        })
    }
}

/// Returns an HTTP response that tells a client of HTTP what the port is for, in plain text.
#[must_use]
pub fn http_refusal(text: &str) -> Vec<u8> {
    let length = text.len() + 1;
    let response = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{text}\n"
    );
    response.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_is_recognised_by_its_first_bytes() {
        for (first, expected) in [
            (&b"GET / HT"[..], Some(PeerProtocol::Http)),
            (b"DELETE /", Some(PeerProtocol::Http)),
            (b"OPTIONS ", Some(PeerProtocol::Http)),
            (b"PRI * HT", Some(PeerProtocol::Http2)),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01", Some(PeerProtocol::Tls)),
            (b"\x00\x00\x00\x0e\x44\x00\x00\x01", Some(PeerProtocol::Mux)),
            (
                b"\x00\x00\x00\x40\x80\x01\x00\x01",
                Some(PeerProtocol::FramedThrift),
            ),
            (b"GETTING ", None),
            (b"srvr", None),
            (b"", None),
            (b"\x16\x03\x01", None),
        ] {
            assert_eq!(PeerProtocol::of(first), expected, "{first:?}");
        }
    }
}
