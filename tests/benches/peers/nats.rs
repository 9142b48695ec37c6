//! NATS JetStream, by nats.go (nats/main.go).

use std::fs;
use std::process::Command;

use distributedlog_tests::ports::ReservedPort;
use tempfile::TempDir;

use crate::Outcome;
use crate::client::{self, Sample};
use crate::machine::Disk;
use crate::options::Time;
use crate::peer::{Load, READ_LIMIT, Running, tool};
use crate::server::{Server, run};

/// Variable with the path of the server.
pub(crate) const SERVER: &str = "PEERS_NATS";
/// Variable with the path of the load program.
pub(crate) const LOAD: &str = "PEERS_NATS_LOAD";

/// A running server.
#[derive(Debug)]
pub(crate) struct Nats {
    server: Server,
}

impl Nats {
    /// Starts it.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(folder: TempDir, synced: bool) -> Outcome<Self> {
        let port = ReservedPort::new();
        let sync = if synced { "sync_interval: always" } else { "" };
        let store = folder.path().join("data");
        let settings = format!(
            "listen: \"127.0.0.1:{}\"\njetstream {{\n  store_dir: \"{}\"\n  {sync}\n}}\n",
            port.number(),
            store.display()
        );
        let file = folder.path().join("nats.conf");
        fs::write(&file, settings)?;
        let mut command = Command::new(tool(SERVER)?);
        command.arg("-c").arg(file);
        let server = Server::start(command, port, folder)?;
        Ok(Self { server })
    }
}

impl Running for Nats {
    fn server(&self) -> &Server {
        &self.server
    }

    fn about(&self) -> String {
        let version = tool(SERVER).and_then(|it| run(Command::new(it).arg("--version")));
        let version = version.unwrap_or_default();
        format!(
            "NATS {}, one stream of storage `file`; by default it syncs every two minutes. \
             Client: nats.go, `Publish` one at a time, otherwise `PublishAsync`; `most` is \
             16,384 in flight. Reader: ordered consumer",
            version.trim().rsplit(' ').next().unwrap_or_default(),
        )
    }

    fn run(&self, load: Load, time: Time, disk: Option<&Disk>) -> Outcome<Sample> {
        let mut command = Command::new(tool(LOAD)?);
        let address = format!("nats://{}", self.server.address());
        let measure = time.measure.as_millis().to_string();
        if matches!(load, Load::Read(_)) {
            let limit = READ_LIMIT.to_string();
            command.args(["read", &address, load.stream(), &limit, &measure]);
        } else {
            let in_flight: usize = match load {
                Load::One | Load::Proof => 1,
                Load::Few => 64,
                Load::Many | Load::Alone => 1024,
                Load::Most | Load::Large | Load::Read(_) => 16_384,
            };
            command.args(["write", &address, load.stream()]);
            command.args([load.record_bytes(), in_flight].map(|it| it.to_string()));
            command.args([&time.warm_up.as_millis().to_string(), &measure]);
        }
        client::measure(command, &self.server, time, disk)
    }
}
