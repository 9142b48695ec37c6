use crate::Instant;

/// At most one wake-up for each of `N` requests: a binary heap that knows where each request's
/// entry is.
///
/// Setting, moving and clearing one costs O(log n) of those that are set; looking at the first
/// costs nothing.
#[derive(Debug)]
pub(crate) struct Timers<const N: usize> {
    heap: [Entry; N],
    /// Index of a request's entry in `heap`, [`ABSENT`] if it has none.
    places: [u32; N],
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    request: u32,
}

const ABSENT: u32 = u32::MAX;

impl<const N: usize> Timers<N> {
    pub(crate) const fn new() -> Self {
        Self {
            heap: [Entry {
                at: Instant::MAX,
                request: 0,
            }; N],
            places: [ABSENT; N],
            len: 0,
        }
    }

    /// The earliest wake-up, and whose it is.
    pub(crate) fn first(&self) -> Option<(Instant, usize)> {
        self.heap[..self.len]
            .first()
            .map(|entry| (entry.at, entry.request as usize))
    }

    /// Sets the request's timer to `at`, instead of its previous time. [`Instant::MAX`] is never.
    pub(crate) fn set(&mut self, request: usize, at: Instant) {
        if at == Instant::MAX {
            return self.clear(request);
        }
        let entry = Entry {
            at,
            request: request as u32,
        };
        match self.places[request] {
            ABSENT => {
                self.put(self.len, entry);
                self.len += 1;
                self.up(self.len - 1);
            }
            place => {
                let place = place as usize;
                let earlier = at < self.heap[place].at;
                self.put(place, entry);
                if earlier {
                    self.up(place)
                } else {
                    self.down(place)
                }
            }
        }
    }

    /// Clears the request's timer.
    pub(crate) fn clear(&mut self, request: usize) {
        let place = self.places[request];
        if place == ABSENT {
            return;
        }
        let place = place as usize;
        self.places[request] = ABSENT;
        self.len -= 1;
        if place == self.len {
            return;
        }
        let last = self.heap[self.len];
        let earlier = last.at < self.heap[place].at;
        self.put(place, last);
        if earlier {
            self.up(place)
        } else {
            self.down(place)
        }
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.places[entry.request as usize] = place as u32;
    }

    fn up(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].at <= entry.at {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    fn down(&mut self, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let left = 2 * place + 1;
            if left >= self.len {
                break;
            }
            let right = left + 1;
            let child = if right < self.len && self.heap[right].at < self.heap[left].at {
                right
            } else {
                left
            };
            if entry.at <= self.heap[child].at {
                break;
            }
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;
    use crate::Instant;
    use crate::random::Random;

    #[test]
    fn the_first_wake_up_is_always_the_earliest_of_those_set() {
        let mut random = Random::new(7);
        let mut timers = Timers::<50>::new();
        let mut model = [None; 50];
        for _ in 0..20_000 {
            let request = random.up_to(49) as usize;
            if random.up_to(2) == 0 {
                timers.clear(request);
                model[request] = None;
            } else {
                let at = Instant::from_micros(random.up_to(1_000));
                timers.set(request, at);
                model[request] = Some(at);
            }
            let first = timers.first();
            assert_eq!(
                first.map(|(at, _)| at),
                model.iter().flatten().min().copied()
            );
            assert!(first.is_none_or(|(at, request)| model[request] == Some(at)));
        }
    }
}
