//! Which stream is next (R4, R5, R9).

use super::machine::Writer;
use super::slots::StreamSlot;
use super::{Health, Memory};
use crate::random::Random;
use crate::{Instant, StreamIndex};

/// Fills the rows of the rotation with a permutation of the streams (Fisher and Yates), so that writers do not march in step.
pub(super) fn permute(rows: &mut [StreamSlot], random: &mut Random) {
    for (index, row) in rows.iter_mut().enumerate() {
        row.turn = StreamIndex(index as u16);
    }
    for last in (1..rows.len()).rev() {
        let other = random.below(last as u64 + 1) as usize;
        let turn = rows[last].turn;
        rows[last].turn = rows[other].turn;
        rows[other].turn = turn;
    }
}

impl<M: Memory> Writer<M> {
    /// The row at which a set starts: the next in the rotation whose stream is healthy or due for a probe; the next at all when none
    /// is (R9). The rotation goes on behind it, so that healthy streams share the sets evenly.
    pub(super) fn first_row(&mut self, now: Instant) -> u16 {
        let streams = self.streams as usize;
        let start = self.next_row as usize;
        let rows = &self.memory.streams()[..streams];
        let healthy =
            (0..streams).map(|step| wrap(start + step, streams)).find(|&row| rows[rows[row].turn.0 as usize].health.may_start(now));
        let row = healthy.unwrap_or(start);
        self.next_row = wrap(row + 1, streams) as u16;
        if !matches!(self.settings.health(), Health::Off) {
            let table = self.memory.tables().streams;
            let stream = table[row].turn.0 as usize;
            table[stream].health.on_start(now);
        }
        row as u16
    }

    /// The row at which a set goes on: the next behind its last one that was not tried in this round and did not refuse the set for
    /// good; a healthy one, if there is one.
    pub(super) fn following_row(&self, set: u16, now: Instant) -> Option<u16> {
        let streams = self.streams as usize;
        let slot = &self.memory.sets()[set as usize];
        let rows = &self.memory.streams()[..streams];
        let mut unfit = None;
        for step in 1..=streams {
            let row = wrap(slot.row as usize + step, streams);
            let stream = rows[row].turn;
            if slot.tried.contains(stream) || slot.refused_by.contains(stream) {
                continue;
            }
            if rows[stream.0 as usize].health.is_fit(now) {
                return Some(row as u16);
            }
            unfit = unfit.or(Some(row as u16));
        }
        unfit
    }
}

/// `row` in a rotation of `streams` rows; both summands were below it.
const fn wrap(row: usize, streams: usize) -> usize {
    if row >= streams { row - streams } else { row }
}
