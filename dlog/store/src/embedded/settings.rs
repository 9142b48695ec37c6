use core::time::Duration;
use std::path::PathBuf;

use distributedlog::settings::{SettingRange, SettingValue, SettingsError};
use distributedlog::settings_table;

use crate::Retention;

/// Descriptors of a store besides the sealed volumes that are kept open: the lock, the volume that
/// is written and the next one, an index, a snapshot and a folder that are being written, volumes
/// that the scrub, compaction and readers open beyond those that are kept.
const OTHER_DESCRIPTORS: usize = 32;

settings_table! {
    /// Settings of an [`EmbeddedStore`](super::EmbeddedStore). [`new`](Self::new) has the defaults;
    /// change single fields.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct EmbeddedSettings { pub }
    make rows (pub const ROWS of EmbeddedSettings);
    make defaults (fn defaults(folder: PathBuf));
    make checks (fn check_rows);
    make named (EmbeddedSettings in ());

    /// The store's folder; it is created if it does not exist.
    folder: PathBuf, default (required => folder), valid (other any folder);
    /// Size of one volume file, the unit in which the store takes and gives back disk space.
    volume_bytes: u32, default (64 MiB), valid (bytes 16 KiB to 1 GiB);
    /// Reserves a volume's space when the file is created, so that a full disk shows before an
    /// entry is begun.
    preallocate: bool, default (on), valid (switch on or off);
    /// Batches start at multiples of this, so that no acknowledged sector is written a second time:
    /// a power of two, at least the disk's unit of atomic writes.
    sector_bytes: u32, default (512 B), valid (bytes 512 B to 4 KiB);
    /// Largest entry, as the sum of its payloads. `None`: 4 MiB, or a quarter of `volume_bytes` if
    /// that is less.
    max_entry_bytes: Option<usize>, default (none), valid (bytes none or 1 B to a quarter volume);
    /// Maximum bytes that are written before one sync; what waits beyond is written with the next
    /// one. `None`: 4 MiB, or a quarter of `volume_bytes` if that is less.
    max_batch_bytes: Option<usize>, default (none), valid (bytes none or 1 B to a quarter volume);
    /// Maximum payload bytes that wait for the disk, at least one entry. Beyond it appends are
    /// refused with [`StoreError::Overloaded`](crate::StoreError::Overloaded): nothing of them is
    /// written, and a caller that waits for some of its earlier appends finds room.
    max_queued_bytes: usize, default (64 MiB), valid (bytes at least the max_entry_bytes);
    /// Payload bytes at which a log segment is completed; the next append opens another.
    segment_bytes: u64, default (1 GiB), valid (bytes any);
    /// Age at which a log segment is completed by the next append, which opens another.
    segment_age: Duration, default (12 h), valid (time any);
    /// Maximum bytes per second that compaction copies; 0: no compaction. Volumes of which less
    /// than half is needed are removed after what is needed was copied to the present one.
    compaction_rate: u64, default (32 MiB), valid (bytes any);
    /// Maximum bytes per second that the scrub reads, which looks for damage before readers meet
    /// it; 0: no scrub.
    scrub_rate: u64, default (4 MiB), valid (bytes any);
    /// Time from the end of one round of the scrub through all sealed volumes to the next.
    scrub_interval: Duration, default (168 h), valid (time any);
    /// Bytes set aside for a full disk, which deletes, truncations and compaction use while appends
    /// are refused; `none`: half of a volume.
    reserve_bytes: Option<usize>, default (none), valid (bytes none or any);
    /// Maximum number of streams; the creation of more is refused. Each takes about 300 bytes of
    /// memory.
    max_streams: u64, default (100_000), valid (count at least 1);
    /// Maximum number of streams that are created per second; the creation of more is refused.
    max_creations_per_second: u32, default (1000), valid (count at least 1);
    /// Age from which log segments are discarded, in streams and namespaces without a retention of
    /// their own; `none`: no limit.
    retention_age: Option<Duration>, default (none), valid (time none or at least 1 s);
    /// Payload bytes of a stream beyond which its oldest log segments are discarded, in streams and
    /// namespaces without a retention of their own; `none`: no limit.
    retention_bytes: Option<usize>, default (none), valid (bytes none or at least 1 B);
    /// Number of sealed volumes that are kept open for readers.
    open_files: usize, default (64), valid (count at least 1);
}

