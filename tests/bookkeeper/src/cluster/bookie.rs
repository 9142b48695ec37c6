//! One bookie: its settings, disk and process.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use distributedlog_tests::ports::ReservedPort;
use rustix::process::Signal;
use serde_json::Value;

use super::ClusterBuilder;
use crate::java::{MEASURED, Version};
use crate::peer::Peer;

/// A bookie, running or not.
pub(super) struct Bookie {
    version: Version,
    name: String,
    measured: bool,
    port: ReservedPort,
    root: String,
    folder: PathBuf,
    settings: BTreeMap<String, String>,
    process: Option<Peer>,
    disk: Option<SmallDisk>,
}

impl Bookie {
    pub(super) fn new(
        index: usize,
        builder: &ClusterBuilder,
        zk_servers: &str,
        root: &str,
        cluster: &Path,
    ) -> Self {
        let name = format!("bookie-{index}");
        let folder = cluster.join(&name);
        let port = ReservedPort::new();
        let (journal, ledgers) = (folder.join("journal"), folder.join("ledgers"));
        for each in [&journal, &ledgers] {
            fs::create_dir_all(each).expect("the cluster's folder is ours");
        }
        let mut settings = builder.settings.clone();
        let mut set = |key: &str, value: String| settings.insert(key.to_owned(), value);
        set("bookiePort", port.number().to_string());
        set("journalDirectory", journal.display().to_string());
        set("ledgerDirectories", ledgers.display().to_string());
        set("zkServers", zk_servers.to_owned());
        set("zkLedgersRootPath", root.to_owned());
        let disk = builder.small_disks.get(&index).map(|&mebibytes| {
            // Sizes that fit it, and a look at it twice a second.
            set("logSizeLimit", (8 << 20).to_string());
            set("minUsableSizeForIndexFileCreation", (1 << 20).to_string());
            set("diskUsageThreshold", "0.95".to_owned());
            set("diskUsageWarnThreshold", "0.90".to_owned());
            set("diskCheckInterval", "500".to_owned());
            SmallDisk::mount(ledgers, mebibytes)
        });
        Self {
            version: builder.version,
            name,
            measured: builder.measured,
            port,
            root: root.to_owned(),
            folder,
            settings,
            process: None,
            disk,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port.number()))
    }

    /// Path of the znode that it has in this folder of its root.
    pub(super) fn znode(&self, folder: &str) -> String {
        format!("{}/{folder}/{}", self.root, self.address())
    }

    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(key.to_owned(), value.to_owned());
    }

    /// Starts the virtual machine.
    pub(super) fn spawn(&mut self) {
        let file = self.folder.join("bookie.conf");
        let lines = self
            .settings
            .iter()
            .map(|(key, value)| format!("{key}={value}\n"));
        fs::write(&file, lines.collect::<String>()).expect("the bookie's folder is ours");
        let file = file.to_str().expect("a path of ASCII letters");
        let options: &[&str] = if self.measured { &MEASURED } else { &[] };
        let arguments = ["bookie", file];
        let peer = Peer::spawn(self.version, "Server", &self.name, options, &arguments);
        self.process = Some(peer);
    }

    /// Lets the bookie begin in its virtual machine.
    pub(super) async fn begin(&mut self) {
        let peer = self.process.as_mut().expect("it was spawned");
        peer.until_ready().await;
        peer.send("start").await;
    }

    /// Waits until it serves and is registered.
    pub(super) async fn until_serving(&mut self) {
        let peer = self.process.as_mut().expect("it was spawned");
        if let Err(error) = peer.rest().await {
            panic!("{} does not start: {error}", self.name);
        }
    }

    pub(super) async fn start(&mut self) {
        self.spawn();
        self.begin().await;
        self.until_serving().await;
    }

    pub(super) async fn kill(&mut self) {
        if let Some(mut peer) = self.process.take() {
            let _: Vec<Value> = peer.kill_9().await;
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    pub(super) fn process(&self) -> Option<u32> {
        self.process.as_ref()?.id()
    }

    pub(super) fn print_log(&self) {
        if let Some(process) = &self.process {
            process.print_log();
        }
    }

    pub(super) fn fill_disk(&self) {
        self.disk.as_ref().expect("a small disk").fill();
    }

    pub(super) fn free_disk(&self) {
        self.disk.as_ref().expect("a small disk").free();
    }

    /// Removes what is in its journal and its ledgers.
    pub(super) fn wipe(&self) {
        for folder in ["journal", "ledgers"] {
            for entry in fs::read_dir(self.folder.join(folder)).expect("its folder") {
                let path = entry.expect("an entry of its folder").path();
                if path.is_dir() {
                    fs::remove_dir_all(path).expect("it is ours");
                } else {
                    fs::remove_file(path).expect("it is ours");
                }
            }
        }
    }
}

/// A file system in memory at a bookie's ledgers. The part runs the tests in a mount namespace of
/// their own, where this needs no rights.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: PathBuf, mebibytes: u32) -> Self {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(&folder)
            .status();
        let mounted = status.is_ok_and(|status| status.success());
        assert!(mounted, "cannot mount: run tests/run bookkeeper");
        Self(folder)
    }

    /// Writes a file until there is no space.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("fill")).expect("the disk takes a file");
        let block = vec![0; 1 << 16];
        while file.write_all(&block).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("fill")).expect("the disk was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the bookie's files may be open.
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}
