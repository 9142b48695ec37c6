use std::collections::VecDeque;

use distributedlog::Dlsn;
use distributedlog::wire::record_set::{SetIdentity, WriterId};
use distributedlog_store::hash::KeyedMap;

/// Number of sets of one writer that are remembered in one stream: those with its highest
/// sequences.
pub(super) const MAX_SETS_OF_WRITER: usize = 1024;

/// Number of dedup windows. A writer has one for each stream that it writes to.
pub(super) const MAX_WINDOWS: usize = 4096;

/// Identity of a record set (R12), and the length and checksum that distinguish different sets with
/// the same identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) identity: SetIdentity,
    /// Length of the set.
    pub(crate) bytes: u32,
    /// CRC-32 of a write of this set, which covers the stream's name as the client sent it. If a
    /// client names a stream in two ways, with and without the leading `/`, its duplicates are
    /// stored.
    pub(crate) checksum: u32,
}

/// Action for a set that is about to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DedupVerdict {
    /// Store it: it is the first copy, or no other is remembered.
    Store,
    /// Store it: another set has the same identity, but different content.
    StoreDifferent,
    /// Wait for the request with this serial number, which is storing the same set.
    Follow(u64),
    /// Reply with this position: the same set is stored there.
    Stored(Dlsn),
}

/// The sets that were stored lately, each in its stream, so that a duplicate for the same stream is
/// answered and not stored (R12).
///
/// The guarantee: a duplicate of a set (same identity, length and checksum) is not stored a second
/// time in a stream if this proxy stored the set there, or is storing it, and since then
///
/// - has owned the stream without interruption: the end of an ownership, also by deleting the
///   stream or by the end of the process, forgets its sets;
/// - was sent fewer than [`MAX_SETS_OF_WRITER`] sets with a higher sequence by the same writer for
///   that stream;
/// - did not have to evict its window. At most `max_sets` sets in at most [`MAX_WINDOWS`] windows
///   are remembered; windows that were idle for a while are evicted first.
///
/// Otherwise it is stored again, and merging readers drop it. There is no guarantee across streams:
/// a position belongs to its stream, so a duplicate that a writer sends to another stream is stored
/// there. A set that could not be stored is not remembered, for any error.
///
/// The invariant: `sets` is the sum of the windows' lengths and at most `max_sets`; `index` maps
/// the key of each window in use to its place, and `free` lists the other places.
#[derive(Debug)]
pub(super) struct Deduplicator {
    max_sets: usize,
    windows: Vec<DedupWindow>,
    index: KeyedMap<WindowKey, u32>,
    free: Vec<u32>,
    /// Window that was inspected last for eviction.
    hand: usize,
    sets: usize,
}

/// Place where a set's window is, or was: a guess that saves looking it up by its key, and is
/// verified.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WindowHint(pub(super) u32);

/// A writer in one stream during one ownership, each of which has its own number.
type WindowKey = (u64, WriterId);

/// The remembered sets of one writer in one stream, by ascending sequence.
#[derive(Debug, Default)]
struct DedupWindow {
    /// `None` while the place is free.
    key: Option<WindowKey>,
    sets: VecDeque<RememberedSet>,
    /// Probable index of the set that is stored next: behind the one that was stored last.
    next: usize,
    /// True if it was used since it was made, or last inspected for eviction.
    used: bool,
}

#[derive(Debug)]
struct RememberedSet {
    sequence: u64,
    bytes: u32,
    checksum: u32,
    state: SetState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SetState {
    /// The request with this serial number is in the store's hands.
    Storing(u64),
    Stored(Dlsn),
}

impl Deduplicator {
    /// Remembers at most `max_sets` sets; with 0, none.
    pub(super) fn new(max_sets: usize) -> Self {
        Self {
            max_sets,
            windows: Vec::new(),
            index: KeyedMap::default(),
            free: Vec::new(),
            hand: 0,
            sets: 0,
        }
    }

    /// Decides about a set that the request `serial` wants stored, and remembers it.
    ///
    /// A set that is to be stored must be passed to [`end`](Self::end), with the hint as it is
    /// afterwards. Before the call, the hint may be that of any set of the stream.
    pub(super) fn begin(
        &mut self,
        ownership: u64,
        fingerprint: &Fingerprint,
        serial: u64,
        hint: &mut WindowHint,
    ) -> DedupVerdict {
        if self.max_sets == 0 {
            return DedupVerdict::Store;
        }
        let most = MAX_SETS_OF_WRITER.min(self.max_sets);
        let window = self.window((ownership, fingerprint.identity.writer), hint);
        let sequence = fingerprint.identity.sequence;
        let at = match window.find(sequence, window.sets.len()) {
            Ok(at) => return window.sets[at].verdict(fingerprint),
            Err(at) => at,
        };
        let set = RememberedSet {
            sequence,
            bytes: fingerprint.bytes,
            checksum: fingerprint.checksum,
            state: SetState::Storing(serial),
        };
        if window.sets.len() < most {
            window.sets.insert(at, set);
            self.sets += 1;
            self.make_room(hint.0);
        } else if at > 0 {
            window.sets.pop_front();
            window.next = window.next.saturating_sub(1);
            window.sets.insert(at - 1, set);
        }
        DedupVerdict::Store
    }

