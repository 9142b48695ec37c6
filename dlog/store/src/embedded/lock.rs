//! The lock file, which keeps other processes out of the store's folder and describes its holder.

use std::io;
use std::path::Path;

use super::disk::{Disk, HeldLock, LockAttempt, store_error};
use super::shared::{Shared, lock};
use crate::StoreError;
use crate::utc;

pub(super) const LOCK_FILE: &str = "LOCK";
/// Longer command lines are truncated to this length.
const MAX_COMMAND_CHARS: usize = 200;

/// Locks the folder for this process until the returned value is dropped. The lock file of a
/// process that ended does not matter: the system released its lock.
pub(super) fn acquire(
    disk: &dyn Disk,
    folder: &Path,
    unix_ms: u64,
) -> Result<Box<dyn HeldLock>, StoreError> {
    let path = folder.join(LOCK_FILE);
    held(
        folder,
        &path,
        disk.lock(&path, &describe_this_process(unix_ms)),
    )
}

/// Keeps processes that write out of the folder until the returned value is dropped. Others that
/// only read may come.
pub(super) fn acquire_for_reading(
    disk: &dyn Disk,
    folder: &Path,
) -> Result<Box<dyn HeldLock>, StoreError> {
    let path = folder.join(LOCK_FILE);
    held(folder, &path, disk.lock_for_reading(&path))
}

fn held(
    folder: &Path,
    path: &Path,
    attempt: io::Result<LockAttempt>,
) -> Result<Box<dyn HeldLock>, StoreError> {
    match attempt {
        Ok(LockAttempt::Held(held)) => Ok(held),
        Ok(LockAttempt::HeldBy(holder)) => {
            let holder = if holder.is_empty() {
                "a process that is just starting".to_owned()
            } else {
                holder
            };
            Err(StoreError::InUse {
                path: folder.display().to_string(),
                holder,
            })
        }
        Err(error) => Err(store_error(path, &error)),
    }
}

impl Shared {
    /// Checks that this process may write: that it opened the folder for writing, and that no other
    /// process can have locked it since.
    ///
    /// Whoever removes the lock file of a running store lets a second process in. That process
    /// looks for the end of the journal after the removal. So what was written and synced before
    /// this check is found by it, and what is acknowledged after the check is not lost.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] once the lock file was removed, replaced or moved;
    /// [`StoreError::ReadOnly`] if the folder is open for reading.
    pub(super) fn check_lock(&self) -> Result<(), StoreError> {
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::LockIsNotChecked) {
            return Ok(());
        }
        if let Some(error) = &self.read_only {
            return Err(error.clone());
        }
        let held = lock(&self.lock);
        let Some(held) = &*held else {
            return Err(StoreError::Closed);
        };
        let detail = match held.is_held() {
            Ok(true) => return Ok(()),
            Ok(false) => {
                "the lock file was removed, replaced or moved while this process held it: \
                          another process may have the store open, so this one writes no more; \
                          stop both, and start one again"
                    .to_owned()
            }
            Err(error) => format!("the lock file cannot be checked: {error}"),
        };
        let path = self.settings.folder.join(LOCK_FILE).display().to_string();
        Err(StoreError::Io { path, detail })
    }
}

fn describe_this_process(unix_ms: u64) -> String {
    let command: Vec<_> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let command: String = command
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_COMMAND_CHARS)
        .collect();
    format!(
        "process {} ({command}), since {}",
        std::process::id(),
        utc::text(unix_ms)
    )
}
