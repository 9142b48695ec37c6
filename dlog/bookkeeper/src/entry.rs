//! Bodies of entries: ids, last add confirmed, length and digest in front of the payload.
//!
//! A bookie stores an entry by the ids in its body and checks neither those nor the digest, so the
//! ids are written in one place, and everything that is read is verified: digest, ledger and entry.

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};

use crate::{EntryId, LedgerId};

/// Bytes in front of the digest: ledger, entry, last add confirmed and length.
pub const HEADER_BYTES: usize = 32;

/// Bytes of a last add confirmed's body in front of its digest: ledger and entry.
const LAC_BYTES: usize = 16;

/// Key of a ledger's password, which a bookie stores with the ledger's first entry and compares
/// before it fences or adds: SHA-1 of `ledger` and the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MasterKey([u8; Self::LEN]);

impl MasterKey {
    /// Bytes of a key.
    pub const LEN: usize = 20;

    /// Returns the key of a password; an empty one is what DistributedLog uses.
    #[must_use]
    pub fn of_password(password: &[u8]) -> Self {
        Self(salted(b"ledger", password))
    }

    /// Returns a key that was received.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the key's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys fence ledgers: they stay out of logs.
        f.write_str("MasterKey(..)")
    }
}

fn salted(salt: &[u8], password: &[u8]) -> [u8; 20] {
    Sha1::new()
        .chain_update(salt)
        .chain_update(password)
        .finalize()
        .into()
}

/// Kind of the digest of a ledger's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestType {
    /// CRC-32 (IEEE) in eight bytes. DistributedLog's.
    Crc32,
    /// HMAC-SHA1 with a key from the password, in 20 bytes.
    Mac,
    /// CRC-32C in four bytes, of BookKeeper 4.6 and later.
    Crc32c,
    /// No digest, of BookKeeper 4.7 and later.
    Dummy,
}

impl DigestType {
    /// Returns the number of the type in ledger metadata.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Crc32 => 1,
            Self::Mac => 2,
            Self::Crc32c => 3,
            Self::Dummy => 4,
        }
    }

    /// Returns the type of a number in ledger metadata, or `None` for one that does not exist.
    #[must_use]
    pub const fn from_code(code: i64) -> Option<Self> {
        Some(match code {
            1 => Self::Crc32,
            2 => Self::Mac,
            3 => Self::Crc32c,
            4 => Self::Dummy,
            _ => return None,
        })
    }

    /// Returns the bytes that the digest takes.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::Crc32 => 8,
            Self::Mac => 20,
            Self::Crc32c => 4,
            Self::Dummy => 0,
        }
    }

    /// Returns true if the digest takes no bytes, as [`Dummy`](Self::Dummy)'s.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Writes and verifies the bodies of one ledger's entries.
#[derive(Clone)]
pub struct EntryCodec {
    ledger: LedgerId,
    digest: DigestType,
    mac_key: [u8; 20],
}

/// An entry that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The entry's number.
    pub entry: EntryId,
    /// Last add confirmed when the entry was sent.
    pub lac: EntryId,
    /// Bytes of all payloads of the ledger up to this entry, itself included.
    pub length: u64,
    /// The payload.
    pub payload: Bytes,
}

/// A body that is not the entry that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// The body is shorter than header and digest.
    TooShort {
        /// Length of the body in bytes.
        bytes: usize,
    },
    /// The digest does not match.
    Digest,
    /// The body is another ledger's.
    WrongLedger(LedgerId),
    /// The body is another entry's.
    WrongEntry(EntryId),
    /// Last add confirmed or length is impossible: the first is below the entry, the second is not
    /// negative.
    Inconsistent,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { bytes } => write!(f, "an entry of {bytes} bytes is too short"),
            Self::Digest => f.write_str("the entry's digest does not match"),
            Self::WrongLedger(found) => write!(f, "the entry is one of ledger {found}"),
            Self::WrongEntry(found) => write!(f, "the entry is entry {found}"),
            Self::Inconsistent => f.write_str("the entry's header contradicts itself"),
        }
    }
}

impl core::error::Error for EntryError {}

