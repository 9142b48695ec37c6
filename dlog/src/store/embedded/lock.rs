//! One process at a time: the lock file and what its holder says of itself.

use std::path::Path;

use super::disk::{Disk, LockAttempt, store_error};
use crate::store::StoreError;

const LOCK_FILE: &str = "LOCK";
/// More of a command line is not shown.
const MAX_COMMAND_CHARS: usize = 200;

/// Takes the folder for this process, until the value is dropped. A file that a dead process left is no obstacle: the system gave its
/// lock up.
pub(super) fn take(disk: &dyn Disk, folder: &Path, unix_ms: u64) -> Result<Box<dyn Send + Sync>, StoreError> {
    let path = folder.join(LOCK_FILE);
    match disk.lock(&path, &describe_this_process(unix_ms)) {
        Ok(LockAttempt::Held(held)) => Ok(held),
        Ok(LockAttempt::HeldBy(holder)) => {
            let holder = if holder.is_empty() { "a process that is just starting".to_owned() } else { holder };
            Err(StoreError::InUse { path: folder.display().to_string(), holder })
        }
        Err(error) => Err(store_error(&path, &error)),
    }
}

fn describe_this_process(unix_ms: u64) -> String {
    let command: Vec<_> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let command: String = command.join(" ").chars().filter(|c| !c.is_control()).take(MAX_COMMAND_CHARS).collect();
    format!("process {} ({command}), since {}", std::process::id(), utc(unix_ms))
}

/// The time as `2026-11-23 15:58:22 UTC`.
fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0; years that begin in March have their leap day at the end (Howard Hinnant's civil_from_days).
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_people_write_them() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_449_502_999), "2026-11-23 15:58:22 UTC");
    }
}
