//! The checksums of requests: CRC-32 (IEEE) over the stream's name in UTF-8, followed by what the
//! operation is about.
//!
//! A client puts the sum into `WriteContext.crc32`; a proxy computes it again and replies
//! `CHECKSUM_FAILED` if it differs. Bulk writes carry none. With the feature `std` the sums are
//! computed with the processor's instructions; without it, and in WebAssembly, which has none, with
//! a table of 64 bytes.

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

#[cfg(all(feature = "std", not(target_arch = "wasm32")))]
fn of_parts(first: &[u8], second: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(first);
    hasher.update(second);
    hasher.finalize()
}

#[cfg(any(not(feature = "std"), target_arch = "wasm32"))]
use table::of_parts;

#[cfg(any(test, not(feature = "std"), target_arch = "wasm32"))]
mod table {
    /// Effect of the sum's last four bits: a table of 64 bytes, because a device has little flash
    /// and short inputs.
    static TABLE: [u32; 16] = table();

    const fn table() -> [u32; 16] {
        let mut table = [0; 16];
        let mut nibble = 0;
        while nibble < 16 {
            let (mut sum, mut bit) = (nibble as u32, 0);
            while bit < 4 {
                // The polynomial of CRC-32, its bits in reverse.
                sum = (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
                bit += 1;
            }
            table[nibble] = sum;
            nibble += 1;
        }
        table
    }

    pub(super) fn of_parts(first: &[u8], second: &[u8]) -> u32 {
        let step = |sum: u32, nibble: u32| (sum >> 4) ^ TABLE[((sum ^ nibble) & 15) as usize];
        let byte = |sum, byte: &u8| step(step(sum, u32::from(*byte)), u32::from(*byte >> 4));
        !second.iter().fold(first.iter().fold(!0, byte), byte)
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
            assert_eq!(
                table::of_parts(first, second),
                of_parts(first, second),
                "{length} bytes"
            );
            assert_eq!(
                of(&bytes[..length]),
                of_parts(first, second),
                "{length} bytes in one part"
            );
        }
    }
}
