use super::ring::{REPLICAS, StreamKey, replica_place};
use super::sets::HostSet;

const NONE: u32 = u32::MAX;
const NO_HOST: u16 = u16::MAX;

/// Known streams: the owner of each, and each host's distance from it on the ring. A hash table
/// with chains. When it is full, an entry that was not referenced since the clock hand last passed
/// is evicted.
#[derive(Debug)]
pub(crate) struct Streams<const HOSTS: usize, const STREAMS: usize> {
    heads: [u32; STREAMS],
    entries: [Entry<HOSTS>; STREAMS],
    len: usize,
    hand: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry<const HOSTS: usize> {
    key: StreamKey,
    next: u32,
    owner: u16,
    /// Reference bit: set on lookup, cleared when the clock hand passes.
    referenced: bool,
    /// Its distances are computed together with others'.
    prepared: bool,
    /// Hosts whose entry in `distances` is computed.
    measured: HostSet,
    distances: [u64; HOSTS],
}

impl<const HOSTS: usize, const STREAMS: usize> Streams<HOSTS, STREAMS> {
    pub(crate) const fn new() -> Self {
        Self {
            heads: [NONE; STREAMS],
            entries: [Entry::EMPTY; STREAMS],
            len: 0,
            hand: 0,
        }
    }

    /// Returns the stream's owner, or `None` if it is not known.
    pub(crate) fn owner(&self, key: StreamKey) -> Option<usize> {
        let owner = self.entries[self.find(key)?].owner;
        (owner != NO_HOST).then_some(owner.into())
    }

    /// As [`owner`](Self::owner), and keeps the entry from being forgotten soon.
    pub(crate) fn look_up_owner(&mut self, key: StreamKey) -> Option<usize> {
        let index = self.find(key)?;
        self.entries[index].referenced = true;
        let owner = self.entries[index].owner;
        (owner != NO_HOST).then_some(owner.into())
    }

    /// Sets the stream's owner. Returns `true` if another stream with an owner was evicted for it.
    pub(crate) fn set_owner(&mut self, key: StreamKey, host: usize) -> bool {
        let (index, evicted) = self.find_or_insert(key);
        self.entries[index].owner = host as u16;
        evicted
    }

    /// Like [`set_owner`](Self::set_owner), but only if there is a free entry: a proxy's list must
    /// not evict entries in use.
    pub(crate) fn offer_owner(&mut self, key: StreamKey, host: usize) {
        let index = match self.find(key) {
            Some(index) => index,
            None if self.len < STREAMS => self.insert(key),
            None => return,
        };
        self.entries[index].owner = host as u16;
    }

    /// The stream's owner is not known, if it was this host.
    pub(crate) fn forget_owner(&mut self, key: StreamKey, host: usize) {
        if let Some(index) = self.find(key)
            && self.entries[index].owner == host as u16
        {
            self.entries[index].owner = NO_HOST;
        }
    }

    /// Forgets this host as the owner of any stream.
    pub(crate) fn forget_owners(&mut self, host: usize) {
        for entry in &mut self.entries[..self.len] {
            if entry.owner == host as u16 {
                entry.owner = NO_HOST;
            }
        }
    }

    /// Makes `new` the owner of all streams of `old`.
    pub(crate) fn move_owners(&mut self, old: usize, new: usize) {
        for entry in &mut self.entries[..self.len] {
            if entry.owner == old as u16 {
                entry.owner = new as u16;
            }
        }
    }

    /// The host's places on the ring are others now, or none.
    pub(crate) fn forget_places(&mut self, host: usize) {
        for entry in &mut self.entries[..self.len] {
            entry.measured.remove(host);
        }
    }

    /// Inserts the stream, if there is a free entry, so that its distances are computed together
    /// with others.
    pub(crate) fn prepare(&mut self, key: StreamKey) {
        let index = match self.find(key) {
            Some(index) => index,
            None if self.len < STREAMS => self.insert(key),
            None => return,
        };
        self.entries[index].prepared = true;
    }

    /// Returns the host's clockwise distance from the stream. `places` are the host's shard and
    /// text.
    pub(crate) fn distance(&mut self, key: StreamKey, host: usize, places: (i32, &str)) -> u64 {
        let (index, _) = self.find_or_insert(key);
        if !self.entries[index].measured.contains(host) {
            self.measure(index, host, places);
        }
        self.entries[index].distances[host]
    }

    /// Computes the host's distance from this stream, and from every prepared one that lacks it:
    /// the hashes are what costs.
    fn measure(&mut self, index: usize, host: usize, (shard, text): (i32, &str)) {
        self.entries[index].distances[host] = u64::MAX;
        let mut others = false;
        for (other, entry) in self.entries[..self.len].iter_mut().enumerate() {
            if other != index && entry.prepared && !entry.measured.contains(host) {
                entry.distances[host] = u64::MAX;
                others = true;
            }
        }
        for replica in 0..REPLICAS {
            let place = replica_place(shard, replica, text);
            self.entries[index].lower_distance(host, place);
            if others {
                let entries = self.entries[..self.len].iter_mut().enumerate();
                entries
                    .filter(|(other, entry)| {
                        *other != index && entry.prepared && !entry.measured.contains(host)
                    })
                    .for_each(|(_, entry)| {
                        entry.lower_distance(host, place);
                    });
            }
        }
        for (other, entry) in self.entries[..self.len].iter_mut().enumerate() {
            if other == index || entry.prepared {
                entry.measured.insert(host);
            }
        }
    }

