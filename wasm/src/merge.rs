use core::num::{NonZeroU16, NonZeroU32};

use distributedlog::merge::{Deduplicator, Delivery, MergeSettings, SavedDedup};
use distributedlog::wire::record_set::{SetIdentity, WriterId};
use wasm_bindgen::prelude::*;

/// Which sets a merged reader has delivered: core's [`Deduplicator`], for JavaScript.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Seen(Deduplicator);

#[wasm_bindgen]
impl Seen {
    /// Nothing was delivered yet, or what `saved` says, which [`save`](Self::save) made. None when
    /// those bytes are something else.
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

    /// What it remembers, for [`restore`](Self::restore).
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        SavedDedup::of(&self.0).to_bytes()
    }

    /// Takes note of record `slot` of the `slots` records of a set: 0 when it is to be delivered, 1
    /// when it is a copy, 2 when it is to be delivered because nothing is known of it any more.
    /// A writer that is not named by 32 hex digits has no copies.
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

    /// How many writers were forgotten for others.
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
    fn copies_are_told_also_after_saving() {
        let writer = "8f14e45f0000000000000000000000ff";
        let mut seen = Seen::restore(0, 0, &[]).expect("nothing is legal");
        assert_eq!(
            [
                seen.judge(writer, 0, 0, 2),
                seen.judge(writer, 0, 1, 2),
                seen.judge(writer, 0, 0, 2)
            ],
            [0, 0, 1]
        );
        let mut seen = Seen::restore(128, 2, &seen.save()).expect("it was saved just now");
        assert_eq!(
            [
                seen.judge(writer, 0, 1, 2),
                seen.judge(writer, 1, 0, 1),
                seen.judge("", 0, 0, 1)
            ],
            [1, 0, 0]
        );
        assert!(Seen::restore(0, 0, b"something else").is_none());
    }
}
