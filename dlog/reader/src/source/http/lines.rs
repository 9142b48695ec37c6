use bytes::{Buf, Bytes, BytesMut};

/// Longest line that is accepted, in bytes: 4 MiB. The largest record, 1 MB, takes less than 1.5
/// million in base64.
const MAX_LINE_BYTES: usize = 4 << 20;

/// The bytes of a response, taken line by line.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    bytes: BytesMut,
    /// Number of bytes at the front that are known to have no end of a line.
    scanned: usize,
}

/// A line is longer than [`MAX_LINE_BYTES`].
#[derive(Debug)]
pub(super) struct LineTooLong;

impl LineBuffer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the next whole line, without its end. `None` if there is none yet.
    pub(super) fn pop(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        match memchr::memchr(b'\n', &self.bytes[self.scanned..]) {
            Some(offset) => {
                let line = self.bytes.split_to(self.scanned + offset).freeze();
                self.bytes.advance(1);
                self.scanned = 0;
                Ok(Some(line))
            }
            None => {
                self.scanned = self.bytes.len();
                if self.scanned > MAX_LINE_BYTES {
                    return Err(LineTooLong);
                }
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_whole_however_they_are_cut() {
        let text = b"one\n\ntwo\nthree";
        for cut in 0..text.len() {
            let mut lines = LineBuffer::default();
            let mut taken = Vec::new();
            for piece in [&text[..cut], &text[cut..]] {
                lines.push(piece);
                while let Ok(Some(line)) = lines.pop() {
                    taken.push(line);
                }
            }
            assert_eq!(taken, ["one", "", "two"], "cut at {cut}");
            assert_eq!(lines.len(), 5);
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut lines = LineBuffer::default();
        for _ in 0..4 {
            lines.push(&[b'a'; 1 << 20]);
            assert!(matches!(lines.pop(), Ok(None)));
        }
        lines.push(b"a");
        assert!(lines.pop().is_err());
    }
}
