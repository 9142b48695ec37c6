use super::slots::{NO_SET, SetSlot, TimerSlot};
use crate::Instant;

/// Timer of a set. Each set has one entry in the timer table, for the earliest of its timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The filling set has reached the flush interval (R6).
    Flush,
    /// A set has waited for its outstanding attempts as long as the speculative timeout, and is
    /// hedged (R3).
    Speculate,
    /// The next round of a set begins, or the budget is to be asked for a token again (R5, R8).
    Retry,
    /// The oldest record of a set reaches its deadline (R1).
    Expire,
}

/// The timer table: a binary heap over set slots, the earliest timer on top. Every set knows the
/// index of its entry, so that it can be moved and removed in O(log sets). The common case, a set
/// whose timer is the latest of all, is inserted in O(1).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimerHeap {
    len: usize,
}

impl TimerHeap {
    /// Returns the time and set of the earliest entry, or `None` if the heap is empty.
    pub(crate) fn first(self, heap: &[TimerSlot]) -> Option<(Instant, u16)> {
        heap[..self.len].first().map(|entry| (entry.at, entry.set))
    }

    /// Sets the time of a set's entry, and adds the entry if there is none.
    pub(crate) fn arm(
        &mut self,
        heap: &mut [TimerSlot],
        sets: &mut [SetSlot],
        set: u16,
        at: Instant,
    ) {
        let index = match sets[set as usize].timer_index {
            NO_SET => {
                let index = self.len;
                self.len += 1;
                heap[index] = TimerSlot { at, set };
                sets[set as usize].timer_index = index as u16;
                index
            }
            index => {
                heap[index as usize].at = at;
                index as usize
            }
        };
        let index = self.sift_up(heap, sets, index);
        self.sift_down(heap, sets, index);
    }

    /// Removes a set's entry, if it has one.
    pub(crate) fn disarm(&mut self, heap: &mut [TimerSlot], sets: &mut [SetSlot], set: u16) {
        let index = sets[set as usize].timer_index;
        if index == NO_SET {
            return;
        }
        sets[set as usize].timer_index = NO_SET;
        self.len -= 1;
        let index = index as usize;
        if index < self.len {
            heap[index] = heap[self.len];
            sets[heap[index].set as usize].timer_index = index as u16;
            let index = self.sift_up(heap, sets, index);
            self.sift_down(heap, sets, index);
        }
    }

    fn sift_up(self, heap: &mut [TimerSlot], sets: &mut [SetSlot], mut index: usize) -> usize {
        let entry = heap[index];
        while index > 0 {
            let parent = (index - 1) / 2;
            if heap[parent].at <= entry.at {
                break;
            }
            heap[index] = heap[parent];
            sets[heap[index].set as usize].timer_index = index as u16;
            index = parent;
        }
        heap[index] = entry;
        sets[entry.set as usize].timer_index = index as u16;
        index
    }

    fn sift_down(self, heap: &mut [TimerSlot], sets: &mut [SetSlot], mut index: usize) {
        let entry = heap[index];
        loop {
            let mut child = 2 * index + 1;
            if child >= self.len {
                break;
            }
            if child + 1 < self.len && heap[child + 1].at < heap[child].at {
                child += 1;
            }
            if entry.at <= heap[child].at {
                break;
            }
            heap[index] = heap[child];
            sets[heap[index].set as usize].timer_index = index as u16;
            index = child;
        }
        heap[index] = entry;
        sets[entry.set as usize].timer_index = index as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn the_heap_gives_the_earliest_of_what_is_armed_in_any_order() {
        const SETS: usize = 50;
        let mut random = Random::new(7);
        let mut slots = [TimerSlot::EMPTY; SETS];
        let mut sets = [SetSlot::EMPTY; SETS];
        let mut model = [None; SETS];
        let mut heap = TimerHeap::default();
        for _ in 0..20_000 {
            let set = random.below(SETS as u64) as u16;
            if random.below(3) == 0 {
                heap.disarm(&mut slots, &mut sets, set);
                model[set as usize] = None;
            } else {
                let at = Instant::from_micros(random.below(1_000));
                heap.arm(&mut slots, &mut sets, set, at);
                model[set as usize] = Some(at);
            }
            assert_eq!(
                heap.first(&slots).map(|(at, _)| at),
                model.iter().flatten().min().copied()
            );
            if let Some((at, set)) = heap.first(&slots) {
                assert_eq!(model[set as usize], Some(at));
            }
        }
    }
}
