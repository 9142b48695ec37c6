//! Deduplication for merged readers.

use core::num::{NonZeroU16, NonZeroU32};

use distributedlog::merge::{Deduplicator, Delivery, MergeSettings, SavedDedup};
use distributedlog::wire::record_set::{SetIdentity, WriterId};
use wasm_bindgen::prelude::*;

/// Record sets that a merged reader has delivered: core's [`Deduplicator`] for JavaScript.
#[wasm_bindgen]
#[derive(Debug)]
pub struct DeduplicatorHandle(Deduplicator);

#[wasm_bindgen]
impl DeduplicatorHandle {
    /// Creates an empty deduplicator, or restores the one that [`save`](Self::save) returned as
    /// `saved`. Returns `None` if `saved` is neither empty nor valid. A size of 0 selects core's
    /// default.
    #[must_use]
    pub fn restore(sequences: u32, writers: u16, saved: &[u8]) -> Option<Self> {
        let defaults = MergeSettings::default();
        let settings = MergeSettings {
            sequences: NonZeroU32::new(sequences).unwrap_or(defaults.sequences),
            writers: NonZeroU16::new(writers).unwrap_or(defaults.writers),
        };
        if saved.is_empty() {
            return Some(Self(Deduplicator::new(settings)));
        }
        SavedDedup::from_bytes(saved)
            .ok()
            .map(|saved| Self(saved.restore(settings)))
    }

    /// Returns the contents in the form that [`restore`](Self::restore) reads.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        SavedDedup::of(&self.0).to_bytes()
    }

    /// Registers record `slot` of a set of `slots` records, and returns 0 to deliver it, 1 to drop
    /// it as a duplicate, 2 to deliver it because it lies beyond the window.
    ///
    /// A writer whose name is not 32 hex digits has no identity: its records are always delivered.
    pub fn judge(&mut self, writer: &str, sequence: u64, slot: u32, slots: u32) -> u32 {
        let Some(writer) = parse(writer) else {
            return 0;
        };
        match self.0.check(SetIdentity { writer, sequence }, slot, slots) {
            Delivery::First => 0,
            Delivery::Duplicate => 1,
            Delivery::Unknown => 2,
        }
    }

    /// Returns the number of writers that were evicted in favour of others.
    #[must_use]
    pub fn forgotten(&self) -> f64 {
        self.0.forgotten() as f64
    }
}

fn parse(hex: &str) -> Option<WriterId> {
    let digits: &[u8; 32] = hex.as_bytes().try_into().ok()?;
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = (high? * 16 + low?) as u8;
    }
    Some(WriterId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_named_by_32_hex_digits() {
        let expected = WriterId([
            0x8f, 0x14, 0xe4, 0x5f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff,
        ]);
        assert_eq!(parse("8f14e45f0000000000000000000000ff"), Some(expected));
        assert_eq!(parse("8F14E45F0000000000000000000000FF"), Some(expected));
        for wrong in [
            "",
            "8f",
            "8f14e45f0000000000000000000000fg",
            "8f14e45f0000000000000000000000ff0",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn duplicates_are_recognised_also_after_a_restore() {
        let writer = "8f14e45f0000000000000000000000ff";
        let mut seen = DeduplicatorHandle::restore(0, 0, &[]).expect("empty is valid");
        assert_eq!(
            [
                seen.judge(writer, 0, 0, 2),
                seen.judge(writer, 0, 1, 2),
                seen.judge(writer, 0, 0, 2)
            ],
            [0, 0, 1]
        );
        let mut seen =
            DeduplicatorHandle::restore(128, 2, &seen.save()).expect("it was saved just now");
        assert_eq!(
            [
                seen.judge(writer, 0, 1, 2),
                seen.judge(writer, 1, 0, 1),
                seen.judge("", 0, 0, 1)
            ],
            [1, 0, 0]
        );
        assert!(DeduplicatorHandle::restore(0, 0, b"something else").is_none());
    }
}