    /// Notes the result of a set that was to be stored: its position, or `None` if it is not known
    /// to be stored.
    pub(super) fn end(
        &mut self,
        ownership: u64,
        identity: SetIdentity,
        serial: u64,
        hint: WindowHint,
        stored: Option<Dlsn>,
    ) {
        let window = self.windows.get_mut(hint.0 as usize);
        // A window that took its place does not contain the set.
        let Some(window) = window.filter(|window| window.key == Some((ownership, identity.writer)))
        else {
            return;
        };
        let Ok(at) = window.find(identity.sequence, window.next) else {
            return;
        };
        if window.sets[at].state != SetState::Storing(serial) {
            return;
        }
        match stored {
            Some(dlsn) => {
                window.sets[at].state = SetState::Stored(dlsn);
                window.next = at + 1;
            }
            None => {
                window.sets.remove(at);
                self.sets -= 1;
            }
        }
    }

    /// Returns the number of remembered sets.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.sets
    }

    /// Returns the window with this key, which is made if there is none.
    fn window(&mut self, key: WindowKey, hint: &mut WindowHint) -> &mut DedupWindow {
        if self
            .windows
            .get(hint.0 as usize)
            .is_none_or(|window| window.key != Some(key))
        {
            hint.0 = match self.index.get(&key) {
                Some(index) => *index,
                None => return self.new_window(key, hint),
            };
        }
        let window = &mut self.windows[hint.0 as usize];
        window.used = true;
        window
    }

    fn new_window(&mut self, key: WindowKey, hint: &mut WindowHint) -> &mut DedupWindow {
        hint.0 = self.free.pop().unwrap_or_else(|| {
            self.windows.push(DedupWindow::default());
            u32::try_from(self.windows.len() - 1).expect("one more than MAX_WINDOWS at most")
        });
        self.index.insert(key, hint.0);
        let window = &mut self.windows[hint.0 as usize];
        *window = DedupWindow {
            key: Some(key),
            ..DedupWindow::default()
        };
        window
    }

    /// Evicts windows until neither sets nor windows exceed their limits, but never the newest. The
    /// clock algorithm: windows are inspected in turn, and one that was used lately is passed over
    /// once.
    fn make_room(&mut self, newest: u32) {
        // Bounded: each round clears a `used` mark or evicts, so two turns are enough.
        while self.sets > self.max_sets || self.index.len() > MAX_WINDOWS {
            self.hand = (self.hand + 1) % self.windows.len();
            let window = &mut self.windows[self.hand];
            if self.hand == newest as usize || core::mem::take(&mut window.used) {
                continue;
            }
            let Some(key) = window.key.take() else {
                continue;
            };
            self.sets -= window.sets.len();
            window.sets = VecDeque::new();
            self.index.remove(&key);
            self.free
                .push(u32::try_from(self.hand).expect("one more than MAX_WINDOWS at most"));
        }
    }
}

impl DedupWindow {
    /// Returns the index of a sequence, or where it would be inserted; `guess` is the probable
    /// index.
    fn find(&self, sequence: u64, guess: usize) -> Result<usize, usize> {
        if self
            .sets
            .get(guess)
            .is_some_and(|set| set.sequence == sequence)
        {
            return Ok(guess);
        }
        // Nearly all sets arrive in order.
        if self.sets.back().is_none_or(|last| last.sequence < sequence) {
            return Err(self.sets.len());
        }
        self.sets
            .binary_search_by_key(&sequence, |set| set.sequence)
    }
}

impl RememberedSet {
    fn verdict(&self, fingerprint: &Fingerprint) -> DedupVerdict {
        if (self.bytes, self.checksum) != (fingerprint.bytes, fingerprint.checksum) {
            return DedupVerdict::StoreDifferent;
        }
        match self.state {
            SetState::Storing(first) => DedupVerdict::Follow(first),
            SetState::Stored(dlsn) => DedupVerdict::Stored(dlsn),
        }
    }
}
