use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

use distributedlog::client::RequestId;

/// Names a request for whoever started it. Never used twice by the same driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u64);

/// Which request a token names.
pub(super) type Tokens = HashMap<Token, RequestId, BuildHasherDefault<TokenHasher>>;

/// Tokens are counted up by ourselves: nobody can choose them to collide, so one multiplication
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
