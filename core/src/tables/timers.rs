use super::Row;
use crate::Instant;

/// Row of a table of timers. Its content is private to the table.
#[derive(Clone, Copy, Debug)]
pub struct TimerSlot {
    /// An entry of the heap: the time, and the number whose timer it is.
    at: Instant,
    owner: u32,
    /// Apart from that: the index of the entry of the number that is this row's index.
    place: u32,
}

const ABSENT: u32 = u32::MAX;

impl TimerSlot {
    /// A free row.
    pub const EMPTY: Self = Self {
        at: Instant::MAX,
        owner: 0,
        place: ABSENT,
    };
}

impl Row for TimerSlot {
    const EMPTY: Self = Self::EMPTY;
}

/// At most one timer for each number below the length of the table: a binary heap, the earliest on
/// top, that knows where each number's entry is.
///
/// Setting, moving and clearing one costs O(log n) of those that are set, and O(1) if it is the
/// latest; looking at the first costs nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    len: u32,
}

impl Timers {
    pub(crate) const NONE: Self = Self { len: 0 };

    /// Returns the earliest timer and whose it is.
    pub(crate) fn first(self, rows: &[TimerSlot]) -> Option<(Instant, usize)> {
        let first = rows.first().filter(|_| self.len > 0)?;
        Some((first.at, first.owner as usize))
    }

    /// Returns `true` if the number has a timer.
    pub(crate) fn is_set(rows: &[TimerSlot], owner: usize) -> bool {
        rows[owner].place != ABSENT
    }

    /// Sets the number's timer to `at`, instead of its previous time. [`Instant::MAX`] is never.
    pub(crate) fn set(&mut self, rows: &mut [TimerSlot], owner: usize, at: Instant) {
        if at == Instant::MAX {
            return self.clear(rows, owner);
        }
        let (place, old) = match rows[owner].place {
            ABSENT => {
                self.len += 1;
                (self.len - 1, Instant::MAX)
            }
            place => (place, rows[place as usize].at),
        };
        self.settle(rows, place, (at, owner as u32), old);
    }

    /// Clears the number's timer, if it has one.
    pub(crate) fn clear(&mut self, rows: &mut [TimerSlot], owner: usize) {
        let place = core::mem::replace(&mut rows[owner].place, ABSENT);
        if place == ABSENT {
            return;
        }
        self.len -= 1;
        if place < self.len {
            let TimerSlot { at, owner, .. } = rows[self.len as usize];
            let old = rows[place as usize].at;
            self.settle(rows, place, (at, owner), old);
        }
    }

    /// Puts an entry in the place of one whose time was `old`, and moves it from there to where it
    /// belongs.
    fn settle(self, rows: &mut [TimerSlot], place: u32, (at, owner): (Instant, u32), old: Instant) {
        let mut place = place as usize;
        if at < old {
            while place > 0 {
                let parent = (place - 1) / 2;
                if rows[parent].at <= at {
                    break;
                }
                put(rows, place, (rows[parent].at, rows[parent].owner));
                place = parent;
            }
        } else {
            let len = self.len as usize;
            loop {
                let mut child = 2 * place + 1;
                if child >= len {
                    break;
                }
                if child + 1 < len && rows[child + 1].at < rows[child].at {
                    child += 1;
                }
                if at <= rows[child].at {
                    break;
                }
                put(rows, place, (rows[child].at, rows[child].owner));
                place = child;
            }
        }
        put(rows, place, (at, owner));
    }
}

fn put(rows: &mut [TimerSlot], place: usize, (at, owner): (Instant, u32)) {
    (rows[place].at, rows[place].owner) = (at, owner);
    rows[owner as usize].place = place as u32;
}
