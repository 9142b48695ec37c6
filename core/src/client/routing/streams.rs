use super::ring::{REPLICAS, StreamKey, replica_place};
use super::sets::HostSet;
use crate::tables::{Memory, Row, Rows};

const NONE: u32 = u32::MAX;
const NO_HOST: u16 = u16::MAX;

/// Known streams: the owner of each, and each host's distance from it on the ring. A hash table
/// with chains. When it is full, an entry that was not referenced since the clock hand last passed
/// is evicted.
#[derive(Debug)]
pub(crate) struct Streams<const HOSTS: usize, const STREAMS: usize, M: Memory> {
    entries: M::Table<Entry<HOSTS, M>, STREAMS>,
    len: usize,
    hand: usize,
}

#[derive(Debug)]
pub(crate) struct Entry<const HOSTS: usize, M: Memory> {
    /// Apart from the rest: the first entry of the chain of the bucket with this row's index.
    head: u32,
    key: StreamKey,
    /// The next entry of its own chain.
    next: u32,
    owner: u16,
    /// Reference bit: set on lookup, cleared when the clock hand passes.
    referenced: bool,
    /// Its distances are computed together with others'.
    prepared: bool,
    /// Hosts whose entry in `distances` is computed.
    measured: HostSet,
    distances: M::Table<u64, HOSTS>,
}

impl<const HOSTS: usize, const STREAMS: usize, M: Memory> Streams<HOSTS, STREAMS, M> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Rows::NEW,
            len: 0,
            hand: 0,
        }
    }

    /// Returns the stream's owner, or `None` if it is not known.
    pub(crate) fn owner(&self, key: StreamKey) -> Option<usize> {
        let owner = self.entries.as_ref()[self.find(key)?].owner;
        (owner != NO_HOST).then_some(owner.into())
    }

    /// As [`owner`](Self::owner), and keeps the entry from being forgotten soon.
    pub(crate) fn look_up_owner(&mut self, key: StreamKey) -> Option<usize> {
        let index = self.find(key)?;
        let entry = &mut self.entries.as_mut()[index];
        entry.referenced = true;
        let owner = entry.owner;
        (owner != NO_HOST).then_some(owner.into())
    }

    /// Sets the stream's owner. Returns `true` if another stream with an owner was evicted for it.
    pub(crate) fn set_owner(&mut self, key: StreamKey, host: usize) -> bool {
        let (index, evicted) = self.find_or_insert(key);
        self.entries.as_mut()[index].owner = host as u16;
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
        self.entries.as_mut()[index].owner = host as u16;
    }

    /// The stream's owner is not known, if it was this host.
    pub(crate) fn forget_owner(&mut self, key: StreamKey, host: usize) {
        let Some(index) = self.find(key) else {
            return;
        };
        let entry = &mut self.entries.as_mut()[index];
        if entry.owner == host as u16 {
            entry.owner = NO_HOST;
        }
    }

    /// Forgets this host as the owner of any stream.
    pub(crate) fn forget_owners(&mut self, host: usize) {
        for entry in self.used_mut() {
            if entry.owner == host as u16 {
                entry.owner = NO_HOST;
            }
        }
    }

    /// Makes `new` the owner of all streams of `old`.
    pub(crate) fn move_owners(&mut self, old: usize, new: usize) {
        for entry in self.used_mut() {
            if entry.owner == old as u16 {
                entry.owner = new as u16;
            }
        }
    }

    /// The host's places on the ring are others now, or none.
    pub(crate) fn forget_places(&mut self, host: usize) {
        for entry in self.used_mut() {
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
        self.entries.as_mut()[index].prepared = true;
    }

    /// Returns the host's clockwise distance from the stream. `places` are the host's shard and
    /// text.
    pub(crate) fn distance(&mut self, key: StreamKey, host: usize, places: (i32, &str)) -> u64 {
        let (index, _) = self.find_or_insert(key);
        if !self.entries.as_ref()[index].measured.contains(host) {
            self.measure(index, host, places);
        }
        self.entries.as_ref()[index].distances.as_ref()[host]
    }

    /// Computes the host's distance from this stream, and from every prepared one that lacks it:
    /// the hashes are what costs.
    fn measure(&mut self, index: usize, host: usize, (shard, text): (i32, &str)) {
        *self.entries.as_mut()[index].distance_mut(host) = u64::MAX;
        let mut others = false;
        for (other, entry) in self.used_mut().iter_mut().enumerate() {
            if other != index && entry.prepared && !entry.measured.contains(host) {
                *entry.distance_mut(host) = u64::MAX;
                others = true;
            }
        }
        for replica in 0..REPLICAS {
            let place = replica_place(shard, replica, text);
            self.entries.as_mut()[index].lower_distance(host, place);
            if others {
                let entries = self.used_mut().iter_mut().enumerate();
                entries
                    .filter(|(other, entry)| {
                        *other != index && entry.prepared && !entry.measured.contains(host)
                    })
                    .for_each(|(_, entry)| {
                        entry.lower_distance(host, place);
                    });
            }
        }
        for (other, entry) in self.used_mut().iter_mut().enumerate() {
            if other == index || entry.prepared {
                entry.measured.insert(host);
            }
        }
    }

    fn find(&self, key: StreamKey) -> Option<usize> {
        let entries = self.entries.as_ref();
        if entries.is_empty() {
            return None;
        }
        let mut at = entries[self.bucket(key)].head;
        while at != NONE {
            let entry = &entries[at as usize];
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
            self.entries.as_mut()[index].referenced = true;
            return (index, false);
        }
        if self.len < STREAMS {
            return (self.insert(key), false);
        }
        let index = self.next_victim();
        let had_owner = self.entries.as_ref()[index].owner != NO_HOST;
        self.unlink(index);
        self.link(index, key);
        (index, had_owner)
    }

    fn insert(&mut self, key: StreamKey) -> usize {
        let index = self.len;
        if index == self.entries.as_ref().len() && self.entries.grow() {
            self.link_again();
        }
        self.len += 1;
        self.link(index, key);
        index
    }

    /// Goes round at most twice: the first pass clears every mark.
    fn next_victim(&mut self) -> usize {
        loop {
            let index = self.hand;
            self.hand = (self.hand + 1) % STREAMS;
            if !core::mem::take(&mut self.entries.as_mut()[index].referenced) {
                return index;
            }
        }
    }

    fn link(&mut self, index: usize, key: StreamKey) {
        let entry = &mut self.entries.as_mut()[index];
        // The distances keep their old values, which the empty `measured` set invalidates.
        (entry.key, entry.owner) = (key, NO_HOST);
        // A new entry starts without the reference bit: a flood of new streams must not evict those
        // in use.
        (entry.referenced, entry.prepared, entry.measured) = (false, false, HostSet::NONE);
        self.chain(index);
    }

    /// Puts an entry at the front of its bucket's chain.
    fn chain(&mut self, index: usize) {
        let bucket = self.bucket(self.entries.as_ref()[index].key);
        let entries = self.entries.as_mut();
        let head = core::mem::replace(&mut entries[bucket].head, index as u32);
        entries[index].next = head;
    }

    /// Links the entries into chains of other buckets: there are as many as entries, and the table
    /// has grown.
    fn link_again(&mut self) {
        for entry in self.entries.as_mut() {
            entry.head = NONE;
        }
        for index in 0..self.len {
            self.chain(index);
        }
    }

    fn unlink(&mut self, index: usize) {
        let Entry { key, next, .. } = self.entries.as_ref()[index];
        let bucket = self.bucket(key);
        let entries = self.entries.as_mut();
        if entries[bucket].head == index as u32 {
            entries[bucket].head = next;
            return;
        }
        let mut at = entries[bucket].head as usize;
        while entries[at].next != index as u32 {
            at = entries[at].next as usize;
        }
        entries[at].next = next;
    }

    fn used_mut(&mut self) -> &mut [Entry<HOSTS, M>] {
        &mut self.entries.as_mut()[..self.len]
    }

    fn bucket(&self, key: StreamKey) -> usize {
        // The digest is as good a hash as there is.
        (key.rest as u32 % self.entries.as_ref().len() as u32) as usize
    }
}

