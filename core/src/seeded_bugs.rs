//! Deliberate bugs, which the simulation of the whole system must find. This module and all code
//! that uses it exist only in a build with `--cfg seeded_bugs`; no other build contains any of it.
//!
//! Each is a typical mistake: a missing step, two steps in the wrong order, a forgotten state. At
//! most one is active at a time.

/// Defines the seeded bugs of a crate: an enumeration `Bug`, and the functions that activate one.
#[macro_export]
macro_rules! seeded_bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal;)*) => {
        static ACTIVE: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

        /// A bug that can be activated.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Bug { #[doc(hidden)] None, $($(#[doc = $doc])+ $bug,)* }

        impl Bug {
            /// All bugs.
            pub const ALL: &'static [Self] = &[$(Self::$bug),*];

            /// Returns the name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { Self::None => "none", $(Self::$bug => $name,)* }
            }

            /// Returns a description of the bug.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { Self::None => "", $(Self::$bug => concat!($($doc),+),)* }
            }
        }

        /// Activates a bug, and deactivates all others.
        pub fn switch_on(bug: Bug) {
            ACTIVE.store(bug as u8, core::sync::atomic::Ordering::Relaxed);
        }

        /// Returns `true` if the bug is active.
        #[must_use]
        pub fn is_on(bug: Bug) -> bool {
            ACTIVE.load(core::sync::atomic::Ordering::Relaxed) == bug as u8
        }
    };
}

crate::seeded_bugs! {
    /// The store acknowledges a batch before it is synced.
    AckBeforeSync = "ack-before-sync";
    /// The store's recovery treats the last whole batch of a volume as one that was cut short.
    RecoveryCutsOneMore = "recovery-cuts-one-more";
    /// The proxy answers an append that failed in the middle as if nothing was written.
    FailedSyncIsNotWritten = "failed-sync-is-not-written";
    /// The store's client reports appends that were outstanding on a lost connection as never sent.
    LostAppendIsUnsent = "lost-append-is-unsent";
    /// The client reuses a tag as soon as its request is discarded, although the proxy may still
    /// answer it.
    TagReusedAtOnce = "tag-reused-at-once";
    /// The writer ignores outstanding attempts when it reports what is known of a failed record.
    OutstandingForgotten = "outstanding-forgotten";
    /// The writer attributes a late answer to the set that uses the slot now.
    LateAnswerTaken = "late-answer-taken";
    /// The writer's retries after failures take no token of the budget.
    RetriesAreFree = "retries-are-free";
    /// The rotation continues behind the stream whose turn it was, not behind the one where the set
    /// started.
    TurnNotTaken = "turn-not-taken";
    /// The rotation passes a stream when one before it is removed.
    TurnOfTheRemoved = "turn-of-the-removed";
    /// A stream loses its turn to a less loaded one any number of times in a row.
    PassedWithoutEnd = "passed-without-end";
    /// A set waits for silent streams without a limit.
    SilenceWithoutEnd = "silence-without-end";
    /// Sets are hedged to the failure domains where they wait before all others.
    SameDomainFirst = "same-domain-first";
    /// Sets of records that keep their order start at each stream in turn.
    HomeLeft = "home-left";
    /// Several sets of records that keep their order are in flight.
    SetsOvertake = "sets-overtake";
    /// A stream that keeps records in order and is overtaken by a hedge has its turn again at once.
    BackAndForth = "back-and-forth";
    /// The writer ignores records' deadlines while their set waits to be hedged or retried.
    DeadlineForgotten = "deadline-forgotten";
    /// A merged reader's position follows what it has read, not what it has delivered.
    PositionTooEarly = "position-too-early";
    /// A reader continues at its position in a stream that was deleted and created again.
    AnotherLifeIsRead = "another-life-is-read";
}
