/// Stands for no row: no table is that long.
pub(super) const NONE: u32 = u32::MAX;

/// The place of a row in the list that it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    previous: u32,
    pub(super) next: u32,
}

impl Links {
    pub(crate) const NONE: Self = Self {
        previous: NONE,
        next: NONE,
    };
}

/// Row of a table whose rows are in lists, in at most one of each kind at a time. A row that can be
/// in several lists at once has links for each kind: `LIST` tells them apart.
pub(crate) trait Linked<const LIST: u8 = 0> {
    fn in_list(&self) -> &Links;
    fn in_list_mut(&mut self) -> &mut Links;
}

/// Says in which field a row has its links for a kind of list.
macro_rules! linked {
    ($($slot:ty: $field:ident as $list:expr;)+) => {
        $(impl $crate::tables::Linked<{ $list }> for $slot {
            fn in_list(&self) -> &$crate::tables::Links {
                &self.$field
            }

            fn in_list_mut(&mut self) -> &mut $crate::tables::Links {
                &mut self.$field
            }
        })+
    };
}

pub(crate) use linked;

/// List of rows of a table, first and last. Each operation takes the same time for any number of
/// rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue<const LIST: u8 = 0> {
    first: u32,
    last: u32,
}

impl<const LIST: u8> Queue<LIST> {
    pub(crate) const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
    };

    pub(crate) const fn is_empty(&self) -> bool {
        self.first == NONE
    }

    pub(crate) const fn first(&self) -> Option<usize> {
        row(self.first)
    }

    /// Returns the row behind this one.
    pub(crate) fn after<T: Linked<LIST>>(rows: &[T], index: usize) -> Option<usize> {
        row(rows[index].in_list().next)
    }

    /// Iterates over the rows from the first.
    pub(crate) fn iter<T: Linked<LIST>>(self, rows: &[T]) -> impl Iterator<Item = usize> {
        core::iter::successors(self.first(), |index| Self::after(rows, *index))
    }

    pub(crate) fn push_back<T: Linked<LIST>>(&mut self, rows: &mut [T], index: usize) {
        *rows[index].in_list_mut() = Links {
            previous: self.last,
            next: NONE,
        };
        self.set_next(rows, self.last, index as u32);
        self.last = index as u32;
    }

    pub(crate) fn push_front<T: Linked<LIST>>(&mut self, rows: &mut [T], index: usize) {
        *rows[index].in_list_mut() = Links {
            previous: NONE,
            next: self.first,
        };
        self.set_previous(rows, self.first, index as u32);
        self.first = index as u32;
    }

    pub(crate) fn pop_front<T: Linked<LIST>>(&mut self, rows: &mut [T]) -> Option<usize> {
        let index = self.first()?;
        self.first = rows[index].in_list().next;
        self.set_previous(rows, self.first, NONE);
        Some(index)
    }

    /// Removes a row, which is in this list.
    pub(crate) fn remove<T: Linked<LIST>>(&mut self, rows: &mut [T], index: usize) {
        let Links { previous, next } = *rows[index].in_list();
        self.set_next(rows, previous, next);
        self.set_previous(rows, next, previous);
    }

    /// Sets what follows a row, or what is first if the row is none.
    fn set_next<T: Linked<LIST>>(&mut self, rows: &mut [T], index: u32, next: u32) {
        match rows.get_mut(index as usize) {
            Some(row) => row.in_list_mut().next = next,
            None => self.first = next,
        }
    }

    /// Sets what precedes a row, or what is last if the row is none.
    fn set_previous<T: Linked<LIST>>(&mut self, rows: &mut [T], index: u32, previous: u32) {
        match rows.get_mut(index as usize) {
            Some(row) => row.in_list_mut().previous = previous,
            None => self.last = previous,
        }
    }
}

pub(super) const fn row(index: u32) -> Option<usize> {
    if index == NONE {
        None
    } else {
        Some(index as usize)
    }
}