impl<const HOSTS: usize, M: Memory> Row for Entry<HOSTS, M> {
    const EMPTY: Self = Self {
        head: NONE,
        key: StreamKey { place: 0, rest: 0 },
        next: NONE,
        owner: NO_HOST,
        referenced: false,
        prepared: false,
        measured: HostSet::NONE,
        distances: Rows::NEW,
    };
}

impl<const HOSTS: usize, M: Memory> Entry<HOSTS, M> {
    fn lower_distance(&mut self, host: usize, place: u64) {
        let from = self.key.place;
        let distance = self.distance_mut(host);
        *distance = (*distance).min(place.wrapping_sub(from));
    }

    fn distance_mut(&mut self, host: usize) -> &mut u64 {
        // Bounded: there is a distance for each host that may be known.
        while self.distances.as_ref().len() <= host && self.distances.grow() {}
        &mut self.distances.as_mut()[host]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::format;

    use super::Streams;
    use crate::client::routing::StreamKey;
    use crate::random::Random;
    #[cfg(feature = "std")]
    use crate::tables::Heap;
    use crate::tables::{Inline, Memory};

    #[test]
    fn owners_are_what_was_set_last_as_long_as_there_is_room() {
        set_forget_and_move_owners::<Inline>();
        #[cfg(feature = "std")]
        set_forget_and_move_owners::<Heap>();
    }

    fn set_forget_and_move_owners<M: Memory>() {
        let mut random = Random::new(5);
        let mut streams = Streams::<4, 32, M>::new();
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
        fill_and_evict::<Inline>();
        #[cfg(feature = "std")]
        fill_and_evict::<Heap>();
    }

    fn fill_and_evict<M: Memory>() {
        let mut streams = Streams::<4, 8, M>::new();
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
