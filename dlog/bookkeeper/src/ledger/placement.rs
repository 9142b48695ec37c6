use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use distributedlog::Instant;

use super::BookieFailure;
use crate::metadata::BookieId;
use crate::wire::Status;

/// Time for which a bookie that failed is left out of new choices.
const QUARANTINE: Duration = Duration::from_secs(60);

/// Choice of bookies for new ensembles and of replacements: random among those that take entries,
/// those that failed lately last.
#[derive(Clone, Debug)]
pub struct Placement {
    random: u64,
    writable: BTreeSet<BookieId>,
    /// Bookies that failed. Bounded by the bookies that are asked: old ones are removed with every
    /// choice.
    quarantined: BTreeMap<BookieId, Quarantine>,
}

#[derive(Clone, Copy, Debug)]
struct Quarantine {
    until: Instant,
    /// True after the bookie refused entries as read-only: it would refuse the next too.
    is_read_only: bool,
}

/// Fewer bookies take entries than an ensemble needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotEnoughBookies {
    /// Bookies that were asked for.
    pub wanted: usize,
    /// Bookies that take entries.
    pub available: usize,
}

impl fmt::Display for NotEnoughBookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an ensemble needs {} bookies, and {} take entries",
            self.wanted, self.available
        )
    }
}

impl core::error::Error for NotEnoughBookies {}

