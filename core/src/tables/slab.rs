use super::queue::{NONE, row};
use super::{Linked, Rows};

/// The free rows of a table. The row that was given back last is the next to be taken: its
/// memory is likely in the processor's cache; a row that was never used comes last, so that a table
/// takes no more memory than it needed at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slab<const LIST: u8 = 0> {
    /// Free rows among those that were used before, each linked to the next.
    free: u32,
    /// Number of rows that were ever used; those above are free and in no list.
    touched: u32,
    len: u32,
}

impl<const LIST: u8> Slab<LIST> {
    pub(crate) const EMPTY: Self = Self {
        free: NONE,
        touched: 0,
        len: 0,
    };

    /// Returns the number of rows in use.
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Returns the number of rows that were ever used: those behind them are free.
    pub(crate) const fn touched(&self) -> usize {
        self.touched as usize
    }

    /// Returns the row that [`take`](Self::take) would take, of a table of `rows` rows. `None` if
    /// there is none.
    pub(crate) fn next(&self, rows: usize) -> Option<usize> {
        let fresh = Some(self.touched()).filter(|touched| *touched < rows);
        row(self.free).or(fresh)
    }

    /// Returns `true` if there is a free row, for which the table grows if it must and can.
    pub(crate) fn make_room<T>(&self, rows: &mut impl Rows<T>) -> bool {
        self.next(rows.as_ref().len()).is_some() || rows.grow()
    }

    /// Takes a free row. The caller knows that there is one. Its content is that of its last use.
    pub(crate) fn take<T: Linked<LIST>>(&mut self, rows: &[T]) -> usize {
        let index = row(self.free);
        match index {
            Some(free) => self.free = rows[free].in_list().next,
            None => self.touched += 1,
        }
        self.len += 1;
        index.unwrap_or(self.touched as usize - 1)
    }

    /// Gives a row back. It is in no list.
    pub(crate) fn give_back<T: Linked<LIST>>(&mut self, rows: &mut [T], index: usize) {
        rows[index].in_list_mut().next = self.free;
        self.free = index as u32;
        self.len -= 1;
    }
}
