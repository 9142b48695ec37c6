use crate::EntryId;
use crate::metadata::LedgerMetadata;

/// Maximum bookies of an ensemble that is written to: sets of indices are kept in 64 bits.
const MAX_MEMBERS: usize = 64;

/// A set of an ensemble's indices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IndexSet(u64);

impl IndexSet {
    pub(super) const fn insert(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    pub(super) const fn remove(&mut self, index: usize) {
        self.0 &= !(1 << index);
    }

    pub(super) const fn contains(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    /// The indices that are not in `other`.
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn len(self) -> usize {
        self.0.count_ones() as usize
    }
}

/// Sizes of a ledger's ensemble and quorums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quorums {
    pub(super) ensemble: usize,
    pub(super) write: usize,
    pub(super) ack: usize,
}

impl Quorums {
    /// Returns the sizes of a ledger.
    pub(super) const fn of(metadata: &LedgerMetadata) -> Self {
        Self {
            ensemble: metadata.ensemble_size,
            write: metadata.write_quorum,
            ack: metadata.ack_quorum,
        }
    }

    /// Returns true if an [`IndexSet`] has room for the ensemble.
    pub(super) const fn fits(self) -> bool {
        self.ensemble <= MAX_MEMBERS
    }

    /// The indices that store an entry: `write` of them from the remainder of the entry on.
    pub(super) fn write_set(self, entry: EntryId) -> impl Iterator<Item = usize> + Clone {
        // An entry is not negative, so the remainder is below the ensemble's size.
        let first = usize::try_from(entry.rem_euclid(self.ensemble as i64)).unwrap_or(0);
        (0..self.write).map(move |offset| (first + offset) % self.ensemble)
    }

    /// Returns true if `answered` leaves no group of bookies unheard that could have acknowledged
    /// an entry: in every window of the write quorum fewer than the ack quorum are missing.
    pub(super) fn covered(self, answered: IndexSet) -> bool {
        (0..self.ensemble).all(|first| {
            let missing = (0..self.write)
                .filter(|offset| !answered.contains((first + offset) % self.ensemble))
                .count();
            missing < self.ack
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(indices: &[usize]) -> IndexSet {
        let mut set = IndexSet::default();
        for &index in indices {
            set.insert(index);
        }
        set
    }

    #[test]
    fn entries_are_striped_over_the_ensemble() {
        let quorums = Quorums {
            ensemble: 5,
            write: 3,
            ack: 2,
        };
        let indices = |entry| quorums.write_set(entry).collect::<Vec<_>>();
        assert_eq!(indices(0), [0, 1, 2]);
        assert_eq!(indices(3), [3, 4, 0]);
        assert_eq!(indices(7), [2, 3, 4]);
    }

    #[test]
    fn two_of_three_answers_cover_a_ledger_of_three_three_two() {
        let quorums = Quorums {
            ensemble: 3,
            write: 3,
            ack: 2,
        };
        assert!(quorums.covered(set(&[0, 2])));
        assert!(!quorums.covered(set(&[1])));
        let all = Quorums {
            ensemble: 3,
            write: 3,
            ack: 3,
        };
        assert!(
            all.covered(set(&[1])),
            "one that answers is enough if all had to acknowledge"
        );
        let striped = Quorums {
            ensemble: 5,
            write: 2,
            ack: 2,
        };
        assert!(
            !striped.covered(set(&[0, 1])),
            "entry 2 may be at 2 and 3 alone"
        );
        assert!(striped.covered(set(&[0, 2, 4])));
    }
}