    fn find(&self, key: StreamKey) -> Option<usize> {
        let mut at = self.heads[Self::bucket(key)];
        while at != NONE {
            let entry = &self.entries[at as usize];
            if entry.key == key {
                return Some(at as usize);
            }
            at = entry.next;
        }
        None
    }

    /// The stream's entry, and whether another stream with an owner was forgotten for it.
    fn find_or_insert(&mut self, key: StreamKey) -> (usize, bool) {
        if let Some(index) = self.find(key) {
            self.entries[index].referenced = true;
            return (index, false);
        }
        if self.len < STREAMS {
            return (self.insert(key), false);
        }
        let index = self.next_victim();
        let had_owner = self.entries[index].owner != NO_HOST;
        self.unlink(index);
        self.link(index, key);
        (index, had_owner)
    }

    fn insert(&mut self, key: StreamKey) -> usize {
        let index = self.len;
        self.len += 1;
        self.link(index, key);
        index
    }

    /// Goes round at most twice: the first pass clears every mark.
    fn next_victim(&mut self) -> usize {
        loop {
            let index = self.hand;
            self.hand = (self.hand + 1) % STREAMS;
            if !core::mem::take(&mut self.entries[index].referenced) {
                return index;
            }
        }
    }

    fn link(&mut self, index: usize, key: StreamKey) {
        let head = &mut self.heads[Self::bucket(key)];
        let entry = &mut self.entries[index];
        // The distances keep their old values, which the empty `measured` set invalidates.
        (entry.key, entry.next, entry.owner) = (key, *head, NO_HOST);
        // A new entry starts without the reference bit: a flood of new streams must not evict those
        // in use.
        (entry.referenced, entry.prepared, entry.measured) = (false, false, HostSet::EMPTY);
        *head = index as u32;
    }

    fn unlink(&mut self, index: usize) {
        let Entry { key, next, .. } = self.entries[index];
        let head = &mut self.heads[Self::bucket(key)];
        if *head == index as u32 {
            *head = next;
            return;
        }
        let mut at = *head as usize;
        while self.entries[at].next != index as u32 {
            at = self.entries[at].next as usize;
        }
        self.entries[at].next = next;
    }

    const fn bucket(key: StreamKey) -> usize {
        // The digest is as good a hash as there is.
        (key.rest % STREAMS as u64) as usize
    }
}

impl<const HOSTS: usize> Entry<HOSTS> {
    const EMPTY: Self = Self {
        key: StreamKey { place: 0, rest: 0 },
        next: NONE,
        owner: NO_HOST,
        referenced: false,
        prepared: false,
        measured: HostSet::EMPTY,
        distances: [0; HOSTS],
    };

    fn lower_distance(&mut self, host: usize, place: u64) {
        let distance = &mut self.distances[host];
        *distance = (*distance).min(place.wrapping_sub(self.key.place));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::format;

    use super::Streams;
    use crate::client::routing::StreamKey;
    use crate::random::Random;

    #[test]
    fn owners_are_what_was_set_last_as_long_as_there_is_room() {
        let mut random = Random::new(5);
        let mut streams = Streams::<4, 32>::new();
        let mut model = HashMap::new();
        for _ in 0..20_000 {
            let name = format!("s{}", random.up_to(31));
            let (key, host) = (StreamKey::of(&name), random.up_to(3) as usize);
            match random.up_to(9) {
                0 => {
                    streams.forget_owners(host);
                    model.retain(|_, owner| *owner != host);
                }
                1 => {
                    streams.move_owners(host, 0);
                    model
                        .values_mut()
                        .filter(|owner| **owner == host)
                        .for_each(|owner| *owner = 0);
                }
                2 => {
                    streams.forget_owner(key, host);
                    model.retain(|stream, owner| *stream != name || *owner != host);
                }
                3 => {
                    streams.offer_owner(key, host);
                    model.insert(name.clone(), host);
                }
                _ => {
                    assert!(!streams.set_owner(key, host));
                    model.insert(name.clone(), host);
                }
            }
            assert_eq!(streams.owner(key), model.get(&name).copied());
        }
    }

    #[test]
    fn a_full_table_forgets_what_was_not_asked_for_lately_and_lists_drive_nothing_out() {
        let mut streams = Streams::<4, 8>::new();
        let key = |number: usize| StreamKey::of(&format!("s{number}"));
        for number in 0..8 {
            assert!(!streams.set_owner(key(number), 1));
        }
        streams.offer_owner(key(100), 2);
        assert_eq!(streams.owner(key(100)), None);
        for number in 8..1_000 {
            // Stream 0 is in use all the time.
            assert_eq!(streams.look_up_owner(key(0)), Some(1));
            assert!(streams.set_owner(key(number), 1));
            assert_eq!(streams.owner(key(number)), Some(1));
        }
        assert_eq!(
            (0..1_000)
                .filter(|number| streams.owner(key(*number)).is_some())
                .count(),
            8
        );
    }
}
