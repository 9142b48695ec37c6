//! File descriptors: what the process needs for itself is reserved, and connections share the rest.

use core::fmt;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Descriptors of a process besides its connections and its store: standard streams, the runtime's,
/// listeners, one connection of each that is being accepted, certificates, the name service.
const OWN_DESCRIPTORS: usize = 32;

/// Connections of the stats port, which has room of its own: metrics and health are looked at when
/// clients have taken all other room.
pub const STATS_CONNECTIONS: usize = 32;

/// Descriptors of a client of a store: its connections, to each bookie and to ZooKeeper if the
/// store is on BookKeeper, and those that replace them.
pub const CLIENT_DESCRIPTORS: usize = 96;

/// Fewest connections for which a server starts.
const MIN_CONNECTIONS: usize = 16;

/// Descriptors that the connections of a process share: those of all of its ports take from it.
/// Clones share it too.
#[derive(Clone, Debug)]
pub struct DescriptorBudget {
    room: Arc<Semaphore>,
    limit: Option<u64>,
    connections: usize,
}

/// Room for one connection. Dropping it gives it back.
#[derive(Debug)]
pub struct DescriptorPermit(
    #[expect(dead_code, reason = "held for its Drop")] OwnedSemaphorePermit,
);

/// The limit of open files is too low to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewDescriptors {
    /// The process's limit.
    pub limit: u64,
    /// Number of descriptors that the process and its store need.
    pub reserved: usize,
}

impl TooFewDescriptors {
    /// Returns the lowest limit with which the server starts.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.reserved + MIN_CONNECTIONS
    }
}

impl fmt::Display for TooFewDescriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the limit of open files is {}, and at least {} are needed: {} for the process and its \
             store, and {MIN_CONNECTIONS} for connections",
            self.limit,
            self.needed(),
            self.reserved
        )
    }
}

impl core::error::Error for TooFewDescriptors {}

impl DescriptorBudget {
    /// Returns a budget without a limit, for servers whose limits of connections are low enough.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::of(None, Semaphore::MAX_PERMITS)
    }

    /// Raises the process's limit of open files to its hard limit, and returns a budget of what is
    /// left when `store` descriptors are reserved for the store, and more for the process itself.
    /// Logs both numbers.
    ///
    /// # Errors
    ///
    /// The limit is too low.
    pub fn of_process(store: usize) -> Result<Self, TooFewDescriptors> {
        raise_open_files();
        let reserved = OWN_DESCRIPTORS + STATS_CONNECTIONS + store;
        let Some(limit) = getrlimit(Resource::Nofile).current else {
            return Ok(Self::unlimited());
        };
        let budget = Self::with_limit(limit, reserved)?;
        tracing::info!(
            limit,
            reserved,
            connections = budget.connections,
            "open files: some are reserved for the store, the rest is for connections"
        );
        Ok(budget)
    }

    fn with_limit(limit: u64, reserved: usize) -> Result<Self, TooFewDescriptors> {
        let left = limit.saturating_sub(reserved as u64);
        if left < MIN_CONNECTIONS as u64 {
            return Err(TooFewDescriptors { limit, reserved });
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        Ok(Self::of(Some(limit), left.min(Semaphore::MAX_PERMITS)))
    }

    fn of(limit: Option<u64>, connections: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(connections)),
            limit,
            connections,
        }
    }

    /// Takes the room of one connection, or returns `None` if there is none left.
    #[must_use]
    pub fn try_take(&self) -> Option<DescriptorPermit> {
        let permit = Arc::clone(&self.room).try_acquire_owned().ok();
        permit.map(DescriptorPermit)
    }

    /// Returns the number of connections that there is room for, taken or not. `None`: no limit.
    #[must_use]
    pub const fn connections(&self) -> Option<usize> {
        match self.limit {
            Some(_) => Some(self.connections),
            None => None,
        }
    }
}

/// Raises the process's limit of open files and connections to its hard limit. The usual soft limit
/// of 1,024 is for programs that use `select`, which this one does not. A failure is logged.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    match raised {
        Ok(()) => tracing::debug!(
            from = limit.current,
            to = limit.maximum,
            "raised the limit of open files"
        ),
        Err(error) => tracing::warn!(
            "the limit of open files stays at {:?}: {error}",
            limit.current
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_have_what_is_left_of_the_limit() {
        let budget = DescriptorBudget::with_limit(120, 100).expect("twenty are left");
        assert_eq!(budget.connections(), Some(20));
        let mut taken: Vec<_> = core::iter::from_fn(|| budget.clone().try_take()).collect();
        assert_eq!(taken.len(), 20);
        taken.pop();
        assert!(budget.try_take().is_some(), "one was given back");
    }

    #[test]
    fn a_limit_that_is_too_low_is_refused_with_the_numbers() {
        let error = DescriptorBudget::with_limit(64, 100).expect_err("too low");
        assert_eq!(
            error.to_string(),
            "the limit of open files is 64, and at least 116 are needed: 100 for the process and \
             its store, and 16 for connections"
        );
        DescriptorBudget::with_limit(116, 100).expect("just enough");
    }
}
