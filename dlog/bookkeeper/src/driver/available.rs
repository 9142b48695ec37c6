//! Bookies that are there, and which of them to choose.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::bookies::BookieSet;
use super::clock::Clock;
use super::latest::Latest;
use crate::ledger::{BookieFailure, Placement};
use crate::metadata::BookieId;

/// Chooses among the bookies that are registered.
pub(super) struct Available {
    clock: Clock,
    bookies: watch::Receiver<Arc<BookieSet>>,
    /// The same bookies, for those that wait for a change.
    changes: Arc<Latest<Arc<BookieSet>>>,
    state: Mutex<State>,
}

struct State {
    placement: Placement,
    /// The set that the placement has.
    bookies: Arc<BookieSet>,
}

impl Available {
    pub(super) fn new(clock: Clock, seed: u64, bookies: watch::Receiver<Arc<BookieSet>>) -> Self {
        let known = Arc::clone(&bookies.borrow());
        Self {
            clock,
            changes: Arc::new(Latest::new(known)),
            bookies,
            state: Mutex::new(State {
                placement: Placement::new(seed),
                bookies: Arc::default(),
            }),
        }
    }

    /// Returns the bookies that may join an ensemble, best first: shuffled, those that failed
    /// lately last.
    pub(super) fn candidates(&self) -> Vec<BookieId> {
        let now = self.clock.now();
        self.lock().placement.candidates(now)
    }

    /// Leaves a bookie out of new choices for a while.
    pub(super) fn failed(&self, bookie: &BookieId, failure: BookieFailure) {
        let now = self.clock.now();
        self.lock().placement.handle_failure(now, bookie, failure);
    }

    /// Returns the bookies as they come and go, where [`forward`](Self::forward) runs.
    pub(super) fn changes(&self) -> &Arc<Latest<Arc<BookieSet>>> {
        &self.changes
    }

    /// Returns what passes changes on to those that wait for them, until no one publishes them.
    pub(super) fn forward(&self) -> impl Future<Output = ()> + Send + 'static {
        let (mut bookies, changes) = (self.bookies.clone(), Arc::clone(&self.changes));
        async move {
            while bookies.changed().await.is_ok() {
                let known = Arc::clone(&bookies.borrow_and_update());
                changes.set(known);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bookies = self.bookies.borrow();
        if !Arc::ptr_eq(&state.bookies, &bookies) {
            state.bookies = Arc::clone(&bookies);
            state
                .placement
                .handle_bookies(&bookies.writable, &bookies.read_only);
        }
        drop(bookies);
        state
    }
}
