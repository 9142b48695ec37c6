//! Bugs that are in the code on purpose, to see whether the simulation of the whole system finds
//! them. This module and everything that asks it exist only in a build with `--cfg seeded_bugs`; any
//! other build contains nothing of them.
//!
//! Each is a bug that people make: a step left out, two things in the wrong order, a state
//! forgotten. One at a time is switched on.

use core::sync::atomic::{AtomicU8, Ordering};

static ACTIVE: AtomicU8 = AtomicU8::new(0);

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal;)*) => {
        /// A bug that can be switched on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Bug { #[doc(hidden)] None, $($(#[doc = $doc])+ $bug,)* }

        impl Bug {
            /// All bugs.
            pub const ALL: &'static [Self] = &[$(Self::$bug),*];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { Self::None => "none", $(Self::$bug => $name,)* }
            }

            /// What it does.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { Self::None => "", $(Self::$bug => concat!($($doc),+),)* }
            }
        }
    };
}

bugs! {
    /// The store acknowledges a batch before it is synced.
    AckBeforeSync = "ack-before-sync";
    /// The store's recovery takes the last whole batch of a volume for one that was cut short.
    RecoveryCutsOneMore = "recovery-cuts-one-more";
    /// The proxy answers an append that failed in the middle as one of which nothing was written.
    FailedSyncIsNotWritten = "failed-sync-is-not-written";
    /// The store's client says of appends that were under way on a lost connection that they were
    /// never sent.
    LostAppendIsUnsent = "lost-append-is-unsent";
    /// The client uses a tag again as soon as its request is discarded, although the proxy may
    /// still answer it.
    TagReusedAtOnce = "tag-reused-at-once";
    /// The writer forgets the attempts that are still under way when it says what is known of a
    /// failed record.
    OutstandingForgotten = "outstanding-forgotten";
    /// The writer takes a late answer for that of the set which has the slot now.
    LateAnswerTaken = "late-answer-taken";
    /// The writer's retries after failures cost nothing of the budget.
    RetriesAreFree = "retries-are-free";
    /// The rotation goes on behind the stream whose turn it was, not behind the one where the set
    /// started.
    TurnNotTaken = "turn-not-taken";
    /// While a set waits to be hedged or retried, its records' deadlines are not watched.
    DeadlineForgotten = "deadline-forgotten";
    /// A merged reader's position is behind what it has read, not behind what it has delivered.
    PositionTooEarly = "position-too-early";
    /// A reader goes on at its position in a stream that was deleted and created anew.
    AnotherLifeIsRead = "another-life-is-read";
}

/// Switches a bug on, and all others off.
pub fn switch_on(bug: Bug) {
    ACTIVE.store(bug as u8, Ordering::Relaxed);
}

/// Whether the bug is switched on.
#[must_use]
pub fn is_on(bug: Bug) -> bool {
    ACTIVE.load(Ordering::Relaxed) == bug as u8
}
