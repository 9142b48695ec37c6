//! Clusters of ZooKeeper and bookies, each a Java process of its own.

mod bookie;
mod settings;

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use distributedlog_tests::ports::ReservedPort;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::java::{self, Version};
use crate::peer::Peer;
use crate::relay::Relay;
use bookie::Bookie;

pub use settings::ClusterBuilder;

/// Root of the ledgers that clients know.
const CLIENTS_ROOT: &str = "/ledgers";

/// Root in which bookies register that have relays.
const BEHIND_RELAYS_ROOT: &str = "/bookies";

/// ZooKeeper and bookies. Dropping it kills them; when the test fails, the ends of their logs are
/// shown.
pub struct Cluster {
    version: Version,
    zookeeper_port: ReservedPort,
    zookeeper: Mutex<Peer>,
    bookies: Vec<Bookie>,
    relays: Vec<Relay>,
    started_in: Duration,
    folder: TempDir,
}

impl Cluster {
    /// Describes a cluster of three bookies of this version.
    pub fn builder(version: Version) -> ClusterBuilder {
        ClusterBuilder::new(version)
    }

    /// Starts three bookies of this version.
    pub async fn start(version: Version) -> Self {
        Self::builder(version).start().await
    }

    async fn begin(builder: ClusterBuilder) -> Self {
        let began = Instant::now();
        let folder = TempDir::new_in(java::data()).expect("the part has created its folder");
        let zookeeper_port = ReservedPort::new();
        let mut zookeeper = spawn_zookeeper(builder.version, &zookeeper_port, &folder);
        let root = if builder.relayed {
            BEHIND_RELAYS_ROOT
        } else {
            CLIENTS_ROOT
        };
        let servers = format!("127.0.0.1:{}", zookeeper_port.number());
        let mut bookies = Vec::new();
        let mut relays = Vec::new();
        for index in 0..builder.bookies {
            let mut bookie = Bookie::new(index, &builder, &servers, root, folder.path());
            // The virtual machines start while ZooKeeper does.
            bookie.spawn();
            if builder.relayed {
                relays.push(Relay::start(bookie.address()).await);
            }
            bookies.push(bookie);
        }
        zookeeper.until_ready().await;
        zookeeper
            .expect::<Value>(&format!("format {CLIENTS_ROOT}"))
            .await;
        if builder.relayed {
            zookeeper.expect::<Value>(&format!("format {root}")).await;
        }
        for bookie in &mut bookies {
            bookie.begin().await;
        }
        zookeeper.expect::<Value>("bind /messaging/dl").await;
        for bookie in &mut bookies {
            bookie.until_serving().await;
        }
        let cluster = Self {
            version: builder.version,
            zookeeper_port,
            zookeeper: Mutex::new(zookeeper),
            bookies,
            relays,
            started_in: began.elapsed(),
            folder,
        };
        cluster.mirror().await;
        cluster
    }

