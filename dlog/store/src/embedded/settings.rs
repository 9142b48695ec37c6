use core::time::Duration;
use std::path::PathBuf;

/// How an [`EmbeddedStore`](super::EmbeddedStore) works. [`new`](Self::new) has the defaults;
/// change the fields that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// The store's folder. Created when it does not exist.
    pub folder: PathBuf,
    /// Size of one volume file, the unit in which the store takes and gives back disk space. 64
    /// MiB; 16 KiB to 1 GiB.
    pub volume_bytes: u32,
    /// Whether a volume's space is reserved when the file is created, so that a full disk shows
    /// before an entry is begun. True.
    pub preallocate: bool,
    /// Batches start at multiples of this, so that no acknowledged sector is written a second
    /// time: a power of two, at least the disk's unit of atomic writes. 512; up to 4096.
    pub sector_bytes: u32,
    /// The largest entry, as the sum of its payloads. 4 MiB; at most a quarter of `volume_bytes`.
    pub max_entry_bytes: usize,
    /// At most so many bytes are written before one sync; whatever else waits goes with the next
    /// one. 4 MiB.
    pub max_batch_bytes: usize,
    /// At most so many payload bytes wait for the disk. Beyond it appends are refused with
    /// [`StoreError::Overloaded`](crate::StoreError::Overloaded): nothing of them is
    /// written, and a caller that waits for some of its earlier appends to finish finds room.
    /// 64 MiB.
    pub max_queued_bytes: usize,
    /// A log segment with so many payload bytes is completed, and the next append opens another. 1
    /// GiB.
    pub segment_bytes: u64,
    /// A log segment that was opened so long ago is completed by the next append, which opens
    /// another. 12 hours.
    pub segment_age: Duration,
    /// How many sealed volumes are kept open for readers. 64.
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
            max_entry_bytes: 4 << 20,
            max_batch_bytes: 4 << 20,
            max_queued_bytes: 64 << 20,
            segment_bytes: 1 << 30,
            segment_age: Duration::from_secs(12 * 3600),
            open_files: 64,
        }
    }

    /// The same with what is out of its bounds moved to the nearest bound, and the bounds related
    /// to each other.
    pub(super) fn normalised(mut self) -> Self {
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
