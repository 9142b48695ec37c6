//! Plays code once for each of its requests and each way to lose it.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use distributedlog_bookkeeper::zookeeper::{Access, CreateMode, Op};
use distributedlog_testkit::Executor;
use distributedlog_testkit::zookeeper::{Delivery, Ensemble, ModelSession};

/// Session timeout of the tests.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// An ensemble with one session, and an executor under its clock.
pub(crate) struct Setup {
    pub(crate) ensemble: Ensemble,
    pub(crate) session: ModelSession,
    pub(crate) executor: Executor,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let ensemble = Ensemble::new();
        let executor = Executor::new(1);
        let session = ensemble.session(executor.clock(), TIMEOUT);
        Self {
            ensemble,
            session,
            executor,
        }
    }

    /// Creates a node from outside.
    pub(crate) fn put(&self, path: &str, data: &[u8]) {
        self.ensemble.apply(&[Op::Create {
            path: path.to_owned(),
            data: data.to_vec(),
            mode: CreateMode::Persistent,
            access: Access::Anyone,
        }]);
    }

    /// Children of a node, by their names.
    pub(crate) fn children(&self, path: &str) -> Vec<String> {
        let nodes = self.ensemble.nodes();
        let below = format!("{path}/");
        let names = nodes.keys().filter_map(|it| it.strip_prefix(&below));
        names
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect()
    }
}

/// Replies that are lost; the session goes on.
pub(crate) const LOSSES: [Delivery; 3] =
    [Delivery::Lost, Delivery::LostReply, Delivery::LostDelayed];

/// Plays once for each of its requests, which is delivered so, until there are no more. Returns the
/// number of plays.
pub(crate) fn with_each_request(delivery: Delivery, mut play: impl FnMut(Setup)) -> usize {
    // Bounded: no test has as many requests.
    for nth in 0..1000 {
        let setup = Setup::new();
        let was_hit = Arc::new(AtomicBool::new(false));
        let hit = Arc::clone(&was_hit);
        let mut seen = 0;
        setup.ensemble.deliver_by(move |_| {
            seen += 1;
            if seen != nth + 1 {
                return Delivery::Answered;
            }
            hit.store(true, Ordering::Relaxed);
            delivery
        });
        play(setup);
        if !was_hit.load(Ordering::Relaxed) {
            return nth;
        }
    }
    panic!("the play has more than 1000 requests");
}
