use core::fmt;

/// Maximum bytes of a frame's body: the default of bookies and of Java's client, in both directions
/// (`nettyMaxFrameSizeBytes`). A bookie closes the connection over a larger one without a reply, so
/// larger entries are refused before they are sent.
pub const MAX_FRAME_BYTES: usize = 5 * 1024 * 1024;

/// A frame that is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLarge {
    /// Length of the frame's body in bytes.
    pub length: usize,
    /// Maximum length in bytes.
    pub limit: usize,
}

impl fmt::Display for FrameTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a frame of {} bytes; the limit is {}",
            self.length, self.limit
        )
    }
}

impl core::error::Error for FrameTooLarge {}

/// Returns the length of the frame that begins with `bytes`, its length field of four bytes
/// included, or `None` while that field is incomplete.
///
/// # Errors
/// [`FrameTooLarge`] if the body exceeds `limit` bytes: the connection is of no use from here on.
pub fn frame_len(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameTooLarge> {
    let Some((field, _)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    // A length of 32 bits fits usize on every platform with a bookie or a client.
    let length = usize::try_from(u32::from_be_bytes(*field)).unwrap_or(usize::MAX);
    match length.checked_add(4) {
        Some(whole) if length <= limit => Ok(Some(whole)),
        Some(_) | None => Err(FrameTooLarge { length, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameTooLarge, MAX_FRAME_BYTES, frame_len};

    #[test]
    fn a_frame_is_measured_by_its_first_four_bytes_and_refused_above_the_limit() {
        assert_eq!(frame_len(&[0, 0, 1], MAX_FRAME_BYTES), Ok(None));
        assert_eq!(frame_len(&[0, 0, 1, 2, 9], MAX_FRAME_BYTES), Ok(Some(262)));
        assert_eq!(
            frame_len(&[0, 0x50, 0, 0], MAX_FRAME_BYTES),
            Ok(Some(MAX_FRAME_BYTES + 4))
        );
        assert_eq!(
            frame_len(&[0, 0x50, 0, 1], MAX_FRAME_BYTES),
            Err(FrameTooLarge {
                length: MAX_FRAME_BYTES + 1,
                limit: MAX_FRAME_BYTES
            })
        );
        assert!(frame_len(&[255; 4], MAX_FRAME_BYTES).is_err());
    }
}
