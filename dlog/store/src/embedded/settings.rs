use core::time::Duration;
use std::path::PathBuf;

use distributedlog::settings::{SettingRange, SettingValue, SettingsError};

/// Settings of an [`EmbeddedStore`](super::EmbeddedStore). [`new`](Self::new) has the defaults;
/// change single fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// The store's folder; it is created if it does not exist.
    pub folder: PathBuf,
    /// Size of one volume file, the unit in which the store takes and gives back disk space.
    /// Default: 64 MiB. Valid: 16 KiB to 1 GiB.
    pub volume_bytes: u32,
    /// Reserves a volume's space when the file is created, so that a full disk shows before an
    /// entry is begun. Default: on.
    pub preallocate: bool,
    /// Batches start at multiples of this, so that no acknowledged sector is written a second time:
    /// a power of two, at least the disk's unit of atomic writes. Default: 512 B. Valid: 512 B to 4
    /// KiB.
    pub sector_bytes: u32,
    /// Largest entry, as the sum of its payloads; at most a quarter of `volume_bytes`. Default,
    /// `None`: 4 MiB, or a quarter of `volume_bytes` if that is less.
    pub max_entry_bytes: Option<usize>,
    /// Maximum bytes that are written before one sync; what waits beyond is written with the next
    /// one; at most a quarter of `volume_bytes`. Default, `None`: 4 MiB, or a quarter of
    /// `volume_bytes` if that is less.
    pub max_batch_bytes: Option<usize>,
    /// Maximum payload bytes that wait for the disk, at least one entry. Beyond it appends are
    /// refused with [`StoreError::Overloaded`](crate::StoreError::Overloaded): nothing of them is
    /// written, and a caller that waits for some of its earlier appends finds room. Default: 64
    /// MiB.
    pub max_queued_bytes: usize,
    /// Payload bytes at which a log segment is completed; the next append opens another. Default:
    /// 1 GiB.
    pub segment_bytes: u64,
    /// Age at which a log segment is completed by the next append, which opens another. Default:
    /// 12 h.
    pub segment_age: Duration,
    /// Number of sealed volumes that are kept open for readers, at least 1. Default: 64.
    pub open_files: usize,
}

impl EmbeddedSettings {
    /// The defaults for a store in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            volume_bytes: 64 << 20,
            preallocate: true,
            sector_bytes: 512,
            max_entry_bytes: None,
            max_batch_bytes: None,
            max_queued_bytes: 64 << 20,
            segment_bytes: 1 << 30,
            segment_age: Duration::from_secs(12 * 3600),
            open_files: 64,
        }
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
        // A volume has room for its own blocks and for several of the largest entries.
        let (volume, quarter) = (self.volume_bytes as usize, self.volume_bytes as usize / 4);
        count("volume_bytes", volume, 16 << 10, 1 << 30)?;
        let sector = self.sector_bytes as usize;
        count("sector_bytes", sector, 512, 4096)?;
        if !sector.is_power_of_two() {
            return Err(SettingsError {
                setting: "sector_bytes",
                value: SettingValue::Count(sector as u64),
                range: SettingRange::Text("a power of two from 512 to 4096"),
            });
        }
        count("max_entry_bytes", self.max_entry_bytes(), 1, quarter)?;
        count("max_batch_bytes", self.max_batch_bytes(), 1, quarter)?;
        let entry = self.max_entry_bytes();
        count("max_queued_bytes", self.max_queued_bytes, entry, usize::MAX)?;
        count("open_files", self.open_files, 1, usize::MAX)
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
