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
    /// The CRC-32 of a write of this set, which covers the stream's name as the client sent it. A
    /// client that names a stream in two ways, with and without the leading `/`, has its
    /// copies stored.
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

/// The sets that were stored lately, each in its stream, so that a copy which comes to the same
/// stream is answered and not stored (R12).
///
/// What is promised: a copy of a set (same identity, length and checksum) is not stored a second
/// time in a stream if this proxy stored the set there, or is storing it, and since then
///
/// - has owned the stream without a break: whatever ends the ownership, also deleting the stream or
///   the end of the process, forgets its sets;
/// - was sent fewer than [`MAX_SETS_OF_WRITER`] sets with a higher sequence by the same writer for
///   that stream;
/// - did not have to make room. At most `max_sets` sets of at most [`MAX_WINDOWS`] pairs of stream
///   and writer are remembered; of those pairs the ones that were idle for a while go first.
///
/// Beyond that it is stored again, and readers that merge drop it. Nothing is promised across
/// streams: a position belongs to its stream, so a copy that a writer sends to another stream is
/// stored there. A set that could not be stored is not remembered, whatever the reason.
///
/// The invariant: `sets` is the sum of the windows' lengths and at most `max_sets`; `index` leads
/// to each window in use by its key, and `free` names the others.
#[derive(Debug)]
pub(super) struct Copies {
    max_sets: usize,
    windows: Vec<Window>,
    index: HashMap<Key, u32>,
    free: Vec<u32>,
    /// Which window was looked at last when room was needed.
    hand: usize,
    sets: usize,
}

/// Which window a set is in, or was: a guess that saves finding it by its key, and is checked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WindowHint(pub(super) u32);

/// A writer in one stream during one ownership, each of which has its own number.
type Key = (u64, WriterId);

/// What is remembered of one writer in one stream, by ascending sequence.
#[derive(Debug, Default)]
struct Window {
    /// `None` while it is free.
    key: Option<Key>,
    sets: VecDeque<Remembered>,
    /// Where the set that is stored next probably is: behind the one that was stored last.
    next: usize,
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
        Self {
            max_sets,
            windows: Vec::new(),
            index: HashMap::new(),
            free: Vec::new(),
            hand: 0,
            sets: 0,
        }
    }

    /// Says what to do with a set that the request `serial` wants stored, and takes note of it.
    /// What is to be stored must come to [`end`](Self::end), with the hint as it is afterwards;
    /// before, it may be that of any set of the stream.
    pub(super) fn begin(
        &mut self,
        ownership: u64,
        print: &Fingerprint,
        serial: u64,
        hint: &mut WindowHint,
    ) -> Verdict {
        if self.max_sets == 0 {
            return Verdict::Store;
        }
        let most = MAX_SETS_OF_WRITER.min(self.max_sets);
        let window = self.window((ownership, print.identity.writer), hint);
        let sequence = print.identity.sequence;
        let at = match window.find(sequence, window.sets.len()) {
            Ok(at) => return window.sets[at].verdict(print),
            Err(at) => at,
        };
        let set = Remembered {
            sequence,
            bytes: print.bytes,
            checksum: print.checksum,
            state: State::Storing(serial),
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
        Verdict::Store
    }

    /// Takes note of what became of a set that was to be stored: where it is, or that it is not
    /// known to be anywhere.
    pub(super) fn end(
        &mut self,
        ownership: u64,
        identity: SetIdentity,
        serial: u64,
        hint: WindowHint,
        stored: Option<Dlsn>,
    ) {
        let window = self.windows.get_mut(hint.0 as usize);
        // Whoever took its place knows nothing of the set.
        let Some(window) = window.filter(|window| window.key == Some((ownership, identity.writer)))
        else {
            return;
        };
        let Ok(at) = window.find(identity.sequence, window.next) else {
            return;
        };
        if window.sets[at].state != State::Storing(serial) {
            return;
        }
        match stored {
            Some(dlsn) => {
                window.sets[at].state = State::Stored(dlsn);
                window.next = at + 1;
            }
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

    /// The window with this key, which is made if there is none.
    fn window(&mut self, key: Key, hint: &mut WindowHint) -> &mut Window {
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

    fn new_window(&mut self, key: Key, hint: &mut WindowHint) -> &mut Window {
        hint.0 = self.free.pop().unwrap_or_else(|| {
            self.windows.push(Window::default());
            u32::try_from(self.windows.len() - 1).expect("one more than MAX_WINDOWS at most")
        });
        self.index.insert(key, hint.0);
        let window = &mut self.windows[hint.0 as usize];
        *window = Window {
            key: Some(key),
            ..Window::default()
        };
        window
    }

    /// Forgets windows, all around, until there are not too many, nor too many sets, but never the
    /// newest. A window that was asked lately is passed over once.
    fn make_room(&mut self, newest: u32) {
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

impl Window {
    /// Where a sequence is, or belongs; `guess` is where it probably is.
    fn find(&self, sequence: u64, guess: usize) -> Result<usize, usize> {
        if self
            .sets
            .get(guess)
            .is_some_and(|set| set.sequence == sequence)
        {
            return Ok(guess);
        }
        // Nearly all come in their order.
        if self.sets.back().is_none_or(|last| last.sequence < sequence) {
            return Err(self.sets.len());
        }
        self.sets
            .binary_search_by_key(&sequence, |set| set.sequence)
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
