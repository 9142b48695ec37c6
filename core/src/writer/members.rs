//! Streams that come and go while the writer runs (R17).

use core::fmt;

use super::machine::Writer;
use super::slots::{SetSlot, StreamSlot};
use super::{MAX_STREAMS, Storage, WriterFeatures};
use crate::StreamIndex;

/// Reason for which a stream cannot be added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberError {
    /// The writer has as many streams as its storage has rows, or attempts are outstanding at every
    /// stream that was removed.
    Full {
        /// Rows of the storage.
        rows: usize,
    },
    /// The index is none of the writer's streams, or the stream was removed before.
    NotMember,
    /// It is the writer's only stream: records could go nowhere.
    OnlyStream,
}

impl fmt::Display for MemberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { rows } => write!(
                f,
                "the writer has room for {rows} streams, and none of them is free"
            ),
            Self::NotMember => f.write_str("the writer does not write to this stream"),
            Self::OnlyStream => {
                f.write_str("the writer's only stream cannot be removed: add another one first")
            }
        }
    }
}

impl core::error::Error for MemberError {}

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Adds a stream: it takes a random place in the rotation, from the next set on (R17).
    ///
    /// The index is a new one while the storage has rows, and then that of the stream that was
    /// removed first of those without outstanding attempts. Takes time in proportion to the
    /// streams and the sets in flight.
    ///
    /// # Errors
    ///
    /// [`MemberError::Full`].
    pub fn add_stream(&mut self) -> Result<StreamIndex, MemberError> {
        const { assert!(F::CHANGES, "the writer's features exclude changes") };
        let stream = self.free_stream()?;
        let (members, streams) = (self.members as usize, self.streams as usize);
        let row = self.random.below(members as u64 + 1) as usize;
        let tables = self.storage.tables();
        let rows = &mut tables.streams[..streams];
        rows[usize::from(stream.0)] = StreamSlot {
            turn: rows[usize::from(stream.0)].turn,
            ..StreamSlot::EMPTY
        };
        // The row of the stream among those that are free: it moves to its place in the rotation.
        let free = turns(rows, stream, members);
        for row in (row..free).rev() {
            rows[row + 1].turn = rows[row].turn;
        }
        rows[row].turn = stream;
        self.next_row += u16::from(row < usize::from(self.next_row));
        for set in tables.sets {
            set.row += u16::from(row <= usize::from(set.row));
            // What an earlier stream with this index had to do with the set.
            set.tried.remove(stream.0.into());
            set.refused_by.remove(stream.0.into());
        }
        self.members += 1;
        self.update_window();
        Ok(stream)
    }

    /// Removes a stream: no further attempt is made there (R17). Attempts that are outstanding end
    /// as all others do; [`is_drained`](Self::is_drained) tells when there is none left. Takes time
    /// in proportion to the streams and the sets in flight.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotMember`], [`MemberError::OnlyStream`].
    pub fn remove_stream(&mut self, stream: StreamIndex) -> Result<(), MemberError> {
        const { assert!(F::CHANGES, "the writer's features exclude changes") };
        if !self.is_member(stream) {
            return Err(MemberError::NotMember);
        }
        if self.members == 1 {
            return Err(MemberError::OnlyStream);
        }
        let tables = self.storage.tables();
        let rows = &mut tables.streams[..self.streams as usize];
        let row = turns(rows, stream, 0);
        // Behind all others that were removed, so that its index is the last to be used again.
        for row in row..rows.len() - 1 {
            rows[row].turn = rows[row + 1].turn;
        }
        rows[rows.len() - 1].turn = stream;
        self.members -= 1;
        if row < usize::from(self.next_row) {
            self.next_row -= 1;
        }
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::TurnOfTheRemoved)
            && row < usize::from(self.next_row) + 1
        {
            self.next_row += 1;
        }
        if self.next_row >= self.members {
            self.next_row = 0;
        }
        let last = self.members - 1;
        for set in tables.sets {
            set.row = last_tried(set, row, last);
        }
        self.find_next_probe();
        self.update_window();
        Ok(())
    }

    /// Returns `true` if no attempt is outstanding at the stream, or it was never one of the
    /// writer's, and no further one is made there: it was removed.
    pub fn is_drained(&self, stream: StreamIndex) -> bool {
        let rows = &self.storage.streams()[..self.streams as usize];
        !self.is_member(stream)
            && rows
                .get(usize::from(stream.0))
                .is_none_or(|row| row.outstanding == 0)
    }

    /// Returns `true` if the writer writes to the stream: it was not removed.
    pub fn is_member(&self, stream: StreamIndex) -> bool {
        if !F::CHANGES || self.members == self.streams {
            return stream.0 < self.streams;
        }
        let rows = &self.storage.streams()[..self.members as usize];
        rows.iter().any(|row| row.turn == stream)
    }

    /// Returns `true` if the stream was removed.
    pub(super) fn is_removed(&self, stream: StreamIndex) -> bool {
        F::CHANGES && !self.is_member(stream)
    }

    /// Returns the slots of the streams that the writer writes to, in any order.
    pub(super) fn rotation(&self) -> impl Iterator<Item = &StreamSlot> + Clone {
        let slots = self.storage.streams();
        slots[..self.members().into()].iter().map(|row| {
            if F::CHANGES {
                &slots[usize::from(row.turn.0)]
            } else {
                row
            }
        })
    }

    /// Returns the number of streams that the writer writes to.
    pub const fn member_count(&self) -> usize {
        self.members() as usize
    }

    /// Returns the length of the rotation: the number of rows, from the first, whose turns are
    /// those of streams that the writer writes to.
    pub(super) const fn members(&self) -> u16 {
        if F::CHANGES {
            self.members
        } else {
            self.streams
        }
    }

    /// Returns a free row for a stream.
    fn free_stream(&mut self) -> Result<StreamIndex, MemberError> {
        let streams = self.streams as usize;
        let fits = streams < self.storage.streams().len()
            || (streams < MAX_STREAMS && self.storage.grow_streams());
        if fits {
            let stream = StreamIndex(self.streams);
            self.storage.tables().streams[streams] = StreamSlot {
                turn: stream,
                ..StreamSlot::EMPTY
            };
            self.streams += 1;
            return Ok(stream);
        }
        let rows = &self.storage.streams()[..streams];
        let free = rows[self.members as usize..]
            .iter()
            .map(|row| row.turn)
            .find(|stream| rows[usize::from(stream.0)].outstanding == 0);
        free.ok_or(MemberError::Full { rows: streams })
    }

    /// Computes the windows of streams again, which depend on their number (R9).
    fn update_window(&mut self) {
        let window = self.settings.window();
        self.bounds.window = window.attempts(self.bounds.in_flight, self.members);
    }
}

/// Returns the row, from `first` on, that is the stream's.
fn turns(rows: &[StreamSlot], stream: StreamIndex, first: usize) -> usize {
    let row = rows[first..].iter().position(|row| row.turn == stream);
    first + row.expect("every stream has one row of the rotation or of those behind it")
}

/// Returns the row that a set tried last, in a rotation from which `removed` was taken: a set
/// continues with the same stream as before. `last` is the last row.
const fn last_tried(set: &SetSlot, removed: usize, last: u16) -> u16 {
    if removed > set.row as usize {
        set.row
    } else if set.row == 0 {
        last
    } else {
        set.row - 1
    }
}
