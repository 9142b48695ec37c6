//! Repair of a store that is not open.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::check::{CheckProgress, CheckReport, survey};
use super::disk::{Disk, store_error};
use super::frame::EntryKey;
use super::recovery;
use super::request::{CommitRequest, committer_ended};
use super::shared::{Shared, StoreEnv, UnixClock};
use super::{EmbeddedSettings, StoreSteps, lock, start};
use crate::StoreError;

/// Number of entries that one request buries.
const AT_ONCE: usize = 1000;

/// Repairs the files of a store: makes indexes and metadata again, and gives up what cannot be
/// read. Returns what was found before. Blocks the thread.
///
/// Entries that are lost keep their positions, without records: readers go on behind them. Streams
/// whose creation is lost are named `recovered-` and a number. Damaged volumes stay until nothing
/// in them is needed any more; a copy of the folder's files before the repair is the caller's task.
///
/// A repair that is interrupted can be repeated. Nothing is done to a store that is intact.
///
/// # Errors
///
/// As [`EmbeddedStore::open`](super::EmbeddedStore::open), except for damage.
pub fn repair(
    settings: EmbeddedSettings,
    disk: Arc<dyn Disk>,
    unix_ms: UnixClock,
    progress: &mut dyn FnMut(CheckProgress),
) -> Result<CheckReport, StoreError> {
    settings.check()?;
    let folder = settings.folder.clone();
    disk.list(&folder)
        .map_err(|error| store_error(&folder, &error))?;
    let lock = lock::acquire(&*disk, &folder, unix_ms())?;
    let surveyed = survey(&*disk, &folder, progress)?;
    if surveyed.report.is_intact() {
        return Ok(surveyed.report);
    }
    recovery::make_durable(&*disk, &folder, &surveyed.recovered)?;
    let env = StoreEnv {
        disk,
        unix_ms,
        stepped: true,
        lock,
        read_only: None,
        id: surveyed.recovered.id,
    };
    let (shared, committer, maintenance) = start(settings, env, surveyed.recovered)?;
    let mut steps = StoreSteps {
        committer,
        maintenance,
    };
    for volume in surveyed.damaged_indexes {
        shared.heal_index(volume);
    }
    let lost = &surveyed.lost[..];
    #[cfg(seeded_bugs)]
    let lost = {
        let forgets = crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::RepairForgetsAnEntry);
        &lost[..lost.len() - usize::from(forgets && !lost.is_empty())]
    };
    for keys in lost.chunks(AT_ONCE) {
        bury(&shared, &mut steps, keys)?;
    }
    // Its indexes and metadata are written before it is closed.
    while steps.maintain() {}
    let _ = shared.submit(CommitRequest::Close);
    while !*shared.closed.borrow() {
        steps.run();
    }
    Ok(surveyed.report)
}

/// Writes entries without records in the place of those that are lost.
fn bury(shared: &Shared, steps: &mut StoreSteps, keys: &[EntryKey]) -> Result<(), StoreError> {
    let (reply, mut received) = oneshot::channel();
    let keys = keys.to_vec();
    if shared.submit(CommitRequest::Bury { keys, reply }).is_err() {
        return Err(StoreError::Closed);
    }
    loop {
        let _ = steps.run();
        match received.try_recv() {
            Ok(buried) => return buried.map(|_| ()),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Closed) => return Err(committer_ended()),
        }
    }
}
