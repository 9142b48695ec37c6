//! Apache Kafka, one broker that is its own controller, by its Java client (kafka/Load.java).

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

/// Variable with the path of a file that has the class path.
pub(crate) const CLASS_PATH: &str = "PEERS_KAFKA";

/// The options that kafka-server-start.sh gives.
const SERVER_OPTIONS: [&str; 6] = [
    "-Xms1g",
    "-Xmx1g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-Djava.net.preferIPv4Stack=true",
];

/// A running broker.
#[derive(Debug)]
pub(crate) struct Kafka {
    server: Server,
    /// Of the controller.
    _port: ReservedPort,
}

fn class_path() -> Outcome<String> {
    Ok(fs::read_to_string(tool(CLASS_PATH)?)?.trim().to_owned())
}

fn java(options: &[&str]) -> Outcome<Command> {
    let mut command = Command::new("java");
    command.args(options).args(["-cp", &class_path()?]);
    Ok(command)
}

impl Kafka {
    /// Starts it.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(folder: TempDir, synced: bool) -> Outcome<Self> {
        let (port, controller) = (ReservedPort::new(), ReservedPort::new());
        let sync = if synced {
            "log.flush.interval.messages=1"
        } else {
            ""
        };
        let settings = format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
{sync}
",
            folder.path().join("data").display(),
            port = port.number(),
            controller = controller.number(),
        );
        let file = folder.path().join("server.properties");
        fs::write(&file, settings)?;
        let mut format = java(&["-Xmx256m"])?;
        format.args(["kafka.tools.StorageTool", "format", "-t"]);
        format.args(["MkU3OEVBNTcwNTJENDM2Qg", "-c"]).arg(&file);
        run(&mut format)?;
        let mut command = java(&SERVER_OPTIONS)?;
        command.arg("kafka.Kafka").arg(&file);
        // What it makes beside its data goes there too.
        command.current_dir(folder.path());
        let server = Server::start(command, port, folder)?;
        Ok(Self {
            server,
            _port: controller,
        })
    }
}

impl Running for Kafka {
    fn server(&self) -> &Server {
        &self.server
    }

    fn about(&self) -> String {
        let path = class_path().unwrap_or_default();
        let version = path.split(':').find_map(|jar| {
            let name = jar.rsplit('/').next()?;
            name.strip_prefix("kafka-clients-")?.strip_suffix(".jar")
        });
        format!(
            "Kafka {}, one broker (KRaft), heap 1 GiB, one partition; by default the system \
             decides when it is synced. Client: Java, `acks=all`, idempotent; up to 64 in flight \
             `linger.ms=0`, 1,024 with `linger.ms=1`, `most` with `linger.ms=5`, batches of 256 \
             KiB and 128 MiB of buffers. Reader: Java, fetches up to 8 MiB",
            version.unwrap_or("of unknown version"),
        )
    }

    fn run(&self, load: Load, time: Time, disk: Option<&Disk>) -> Outcome<Sample> {
        let options = ["-Xms512m", "-Xmx512m", "-Djava.net.preferIPv4Stack=true"];
        let mut command = java(&options)?;
        let address = self.server.address();
        let measure = time.measure.as_millis().to_string();
        if matches!(load, Load::Read(_)) {
            let limit = READ_LIMIT.to_string();
            command.args(["Load", "read", &address, load.stream(), &limit, &measure]);
        } else {
            let (in_flight, linger, batch) = match load {
                Load::One | Load::Proof => (1, 0, 16 << 10),
                Load::Few => (64, 0, 16 << 10),
                Load::Many | Load::Alone => (1024, 1, 64 << 10),
                Load::Most | Load::Large | Load::Read(_) => (1 << 20, 5, 256 << 10),
            };
            command.args(["Load", "write", &address, load.stream()]);
            command.args([load.record_bytes(), in_flight].map(|it| it.to_string()));
            command.args([&time.warm_up.as_millis().to_string(), &measure]);
            command.args([linger, batch].map(|it: usize| it.to_string()));
        }
        client::measure(command, &self.server, time, disk)
    }
}