impl fmt::Debug for EntryCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryCodec")
            .field("ledger", &self.ledger)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl EntryCodec {
    /// Returns the codec of a ledger. The password matters to [`DigestType::Mac`] alone.
    #[must_use]
    pub fn new(ledger: LedgerId, digest: DigestType, password: &[u8]) -> Self {
        Self {
            ledger,
            digest,
            mac_key: salted(b"mac", password),
        }
    }

    /// Returns the ledger.
    #[must_use]
    pub const fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// Returns the bytes in front of a payload.
    #[must_use]
    pub const fn overhead(&self) -> usize {
        HEADER_BYTES + self.digest.len()
    }

    /// Returns the body of an entry. `length` counts the payloads of the ledger up to this one.
    #[must_use]
    pub fn encode(&self, entry: EntryId, lac: EntryId, length: u64, payload: &[u8]) -> Bytes {
        let mut body = BytesMut::with_capacity(self.overhead() + payload.len());
        body.put_i64(self.ledger);
        body.put_i64(entry);
        body.put_i64(lac);
        body.put_u64(length);
        self.put_digest(&mut body, payload);
        body.put_slice(payload);
        body.freeze()
    }

    /// Returns the body of an explicit last add confirmed.
    #[must_use]
    pub fn encode_lac(&self, lac: EntryId) -> Bytes {
        let mut body = BytesMut::with_capacity(LAC_BYTES + self.digest.len());
        body.put_i64(self.ledger);
        body.put_i64(lac);
        self.put_digest(&mut body, &[]);
        body.freeze()
    }

    /// Returns the last add confirmed of an explicit one's body.
    ///
    /// # Errors
    /// [`EntryError`] if the body is not one of this ledger.
    pub fn decode_lac(&self, body: &[u8]) -> Result<EntryId, EntryError> {
        let short = EntryError::TooShort { bytes: body.len() };
        let (header, rest) = body.split_first_chunk::<LAC_BYTES>().ok_or(short)?;
        let (digest, payload) = rest.split_at_checked(self.digest.len()).ok_or(short)?;
        self.verify(header, payload, digest)?;
        let [ledger, lac] = numbers(header);
        if ledger != self.ledger {
            return Err(EntryError::WrongLedger(ledger));
        }
        Ok(lac)
    }

    /// Returns the entry of a body that a bookie sent for it.
    ///
    /// # Errors
    /// [`EntryError`] if the body is damaged, or another entry than `entry`.
    pub fn decode(&self, entry: EntryId, body: &Bytes) -> Result<Entry, EntryError> {
        let found = self.decode_any(body)?;
        if found.entry == entry {
            Ok(found)
        } else {
            Err(EntryError::WrongEntry(found.entry))
        }
    }

    /// Returns the entry of a body, whichever of this ledger it is.
    ///
    /// # Errors
    /// [`EntryError`] if the body is damaged or of another ledger.
    pub fn decode_any(&self, body: &Bytes) -> Result<Entry, EntryError> {
        let short = EntryError::TooShort { bytes: body.len() };
        let (header, rest) = body.split_first_chunk::<HEADER_BYTES>().ok_or(short)?;
        let (digest, payload) = rest.split_at_checked(self.digest.len()).ok_or(short)?;
        self.verify(header, payload, digest)?;
        let [ledger, entry, lac, length] = numbers(header);
        if ledger != self.ledger {
            return Err(EntryError::WrongLedger(ledger));
        }
        let length = u64::try_from(length).map_err(|_| EntryError::Inconsistent)?;
        // A payload counts towards the length, and an entry is never confirmed by itself.
        if lac >= entry || entry < 0 || lac < crate::NO_ENTRY || length < payload.len() as u64 {
            return Err(EntryError::Inconsistent);
        }
        Ok(Entry {
            entry,
            lac,
            length,
            payload: body.slice_ref(payload),
        })
    }

    fn verify(&self, header: &[u8], payload: &[u8], found: &[u8]) -> Result<(), EntryError> {
        let mut expected = [0; 20];
        let expected = self.digest_of(header, payload, &mut expected);
        if expected == found {
            Ok(())
        } else {
            Err(EntryError::Digest)
        }
    }

    fn put_digest(&self, body: &mut BytesMut, payload: &[u8]) {
        let mut digest = [0; 20];
        let digest = self.digest_of(body, payload, &mut digest);
        body.put_slice(digest);
    }

    /// Computes the digest of a header and a payload into `out`, and returns its part that counts.
    fn digest_of<'a>(&self, header: &[u8], payload: &[u8], out: &'a mut [u8; 20]) -> &'a [u8] {
        match self.digest {
            DigestType::Crc32 => {
                let mut hasher = crc32fast::Hasher::new();
                hasher.update(header);
                hasher.update(payload);
                // Java writes the sum as a long.
                out[..8].copy_from_slice(&u64::from(hasher.finalize()).to_be_bytes());
            }
            DigestType::Crc32c => {
                let sum = crc32c::crc32c_append(crc32c::crc32c(header), payload);
                out[..4].copy_from_slice(&sum.to_be_bytes());
            }
            DigestType::Mac => {
                let mac = Hmac::<Sha1>::new_from_slice(&self.mac_key)
                    .expect("HMAC takes keys of any length");
                let sum = mac.chain_update(header).chain_update(payload).finalize();
                out.copy_from_slice(&sum.into_bytes());
            }
            DigestType::Dummy => {}
        }
        &out[..self.digest.len()]
    }
}

/// Splits bytes into big-endian numbers.
fn numbers<const COUNT: usize>(bytes: &[u8]) -> [i64; COUNT] {
    let mut numbers = [0; COUNT];
    for (number, chunk) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        *number = i64::from_be_bytes(eight);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_empty_password_is_the_recorded_one() {
        let hex: String = MasterKey::of_password(b"")
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, "850bf1071c5e3d8c24235676f8816ae0cbe2f14f");
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_body_is_never_a_valid_entry() {
        for digest in [DigestType::Crc32, DigestType::Mac, DigestType::Crc32c] {
            let codec = EntryCodec::new(7, digest, b"secret");
            let body = codec.encode(3, 2, 40, b"payload");
            assert_eq!(
                codec.decode(3, &body).expect("valid").payload,
                &b"payload"[..]
            );
            for bit in 0..body.len() * 8 {
                let mut damaged = body.to_vec();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(codec.decode(3, &damaged.into()), Err(EntryError::Digest));
            }
        }
    }

    #[test]
    fn an_entry_of_another_place_is_refused_though_its_digest_is_right() {
        let codec = EntryCodec::new(7, DigestType::Crc32, b"");
        let body = codec.encode(3, 2, 40, b"x");
        assert_eq!(codec.decode(4, &body), Err(EntryError::WrongEntry(3)));
        let other = EntryCodec::new(8, DigestType::Crc32, b"");
        assert_eq!(other.decode(3, &body), Err(EntryError::WrongLedger(7)));
        let confirmed_by_itself = codec.encode(3, 3, 40, b"x");
        assert_eq!(
            codec.decode(3, &confirmed_by_itself),
            Err(EntryError::Inconsistent)
        );
        assert_eq!(
            codec.decode(3, &body.slice(..39)),
            Err(EntryError::TooShort { bytes: 39 })
        );
    }
}
