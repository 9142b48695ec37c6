//! Deliberate bugs, which the crash model of the store in a folder must find. This module and all
//! code that uses it exist only in a build with `--cfg seeded_bugs`; no other build contains any of
//! it.

distributedlog::seeded_bugs! {
    /// Readers follow a copy of compaction before it is synced.
    CopyIsReadTooEarly = "copy-is-read-too-early";
    /// The index of a volume has no copies, only what was appended there.
    IndexWithoutCopies = "index-without-copies";
    /// A recovery that replays the journal ignores copies.
    ReplayIgnoresCopies = "replay-ignores-copies";
    /// Copies in the journal's last batch are not read from that batch's copy in the next volume.
    TailCopiesStay = "tail-copies-stay";
    /// Volumes are removed before the name of the snapshot that replaces them is durable.
    SnapshotNameNotSynced = "snapshot-name-not-synced";
    /// Volumes are removed because of the journal's last batch, which may not be durable.
    RemovesBeforeTailIsDurable = "removes-before-tail-is-durable";
    /// A process does not notice that its lock file was removed.
    LockIsNotChecked = "lock-is-not-checked";
    /// What is behind damage in a batch is given up.
    SalvageStopsAtDamage = "salvage-stops-at-damage";
    /// A repair leaves the last of the entries that are lost as it is.
    RepairForgetsAnEntry = "repair-forgets-an-entry";
    /// What a process finds when it starts is built on before its name is durable.
    FoundNameNotSynced = "found-name-not-synced";
    /// A backup's volumes get durable names in any order.
    BackupNamesInAnyOrder = "backup-names-in-any-order";
}
