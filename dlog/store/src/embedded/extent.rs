//! The locations of a stream's entries: extents, each with consecutive entries of one log segment
//! in one volume.

use std::collections::VecDeque;

use super::volumes::Volumes;

/// Consecutive entries of one log segment that are in one volume.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    pub(super) volume: u64,
    pub(super) lssn: u64,
    pub(super) first_entry: u64,
    pub(super) entries: u64,
    /// Bytes of the entries' frames. An estimate in a volume that is marked so.
    pub(super) bytes: u64,
    pub(super) locations: FrameLocations,
}

/// Locations of an extent's entries in its volume.
#[derive(Clone, Debug)]
pub(super) enum FrameLocations {
    /// In memory: the volume has no index on disk yet.
    Memory(Vec<FrameLocation>),
    /// In the volume's index, from this offset on.
    Index(u64),
}

/// Location of a frame in its volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameLocation {
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// Size of a location in an index.
pub(super) const LOCATION_BYTES: u64 = 8;

impl Extent {
    /// Creates an extent of one entry.
    pub(super) fn of_one(volume: u64, lssn: u64, entry: u64, location: FrameLocation) -> Self {
        Self {
            volume,
            lssn,
            first_entry: entry,
            entries: 1,
            bytes: location.length.into(),
            locations: FrameLocations::Memory(vec![location]),
        }
    }

    pub(super) fn end_entry(&self) -> u64 {
        self.first_entry + self.entries
    }

    /// Adds the entries of an extent that continues this one. Returns it if it does not.
    pub(super) fn join(&mut self, next: Self) -> Result<(), Self> {
        if (self.volume, self.lssn, self.end_entry()) != (next.volume, next.lssn, next.first_entry)
        {
            return Err(next);
        }
        match (&mut self.locations, next.locations) {
            (FrameLocations::Memory(here), FrameLocations::Memory(more)) => here.extend(more),
            (_, locations) => return Err(Self { locations, ..next }),
        }
        self.entries += next.entries;
        self.bytes += next.bytes;
        Ok(())
    }

    /// Splits the extent before the entry `at`, or at its nearest end. One part may have no
    /// entries.
    fn split(mut self, at: u64) -> (Self, Self) {
        let count = at.clamp(self.first_entry, self.end_entry()) - self.first_entry;
        let rest = self.entries - count;
        let (bytes, locations) = match &mut self.locations {
            FrameLocations::Memory(here) => {
                let there = here.split_off(usize::try_from(count).expect("an index into a vector"));
                let bytes = there
                    .iter()
                    .map(|location| u64::from(location.length))
                    .sum();
                (bytes, FrameLocations::Memory(there))
            }
            FrameLocations::Index(from) => {
                // In proportion, until maintenance measures it. The product of a volume's bytes and
                // its entries is below 2^64: both are below 2^32.
                let bytes = (self.bytes * rest).checked_div(self.entries).unwrap_or(0);
                (bytes, FrameLocations::Index(*from + count * LOCATION_BYTES))
            }
        };
        let after = Self {
            volume: self.volume,
            lssn: self.lssn,
            first_entry: self.first_entry + count,
            entries: rest,
            bytes,
            locations,
        };
        self.entries = count;
        self.bytes -= bytes;
        (self, after)
    }

    /// Returns the entries `from..to` of the extent, or `None` if it has none of them.
    pub(super) fn part(self, from: u64, to: u64) -> Option<Self> {
        let (before, _) = self.split(to);
        let (_, part) = before.split(from);
        (part.entries > 0).then_some(part)
    }

    /// Returns true if its locations are in an index.
    pub(super) const fn is_indexed(&self) -> bool {
        matches!(self.locations, FrameLocations::Index(_))
    }
}

/// The extents of a stream.
///
/// Invariant: they are in the order of their entries, and each entry is in one extent at most.
#[derive(Debug, Default)]
pub(super) struct Extents(VecDeque<Extent>);

impl Extents {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Extent> {
        self.0.iter()
    }

    /// Returns the extents from the one that contains the entry, or the next one, on.
    pub(super) fn from(&self, lssn: u64, entry: u64) -> impl Iterator<Item = &Extent> {
        self.0.range(self.index(lssn, entry)..)
    }

    /// Returns the index of the extent that contains the entry, or of the next one.
    fn index(&self, lssn: u64, entry: u64) -> usize {
        self.0
            .partition_point(|extent| (extent.lssn, extent.end_entry()) <= (lssn, entry))
    }

