//! The threads that commit, one at a time: the store's own, and callers' while nothing else is
//! under way.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use tokio::runtime::{Handle, RuntimeFlavor};

use super::super::job::Job;
use super::super::request::CommitRequest;
use super::super::shared::{Shared, lock};
use super::Committer;

/// The committer, and the threads that take turns at it.
///
/// The invariant: at most one thread has a turn, which begins when it takes all requests of the
/// queue and ends when they are answered. So requests are committed in their order.
pub(in crate::embedded) struct CommitTurns {
    shared: Arc<Shared>,
    /// `None` once the store is closed, or a bug has ended it.
    committer: Mutex<Option<Committer>>,
}

impl CommitTurns {
    pub(in crate::embedded) fn new(shared: Arc<Shared>, committer: Committer) -> Self {
        Self {
            shared,
            committer: Mutex::new(Some(committer)),
        }
    }

    /// Serves requests until the store is closed: the work of the store's own thread.
    pub(in crate::embedded) fn run(&self) {
        let mut taken = Vec::new();
        while self.shared.wait_for_turn(&mut taken) {
            self.take_turn(&mut taken, true);
        }
    }

    /// Has the queued requests served: by this thread, if it may block and they are few appends
    /// that no other thread is at, by the store's own thread otherwise.
    ///
    /// A single append is so made durable without a change of threads. On a runtime with several
    /// threads, another one takes over what else this one would do until then. Where a sync may take
    /// long, as the last one did, the store's own thread waits for it.
    pub(in crate::embedded) fn flush(&self, may_block: bool) {
        let mut taken = Vec::new();
        if !self.shared.take_turn_or_notify(may_block, &mut taken) {
            return;
        }
        let mut has_begun = false;
        let mut turn = || {
            has_begun = true;
            self.take_turn(&mut taken, false);
        };
        // A bug in it is not one of the caller, whose appends are answered.
        let turned = catch_unwind(AssertUnwindSafe(|| match Handle::try_current() {
            Ok(_) => tokio::task::block_in_place(&mut turn),
            Err(_) => turn(),
        }));
        if turned.is_err() && !has_begun {
            // Where tokio lets nobody block, as in a `LocalSet`.
            self.take_turn(&mut taken, false);
        }
    }

    fn take_turn(&self, taken: &mut Vec<CommitRequest>, is_own: bool) {
        let _guard = PanicGuard(self);
        let mut committer = lock(&self.committer);
        let Some(present) = &mut *committer else {
            return taken.clear();
        };
        present.commit(taken);
        let (is_quick, has_ended) = (present.last_sync_was_quick, present.closing);
        if has_ended {
            *committer = None;
        }
        drop(committer);
        self.shared.end_turn(is_own, is_quick, has_ended);
    }
}

/// Returns true if this thread may wait for the disk: it is one of a runtime that has others, or of
/// none.
pub(in crate::embedded) fn may_block_here() -> bool {
    Handle::try_current().map_or(true, |runtime| {
        runtime.runtime_flavor() == RuntimeFlavor::MultiThread
    })
}

/// Ends the store if the committer panics, so that no caller waits forever. Dropping the requests
/// that wait, and those that the committer had taken, answers them.
struct PanicGuard<'a>(&'a CommitTurns);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let left = self.0.shared.end_queue();
        drop(left);
        let committer = lock(&self.0.committer).take();
        drop(committer);
        self.0.shared.send_job(Job::Stop);
    }
}