impl Placement {
    /// Creates a placement that knows no bookies, and draws random numbers from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            random: seed,
            writable: BTreeSet::new(),
            quarantined: BTreeMap::new(),
        }
    }

    /// Takes the bookies that are there. One that is among the read-only ones takes no entries,
    /// even if it is among the writable ones too.
    pub fn handle_bookies<'a>(
        &mut self,
        writable: impl IntoIterator<Item = &'a BookieId>,
        read_only: impl IntoIterator<Item = &'a BookieId>,
    ) {
        let mut writable: BTreeSet<BookieId> = writable.into_iter().cloned().collect();
        for bookie in read_only {
            writable.remove(bookie);
        }
        // One that was read-only and registers as writable takes entries again.
        self.quarantined.retain(|bookie, quarantine| {
            let is_back = writable.contains(bookie) && !self.writable.contains(bookie);
            !(quarantine.is_read_only && is_back)
        });
        self.writable = writable;
    }

    /// Leaves a bookie out of new choices for 60 seconds after its last failure. After it refused
    /// an entry as read-only, also no longer than until it registers as writable again.
    pub fn handle_failure(&mut self, now: Instant, bookie: &BookieId, failure: BookieFailure) {
        let quarantine = Quarantine {
            until: now + QUARANTINE,
            is_read_only: matches!(failure, BookieFailure::Status(Status::ReadOnly)),
        };
        self.quarantined.insert(bookie.clone(), quarantine);
    }

    /// Chooses distinct bookies for an ensemble, in random order. Bookies that failed lately are
    /// chosen only if there are not enough others.
    ///
    /// # Errors
    /// [`NotEnoughBookies`] if fewer take entries.
    pub fn choose(&mut self, now: Instant, size: usize) -> Result<Vec<BookieId>, NotEnoughBookies> {
        let mut chosen = self.candidates(now);
        if chosen.len() < size {
            return Err(NotEnoughBookies {
                wanted: size,
                available: chosen.len(),
            });
        }
        chosen.truncate(size);
        self.shuffle(&mut chosen);
        Ok(chosen)
    }

    /// Returns the bookies that may replace a member of an ensemble, best first: in random order,
    /// and behind them those that failed lately, the longest ago first. Members of the ensemble may
    /// be among them.
    pub fn candidates(&mut self, now: Instant) -> Vec<BookieId> {
        self.quarantined.retain(|_, it| it.until > now);
        let (mut candidates, mut failed) = (Vec::new(), Vec::new());
        for bookie in &self.writable {
            match self.quarantined.get(bookie) {
                None => candidates.push(bookie.clone()),
                Some(quarantine) if quarantine.is_read_only => {}
                Some(quarantine) => failed.push((quarantine.until, bookie.clone())),
            }
        }
        self.shuffle(&mut candidates);
        failed.sort_unstable();
        candidates.extend(failed.into_iter().map(|(_, bookie)| bookie));
        candidates
    }

    fn shuffle(&mut self, bookies: &mut [BookieId]) {
        for unplaced in (1..bookies.len()).rev() {
            let index = self.below(unplaced + 1);
            bookies.swap(unplaced, index);
        }
    }

    /// Returns a random index below `bound`, by SplitMix64.
    const fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ((z as u128 * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<BookieId> {
        names.iter().copied().map(BookieId::new).collect()
    }

    fn placement(writable: &[&str]) -> Placement {
        let mut placement = Placement::new(7);
        placement.handle_bookies(&ids(writable), &[]);
        placement
    }

    const NOW: Instant = Instant::from_millis(1_000);

    #[test]
    fn ensembles_are_distinct_bookies_that_share_the_load_and_the_first_place() {
        let mut placement = placement(&["a", "b", "c", "d", "e"]);
        let mut first = BTreeMap::<BookieId, u32>::new();
        let mut members = BTreeMap::<BookieId, u32>::new();
        for _ in 0..5_000 {
            let chosen = placement.choose(NOW, 3).expect("five take entries");
            assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 3);
            *first.entry(chosen[0].clone()).or_default() += 1;
            for bookie in chosen {
                *members.entry(bookie).or_default() += 1;
            }
        }
        assert!(
            first.values().all(|count| (850..1150).contains(count)),
            "{first:?}"
        );
        let all = members.values().all(|count| (2_800..3_200).contains(count));
        assert!(all && members.len() == 5, "{members:?}");
    }

    #[test]
    fn a_bookie_that_failed_is_chosen_last_for_a_minute() {
        let mut placement = placement(&["a", "b", "c", "d"]);
        placement.handle_failure(NOW, &BookieId::new("b"), BookieFailure::Lost);
        for _ in 0..50 {
            let chosen = placement.choose(NOW, 3).expect("three others");
            assert!(!chosen.contains(&BookieId::new("b")));
        }
        let later = NOW + Duration::from_secs(1);
        placement.handle_failure(later, &BookieId::new("a"), BookieFailure::Timeout);
        assert_eq!(placement.candidates(later)[2..], ids(&["b", "a"]));
        assert_eq!(placement.choose(later, 4).expect("in need").len(), 4);
        let end = NOW + QUARANTINE;
        assert_eq!(placement.candidates(end)[3..], ids(&["a"]));
        let end = later + QUARANTINE;
        let chosen = (0..50).map(|_| placement.choose(end, 1).expect("one")[0].clone());
        assert!(
            chosen
                .collect::<BTreeSet<_>>()
                .contains(&BookieId::new("a"))
        );
    }

    #[test]
    fn a_read_only_bookie_is_not_chosen_until_it_registers_as_writable_again() {
        let mut placement = placement(&["a", "b", "c"]);
        let b = BookieId::new("b");
        placement.handle_failure(NOW, &b, BookieFailure::Status(Status::ReadOnly));
        let refused = placement.choose(NOW, 3);
        let error = NotEnoughBookies {
            wanted: 3,
            available: 2,
        };
        assert_eq!(refused, Err(error));
        placement.handle_bookies(&ids(&["a", "c"]), &ids(&["b"]));
        assert_eq!(placement.candidates(NOW).len(), 2);
        placement.handle_bookies(&ids(&["a", "b", "c"]), &ids(&["b"]));
        assert_eq!(placement.candidates(NOW).len(), 2, "it is in both lists");
        placement.handle_bookies(&ids(&["a", "b", "c"]), &[]);
        assert_eq!(placement.candidates(NOW).len(), 3);
    }
}
