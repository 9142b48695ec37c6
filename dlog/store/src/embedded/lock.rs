//! The lock file, which keeps other processes out of the store's folder and describes its holder.

use std::path::Path;

use super::disk::{Disk, LockAttempt, store_error};
use crate::StoreError;
use crate::utc;

const LOCK_FILE: &str = "LOCK";
/// Longer command lines are truncated to this length.
const MAX_COMMAND_CHARS: usize = 200;

/// Locks the folder for this process until the returned value is dropped. The lock file of a
/// process that ended does not matter: the system released its lock.
pub(super) fn acquire(
    disk: &dyn Disk,
    folder: &Path,
    unix_ms: u64,
) -> Result<Box<dyn Send + Sync>, StoreError> {
    let path = folder.join(LOCK_FILE);
    match disk.lock(&path, &describe_this_process(unix_ms)) {
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
        Err(error) => Err(store_error(&path, &error)),
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
