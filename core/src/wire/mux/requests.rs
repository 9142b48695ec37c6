use std::collections::BTreeMap;
use std::vec::Vec;

use super::Tag;

/// Places that a table has for tags even if few requests are in flight.
const FREE_PLACES: usize = 16;

/// Requests by their tags.
///
/// Clients number their requests from one on and use the numbers of answered ones again, so that a
/// tag is a place in a vector. A client may choose any tags; those that are far beyond the number
/// of requests in flight are in a map.
///
/// The invariant: a tag below the vector's length is in the vector, and any other in the map.
///
/// Bounded: the vector is at most twice as long as the most requests that were in flight since none
/// was, and [`FREE_PLACES`]. It is freed when the last request ends, so that an idle connection
/// holds none.
#[derive(Debug)]
pub(super) struct Requests<T> {
    dense: Vec<Option<T>>,
    sparse: BTreeMap<Tag, T>,
    count: usize,
}

impl<T> Requests<T> {
    pub(super) const fn new() -> Self {
        Self {
            dense: Vec::new(),
            sparse: BTreeMap::new(),
            count: 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn get(&self, tag: Tag) -> Option<&T> {
        match self.dense.get(place(tag)) {
            Some(request) => request.as_ref(),
            None => self.sparse.get(&tag),
        }
    }

    /// Keeps a request. Returns the one that had this tag, if there was one.
    pub(super) fn insert(&mut self, tag: Tag, request: T) -> Option<T> {
        let at = place(tag);
        if at >= self.dense.len() && at < FREE_PLACES + 2 * self.count {
            self.extend_to(at);
        }
        let earlier = match self.dense.get_mut(at) {
            Some(slot) => slot.replace(request),
            None => self.sparse.insert(tag, request),
        };
        self.count += usize::from(earlier.is_none());
        earlier
    }

    pub(super) fn remove(&mut self, tag: Tag) -> Option<T> {
        let removed = match self.dense.get_mut(place(tag)) {
            Some(slot) => slot.take(),
            None => self.sparse.remove(&tag),
        };
        self.count -= usize::from(removed.is_some());
        if self.count == 0 {
            self.dense = Vec::new();
        }
        removed
    }

    /// Returns all requests in the order of their tags.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Tag, &T)> {
        let dense = (0..).zip(&self.dense);
        let dense = dense.filter_map(|(tag, request)| Tag::new(tag).zip(request.as_ref()));
        dense.chain(self.sparse.iter().map(|(tag, request)| (*tag, request)))
    }

    /// Makes the vector long enough for this place.
    fn extend_to(&mut self, at: usize) {
        self.dense.resize_with(at + 1, || None);
        while let Some(first) = self.sparse.first_entry()
            && let Some(slot) = self.dense.get_mut(place(*first.key()))
        {
            *slot = Some(first.remove());
        }
    }
}

const fn place(tag: Tag) -> usize {
    tag.get() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(number: u32) -> Tag {
        Tag::new(number).expect("a tag")
    }

    #[test]
    fn a_tag_far_beyond_the_number_of_requests_takes_no_memory_for_those_below_it() {
        let mut requests = Requests::new();
        for number in [0x7f_ffff, 4_000_000, 100, 1] {
            assert_eq!(requests.insert(tag(number), number), None);
        }
        assert!(requests.dense.len() <= FREE_PLACES + 8);
        assert!(
            requests
                .iter()
                .map(|(_, number)| *number)
                .eq([1, 100, 4_000_000, 0x7f_ffff])
        );
    }

    #[test]
    fn requests_move_from_the_map_to_the_vector_when_that_reaches_their_tags() {
        let mut requests = Requests::new();
        requests.insert(tag(40), 40);
        assert_eq!(requests.sparse.len(), 1);
        for number in 1..40 {
            requests.insert(tag(number), number);
        }
        requests.insert(tag(41), 41);
        assert!(requests.sparse.is_empty());
        assert_eq!(requests.get(tag(40)), Some(&40));
        assert_eq!(requests.remove(tag(40)), Some(40));
        assert_eq!(requests.remove(tag(40)), None);
    }

    #[test]
    fn a_table_without_requests_holds_no_memory() {
        let mut requests = Requests::new();
        for number in 1..1000 {
            requests.insert(tag(number), number);
        }
        for number in 1..1000 {
            assert!(!requests.is_empty());
            assert_eq!(requests.remove(tag(number)), Some(number));
        }
        assert!(requests.is_empty());
        assert_eq!(requests.dense.capacity(), 0);
    }
}
