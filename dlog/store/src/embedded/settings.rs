//! Settings of a store in a folder.

use core::time::Duration;
use std::path::PathBuf;

/// Settings of an [`EmbeddedStore`](super::EmbeddedStore). [`new`](Self::new) has the defaults;
/// change the fields that matter.
///
/// Opening a store moves a value outside its range to the nearest bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// Folder of the store. Created if it does not exist.
    pub folder: PathBuf,
    /// Size of one volume file in bytes, the unit in which the store allocates and frees disk
    /// space. Default: 64 MiB. Range: 16 KiB to 1 GiB.
    pub volume_bytes: u32,
    /// Reserves a volume's space when its file is created, so that a full disk is noticed before an
    /// entry is written. Default: true.
    pub preallocate: bool,
    /// Alignment of batches in bytes, so that no acknowledged sector is written a second time: a
    /// power of two, at least the disk's unit of atomic writes. Default: 512. Range: 512 to 4096.
    pub sector_bytes: u32,
    /// Maximum size of an entry in bytes: its payloads and 8 bytes for each record. Default: 4 MiB.
    /// At most a quarter of `volume_bytes`.
    pub max_entry_bytes: usize,
    /// A batch that reaches this size in bytes is written and synced; later requests go into the
    /// next batch. Default: 4 MiB. At most a quarter of `volume_bytes`.
    pub max_batch_bytes: usize,
    /// Maximum size in bytes of all appends that wait for the disk. Beyond it appends fail with
    /// [`StoreError::Overloaded`](crate::StoreError::Overloaded): they are not written, and a
    /// caller can retry when some of its earlier appends have finished. Default: 64 MiB. At least
    /// `max_entry_bytes`.
    pub max_queued_bytes: usize,
    /// A log segment that has this many payload bytes is completed, and the next append opens
    /// another one. Default: 1 GiB.
    pub segment_bytes: u64,
    /// A log segment that has been open for this long is completed by the next append, which opens
    /// another one. Default: 12 hours.
    pub segment_age: Duration,
    /// Maximum number of volume and index files kept open for readers. Default: 64. At least 1.
    pub open_files: usize,
}

impl EmbeddedSettings {
    /// Returns the defaults for a store in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            volume_bytes: 64 << 20,
            preallocate: true,
            sector_bytes: 512,
            max_entry_bytes: 4 << 20,
            max_batch_bytes: 4 << 20,
            max_queued_bytes: 64 << 20,
            segment_bytes: 1 << 30,
            segment_age: Duration::from_secs(12 * 3600),
            open_files: 64,
        }
    }

    /// Returns the settings with each value moved into its range. A quarter of the volume for an
    /// entry or a batch leaves room for headers and the reserve for changes: any entry fits into an
    /// empty volume.
    pub(super) fn clamped(mut self) -> Self {
        self.volume_bytes = self.volume_bytes.clamp(16 << 10, 1 << 30);
        self.sector_bytes = self.sector_bytes.clamp(512, 4096).next_power_of_two();
        let quarter = self.volume_bytes as usize / 4;
        self.max_entry_bytes = self.max_entry_bytes.clamp(1, quarter);
        self.max_batch_bytes = self.max_batch_bytes.clamp(1, quarter);
        self.max_queued_bytes = self.max_queued_bytes.max(self.max_entry_bytes);
        self.open_files = self.open_files.max(1);
        self
    }
}
