//! Deliberate bugs, which the simulation of streams on BookKeeper must find. This module and all
//! code that uses it exist only in a build with `--cfg seeded_bugs`; no other build contains any of
//! it.

distributedlog::seeded_bugs! {
    /// An append whose time is over is reported as not written, though its entry was sent.
    TimeoutIsNotWritten = "timeout-is-not-written";
    /// Appends in flight are refused as not written when the lease ends.
    FenceForgetsInFlight = "fence-forgets-in-flight";
    /// An acquisition does not complete the segments that an earlier owner left.
    AcquisitionDoesNotRecover = "acquisition-does-not-recover";
    /// A segment is completed with what its writer sent, whoever closed the ledger.
    CompletionByWriter = "completion-by-writer";
    /// A release keeps the write lock.
    ReleaseKeepsLock = "release-keeps-lock";
    /// No control record follows the last entry.
    NoControlRecord = "no-control-record";
    /// What the old segment has not sent when the next one starts goes behind the next one's.
    RollLosesOrder = "roll-loses-order";
    /// A segment is followed by another before it has a confirmed entry.
    RollsTooEarly = "rolls-too-early";
    /// A truncation takes the whole segment that holds the position.
    TruncatesWholeSegment = "truncates-whole-segment";
    /// Appends that wait for a segment have no time of their own.
    WaitingHasNoTime = "waiting-has-no-time";
    /// Each append of an entry counts as one slot, also a record set.
    SetsTakeOneSlot = "sets-take-one-slot";
    /// Readers of the writer's process see entries that are sent and not confirmed.
    ReadsUnconfirmed = "reads-unconfirmed";
    /// A read goes on in the next segment when what was read ahead ends.
    ReadAheadIsAll = "read-ahead-is-all";
    /// Readers do not learn that segments have changed.
    NewsAreMissed = "news-are-missed";
    /// The ledger that an earlier owner allocated and did not use is left.
    AllocationLeaks = "allocation-leaks";
    /// A ledger is deleted before the node of its segment.
    LedgerGoesFirst = "ledger-goes-first";
    /// Retention lets every completed segment but the newest go, however young it is.
    RetentionIgnoresAge = "retention-ignores-age";
    /// What is truncated or expired is not deleted.
    NothingExpires = "nothing-expires";
}
