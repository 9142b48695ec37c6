//! Identity of a store.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Entropy;

/// Identity of a store: random, drawn when the store is created, and kept in its files. Clients
/// compare it, because another store at the same address gives the same positions to other records.
///
/// Its text is 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoreId([u8; 16]);

impl StoreId {
    /// Draws an id that no other store has.
    #[must_use]
    pub fn draw(entropy: &Entropy) -> Self {
        let (high, low) = (entropy.draw(), entropy.draw());
        Self((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }

    /// Returns the id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the id's bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A text that is not a store's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreIdError;

impl fmt::Display for StoreIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store's id has 32 hexadecimal digits")
    }
}

impl core::error::Error for StoreIdError {}

impl FromStr for StoreId {
    type Err = StoreIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `from_str_radix` also takes a sign.
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(StoreIdError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| StoreIdError)?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_from_its_text_and_from_no_other() {
        let id = StoreId::draw(&Entropy::seeded(1));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(StoreId::from_bytes(id.to_bytes()), id);
        assert_ne!(
            StoreId::draw(&Entropy::default()),
            StoreId::draw(&Entropy::default())
        );
        let small = StoreId::from_bytes([0; 16]);
        assert_eq!(small.to_string(), "0".repeat(32));
        for text in [
            "",
            "0",
            &"g".repeat(32),
            &format!("+{}", "0".repeat(31)),
            &"0".repeat(33),
        ] {
            assert_eq!(text.parse::<StoreId>(), Err(StoreIdError), "{text}");
        }
    }
}
