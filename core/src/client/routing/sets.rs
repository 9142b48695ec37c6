/// Set of hosts, by index. Bounds [`MAX_HOSTS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostSet {
    words: [u32; 4],
}

/// The most hosts that a client can know at once.
pub const MAX_HOSTS: usize = 128;

impl HostSet {
    pub(crate) const EMPTY: Self = Self { words: [0; 4] };

    pub(crate) const fn insert(&mut self, index: usize) {
        self.words[index / 32] |= 1 << (index % 32);
    }

    pub(crate) const fn remove(&mut self, index: usize) {
        self.words[index / 32] &= !(1 << (index % 32));
    }

    pub(crate) const fn contains(&self, index: usize) -> bool {
        self.words[index / 32] & (1 << (index % 32)) != 0
    }

    pub(crate) fn first(self) -> Option<usize> {
        self.iter().next()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..4).flat_map(move |word| {
            let mut left = self.words[word];
            core::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(word * 32 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{HostSet, MAX_HOSTS};

    #[test]
    fn a_set_iterates_what_was_inserted_in_order() {
        let mut set = HostSet::EMPTY;
        for index in [127, 0, 31, 32, 64, 99] {
            set.insert(index);
        }
        set.remove(64);
        assert!(set.iter().eq([0, 31, 32, 99, 127]));
        assert_eq!(
            (0..MAX_HOSTS).filter(|index| set.contains(*index)).count(),
            5
        );
    }
}