impl EmbeddedSettings {
    /// Returns the defaults for a store in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self::defaults(folder.into())
    }

    /// Returns the number of file descriptors that the store needs.
    #[must_use]
    pub const fn descriptors(&self) -> usize {
        self.open_files.saturating_add(OTHER_DESCRIPTORS)
    }

    /// Returns the largest entry in bytes.
    pub(super) fn max_entry_bytes(&self) -> usize {
        self.max_entry_bytes
            .unwrap_or_else(|| self.four_mebibytes())
    }

    /// Returns the maximum bytes that are written before one sync.
    pub(super) fn max_batch_bytes(&self) -> usize {
        self.max_batch_bytes
            .unwrap_or_else(|| self.four_mebibytes())
    }

    /// Returns the retention of streams and namespaces without one of their own.
    pub(super) fn retention(&self) -> Retention {
        Retention {
            age: self.retention_age,
            bytes: self.retention_bytes.map(|bytes| bytes as u64),
        }
    }

    /// Returns the bytes that are set aside for a full disk.
    pub(super) fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
            .map_or_else(|| u64::from(self.volume_bytes) / 2, |bytes| bytes as u64)
    }

    /// Returns the size of the smallest volume that a nearly full disk gets.
    pub(super) fn smallest_volume_bytes(&self) -> u64 {
        // It begins with a copy of the journal's last batch, which may be one entry larger than the
        // limit, and then has room for the largest entry. 128 KiB for headers and changes.
        let bytes = self.max_batch_bytes() + 2 * self.max_entry_bytes() + (128 << 10);
        u64::from(self.volume_bytes).min(bytes as u64)
    }

    /// 4 MiB, or a quarter of a volume that is smaller than 16 MiB.
    fn four_mebibytes(&self) -> usize {
        (self.volume_bytes as usize / 4).min(4 << 20)
    }

    /// Checks the settings against their ranges and against each other.
    ///
    /// # Errors
    ///
    /// The first setting that is outside its range.
    pub fn check(&self) -> Result<(), SettingsError> {
        let count = |setting, value: usize, min: usize, max: usize| {
            SettingsError::check_count(setting, value as u64, min as u64, max as u64)
        };
        self.check_rows()?;
        let sector = self.sector_bytes;
        if !sector.is_power_of_two() {
            return Err(SettingsError {
                setting: "sector_bytes",
                value: SettingValue::Count(sector.into()),
                range: SettingRange::Text("a power of two from 512 to 4096"),
            });
        }
        // A volume has room for its own blocks and for several of the largest entries.
        let quarter = self.volume_bytes as usize / 4;
        count("max_entry_bytes", self.max_entry_bytes(), 1, quarter)?;
        count("max_batch_bytes", self.max_batch_bytes(), 1, quarter)?;
        let entry = self.max_entry_bytes();
        if let Some(bytes) = self.retention_bytes {
            count("retention_bytes", bytes, 1, usize::MAX)?;
        }
        count("max_queued_bytes", self.max_queued_bytes, entry, usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_out_of_its_range_is_refused_and_not_moved_into_it() {
        let refused = |change: fn(&mut EmbeddedSettings)| {
            let mut settings = EmbeddedSettings::new("/store");
            change(&mut settings);
            settings.check().map_err(|error| error.to_string())
        };
        assert_eq!(refused(|_| {}), Ok(()));
        for (text, change) in [
            (
                "volume_bytes is 1000; it must be within 16384 to 1073741824",
                (|s| s.volume_bytes = 1_000) as fn(&mut EmbeddedSettings),
            ),
            ("sector_bytes is 8192; it must be within 512 to 4096", |s| {
                s.sector_bytes = 8_192
            }),
            (
                "sector_bytes is 1000; it must be a power of two from 512 to 4096",
                |s| s.sector_bytes = 1_000,
            ),
            (
                "max_entry_bytes is 16777217; it must be within 1 to 16777216",
                |s| s.max_entry_bytes = Some((16 << 20) + 1),
            ),
            (
                "max_batch_bytes is 0; it must be within 1 to 16777216",
                |s| s.max_batch_bytes = Some(0),
            ),
            ("max_queued_bytes is 9; it must be at least 4194304", |s| {
                s.max_queued_bytes = 9
            }),
            ("open_files is 0; it must be at least 1", |s| {
                s.open_files = 0
            }),
        ] {
            assert_eq!(refused(change), Err(text.to_owned()));
        }
    }
}
