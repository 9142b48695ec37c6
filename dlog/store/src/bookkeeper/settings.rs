use core::time::Duration;

use distributedlog::settings::SettingsError;
use distributedlog::settings_table;
settings_table! {
    /// Settings of a [`BookKeeperStore`](super::BookKeeperStore); change single fields of the
    /// defaults. Those that decide about copies are written into each ledger, so that a change
    /// holds from the next log segment on.
    #[derive(Clone, Debug)]
    pub struct BookKeeperSettings { pub }
    make rows (pub const ROWS of BookKeeperSettings);
    make defaults (fn defaults());
    make checks (fn check_rows);
    make named (BookKeeperSettings in ());

    /// Number of bookies over which the entries of a log segment are spread.
    ensemble_size: usize, default (3), valid (count 1 to 64);
    /// Number of bookies that store each entry.
    write_quorum: usize, default (3), valid (count 1 to the ensemble_size);
    /// Number of bookies that must have stored an entry before it is acknowledged. With fewer of
    /// them left, nothing can be written.
    ack_quorum: usize, default (2), valid (count 1 to the write_quorum);
    /// Compresses the records of each entry with LZ4.
    compress_entries: bool, default (off), valid (switch on or off);
    /// Bytes at which a log segment is completed and the next one started.
    segment_bytes: u64, default (2 GiB), valid (bytes 1 B to 1 TiB);
    /// Age at which a log segment is completed and the next one started.
    segment_age: Duration, default (2 h), valid (time 1 s to 8760 h);
    /// Age at which a completed log segment is deleted. `None`: it stays until it is truncated.
    retention: Option<Duration>, default (none), valid (time none or 1 s to 876000 h);
    /// Number of entries in flight from which on appends are gathered into common entries: fewer
    /// entries cost the bookies less, more of them wait less for each other.
    pipeline: usize, default (4), valid (count 1 to 1024);
    /// Bytes of gathered appends that are sent whatever is in flight.
    entry_bytes: usize, default (128 KiB), valid (bytes 1 B to 1 MiB);
    /// Time without an entry in flight after which a control record is written, so that readers of
    /// other processes see the last entry.
    control_delay: Duration, default (2 ms), valid (time 0 ns to 1 min);
    /// Maximum bytes of appends of one stream that no entry has taken yet. Beyond it appends are
    /// refused: nothing of them is written.
    max_queued_bytes: usize, default (16 MiB), valid (bytes 1 MiB to 1 GiB);
    /// Maximum bytes that readers read ahead of one stream's position.
    read_ahead_bytes: usize, default (4 MiB), valid (bytes 1 B to 1 GiB);
    /// Time after which an append without an outcome is reported as unknown, or as not written if
    /// nothing of it was sent. After three quarters of it the log segment is ended, which decides
    /// the outcome, unless ZooKeeper cannot be reached.
    append_timeout: Duration, default (10 s), valid (time 100 ms to 10 min);
    /// Session timeout to ask ZooKeeper for. Streams of a proxy that dies move after it.
    session_timeout: Duration, default (10 s), valid (time 1 s to 1 h);
    /// Time after which a bookie that does not acknowledge an entry counts as failed, if another
    /// can take its place or enough are left without it.
    add_timeout: Duration, default (2 s), valid (time 10 ms to 10 min);
    /// Time after which a bookie that does not return an entry counts as failed.
    read_timeout: Duration, default (5 s), valid (time 10 ms to 10 min);
}

impl Default for BookKeeperSettings {
    fn default() -> Self {
        Self::defaults()
    }
}

impl BookKeeperSettings {
    /// Checks the settings against their ranges and against each other.
    ///
    /// # Errors
    ///
    /// The first setting that is outside its range.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.check_rows()?;
        let count = |setting, value: usize, max: usize| {
            SettingsError::check_count(setting, value as u64, 1, max as u64)
        };
        count("write_quorum", self.write_quorum, self.ensemble_size)?;
        count("ack_quorum", self.ack_quorum, self.write_quorum)
    }

    /// Returns the retention in milliseconds.
    pub(super) fn retention_ms(&self) -> Option<i64> {
        let age = self.retention?;
        Some(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
    }
}
