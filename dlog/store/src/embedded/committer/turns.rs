//! The threads that commit, one at a time: the store's own, and callers' in a calm.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Instant;

use tokio::runtime::{Handle, RuntimeFlavor};

use super::super::job::Job;
use super::super::queue::TurnReport;
use super::super::request::CommitRequest;
use super::super::shared::Shared;
use super::Committer;

/// Serves requests until the store is closed: the work of its own thread.
pub(in crate::embedded) fn commit_until_closed(shared: &Shared) {
    while let Some(committer) = shared.queue.wait_for_turn() {
        take_turn(shared, committer);
    }
}

/// Commits the append that the store left to a caller, if one is: on this thread if it may wait,
/// which saves it two changes of threads, on the store's own otherwise.
pub(in crate::embedded) fn flush(shared: &Shared, may_wait: bool) {
    let Some(committer) = shared.queue.take_held(may_wait && may_wait_here()) else {
        return;
    };
    // A bug in it is not one of the caller, whose append is answered. It was reported by the hook.
    let turn = catch_unwind(AssertUnwindSafe(|| take_turn(shared, committer)));
    drop(turn);
}

/// Returns true if this thread may wait for the disk: it is one of a runtime that has others, or of
/// none.
pub(in crate::embedded) fn may_wait_here() -> bool {
    Handle::try_current().map_or(true, |runtime| {
        runtime.runtime_flavor() == RuntimeFlavor::MultiThread
            && runtime.metrics().num_workers() > 1
    })
}

fn take_turn(shared: &Shared, mut committer: Box<Committer>) {
    let _guard = PanicGuard(shared);
    let began = Instant::now();
    let was_single = matches!(committer.requests[..], [CommitRequest::Append { .. }]);
    committer.commit();
    let turn = TurnReport {
        took: began.elapsed(),
        was_single,
        has_ended: committer.closing,
    };
    shared.queue.end_turn(committer, &turn);
}

/// Ends the store if the committer panics, so that no caller waits forever. Dropping the requests
/// that wait, and those that the committer had taken, answers them.
struct PanicGuard<'a>(&'a Shared);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.0.queue.end());
            self.0.send_job(Job::Stop);
        }
    }
}
