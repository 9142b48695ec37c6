//! Bookies in memory, which crash, stall and fill up on purpose.
//!
//! [`ModelBookies`] connects the client of `distributedlog-bookkeeper` with them: requests and
//! responses pass as the frames of the real protocol, over streams that take tokio's time.

mod bookie;
mod cluster;
mod serve;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use distributedlog_bookkeeper::driver::{Connect, ConnectFuture, Stream};
use distributedlog_bookkeeper::metadata::BookieId;
use distributedlog_bookkeeper::{EntryId, LedgerId};
use tokio::io::duplex;

use crate::Random;
use bookie::Bookie;
pub use cluster::{ModelCluster, ROOT};
use distributedlog_bookkeeper::driver::Latest;

/// Bytes on the way in one direction of a connection.
const STREAM_BYTES: usize = 64 * 1024;

/// Behaviour of a bookie towards requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BookieMode {
    /// It answers.
    #[default]
    Up,
    /// It takes requests and answers nothing, until it is up again.
    Silent,
    /// Its process is dead: connections end, and what was not synced is lost.
    Down,
}

/// Bookies of a cluster. Clones are the same bookies.
#[derive(Clone)]
pub struct ModelBookies(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Changes with each change of a mode.
    modes: Latest<u64>,
}

struct State {
    bookies: BTreeMap<BookieId, Bookie>,
    random: Random,
    /// Maximum time that a request takes to a bookie, and a response back.
    latency: Duration,
    /// Maximum time that a journal takes to sync.
    sync: Duration,
}

impl ModelBookies {
    /// Creates `count` bookies, `127.0.0.1:3181` and on.
    #[must_use]
    pub fn new(seed: u64, count: u16) -> Self {
        let bookies = (0..count)
            .map(|index| {
                (
                    BookieId::new(format!("127.0.0.1:{}", 3181 + index)),
                    Bookie::default(),
                )
            })
            .collect();
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                bookies,
                random: Random::new(seed),
                latency: Duration::from_millis(1),
                sync: Duration::from_millis(3),
            }),
            modes: Latest::new(0),
        }))
    }

    /// Sets the maximum times of the network in one direction, and of a sync.
    pub fn set_times(&self, latency: Duration, sync: Duration) {
        let mut state = self.lock();
        (state.latency, state.sync) = (latency, sync);
    }

    /// Returns the bookies' ids in order.
    #[must_use]
    pub fn ids(&self) -> Vec<BookieId> {
        self.lock().bookies.keys().cloned().collect()
    }

    /// Changes what a bookie does with requests.
    ///
    /// # Panics
    /// If there is no such bookie.
    pub fn set_mode(&self, bookie: &BookieId, mode: BookieMode) {
        let mut state = self.lock();
        let State {
            bookies, random, ..
        } = &mut *state;
        let bookie = bookies.get_mut(bookie).expect("a bookie of the cluster");
        bookie.set_mode(mode, random);
        drop(state);
        self.0.modes.set(self.0.modes.get() + 1);
    }

    /// Makes a bookie refuse new entries, or take them again.
    ///
    /// # Panics
    /// If there is no such bookie.
    pub fn set_read_only(&self, bookie: &BookieId, is_read_only: bool) {
        let mut state = self.lock();
        let bookie = state.bookies.get_mut(bookie);
        bookie.expect("a bookie of the cluster").is_read_only = is_read_only;
    }

    /// Takes everything from a bookie's disk, as when the disk is replaced.
    ///
    /// # Panics
    /// If there is no such bookie.
    pub fn wipe(&self, bookie: &BookieId) {
        let mut state = self.lock();
        let bookie = state.bookies.get_mut(bookie);
        bookie.expect("a bookie of the cluster").wipe();
    }

    /// Returns the bodies of an entry that are durable, by bookie.
    #[must_use]
    pub fn copies(&self, ledger: LedgerId, entry: EntryId) -> BTreeMap<BookieId, Bytes> {
        let state = self.lock();
        let found = state.bookies.iter().filter_map(|(id, bookie)| {
            let body = bookie.durable(ledger, entry)?;
            Some((id.clone(), body.clone()))
        });
        found.collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0
            .state
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

impl Connect for ModelBookies {
    fn connect<'a>(&'a self, bookie: &'a BookieId) -> ConnectFuture<'a> {
        Box::pin(async move {
            let mode = self.lock().bookies.get(bookie).map(Bookie::mode);
            match mode {
                None | Some(BookieMode::Down) => Err(io::ErrorKind::ConnectionRefused.into()),
                // A stopped process accepts connections: the system does.
                Some(BookieMode::Up | BookieMode::Silent) => {
                    let (stream, end) = duplex(STREAM_BYTES);
                    tokio::spawn(serve::serve(self.clone(), bookie.clone(), end));
                    let stream: Box<dyn Stream> = Box::new(stream);
                    Ok(stream)
                }
            }
        })
    }
}

impl fmt::Debug for ModelBookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelBookies").finish_non_exhaustive()
    }
}
