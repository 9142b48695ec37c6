use core::fmt;
use std::collections::VecDeque;
use std::vec::Vec;

use super::{DedupWindow, Deduplicator, MergeSettings, MissingRecords, SavedWriter};
use crate::expect::expect_no_fmt;
use crate::wire::record_set::{SetIdentity, WriterId};

/// State of a [`Deduplicator`] as bytes, for applications that save a position without serde.
///
/// A version (1), the writers (their number, then each id, two 64-bit numbers and the bitmap behind
/// its length) and the parts (their number, then each identity and two 32-bit numbers), all
/// big-endian. If writers were forgotten the version is 2, and behind each bitmap is the number of
/// uncertain sequences of its writer, 64-bit, all ones for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedDedup {
    /// In the order in which they were last met.
    pub writers: Vec<SavedWriter>,
    /// Undelivered records of sets that were begun.
    pub parts: Vec<MissingRecords>,
    /// True if writers were forgotten.
    pub has_forgotten: bool,
}

/// Error of decoding a saved state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SavedDedupError {
    /// They are of another version, probably a newer one.
    Version(Option<u8>),
    /// They end too early.
    TooShort,
    /// This number of bytes is left over.
    TooLong(usize),
    /// The state of a writer or of a set is not valid.
    Unsound,
}

/// Version without forgotten writers, which every program reads.
const VERSION: u8 = 1;
/// Version with them.
const FORGETFUL: u8 = 2;

impl SavedDedup {
    /// Copies a deduplicator's state.
    #[must_use]
    pub fn of(seen: &Deduplicator) -> Self {
        let (writers, parts) = seen.saved();
        Self {
            writers: writers.to_vec(),
            parts: parts.to_vec(),
            has_forgotten: seen.has_forgotten(),
        }
    }

    /// Makes a deduplicator that continues with this state.
    #[must_use]
    pub fn restore(&self, settings: MergeSettings) -> Deduplicator {
        Deduplicator::restored(settings, &self.writers, &self.parts, self.has_forgotten)
    }

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let version = if self.has_forgotten {
            FORGETFUL
        } else {
            VERSION
        };
        let mut bytes = Vec::from([version]);
        let count = |length: usize| {
            expect_no_fmt(u32::try_from(length), "settings bound what is remembered").to_be_bytes()
        };
        bytes.extend(count(self.writers.len()));
        for SavedWriter {
            writer,
            window,
            uncertain_to,
        } in &self.writers
        {
            bytes.extend(writer.0);
            bytes.extend(window.known_from.to_be_bytes());
            bytes.extend(window.base.to_be_bytes());
            bytes.extend(count(window.words.len()));
            window
                .words
                .iter()
                .for_each(|word| bytes.extend(word.to_be_bytes()));
            if self.has_forgotten {
                let count = uncertain_to.map_or(0, |last| last.saturating_add(1));
                bytes.extend(count.to_be_bytes());
            }
        }
        bytes.extend(count(self.parts.len()));
        for MissingRecords { set, start, end } in &self.parts {
            bytes.extend(set.to_bytes());
            bytes.extend(start.to_be_bytes());
            bytes.extend(end.to_be_bytes());
        }
        bytes
    }

    /// From bytes, which may come from anywhere.
    ///
    /// # Errors
    ///
    /// [`SavedDedupError`]. Nothing is reserved for a length before the bytes are there.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SavedDedupError> {
        let mut rest = bytes;
        let mut saved = Self::default();
        match take(&mut rest) {
            Ok([VERSION]) => {}
            Ok([FORGETFUL]) => saved.has_forgotten = true,
            other => {
                return Err(SavedDedupError::Version(
                    other.ok().map(|[version]| version),
                ));
            }
        }
        for _ in 0..u32::from_be_bytes(take(&mut rest)?) {
            let writer = WriterId(take(&mut rest)?);
            let (known_from, base) = (
                u64::from_be_bytes(take(&mut rest)?),
                u64::from_be_bytes(take(&mut rest)?),
            );
            let mut words = VecDeque::new();
            for _ in 0..u32::from_be_bytes(take(&mut rest)?) {
                words.push_back(u64::from_be_bytes(take(&mut rest)?));
            }
            let window = DedupWindow {
                known_from,
                base,
                words,
            };
            if !window.is_sound() {
                return Err(SavedDedupError::Unsound);
            }
            let mut uncertain_to = None;
            if saved.has_forgotten {
                uncertain_to = match u64::from_be_bytes(take(&mut rest)?) {
                    0 => None,
                    u64::MAX => Some(u64::MAX),
                    count => Some(count - 1),
                };
            }
            saved.writers.push(SavedWriter {
                writer,
                window,
                uncertain_to,
            });
        }
        for _ in 0..u32::from_be_bytes(take(&mut rest)?) {
            let set: [u8; SetIdentity::BYTES] = take(&mut rest)?;
            let set = SetIdentity::from_bytes(&set).expect("as many bytes as it has");
            let (start, end) = (
                u32::from_be_bytes(take(&mut rest)?),
                u32::from_be_bytes(take(&mut rest)?),
            );
            if start >= end {
                return Err(SavedDedupError::Unsound);
            }
            saved.parts.push(MissingRecords { set, start, end });
        }
        if rest.is_empty() {
            Ok(saved)
        } else {
            Err(SavedDedupError::TooLong(rest.len()))
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], SavedDedupError> {
    let (bytes, after) = rest.split_first_chunk().ok_or(SavedDedupError::TooShort)?;
    *rest = after;
    Ok(*bytes)
}

