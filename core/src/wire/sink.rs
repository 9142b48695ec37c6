use super::BufferTooSmall;

/// Writes into a caller's buffer until it is full, and continues counting beyond its end: one pass
/// over a message either writes it or determines the size of the buffer that it needs. With an
/// empty buffer it only counts, without copying.
///
/// A value longer than its length field can express makes the whole message `usize::MAX` long: no
/// buffer is large enough for it.
#[derive(Debug)]
pub struct Sink<'b> {
    out: &'b mut [u8],
    length: usize,
}

impl<'b> Sink<'b> {
    pub(crate) const fn new(out: &'b mut [u8]) -> Self {
        Self { out, length: 0 }
    }

    /// Returns the number of bytes that `write` writes.
    pub(crate) fn count(write: impl FnOnce(&mut Sink<'_>)) -> usize {
        let mut sink = Sink::new(&mut []);
        write(&mut sink);
        sink.length
    }

    /// Runs `write` over `out`; the number of bytes written, or of bytes needed.
    pub(crate) fn fill(
        out: &'b mut [u8],
        write: impl FnOnce(&mut Self),
    ) -> Result<usize, BufferTooSmall> {
        let mut sink = Self::new(out);
        write(&mut sink);
        if sink.length > sink.out.len() {
            return Err(BufferTooSmall {
                needed: sink.length,
                available: sink.out.len(),
            });
        }
        Ok(sink.length)
    }

    pub(crate) const fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        if let Some(room) = self.out.get_mut(self.length..end) {
            room.copy_from_slice(bytes);
        }
        self.length = end;
    }

    /// Overwrites the four bytes at `position`, which were put before, with how many bytes follow
    /// them.
    pub(crate) fn patch_length(&mut self, position: usize) {
        let Some(length) = self.length.checked_sub(position + 4).and_then(length_i32) else {
            return self.too_long();
        };
        if let Some(room) = self.out.get_mut(position..position + 4) {
            room.copy_from_slice(&length);
        }
    }

    const fn too_long(&mut self) {
        self.length = usize::MAX;
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn u24(&mut self, value: u32) {
        self.put(&value.to_be_bytes()[1..]);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    /// A length or count that thrift and mux write in 32 bits, thrift with a sign.
    pub(crate) fn count_i32(&mut self, count: usize) {
        match length_i32(count) {
            Some(count) => self.put(&count),
            None => self.too_long(),
        }
    }

    /// A length or count that mux writes in 16 bits.
    pub(crate) fn count_u16(&mut self, count: usize) {
        match u16::try_from(count) {
            Ok(count) => self.u16(count),
            Err(_) => self.too_long(),
        }
    }

    /// A length or count that mux writes in 8 bits.
    pub(crate) fn count_u8(&mut self, count: usize) {
        match u8::try_from(count) {
            Ok(count) => self.u8(count),
            Err(_) => self.too_long(),
        }
    }

    pub(crate) fn bytes_u8(&mut self, bytes: &[u8]) {
        self.count_u8(bytes.len());
        self.put(bytes);
    }

    pub(crate) fn bytes_u16(&mut self, bytes: &[u8]) {
        self.count_u16(bytes.len());
        self.put(bytes);
    }

    pub(crate) fn bytes_i32(&mut self, bytes: &[u8]) {
        self.count_i32(bytes.len());
        self.put(bytes);
    }
}

fn length_i32(length: usize) -> Option<[u8; 4]> {
    i32::try_from(length).ok().map(i32::to_be_bytes)
}
