use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use distributedlog::Dlsn;
use distributedlog::wire::record_set::{SetIdentity, WriterId};

/// How many sets of one writer are remembered in one stream: those with its highest sequences.
pub(super) const MAX_SETS_OF_WRITER: usize = 1024;

/// How many writers are remembered, each counted once for every stream that it writes to.
pub(super) const MAX_WINDOWS: usize = 4096;

/// Which record set it is (R12), and what tells whether another one that says the same is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) identity: SetIdentity,
    /// The set's length.
    pub(crate) bytes: u32,
    /// The CRC-32 of a write of this set, which covers the stream's name as the client sent it. A client that names a stream in two ways,
    /// with and without the leading `/`, has its copies stored.
    pub(crate) checksum: u32,
}

/// What is to be done with a set that would be stored now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Store it: it is the first, or nothing is known of another.
    Store,
    /// Store it: another set has the same identity, but is not the same.
    StoreDifferent,
    /// Wait for the request with this serial number, which stores the same set.
    Follow(u64),
    /// Answer with this position: the same set is there.
    Stored(Dlsn),
}

/// The sets that were stored lately, each in its stream, so that a copy which comes to the same stream is answered and not stored (R12).
///
/// What is promised: a copy of a set (same identity, length and checksum) is not stored a second time in a stream if this proxy stored the
/// set there, or is storing it, and since then
///
/// - has owned the stream without a break: whatever ends the ownership, also deleting the stream or the end of the process, forgets its sets;
/// - was sent fewer than [`MAX_SETS_OF_WRITER`] sets with a higher sequence by the same writer for that stream;
/// - did not have to make room. At most `max_sets` sets of at most [`MAX_WINDOWS`] pairs of stream and writer are remembered; of those pairs
///   the ones that were idle for a while go first.
///
/// Beyond that it is stored again, and readers that merge drop it. Nothing is promised across streams: a position belongs to its stream, so a
/// copy that a writer sends to another stream is stored there. A set that could not be stored is not remembered, whatever the reason.
///
/// The invariant: `sets` is the sum of the windows' lengths and at most `max_sets`; `turns` holds each window's key once.
#[derive(Debug)]
pub(super) struct Copies {
    max_sets: usize,
    windows: HashMap<Key, Window>,
    /// The order in which windows are looked at when room is needed.
    turns: VecDeque<Key>,
    sets: usize,
}

/// A writer in one stream during one ownership, each of which has its own number.
type Key = (u64, WriterId);

/// What is remembered of one writer in one stream, by ascending sequence.
#[derive(Debug, Default)]
struct Window {
    sets: VecDeque<Remembered>,
    /// Whether it was asked again since it was made, or last looked at to make room.
    used: bool,
}

#[derive(Debug)]
struct Remembered {
    sequence: u64,
    bytes: u32,
    checksum: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The request with this serial number is in the store's hands.
    Storing(u64),
    Stored(Dlsn),
}

impl Copies {
    /// Remembers at most so many sets; with 0, none.
    pub(super) fn new(max_sets: usize) -> Self {
        Self { max_sets, windows: HashMap::new(), turns: VecDeque::new(), sets: 0 }
    }

    /// Says what to do with a set that the request `serial` wants stored, and takes note of it. What is to be stored must come to
    /// [`end`](Self::end).
    pub(super) fn begin(&mut self, ownership: u64, print: &Fingerprint, serial: u64) -> Verdict {
        if self.max_sets == 0 {
            return Verdict::Store;
        }
        let key = (ownership, print.identity.writer);
        let window = match self.windows.entry(key) {
            Entry::Occupied(window) => {
                let window = window.into_mut();
                window.used = true;
                window
            }
            Entry::Vacant(place) => {
                self.turns.push_back(key);
                place.insert(Window::default())
            }
        };
        let sequence = print.identity.sequence;
        let at = match window.find(sequence) {
            Ok(at) => return window.sets[at].verdict(print),
            Err(at) => at,
        };
        let at = if window.sets.len() < MAX_SETS_OF_WRITER.min(self.max_sets) {
            self.sets += 1;
            at
        } else if at > 0 {
            window.sets.pop_front();
            at - 1
        } else {
            return Verdict::Store;
        };
        window.sets.insert(at, Remembered { sequence, bytes: print.bytes, checksum: print.checksum, state: State::Storing(serial) });
        self.make_room(&key);
        Verdict::Store
    }

    /// Takes note of what became of a set that was to be stored: where it is, or that it is not known to be anywhere.
    pub(super) fn end(&mut self, ownership: u64, identity: SetIdentity, serial: u64, stored: Option<Dlsn>) {
        let Some(window) = self.windows.get_mut(&(ownership, identity.writer)) else { return };
        let Ok(at) = window.find(identity.sequence) else { return };
        if window.sets[at].state != State::Storing(serial) {
            return;
        }
        match stored {
            Some(dlsn) => window.sets[at].state = State::Stored(dlsn),
            None => {
                window.sets.remove(at);
                self.sets -= 1;
            }
        }
    }

    /// How many sets are remembered.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.sets
    }

    /// Forgets windows until there are not too many, nor too many sets, but never that of `newest`. A window that was asked lately is passed
    /// over once.
    fn make_room(&mut self, newest: &Key) {
        while self.sets > self.max_sets || self.windows.len() > MAX_WINDOWS {
            let key = self.turns.pop_front().expect("there is another window than the newest: one alone is within the limits");
            let window = self.windows.get_mut(&key).expect("each window has its turn");
            if key == *newest || core::mem::take(&mut window.used) {
                self.turns.push_back(key);
            } else {
                self.sets -= window.sets.len();
                self.windows.remove(&key);
            }
        }
    }
}

impl Window {
    /// Where a sequence is, or belongs. Nearly all come in their order.
    fn find(&self, sequence: u64) -> Result<usize, usize> {
        if self.sets.back().is_none_or(|last| last.sequence < sequence) {
            return Err(self.sets.len());
        }
        self.sets.binary_search_by_key(&sequence, |set| set.sequence)
    }
}

impl Remembered {
    fn verdict(&self, print: &Fingerprint) -> Verdict {
        if (self.bytes, self.checksum) != (print.bytes, print.checksum) {
            return Verdict::StoreDifferent;
        }
        match self.state {
            State::Storing(first) => Verdict::Follow(first),
            State::Stored(dlsn) => Verdict::Stored(dlsn),
        }
    }
}
