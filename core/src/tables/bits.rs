/// Set of numbers below 32 × `WORDS`, as a bitmap. Words of 32 bits, which all devices shift in one
/// instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits<const WORDS: usize>([u32; WORDS]);

impl<const WORDS: usize> Bits<WORDS> {
    pub(crate) const NONE: Self = Self([0; WORDS]);

    pub(crate) const fn insert(&mut self, number: usize) {
        self.0[number / 32] |= 1 << (number % 32);
    }

    pub(crate) const fn remove(&mut self, number: usize) {
        self.0[number / 32] &= !(1 << (number % 32));
    }

    pub(crate) const fn contains(&self, number: usize) -> bool {
        self.0[number / 32] & (1 << (number % 32)) != 0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Returns the lowest number.
    pub(crate) fn first(self) -> Option<usize> {
        let word = self.0.iter().position(|word| *word != 0)?;
        Some(word * 32 + self.0[word].trailing_zeros() as usize)
    }

    /// Iterates over the numbers in ascending order.
    pub(crate) fn iter(mut self) -> impl Iterator<Item = usize> {
        core::iter::from_fn(move || {
            let number = self.first()?;
            self.remove(number);
            Some(number)
        })
    }
}
