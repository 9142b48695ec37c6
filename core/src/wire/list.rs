use core::fmt;

use super::DecodeError;
use super::cursor::Cursor;
use super::sink::Sink;

/// Element of a [`List`]. Sealed: its methods are private to this crate.
pub trait Element<'a>: Copy {
    #[doc(hidden)]
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError>;
    #[doc(hidden)]
    fn write(&self, sink: &mut Sink<'_>);
}

/// List, set or map on the wire: a view of encoded bytes that were checked when they were decoded,
/// or of a slice to encode.
///
/// Elements are decoded as they are iterated; nothing is allocated. Two lists are equal when their
/// elements are, in their order.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    repr: Repr<'a, T>,
}

#[derive(Clone, Copy)]
enum Repr<'a, T> {
    Slice(&'a [T]),
    /// `bytes` hold exactly `count` elements, each of which was decoded once without an error.
    Encoded {
        count: usize,
        bytes: &'a [u8],
    },
}

impl<'a, T: Element<'a>> List<'a, T> {
    /// A list of these elements.
    #[must_use]
    pub const fn new(elements: &'a [T]) -> Self {
        Self {
            repr: Repr::Slice(elements),
        }
    }

    /// Reads `count` elements and keeps their bytes. The caller has bounded `count` by the bytes
    /// left.
    pub(crate) fn read(cursor: &mut Cursor<'a>, count: usize) -> Result<Self, DecodeError> {
        let start = *cursor;
        for _ in 0..count {
            T::read(cursor)?;
        }
        Ok(Self {
            repr: Repr::Encoded {
                count,
                bytes: cursor.since(&start),
            },
        })
    }

    /// Writes the elements, without their count.
    pub(crate) fn write(&self, sink: &mut Sink<'_>) {
        match self.repr {
            Repr::Slice(elements) => elements.iter().for_each(|element| element.write(sink)),
            Repr::Encoded { bytes, .. } => sink.put(bytes),
        }
    }

    /// Returns the number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.repr {
            Repr::Slice(elements) => elements.len(),
            Repr::Encoded { count, .. } => count,
        }
    }

    /// Returns `true` if there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, in their order.
    #[must_use]
    pub const fn iter(&self) -> Iter<'a, T> {
        Iter { repr: self.repr }
    }
}

impl<'a, T: Element<'a>> Default for List<'a, T> {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl<'a, T: Element<'a>> From<&'a [T]> for List<'a, T> {
    fn from(elements: &'a [T]) -> Self {
        Self::new(elements)
    }
}

impl<'a, T: Element<'a>, const N: usize> From<&'a [T; N]> for List<'a, T> {
    fn from(elements: &'a [T; N]) -> Self {
        Self::new(elements)
    }
}

impl<'a, T: Element<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<'a, T: Element<'a> + Eq> Eq for List<'a, T> {}

impl<'a, T: Element<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Element<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Element<'a>> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// The elements of a [`List`], decoded one by one.
#[derive(Clone)]
pub struct Iter<'a, T> {
    repr: Repr<'a, T>,
}

impl<'a, T: Element<'a>> Iterator for Iter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.repr {
            Repr::Slice(elements) => {
                let (first, rest) = elements.split_first()?;
                *elements = rest;
                Some(*first)
            }
            Repr::Encoded { count, bytes } => {
                *count = count.checked_sub(1)?;
                let mut cursor = Cursor::new(bytes, "element");
                let element = T::read(&mut cursor);
                // Not `expect`: a device's parsers are linked without a way to a panic.
                debug_assert!(
                    element.is_ok(),
                    "every element was decoded once when the list was made"
                );
                *bytes = cursor.rest();
                element.ok()
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = match self.repr {
            Repr::Slice(elements) => elements.len(),
            Repr::Encoded { count, .. } => count,
        };
        (count, Some(count))
    }
}

impl<'a, T: Element<'a>> ExactSizeIterator for Iter<'a, T> {}

impl<'a, T: Element<'a> + fmt::Debug> fmt::Debug for Iter<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
