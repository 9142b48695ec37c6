//! The stream of a key: every writer to the same streams finds the same one.

/// Returns the index of the stream that belongs to a key, or `None` if there is no stream.
///
/// It depends on the key and on the set of names, not on their order (rendezvous hashing): every
/// name gets a number from the key, and the largest wins. A stream that is added takes over only
/// the keys that are its own from now on, in equal parts from the others; one that is removed gives
/// its keys to the others in the same way.
///
/// The number is `mix(mix(fnv(key)) ^ fnv(name))`, where `fnv` is the FNV-1a hash of the bytes in
/// 64 bits, and `mix` is the finalizer of SplitMix64. Of two equal ones the first name wins.
///
/// ```
/// use distributedlog::keys::{NameHash, stream_of_key};
///
/// let streams = ["orders-1", "orders-2", "orders-3"].map(NameHash::of);
/// assert_eq!(stream_of_key(b"customer-17", &streams), Some(1));
/// assert_eq!(stream_of_key(b"customer-18", &streams), Some(2));
/// ```
#[must_use]
pub fn stream_of_key(key: &[u8], names: &[NameHash]) -> Option<usize> {
    let key = mix(fnv(key));
    let mut best: Option<(u64, usize)> = None;
    for (index, name) in names.iter().enumerate() {
        let number = mix(key ^ name.0);
        if best.is_none_or(|(largest, _)| number > largest) {
            best = Some((number, index));
        }
    }
    best.map(|(_, index)| index)
}

/// Hash of a stream's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameHash(u64);

impl NameHash {
    /// Returns the hash of this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(fnv(name.as_bytes()))
    }
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// SplitMix64's finalizer: each bit of the result depends on every bit of the value.
const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