    /// Returns the extent that contains the entry, or `None`.
    pub(super) fn get(&self, lssn: u64, entry: u64) -> Option<&Extent> {
        self.0
            .get(self.index(lssn, entry))
            .filter(|extent| extent.lssn == lssn && extent.first_entry <= entry)
    }

    /// Returns the log segment's extents in a volume.
    pub(super) fn in_volume(&self, lssn: u64, volume: u64) -> impl Iterator<Item = &Extent> {
        self.from(lssn, 0)
            .take_while(move |extent| extent.lssn == lssn)
            .filter(move |extent| extent.volume == volume)
    }

    /// Adds entries that follow all others.
    pub(super) fn push(&mut self, stream: u64, extent: Extent, volumes: &mut Volumes) {
        self.insert(self.0.len(), stream, extent, volumes);
    }

    /// Adds entries that may be in other extents, which lose them: the new extent is a copy, or
    /// they are in no extent.
    pub(super) fn place(&mut self, stream: u64, new: Extent, volumes: &mut Volumes) {
        let at = self.cut(stream, &new, volumes);
        self.insert(at, stream, new, volumes);
    }

    /// Inserts an extent at an index, or adds its entries to the one before.
    fn insert(&mut self, at: usize, stream: u64, new: Extent, volumes: &mut Volumes) {
        let (volume, bytes) = (new.volume, new.bytes);
        let before = at.checked_sub(1).and_then(|at| self.0.get_mut(at));
        let left = match before {
            Some(before) => before.join(new).err(),
            None => Some(new),
        };
        match left {
            None => volumes.grow(volume, bytes),
            Some(new) => {
                volumes.gain(stream, &new);
                self.0.insert(at, new);
            }
        }
    }

    /// Removes the entries of `new` from the extents. Returns the index at which `new` belongs.
    fn cut(&mut self, stream: u64, new: &Extent, volumes: &mut Volumes) -> usize {
        let mut at = self.index(new.lssn, new.first_entry);
        while let Some(old) = self.0.get(at)
            && old.lssn == new.lssn
            && old.first_entry < new.end_entry()
        {
            let old = self.0.remove(at).expect("it was found there");
            volumes.lose(&old);
            let (total, whole) = (old.bytes, old.end_entry() >= new.end_entry());
            let (before, rest) = old.split(new.first_entry);
            let (_, mut after) = rest.split(new.end_entry());
            if whole && before.entries == 0 && after.entries > 0 {
                // The copies are as long as the originals, so the rest is known exactly.
                after.bytes = total.saturating_sub(new.bytes);
            } else if after.is_indexed() && before.entries + after.entries > 0 {
                volumes.get_mut(after.volume).estimated = true;
            }
            if before.entries > 0 {
                volumes.gain(stream, &before);
                self.0.insert(at, before);
                at += 1;
            }
            if after.entries > 0 {
                volumes.gain(stream, &after);
                self.0.insert(at, after);
            }
        }
        at
    }

    /// Removes the entries before this one.
    pub(super) fn truncate(
        &mut self,
        stream: u64,
        (lssn, entry): (u64, u64),
        volumes: &mut Volumes,
    ) {
        while let Some(front) = self.0.front()
            && (front.lssn, front.first_entry) < (lssn, entry)
        {
            let front = self.0.pop_front().expect("there is a front");
            volumes.lose(&front);
            if (front.lssn, front.end_entry()) <= (lssn, entry) {
                continue;
            }
            let (_, after) = front.split(entry);
            if after.is_indexed() {
                volumes.get_mut(after.volume).estimated = true;
            }
            volumes.gain(stream, &after);
            self.0.push_front(after);
        }
    }

    /// Removes all entries.
    pub(super) fn clear(&mut self, volumes: &mut Volumes) {
        for extent in self.0.drain(..) {
            volumes.lose(&extent);
        }
    }

    /// Records that the frames of a log segment from offset `from` of a volume on, the journal's
    /// last, were copied to another volume, where they begin at offset `to`.
    pub(super) fn relocate(
        &mut self,
        (stream, lssn): (u64, u64),
        (volume, from): (u64, u32),
        (to_volume, to): (u64, u32),
        volumes: &mut Volumes,
    ) {
        let mut copies = Vec::new();
        for extent in self.in_volume(lssn, volume) {
            let FrameLocations::Memory(locations) = &extent.locations else {
                continue;
            };
            // The committer writes an extent's entries in their order.
            let kept = locations.partition_point(|location| location.offset < from);
            for (entry, location) in (extent.first_entry..).zip(locations).skip(kept) {
                let offset = location.offset - from + to;
                let location = FrameLocation {
                    offset,
                    ..*location
                };
                copies.push(Extent::of_one(to_volume, lssn, entry, location));
            }
        }
        for copy in copies {
            self.place(stream, copy, volumes);
        }
    }

