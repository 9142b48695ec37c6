use super::mux::FrameType;

/// Protocol that a connection's first bytes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Mux frames.
    Mux,
    /// Framed thrift, upgraded or not: both begin with a strict thrift message.
    FramedThrift,
    /// Neither. The bytes may be another protocol's, such as HTTP's, or thrift's old protocol
    /// without a version.
    Unknown,
}

/// Determines a client's protocol from the first bytes that it sent. Returns `None` while there are
/// too few of them (six always suffice).
///
/// After the four bytes of length that both have, mux has a frame's type, and thrift its version
/// `0x80 0x01`. The one mux type that begins with the same byte, an error reply, is never a
/// client's first frame.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<Protocol> {
    let fifth = *bytes.get(4)?;
    if fifth == 0x80 {
        let sixth = *bytes.get(5)?;
        return Some(if sixth == 0x01 {
            Protocol::FramedThrift
        } else {
            Protocol::Unknown
        });
    }
    match FrameType::from_i8(fifth as i8) {
        Some(_) => Some(Protocol::Mux),
        None => Some(Protocol::Unknown),
    }
}
