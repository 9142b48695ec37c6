use core::cell::Cell;

use core::fmt;

use super::{
    Codec, HEADER_BYTES, LENGTH_BYTES, MAX_SET_BYTES, SetIdentity, TRAILER_BYTES, VERSION,
};

/// Fills a caller's buffer with a record set, one record at a time: its own state is three numbers,
/// and the bytes stay the caller's.
///
/// The buffer's first 16 bytes are reserved for the header, which [`finish`](Self::finish) writes;
/// records follow. Pass the same buffer to every call. The invariant: `HEADER_BYTES <= length <=
/// limit <= MAX_SET_BYTES`, less the identity's bytes.
///
/// ```
/// use distributedlog::wire::record_set::{RecordSet, RecordSetBuilder};
///
/// let mut buffer = [0; 256];
/// let mut set = RecordSetBuilder::new(buffer.len(), false);
/// set.append(&mut buffer, b"one").unwrap();
/// set.append(&mut buffer, b"two").unwrap();
/// let bytes = set.finish(&mut buffer, None);
///
/// let set = RecordSet::parse(bytes, &mut []).unwrap();
/// assert!(set.records().eq([b"one".as_slice(), b"two"]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSetBuilder {
    /// Offset at which the next record's length is written.
    length: u32,
    /// Offset at which the last record must end.
    limit: u32,
    count: u32,
}

/// Error of an append. The set is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// It does not fit behind the records of this set; it would fit an empty set.
    Full,
    /// It would not fit even an empty set of this buffer.
    RecordTooLarge {
        /// Bytes of the record.
        length: usize,
        /// The longest record that an empty set of this buffer takes.
        max: usize,
    },
}

impl RecordSetBuilder {
    /// Makes an empty set for a buffer of `capacity` bytes, of which at most [`MAX_SET_BYTES`] are
    /// used. With `with_identity`, space is reserved for the trailer of an identity.
    ///
    /// # Panics
    ///
    /// If the buffer does not hold the header, and the trailer if one is reserved.
    #[must_use]
    pub const fn new(capacity: usize, with_identity: bool) -> Self {
        let capacity = if capacity < MAX_SET_BYTES {
            capacity
        } else {
            MAX_SET_BYTES
        };
        let reserved = if with_identity { TRAILER_BYTES } else { 0 };
        assert!(
            capacity >= HEADER_BYTES + reserved,
            "a record set's buffer holds at least its header and trailer"
        );
        Self {
            length: HEADER_BYTES as u32,
            limit: (capacity - reserved) as u32,
            count: 0,
        }
    }

    /// Appends a record: writes its length and copies its bytes once.
    ///
    /// # Errors
    ///
    /// [`AppendError`] if it does not fit.
    ///
    /// # Panics
    ///
    /// When `buffer` is shorter than the capacity that the builder was made for.
    #[inline]
    pub fn append(&mut self, buffer: &mut [u8], record: &[u8]) -> Result<(), AppendError> {
        let (start, limit) = (self.length as usize, self.limit as usize);
        if record.len() > limit - start || limit - start - record.len() < LENGTH_BYTES {
            return Err(self.refuse(record.len()));
        }
        let body = start + LENGTH_BYTES;
        let end = body + record.len();
        buffer[start..body].copy_from_slice(&(record.len() as u32).to_be_bytes());
        buffer[body..end].copy_from_slice(record);
        self.length = end as u32;
        self.count += 1;
        Ok(())
    }

    /// Takes the first `count` records out of the set; the others move to its front.
    ///
    /// # Panics
    ///
    /// When there are fewer records, or `buffer` is not the one that they were appended to.
    pub fn remove_first(&mut self, buffer: &mut [u8], count: u32) {
        let mut start = HEADER_BYTES;
        for _ in 0..count {
            let (length, _) = buffer[start..]
                .split_first_chunk::<LENGTH_BYTES>()
                .expect("the set has as many records");
            start += LENGTH_BYTES + u32::from_be_bytes(*length) as usize;
        }
        // Towards the front, a byte after the other: `copy_within` is a memmove, the largest
        // function of a small device if it is the only one.
        let moved =
            Cell::from_mut(&mut buffer[HEADER_BYTES..self.length as usize]).as_slice_of_cells();
        for (to, from) in moved.iter().zip(&moved[start - HEADER_BYTES..]) {
            to.set(from.get());
        }
        self.length -= (start - HEADER_BYTES) as u32;
        self.count -= count;
    }

    #[cold]
    const fn refuse(&self, length: usize) -> AppendError {
        let max = self.max_record_bytes();
        if length > max {
            AppendError::RecordTooLarge { length, max }
        } else {
            AppendError::Full
        }
    }

    /// The longest record that an empty set of this capacity takes.
    #[must_use]
    pub const fn max_record_bytes(&self) -> usize {
        (self.limit as usize).saturating_sub(HEADER_BYTES + LENGTH_BYTES)
    }

