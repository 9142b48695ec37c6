use distributedlog::wire::{FrameTooLarge, mux};

/// Maximum bytes of a frame's body: the default of bookies and of Java's client, in both directions
/// (`nettyMaxFrameSizeBytes`). A bookie closes the connection over a larger one without a reply, so
/// larger entries are refused before they are sent.
pub const MAX_FRAME_BYTES: usize = 5 * 1024 * 1024;

/// Size of a frame's length field in bytes.
const LENGTH_BYTES: usize = 4;

/// Returns the length of the frame that begins with `bytes`, its length field included, or `None`
/// while that field is incomplete. The same as mux's.
///
/// # Errors
/// [`FrameTooLarge`] if the body exceeds `limit` bytes: the connection is of no use from here on.
pub fn frame_len(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameTooLarge> {
    mux::frame_len(bytes, limit + LENGTH_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

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
                length: MAX_FRAME_BYTES as u64 + 5,
                limit: MAX_FRAME_BYTES + 4
            })
        );
        assert!(frame_len(&[255; 4], MAX_FRAME_BYTES).is_err());
    }
}
