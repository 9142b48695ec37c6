//! Settings of a cluster that is to be started.

use std::collections::BTreeMap;

use super::Cluster;
use crate::java::Version;

/// ZooKeeper's tick in milliseconds: sessions may be as short as one.
pub(super) const TICK_MS: &str = "500";

/// A cluster that is not started yet.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClusterBuilder {
    pub(super) version: Version,
    pub(super) bookies: usize,
    pub(super) relayed: bool,
    pub(super) measured: bool,
    /// Size in MiB of each bookie's own disk for ledgers, by its index.
    pub(super) small_disks: BTreeMap<usize, u32>,
    /// Settings of all bookies.
    pub(super) settings: BTreeMap<String, String>,
}

impl ClusterBuilder {
    pub(super) fn new(version: Version) -> Self {
        let settings = [
            ("httpServerEnabled", "false"),
            ("allowLoopback", "true"),
            ("advertisedAddress", "127.0.0.1"),
            // A killed bookie's registration goes when its session does, and its next life waits
            // for that.
            ("zkTimeout", "5000"),
            // Never while a test runs: the clients' ledgers are not in a relayed bookie's root.
            ("gcWaitTime", "86400000"),
            ("minorCompactionInterval", "0"),
            ("majorCompactionInterval", "0"),
            // Other people's files fill the disks of test machines too.
            ("diskUsageThreshold", "0.999"),
            ("diskUsageWarnThreshold", "0.99"),
            ("readOnlyModeEnabled", "true"),
            ("journalPreAllocSizeMB", "1"),
            ("openFileLimit", "200"),
            ("numAddWorkerThreads", "1"),
            ("numReadWorkerThreads", "2"),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self {
            version,
            bookies: 3,
            relayed: false,
            measured: false,
            small_disks: BTreeMap::new(),
            settings: settings.into(),
        }
    }

    /// Sets the number of bookies. Default: 3.
    pub const fn bookies(mut self, bookies: usize) -> Self {
        self.bookies = bookies;
        self
    }

    /// Puts a relay before each bookie, and registers the relays in place of the bookies. Default:
    /// none.
    pub const fn relays(mut self, relayed: bool) -> Self {
        self.relayed = relayed;
        self
    }

    /// Starts bookies whose speed counts: they compile as in production, and start slower.
    pub const fn measured(mut self) -> Self {
        self.measured = true;
        self
    }

    /// Gives a bookie a disk of its own of this size in MiB for its ledgers, which a test can fill.
    pub fn small_disk(mut self, bookie: usize, mebibytes: u32) -> Self {
        self.small_disks.insert(bookie, mebibytes);
        self
    }

    /// Sets a property of all bookies.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Starts the cluster, and waits until all bookies are registered and serve.
    ///
    /// # Panics
    /// A server does not start.
    pub async fn start(self) -> Cluster {
        Cluster::begin(self).await
    }
}
