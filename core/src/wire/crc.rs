//! The checksums of requests: CRC-32 (IEEE) over the stream's name in UTF-8, followed by what the operation is about.
//!
//! A client puts the sum into `WriteContext.crc32`; a proxy computes it again and answers `CHECKSUM_FAILED` when it differs. Bulk writes
//! carry none. With the feature `std` the sums are computed with the processor's own instructions, without it with a table of 1 KiB.

use crate::Dlsn;

/// The checksum of a write of `payload`, which may be a record set, to `stream`.
#[must_use]
pub fn write(stream: &str, payload: &[u8]) -> u32 {
    of_parts(stream.as_bytes(), payload)
}

/// The checksum of a truncation of `stream` before `dlsn`.
#[must_use]
pub fn truncate(stream: &str, dlsn: &Dlsn) -> u32 {
    of_parts(stream.as_bytes(), &dlsn.to_bytes())
}

/// The checksum of every other operation on `stream`.
#[must_use]
pub fn stream(stream: &str) -> u32 {
    of_parts(stream.as_bytes(), &[])
}

/// The checksum of some bytes.
pub(crate) fn of(bytes: &[u8]) -> u32 {
    of_parts(bytes, &[])
}

#[cfg(feature = "std")]
fn of_parts(first: &[u8], second: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(first);
    hasher.update(second);
    hasher.finalize()
}

#[cfg(not(feature = "std"))]
use table::of_parts;

#[cfg(any(test, not(feature = "std")))]
mod table {
    const CRC32: ::crc::Crc<u32, ::crc::Table<1>> = ::crc::Crc::<u32, ::crc::Table<1>>::new(&::crc::CRC_32_ISO_HDLC);
    static TABLE: ::crc::Crc<u32, ::crc::Table<1>> = CRC32;

    pub(super) fn of_parts(first: &[u8], second: &[u8]) -> u32 {
        let mut digest = TABLE.digest();
        digest.update(first);
        digest.update(second);
        digest.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_implementations_give_the_same_sums() {
        assert_eq!(of(b"123456789"), 0xcbf4_3926, "the check value of CRC-32");
        let bytes: [u8; 1_000] = core::array::from_fn(|i| (i * i / 7) as u8);
        for length in 0..bytes.len() {
            let (first, second) = bytes[..length].split_at(length / 3);
            assert_eq!(table::of_parts(first, second), of_parts(first, second), "{length} bytes");
            assert_eq!(of(&bytes[..length]), of_parts(first, second), "{length} bytes in one part");
        }
    }
}
