use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

use distributedlog::client::RequestId;

/// Identifies a request for the caller that started it. Never used twice by the same driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u64);

/// Map from tokens to requests.
pub(super) type Tokens = HashMap<Token, RequestId, BuildHasherDefault<TokenHasher>>;

/// Tokens are counted up by this crate: no peer can choose them to collide, so one multiplication
/// spreads them well enough.
#[derive(Default)]
pub(super) struct TokenHasher(u64);

impl Hasher for TokenHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }
}