impl fmt::Display for SavedDedupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(Some(version)) => write!(
                f,
                "saved sets of version {version}, this program reads up to {FORGETFUL}"
            ),
            Self::Version(None) => f.write_str("saved sets without any bytes"),
            Self::TooShort => f.write_str("saved sets that end too early"),
            Self::TooLong(left) => write!(f, "saved sets with {left} bytes behind them"),
            Self::Unsound => f.write_str("saved sets that cannot be"),
        }
    }
}

impl core::error::Error for SavedDedupError {}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU16;

    use super::*;
    use crate::merge::Delivery;

    fn identity(writer: u8, sequence: u64) -> SetIdentity {
        SetIdentity {
            writer: WriterId([writer; 16]),
            sequence,
        }
    }

    /// Gaps, a set that was begun, and two writers.
    fn seen() -> Deduplicator {
        let mut seen = Deduplicator::new(MergeSettings::default());
        for sequence in (0..500).step_by(3) {
            seen.check(identity(1, sequence), 0, 1);
        }
        seen.check(identity(2, u64::MAX), 4, 9);
        seen
    }

    #[test]
    fn what_was_saved_is_restored() {
        let saved = SavedDedup::of(&seen());
        let back = SavedDedup::from_bytes(&saved.to_bytes()).expect("it was written just now");
        assert_eq!(back, saved);
        let mut restored = back.restore(MergeSettings::default());
        assert_eq!(restored.check(identity(1, 3), 0, 1), Delivery::Duplicate);
        assert_eq!(restored.check(identity(1, 4), 0, 1), Delivery::First);
        assert_eq!(
            restored.check(identity(2, u64::MAX), 4, 9),
            Delivery::Duplicate
        );
        assert_eq!(restored.check(identity(2, u64::MAX), 5, 9), Delivery::First);
    }

    #[test]
    fn what_was_forgotten_stays_uncertain_after_a_restore() {
        let settings = MergeSettings {
            writers: NonZeroU16::MIN,
            ..MergeSettings::default()
        };
        let mut seen = Deduplicator::new(settings);
        for (writer, sequence) in [(1, 7), (2, 0), (1, 3)] {
            seen.check(identity(writer, sequence), 0, 1);
        }
        let saved = SavedDedup::of(&seen);
        assert!(saved.has_forgotten);
        let back = SavedDedup::from_bytes(&saved.to_bytes()).expect("it was written just now");
        assert_eq!(back, saved);
        let mut restored = back.restore(settings);
        assert_eq!(restored.check(identity(1, 3), 0, 1), Delivery::Duplicate);
        assert_eq!(restored.check(identity(1, 7), 0, 1), Delivery::Unknown);
        assert_eq!(restored.check(identity(1, 8), 0, 1), Delivery::First);
        // It is not saved which ones.
        assert_eq!(restored.check(identity(3, 0), 0, 1), Delivery::Unknown);
        for length in 0..saved.to_bytes().len() {
            SavedDedup::from_bytes(&saved.to_bytes()[..length]).expect_err("it is cut");
        }
    }

    #[test]
    fn nothing_but_whole_saved_sets_is_taken() {
        let bytes = SavedDedup::of(&seen()).to_bytes();
        for length in 0..bytes.len() {
            assert!(
                SavedDedup::from_bytes(&bytes[..length]).is_err(),
                "{length} bytes"
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(
            SavedDedup::from_bytes(&longer),
            Err(SavedDedupError::TooLong(1))
        );
        let newer = [&[3], &bytes[1..]].concat();
        assert_eq!(
            SavedDedup::from_bytes(&newer),
            Err(SavedDedupError::Version(Some(3)))
        );
        // A length without the bytes that it announces allocates nothing.
        assert_eq!(
            SavedDedup::from_bytes(&[1, 0xff, 0xff, 0xff, 0xff]),
            Err(SavedDedupError::TooShort)
        );
    }

    #[test]
    fn no_byte_makes_it_panic() {
        let bytes = SavedDedup::of(&seen()).to_bytes();
        for index in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[index] = value;
                if let Ok(saved) = SavedDedup::from_bytes(&changed) {
                    saved
                        .restore(MergeSettings::default())
                        .check(identity(1, 7), 0, 1);
                }
            }
        }
    }
}
