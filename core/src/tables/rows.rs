use core::fmt::Debug;
#[cfg(feature = "std")]
use std::vec::Vec;

/// Row of a table.
pub trait Row: Debug + Sized {
    /// A row that was never used.
    const EMPTY: Self;
}

impl Row for u64 {
    const EMPTY: Self = 0;
}

/// The rows of one table.
pub trait Rows<T>: AsRef<[T]> + AsMut<[T]> + Debug + Sized {
    /// The table before its first use.
    const NEW: Self;

    /// Appends rows. Returns `false` if it cannot: there are as many as there may be.
    fn grow(&mut self) -> bool;
}

impl<T: Row, const N: usize> Rows<T> for [T; N] {
    const NEW: Self = [const { T::EMPTY }; N];

    fn grow(&mut self) -> bool {
        false
    }
}

/// Memory for the tables of a [`Client`](crate::client::routing::Client) or a
/// [`Session`](crate::client::session::Session): [`Inline`], or on the `Heap` (feature `std`).
///
/// Sealed: there are these two.
pub trait Memory: Debug {
    /// A table of at most `N` rows.
    type Table<T: Row, const N: usize>: Rows<T>;
}

/// Tables inside the machine, of the length that its type says: no allocator is needed, and a
/// machine can be the value of a `static`.
#[derive(Clone, Copy, Debug)]
pub struct Inline;

impl Memory for Inline {
    type Table<T: Row, const N: usize> = [T; N];
}

/// Tables on the heap, which grow when more rows are needed than there were at any time before, up
/// to the length that the machine's type says.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub struct Heap;

#[cfg(feature = "std")]
impl Memory for Heap {
    type Table<T: Row, const N: usize> = Growing<T, N>;
}

/// Table on the heap of at most `N` rows.
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct Growing<T, const N: usize>(Vec<T>);

#[cfg(feature = "std")]
impl<T, const N: usize> AsRef<[T]> for Growing<T, N> {
    fn as_ref(&self) -> &[T] {
        &self.0
    }
}

#[cfg(feature = "std")]
impl<T, const N: usize> AsMut<[T]> for Growing<T, N> {
    fn as_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

#[cfg(feature = "std")]
impl<T: Row, const N: usize> Rows<T> for Growing<T, N> {
    const NEW: Self = Self(Vec::new());

    fn grow(&mut self) -> bool {
        grow(&mut self.0, N, || T::EMPTY)
    }
}

/// Doubles a table, up to `most` rows. Returns `false` if it has that many.
///
/// A table that grows by doubling moves each row less than twice in the mean, and never takes more
/// than twice the memory that it needed.
#[cfg(feature = "std")]
pub(crate) fn grow<T>(rows: &mut Vec<T>, most: usize, row: impl FnMut() -> T) -> bool {
    let more = rows.len().max(FIRST_ROWS).min(most - rows.len());
    rows.reserve_exact(more);
    rows.extend(core::iter::repeat_with(row).take(more));
    more > 0
}

/// Rows of a table when it first grows.
#[cfg(feature = "std")]
const FIRST_ROWS: usize = 4;
