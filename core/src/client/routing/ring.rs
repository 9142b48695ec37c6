use core::fmt::Write as _;

use md5::{Digest, Md5};

/// Number of positions of each host on the ring.
pub const REPLICAS: u32 = 997;

/// A stream, as the client knows it: the MD5 of its name. Make it once for each stream and keep it;
/// it costs a fraction of a microsecond on a server, some ten on a microcontroller.
///
/// The first half places the stream on the hash ring as DistributedLog's own client does; both
/// halves together identify the name. Two names with the same digest, which take an attacker to
/// make, are sent to the same proxy first, with no further effect: the names themselves travel in
/// the requests.
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

/// Returns the position of replica number `replica` of a host on the ring: MD5 of
/// `shard-{shard}-{replica}-{address}` in UTF-16LE, its first eight bytes little-endian. The
/// original orders the ring by signed numbers; clockwise traversal is the same for unsigned ones.
pub(crate) fn replica_place(shard: i32, replica: u32, address: &str) -> u64 {
    let mut hasher = Utf16Md5::new();
    // Any negative number means "unknown" and hashes as -1.
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
        let half =
            |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("half of 16 bytes is 8"));
        (half(first), half(second))
    }
}

impl core::fmt::Write for Utf16Md5 {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.text(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::{REPLICAS, StreamKey, replica_place};
    use crate::client::routing::streams::Streams;
    use crate::random::Random;

    /// The ring as the original keeps it: a sorted map from signed places to hosts.
    struct Ring {
        places: BTreeMap<i64, usize>,
    }

    impl Ring {
        fn new(hosts: &[(i32, String)]) -> Self {
            let mut places = BTreeMap::new();
            for (host, (shard, text)) in hosts.iter().enumerate() {
                for replica in 0..REPLICAS {
                    let utf16: Vec<u8> = format!("shard-{shard}-{replica}-{text}")
                        .encode_utf16()
                        .flat_map(u16::to_le_bytes)
                        .collect();
                    places.insert(hash(&utf16), host);
                }
            }
            Self { places }
        }

        /// The tail of the map from the stream on, then its head; the first host that was not
        /// tried.
        fn find(&self, stream: &str, tried: &[usize]) -> Option<usize> {
            let utf16: Vec<u8> = stream.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let from = hash(&utf16);
            self.places
                .range(from..)
                .chain(self.places.range(..from))
                .map(|(_, host)| *host)
                .find(|host| !tried.contains(host))
        }
    }

    fn hash(bytes: &[u8]) -> i64 {
        use md5::Digest;
        let digest: [u8; 16] = md5::Md5::digest(bytes).into();
        i64::from_le_bytes(digest[..8].try_into().expect("8 bytes"))
    }

    #[test]
    fn the_nearest_untried_host_is_the_one_that_the_original_ring_finds() {
        const HOSTS: usize = 6;
        let mut random = Random::new(3);
        for _ in 0..10 {
            let hosts: Vec<(i32, String)> = (0..HOSTS)
                .map(|_| {
                    let shard = i32::try_from(random.up_to(6)).expect("small") - 1;
                    let port = random.up_to(65_535);
                    (
                        shard,
                        format!(
                            "höst-{}/10.{}.0.1:{port}",
                            random.up_to(99),
                            random.up_to(255)
                        ),
                    )
                })
                .collect();
            let ring = Ring::new(&hosts);
            let mut streams = Streams::<HOSTS, 16, crate::tables::Inline>::new();
            let names: Vec<String> = (0..40)
                .map(|_| format!("strëam-{}-𝄞", random.next_u64()))
                .collect();
            // Some are measured together, some alone, and some after having been driven out.
            names[..8]
                .iter()
                .for_each(|name| streams.prepare(StreamKey::of(name)));
            for name in &names {
                let mut tried = Vec::new();
                while tried.len() < HOSTS {
                    let ours = (0..HOSTS)
                        .filter(|host| !tried.contains(host))
                        .min_by_key(|host| {
                            let (shard, text) = &hosts[*host];
                            streams.distance(StreamKey::of(name), *host, (*shard, text))
                        })
                        .expect("one is untried");
                    assert_eq!(
                        Some(ours),
                        ring.find(name, &tried),
                        "{name} of {hosts:?} after {tried:?}"
                    );
                    tried.push(ours);
                }
                assert_eq!(ring.find(name, &tried), None);
            }
        }
    }

    /// MD5 of the text's UTF-16LE, computed by another implementation (Python's hashlib).
    #[test]
    fn places_are_the_first_eight_bytes_of_the_digest_little_endian() {
        for (text, expected) in PLACES {
            assert_eq!(StreamKey::of(text).place, expected, "{text}");
        }
        assert_eq!(
            replica_place(-1, 0, "/127.0.0.1:8000"),
            StreamKey::of("shard--1-0-/127.0.0.1:8000").place
        );
        assert_eq!(
            replica_place(-7, 996, "a"),
            StreamKey::of("shard--1-996-a").place
        );
        assert_eq!(
            replica_place(12, 5, "a"),
            StreamKey::of("shard-12-5-a").place
        );
    }

    const PLACES: [(&str, u64); 6] = [
        ("", 0x04b2_008f_d98c_1dd4),
        ("basic-stream-3", 0xc5b6_f2db_e5d2_d88d),
        ("shard--1-0-/127.0.0.1:8000", 0x949f_a498_01c5_18f7),
        (
            "shard--1-996-localhost/127.0.0.1:8000",
            0xb279_83a5_64bc_43d7,
        ),
        ("strëam-𝄞", 0x2867_3383_ed47_a3e3),
        (
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            0x7011_14b8_40f1_5552,
        ),
    ];
}
