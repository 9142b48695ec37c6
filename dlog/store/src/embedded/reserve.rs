//! The reserve: a file whose space is given up when the disk is full, so that deleting, truncating,
//! sealing and compaction can still write.
//!
//! While the reserve is given up, appends are refused: they would take the space that those free.

use core::sync::atomic::Ordering;
use std::io::ErrorKind;
use std::sync::PoisonError;

use super::disk::{Access, store_error};
use super::shared::{Shared, lock};
use crate::StoreError;

pub(super) const RESERVE_FILE: &str = "RESERVE";

/// State of the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserve {
    /// Its space was given up, or could not be reserved yet.
    Released,
    /// Its space is reserved, or there is none to reserve.
    Held,
}

impl Shared {
    /// Returns true while the reserve is given up.
    pub(super) fn is_reserve_in_use(&self) -> bool {
        *lock(&self.reserve) == Reserve::Released
    }

    /// Returns true if there is a reserve to give up.
    pub(super) fn has_reserve(&self) -> bool {
        !self.is_reserve_in_use() && self.settings.reserve_bytes() > 0
    }

    /// Reserves the space, if that is not done yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::DiskFull`] if there is no room for it, or the disk's error.
    pub(super) fn hold_reserve(&self) -> Result<(), StoreError> {
        // Locked while the file is created, so that two threads do not create it.
        let mut reserve = lock(&self.reserve);
        if *reserve == Reserve::Held {
            return Ok(());
        }
        let size = self.settings.reserve_bytes();
        let path = self.settings.folder.join(RESERVE_FILE);
        let found = self
            .disk
            .open(&path, Access::Read)
            .and_then(|file| file.size());
        let is_there = match found {
            Ok(found) => found == size,
            Err(_) => size == 0,
        };
        if !is_there {
            let created = self.disk.create(&path).and_then(|file| file.allocate(size));
            match created {
                Ok(()) => {}
                // Without a way to reserve space there is no reserve.
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                Err(error) => {
                    // Frees the part that could be reserved.
                    let _ = self.disk.remove(&path);
                    return Err(store_error(&path, &error));
                }
            }
        }
        *reserve = Reserve::Held;
        self.is_full.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Gives up the reserve. Returns true if that freed space.
    pub(super) fn release_reserve(&self) -> bool {
        let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        if *reserve == Reserve::Released || self.settings.reserve_bytes() == 0 {
            return false;
        }
        let path = self.settings.folder.join(RESERVE_FILE);
        if let Err(error) = self.disk.remove(&path) {
            tracing::warn!("cannot give up the reserve {}: {error}", path.display());
            return false;
        }
        *reserve = Reserve::Released;
        self.is_full.store(true, Ordering::Relaxed);
        tracing::warn!(
            "the disk is full: the reserve of {} bytes is in use, and appends are refused until it \
             can be set aside again",
            self.settings.reserve_bytes()
        );
        true
    }

    /// Runs `write`; if the disk is full, gives up the reserve and runs it again.
    pub(super) fn with_reserve<T>(
        &self,
        mut write: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match write() {
            Err(StoreError::DiskFull { .. }) if self.release_reserve() => write(),
            result => result,
        }
    }
}