    /// Applies `change` to each of the log segment's extents in a volume, and counts it again.
    pub(super) fn update(
        &mut self,
        (stream, lssn, volume): (u64, u64, u64),
        volumes: &mut Volumes,
        change: &mut dyn FnMut(&mut Extent),
    ) {
        let from = self.index(lssn, 0);
        for extent in self
            .0
            .range_mut(from..)
            .take_while(|extent| extent.lssn == lssn)
            .filter(|extent| extent.volume == volume)
        {
            volumes.lose(extent);
            change(extent);
            volumes.gain(stream, extent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indexed(volume: u64, first_entry: u64, entries: u64, bytes: u64) -> Extent {
        Extent {
            volume,
            lssn: 1,
            first_entry,
            entries,
            bytes,
            locations: FrameLocations::Index(1000),
        }
    }

    fn copied(volume: u64, entry: u64, length: u32) -> Extent {
        Extent::of_one(volume, 1, entry, FrameLocation { offset: 0, length })
    }

    /// Volume, first entry, entries, bytes and offset in the index of each extent.
    fn rows(extents: &Extents) -> Vec<(u64, u64, u64, u64, Option<u64>)> {
        let row = |extent: &Extent| {
            let at = match &extent.locations {
                FrameLocations::Memory(_) => None,
                FrameLocations::Index(at) => Some(*at),
            };
            let (first, entries) = (extent.first_entry, extent.entries);
            (extent.volume, first, entries, extent.bytes, at)
        };
        extents.iter().map(row).collect()
    }

    #[test]
    fn copies_take_entries_from_the_front_of_an_extent_and_leave_exact_sizes() {
        let (mut extents, mut volumes) = (Extents::default(), Volumes::default());
        extents.push(7, indexed(1, 0, 3, 600), &mut volumes);
        extents.place(7, copied(5, 0, 100), &mut volumes);
        extents.place(7, copied(5, 1, 150), &mut volumes);
        assert_eq!(
            rows(&extents),
            [(5, 0, 2, 250, None), (1, 2, 1, 350, Some(1016))]
        );
        let one = volumes.get(1).unwrap();
        assert_eq!(
            (one.extents, one.live_bytes, one.estimated),
            (1, 350, false)
        );
        extents.place(7, copied(5, 2, 350), &mut volumes);
        assert_eq!(rows(&extents), [(5, 0, 3, 600, None)]);
        assert_eq!(volumes.get(1).unwrap().extents, 0);
        assert_eq!(volumes.get(5).unwrap().live_bytes, 600);
    }

    #[test]
    fn a_copy_from_the_middle_leaves_both_sides_and_marks_their_sizes_as_estimates() {
        let (mut extents, mut volumes) = (Extents::default(), Volumes::default());
        extents.push(7, indexed(1, 0, 10, 1000), &mut volumes);
        extents.place(7, copied(5, 4, 100), &mut volumes);
        assert_eq!(
            rows(&extents),
            [
                (1, 0, 4, 400, Some(1000)),
                (5, 4, 1, 100, None),
                (1, 5, 5, 500, Some(1040))
            ]
        );
        assert!(volumes.get(1).unwrap().estimated);
        assert_eq!(volumes.get(1).unwrap().live_bytes, 900);
    }

    #[test]
    fn a_truncation_counts_the_rest_of_an_extent() {
        let (mut extents, mut volumes) = (Extents::default(), Volumes::default());
        extents.push(7, indexed(1, 0, 10, 1000), &mut volumes);
        extents.push(7, indexed(2, 10, 10, 1000), &mut volumes);
        extents.truncate(7, (1, 15), &mut volumes);
        assert_eq!(rows(&extents), [(2, 15, 5, 500, Some(1040))]);
        assert_eq!(volumes.get(1).unwrap().live_bytes, 0);
        assert!(volumes.get(2).unwrap().estimated);
        extents.truncate(7, (2, 0), &mut volumes);
        assert!(rows(&extents).is_empty());
        assert_eq!(volumes.get(2).unwrap().extents, 0);
    }
}
