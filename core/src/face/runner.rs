use super::Face;
use crate::{Shared, Transport};

/// Does the writer's work: starts attempts, hears answers, keeps the timers. The user spawns [`run`](Self::run) on a runtime.
///
/// Dropping it completes every unfinished write with [`Reason::Closed`](crate::writer::Reason::Closed) (R13).
#[derive(Debug)]
pub struct Runner<S: Shared<State: Face>, T: Transport> {
    state: S,
    transport: T,
}

impl<S: Shared<State: Face>, T: Transport> Runner<S, T> {
    pub(super) const fn new(state: S, transport: T) -> Self {
        Self { state, transport }
    }

    /// Runs until the writer is closed and all its records are completed, or until its last handle is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping it is as dropping the runner.
    pub async fn run(self) {
        let _ = (&self.state, &self.transport);
        todo!()
    }
}