    /// Returns the cluster's version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns the time that the start took.
    #[must_use]
    pub const fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Returns ZooKeeper's address.
    #[must_use]
    pub fn zookeeper(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.zookeeper_port.number()))
    }

    /// Returns ZooKeeper's address as BookKeeper's clients take it.
    #[must_use]
    pub fn zk_servers(&self) -> String {
        self.zookeeper().to_string()
    }

    /// Returns the URI of the namespace that every cluster has.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.uri("/messaging/dl")
    }

    /// Returns the URI of the namespace at this path.
    #[must_use]
    pub fn uri(&self, path: &str) -> String {
        format!("distributedlog://{}{path}", self.zookeeper())
    }

    /// Binds another namespace. Returns its URI.
    pub async fn bind(&self, path: &str) -> String {
        self.zookeeper_command(&format!("bind {path}")).await;
        self.uri(path)
    }

    /// Returns the names of a znode's children, sorted.
    pub async fn children(&self, path: &str) -> Vec<String> {
        let lines = self.zookeeper_command(&format!("children {path}")).await;
        let names = lines.iter().filter_map(|line| line.get("child")?.as_str());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// Waits until a znode is there.
    pub async fn until_znode(&self, path: &str) {
        self.zookeeper_command(&format!("await {path}")).await;
    }

    /// Waits until a znode is gone.
    pub async fn until_no_znode(&self, path: &str) {
        self.zookeeper_command(&format!("await_gone {path}")).await;
    }

    /// Waits until a znode has no children: until no process holds the lock of a log, for example.
    pub async fn until_no_children(&self, path: &str) {
        self.zookeeper_command(&format!("await_empty {path}")).await;
    }

    /// Returns the number of bookies.
    #[must_use]
    pub const fn bookies(&self) -> usize {
        self.bookies.len()
    }

    /// Returns the address under which clients know a bookie: its relay's, if it has one.
    #[must_use]
    pub fn bookie(&self, index: usize) -> SocketAddr {
        match self.relays.get(index) {
            Some(relay) => relay.address(),
            None => self.at(index).address(),
        }
    }

    /// Returns the process id of a bookie that runs.
    #[must_use]
    pub fn bookie_process(&self, index: usize) -> Option<u32> {
        self.at(index).process()
    }

    /// Returns a bookie's relay.
    ///
    /// # Panics
    /// The cluster was started without relays.
    #[must_use]
    pub fn relay(&self, index: usize) -> &Relay {
        self.relays.get(index).expect("started with relays(true)")
    }

    /// Kills a bookie as `kill -9` does.
    pub async fn kill_bookie(&mut self, index: usize) {
        self.at_mut(index).kill().await;
    }

    /// Starts a bookie that was killed, on the same disk and port, and waits until it serves.
    pub async fn restart_bookie(&mut self, index: usize) {
        self.at_mut(index).start().await;
        self.until_writable(index).await;
    }

    /// Stops a bookie's process with `SIGSTOP`.
    pub fn pause_bookie(&self, index: usize) {
        self.at(index).signal(Signal::STOP);
    }

    /// Lets a stopped bookie go on, and waits until it is registered: its session may have expired.
    pub async fn resume_bookie(&self, index: usize) {
        self.at(index).signal(Signal::CONT);
        self.until_writable(index).await;
    }

    /// Restarts a bookie, on the same disk and port, such that it takes no entries.
    pub async fn make_read_only(&mut self, index: usize) {
        let bookie = self.at_mut(index);
        bookie.kill().await;
        bookie.set("forceReadOnlyBookie", "true");
        bookie.start().await;
        self.until_read_only(index).await;
    }

    /// Restarts a bookie that was made read-only such that it takes entries again.
    pub async fn make_writable(&mut self, index: usize) {
        let bookie = self.at_mut(index);
        bookie.kill().await;
        bookie.set("forceReadOnlyBookie", "false");
        bookie.start().await;
        self.until_writable(index).await;
    }

    /// Fills the disk of a bookie's ledgers, and waits until the bookie is read-only.
    ///
    /// # Panics
    /// The bookie has no [small disk](ClusterBuilder::small_disk).
    pub async fn fill_disk(&self, index: usize) {
        self.at(index).fill_disk();
        self.until_read_only(index).await;
    }

    /// Frees the disk that was filled, and waits until the bookie takes entries.
    pub async fn free_disk(&self, index: usize) {
        self.at(index).free_disk();
        self.until_writable(index).await;
    }

    /// Kills a bookie, and removes its journal, its ledgers and its cookie: started again, it is
    /// another bookie at the same address.
    pub async fn wipe_bookie(&mut self, index: usize) {
        let bookie = self.at_mut(index);
        bookie.kill().await;
        bookie.wipe();
        let cookie = self.at(index).znode("cookies");
        self.zookeeper_command(&format!("delete {cookie}")).await;
    }

    /// Waits until a bookie is registered as one that takes entries.
    pub async fn until_writable(&self, index: usize) {
        self.until_znode(&self.registration(index, "available"))
            .await;
    }

    /// Waits until a bookie is registered as one that takes no entries.
    pub async fn until_read_only(&self, index: usize) {
        self.until_znode(&self.registration(index, "available/readonly"))
            .await;
    }

    /// Waits until a bookie that was killed or paused has lost its registration.
    pub async fn until_unregistered(&self, index: usize) {
        self.until_no_znode(&self.registration(index, "available"))
            .await;
        self.until_no_znode(&self.registration(index, "available/readonly"))
            .await;
    }

    /// Stops ZooKeeper's process with `SIGSTOP`. Sessions whose timeout passes meanwhile expire
    /// when it goes on.
    pub async fn pause_zookeeper(&self) {
        self.zookeeper.lock().await.signal(Signal::STOP);
    }

    /// Lets ZooKeeper go on.
    pub async fn resume_zookeeper(&self) {
        self.zookeeper.lock().await.signal(Signal::CONT);
    }

    /// Kills ZooKeeper as `kill -9` does.
    pub async fn kill_zookeeper(&self) {
        self.zookeeper.lock().await.kill_9().await;
    }

    /// Starts ZooKeeper again, on the same disk and port.
    pub async fn restart_zookeeper(&self) {
        let mut zookeeper = self.zookeeper.lock().await;
        *zookeeper = spawn_zookeeper(self.version, &self.zookeeper_port, &self.folder);
        zookeeper.until_ready().await;
        drop(zookeeper);
        self.mirror().await;
    }

    /// Prints the ends of the servers' logs to standard error.
    pub fn print_logs(&self) {
        if let Ok(zookeeper) = self.zookeeper.try_lock() {
            zookeeper.print_log();
        }
        for bookie in &self.bookies {
            bookie.print_log();
        }
    }

    /// Path of a bookie's registration as clients see it.
    fn registration(&self, index: usize, folder: &str) -> String {
        format!("{CLIENTS_ROOT}/{folder}/{}", self.bookie(index))
    }

    /// Registers the relays of the bookies that are registered, from now on.
    async fn mirror(&self) {
        if self.relays.is_empty() {
            return;
        }
        let pairs = self.bookies.iter().zip(&self.relays);
        let pairs =
            pairs.map(|(bookie, relay)| format!("{}={}", bookie.address(), relay.address()));
        let pairs = pairs.collect::<Vec<_>>().join(" ");
        self.zookeeper_command(&format!(
            "mirror {BEHIND_RELAYS_ROOT} {CLIENTS_ROOT} {pairs}"
        ))
        .await;
    }

    async fn zookeeper_command(&self, command: &str) -> Vec<Value> {
        self.zookeeper.lock().await.expect(command).await
    }

    fn at(&self, index: usize) -> &Bookie {
        self.bookies.get(index).expect("a bookie's index")
    }

    fn at_mut(&mut self, index: usize) -> &mut Bookie {
        self.bookies.get_mut(index).expect("a bookie's index")
    }
}

fn spawn_zookeeper(version: Version, port: &ReservedPort, folder: &TempDir) -> Peer {
    let data = folder.path().join("zookeeper");
    let data = data.to_str().expect("a path of ASCII letters");
    let port = port.number().to_string();
    let arguments = ["zookeeper", &port, data, settings::TICK_MS];
    Peer::spawn(version, "Server", "zookeeper", &[], &arguments)
}
