//! The scrub: reads the sealed volumes again and again, slowly, so that damage is found before a
//! reader finds it, while a backup or another copy still has what it costs.

use std::collections::BTreeSet;

use super::check::UnreadableEntries;
use super::compaction::NextStep;
use super::shared::Shared;
use super::volume_entries::VolumeEntries;

/// Bytes that are read at once, apart from a larger entry.
const AT_ONCE: u64 = 1 << 20;
/// Longest time for which the thread that scrubs sleeps, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 5000;

/// The scrub of one volume after the other.
#[derive(Default)]
pub(super) struct Scrub {
    /// Time at which the next round through all volumes begins, in milliseconds since 1970. `None`:
    /// one is under way, or none has begun.
    next_round_ms: Option<u64>,
    /// The volumes up to this one are done in this round.
    done: u64,
    /// Entries of the volume that is being scrubbed, the next ones last.
    left: Vec<VolumeEntries>,
    unreadable: UnreadableEntries,
    /// The next read is not before this time, in milliseconds since 1970.
    paused_until_ms: u64,
    /// Entries that are damaged, which are counted once.
    damaged: BTreeSet<super::frame::EntryKey>,
}

impl Scrub {
    /// Returns the number of entries that were found to be damaged since the store was opened.
    pub(super) fn damaged_entries(&self) -> u64 {
        self.damaged.len() as u64
    }

    /// Reads the next entries, if it is time.
    pub(super) fn step(&mut self, shared: &Shared) -> NextStep {
        let rate = shared.settings.scrub_rate;
        if rate == 0 {
            return NextStep::Job;
        }
        let now = (shared.unix_ms)();
        let due = self.next_round_ms.unwrap_or(0).max(self.paused_until_ms);
        // A clock that went back must not put it off for longer than a round takes.
        let interval = interval_ms(shared);
        if now < due && due - now <= interval {
            return NextStep::Pause((due - now).min(LONGEST_PAUSE_MS));
        }
        self.next_round_ms = None;
        let Some(entries) = self.left.pop() else {
            return self.begin_volume(shared, now);
        };
        let bytes = entries.bytes.max(1);
        let folder = &shared.settings.folder;
        if let Err(error) = self.unreadable.check(&*shared.disk, folder, &entries) {
            // The volume was removed meanwhile, or the disk fails: readers report that.
            tracing::debug!("volume {} is not scrubbed: {error}", entries.volume);
            self.left.clear();
        }
        if self.left.is_empty() {
            self.end_volume(shared);
        }
        self.paused_until_ms = now + (bytes.saturating_mul(1000) / rate).max(1);
        NextStep::Now
    }

    /// Chooses the next volume, or ends the round.
    fn begin_volume(&mut self, shared: &Shared, now: u64) -> NextStep {
        let next = {
            let state = shared.state();
            let mut sealed = state.compactible().map(|(number, _)| number);
            sealed.find(|number| *number > self.done)
        };
        let Some(volume) = next else {
            self.done = 0;
            self.next_round_ms = Some(now.saturating_add(interval_ms(shared)));
            return NextStep::Pause(LONGEST_PAUSE_MS);
        };
        self.done = volume;
        self.left = VolumeEntries::of_volume(&shared.state(), volume, AT_ONCE);
        NextStep::Now
    }

    /// Reports the entries of the volume that could not be read, unless a new index reads them.
    fn end_volume(&mut self, shared: &Shared) {
        let volume = self.done;
        let unreadable = core::mem::take(&mut self.unreadable).of_volume(volume);
        if unreadable.is_empty() || shared.heal_index(volume) {
            return;
        }
        let before = self.damaged.len();
        let state = shared.state();
        // What was truncated, deleted or copied meanwhile is no loss.
        let lost = unreadable
            .into_iter()
            .filter(|key| state.is_in_volume(*key, volume));
        self.damaged.extend(lost);
        drop(state);
        if self.damaged.len() > before {
            let found = self.damaged.len() - before;
            tracing::error!(
                "{found} entries of volume {volume} are damaged; stop the store and run \
                 `dlog store check`"
            );
        }
    }
}

fn interval_ms(shared: &Shared) -> u64 {
    u64::try_from(shared.settings.scrub_interval.as_millis()).unwrap_or(u64::MAX)
}
