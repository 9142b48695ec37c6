use core::fmt::Write as _;

use md5::{Digest, Md5};

/// How many places each host has on the ring.
pub const REPLICAS: u32 = 997;

/// A stream, as the client knows it: the MD5 of its name. Make it once for each stream and keep it; it costs a fraction of a
/// microsecond on a server, some ten on a microcontroller.
///
/// The first half places the stream on the hash ring as DistributedLog's own client does; both halves together stand for the name.
/// Somebody who makes two names with the same digest gets requests for both sent to the same proxy first, nothing worse: names
/// themselves travel in the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    pub(crate) place: u64,
    pub(crate) rest: u64,
}

impl StreamKey {
    /// The key of the stream with this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let mut hasher = Utf16Md5::new();
        hasher.text(name);
        let (place, rest) = hasher.finish();
        Self { place, rest }
    }
}

/// Where replica number `replica` of a host lies on the ring: MD5 of `shard-{shard}-{replica}-{address}` in UTF-16LE, its first eight
/// bytes little-endian. The ring's order is that of signed numbers; going round it clockwise is the same for unsigned ones.
pub(crate) fn replica_place(shard: i32, replica: u32, address: &str) -> u64 {
    let mut hasher = Utf16Md5::new();
    // Below zero is "unknown", whatever the number.
    write!(hasher, "shard-{}-{replica}-{address}", shard.max(-1)).expect("hashing takes any text");
    hasher.finish().0
}

/// MD5 of a text's UTF-16LE code units.
struct Utf16Md5 {
    hasher: Md5,
}

impl Utf16Md5 {
    fn new() -> Self {
        Self { hasher: Md5::new() }
    }

    fn text(&mut self, text: &str) {
        // Hashing unit by unit costs more than the hash itself: gather a block's worth.
        let mut block = [0; 64];
        let mut used = 0;
        for unit in text.encode_utf16() {
            block[used..used + 2].copy_from_slice(&unit.to_le_bytes());
            used += 2;
            if used == block.len() {
                self.hasher.update(block);
                used = 0;
            }
        }
        self.hasher.update(&block[..used]);
    }

    fn finish(self) -> (u64, u64) {
        let digest: [u8; 16] = self.hasher.finalize().into();
        let (first, second) = digest.split_at(8);
        let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("half of 16 bytes is 8"));
        (half(first), half(second))
    }
}

impl core::fmt::Write for Utf16Md5 {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.text(text);
        Ok(())
    }
}
