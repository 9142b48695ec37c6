//! Deliberate bugs, which the simulation of ledgers must find. This module and all code that uses
//! it exist only in a build with `--cfg seeded_bugs`; no other build contains any of it.

distributedlog::seeded_bugs! {
    /// The writer confirms an entry with one copy less than the ack quorum.
    ConfirmsTooEarly = "confirms-too-early";
    /// The writer confirms entries whose predecessors are not confirmed.
    ConfirmsPastHole = "confirms-past-hole";
    /// The writer confirms entries while a change of the ensemble is not stored.
    ConfirmsWhileChanging = "confirms-while-changing";
    /// A change of the ensemble that failed is used as if it were stored.
    ChangeIsLocal = "change-is-local";
    /// The writer counts acknowledgements of bookies that were replaced.
    ReplacedBookieCounts = "replaced-bookie-counts";
    /// A new ensemble begins behind the last entry that was appended, not the last confirmed.
    ChangeStartsTooLate = "change-starts-too-late";
    /// The writer closes the ledger behind entries that are not confirmed.
    CloseClaimsTooMuch = "close-claims-too-much";
    /// The header of an entry names the entry before it as confirmed though it is not.
    HeaderConfirmsTooMuch = "header-confirms-too-much";
    /// A change of the node is repeated with the new version without looking at what is stored.
    ChangeRepeatedBlindly = "change-repeated-blindly";
    /// A change whose reply was lost is reported as made.
    LostReplyIsSuccess = "lost-reply-is-success";
    /// A recovery reads without fencing.
    RecoveryDoesNotFence = "recovery-does-not-fence";
    /// A recovery does not mark the ledger before it fences.
    RecoveryDoesNotMark = "recovery-does-not-mark";
    /// A recovery takes silence for the absence of an entry.
    SilenceIsAbsence = "silence-is-absence";
    /// A recovery ends the ledger at the first bookie that does not have an entry.
    OneAbsenceIsEnd = "one-absence-is-end";
    /// A recovery does not write back what it finds.
    NoWriteBack = "no-write-back";
    /// A recovery closes over the end that another client stored.
    RecoveryOverwritesEnd = "recovery-overwrites-end";
}