    /// Returns `true` if a record of `length` bytes fits behind the records of this set.
    #[must_use]
    pub const fn fits(&self, length: usize) -> bool {
        let room = self.limit as usize - self.length as usize;
        room >= LENGTH_BYTES && length <= room - LENGTH_BYTES
    }

    /// Bytes of the set so far, the header included, an identity not.
    #[must_use]
    pub const fn byte_len(&self) -> usize {
        self.length as usize
    }

    /// Records so far.
    #[must_use]
    pub const fn record_count(&self) -> u32 {
        self.count
    }

    /// Returns `true` if the set has no record yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Writes the identity and the header in place, and returns the whole set. May be called again,
    /// also after further records.
    ///
    /// # Panics
    ///
    /// If `buffer` is shorter than the capacity that the builder was made for, or if there is an
    /// identity without space reserved for it.
    pub fn finish<'b>(&self, buffer: &'b mut [u8], identity: Option<&SetIdentity>) -> &'b [u8] {
        let end = self.write_identity(buffer, identity);
        let payload = end - HEADER_BYTES;
        write_header(buffer, Codec::None, self.count, payload, payload);
        &buffer[..end]
    }

    fn write_identity(&self, buffer: &mut [u8], identity: Option<&SetIdentity>) -> usize {
        let start = self.length as usize;
        let Some(identity) = identity else {
            return start;
        };
        let end = start + TRAILER_BYTES;
        assert!(
            end <= MAX_SET_BYTES,
            "room for the identity was kept when the set was begun"
        );
        buffer[start..end].copy_from_slice(&identity.to_trailer());
        end
    }
}

#[cfg(feature = "lz4")]
pub use lz4::{Lz4Table, max_compressed_len};

#[cfg(feature = "lz4")]
mod lz4 {
    use core::fmt;

    use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

    use super::{Codec, HEADER_BYTES, RecordSetBuilder, SetIdentity, write_header};
    use crate::wire::BufferTooSmall;

    /// Working memory of the compressor: 16 KiB, made once and used for every set.
    pub struct Lz4Table(CompressTable);

    impl Lz4Table {
        /// A table for sets of any size.
        #[must_use]
        pub fn new() -> Self {
            Self(CompressTable::large())
        }
    }

    impl fmt::Debug for Lz4Table {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Lz4Table")
        }
    }

    impl Default for Lz4Table {
        fn default() -> Self {
            Self::new()
        }
    }

    /// Bytes that a set of `set_bytes` bytes, its header included, may take once compressed:
    /// slightly more when nothing repeats itself.
    #[must_use]
    pub const fn max_compressed_len(set_bytes: usize) -> usize {
        HEADER_BYTES + get_maximum_output_size(set_bytes.saturating_sub(HEADER_BYTES))
    }

    impl RecordSetBuilder {
        /// Writes the identity behind the records in `buffer`, and the set with its payload as one
        /// LZ4 block into `out`; its bytes.
        ///
        /// If the block would be no smaller than the payload, the set is finished in `buffer`,
        /// uncompressed, like [`finish`](Self::finish): so a set never grows beyond the size that a
        /// proxy takes. The original's reader takes both; its compressor may choose other matches
        /// than ours, so the blocks need not have the same bytes.
        ///
        /// # Errors
        ///
        /// [`BufferTooSmall`] unless `out` holds [`max_compressed_len`] of the set. `buffer` is
        /// then still good for [`finish`](Self::finish).
        ///
        /// # Panics
        ///
        /// As [`finish`](Self::finish).
        pub fn finish_lz4<'b>(
            &self,
            buffer: &'b mut [u8],
            identity: Option<&SetIdentity>,
            table: &mut Lz4Table,
            out: &'b mut [u8],
        ) -> Result<&'b [u8], BufferTooSmall> {
            let end = self.write_identity(buffer, identity);
            let too_small = BufferTooSmall {
                needed: max_compressed_len(end),
                available: out.len(),
            };
            if too_small.needed > out.len() {
                return Err(too_small);
            }
            let payload = &buffer[HEADER_BYTES..end];
            let stored = compress_into_with_table(payload, &mut out[HEADER_BYTES..], &mut table.0)
                .map_err(|_| too_small)?;
            if stored >= payload.len() {
                return Ok(self.finish(buffer, identity));
            }
            write_header(out, Codec::Lz4, self.count, payload.len(), stored);
            Ok(&out[..HEADER_BYTES + stored])
        }
    }
}

fn write_header(buffer: &mut [u8], codec: Codec, count: u32, payload: usize, stored: usize) {
    let words = [
        VERSION | codec.number(),
        count,
        payload as u32,
        stored as u32,
    ];
    for (place, word) in buffer[..HEADER_BYTES].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => {
                f.write_str("the record does not fit into what is left of the record set")
            }
            Self::RecordTooLarge { length, max } => {
                write!(f, "the record has {length} bytes, a record set takes {max}")
            }
        }
    }
}

impl core::error::Error for AppendError {}
