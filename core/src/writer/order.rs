//! Records that keep their order in one stream (R20).

use super::health::Observation;
use super::machine::Writer;
use super::{Health, Order, Storage, WriterFeatures};
use crate::StreamIndex;

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns `true` if the records keep their order. A constant without
    /// [`WriterFeatures::ORDER`].
    pub(super) const fn keeps_order(&self) -> bool {
        F::ORDER && matches!(self.settings.order(), Order::Kept { .. })
    }

    /// Returns the row from which the first stream of a set is looked for: the next in the
    /// rotation, or if records keep their order, always that of the same stream. Once that one was
    /// removed, it is another one for all sets.
    #[inline(always)]
    pub(super) fn start_row(&self) -> usize {
        if !F::ORDER {
            return self.next_row as usize;
        }
        let Order::Kept { home } = self.settings.order() else {
            return self.next_row as usize;
        };
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::HomeLeft) {
            return self.next_row as usize;
        }
        let members = usize::from(self.members());
        let rows = &self.storage.streams()[..members];
        let row = rows
            .iter()
            .position(|row| row.turn == StreamIndex(home.into()));
        row.unwrap_or_else(|| usize::from(home) % members)
    }

    /// Returns `true` if a set that started at the row `first` may be copied to probe the stream of
    /// another row. If records keep their order, only streams that would take their place are
    /// probed: a copy in any other one might be the first that is answered.
    #[inline(always)]
    pub(super) fn may_probe(&self, row: usize, first: u16) -> bool {
        if !self.keeps_order() {
            return true;
        }
        let (home, members) = (self.start_row(), usize::from(self.members()));
        let behind = |row: usize| (row + members - home) % members;
        behind(row) < behind(usize::from(first))
    }

    /// Returns the settings of health for an attempt that ended so: if records keep their order,
    /// one attempt that fails or is overtaken is enough for probation. Otherwise the sets behind it
    /// would try the stream again, and the records would go back and forth.
    #[inline(always)]
    pub(super) fn health_for(&self, observation: Observation) -> Health {
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::BackAndForth) {
            return self.health();
        }
        if !self.keeps_order() {
            return self.health();
        }
        match (self.health(), observation) {
            (
                Health::Probation {
                    first_backoff,
                    max_backoff,
                    ..
                },
                Observation::Slow | Observation::Failed(_),
            ) => Health::Probation {
                strikes: 1,
                first_backoff,
                max_backoff,
            },
            (health, _) => health,
        }
    }
}
