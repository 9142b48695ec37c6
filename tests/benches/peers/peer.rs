//! The logs that are compared, the modes in which they run, and the loads.

use std::path::Path;

use crate::client::Sample;
use crate::machine::Disk;
use crate::options::Time;
use crate::server::Server;
use crate::{Outcome, kafka, nats, ours, postgres, redis};

/// Names of the logs.
pub(crate) const PEERS: [&str; 5] = ["dlog", "redis", "nats", "postgres", "kafka"];

/// A log, with its setting of when it syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Dlog,
    Redis,
    Nats,
    Postgres,
    Kafka,
    RedisEverysec,
    NatsDefault,
    PostgresAsync,
    KafkaDefault,
}

/// All modes; those that sync before they acknowledge come first.
pub(crate) const MODES: [Mode; 9] = [
    Mode::Dlog,
    Mode::Redis,
    Mode::Nats,
    Mode::Postgres,
    Mode::Kafka,
    Mode::RedisEverysec,
    Mode::NatsDefault,
    Mode::PostgresAsync,
    Mode::KafkaDefault,
];

impl Mode {
    /// Returns the name of the log.
    pub(crate) const fn peer(self) -> &'static str {
        match self {
            Self::Dlog => "dlog",
            Self::Redis | Self::RedisEverysec => "redis",
            Self::Nats | Self::NatsDefault => "nats",
            Self::Postgres | Self::PostgresAsync => "postgres",
            Self::Kafka | Self::KafkaDefault => "kafka",
        }
    }

    /// Returns the name of its row.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Dlog => "dlog (`proxy --data`)",
            Self::Redis => "Redis Streams, `appendfsync always`",
            Self::RedisEverysec => "Redis Streams, `appendfsync everysec`",
            Self::Nats => "NATS JetStream, `sync_interval: always`",
            Self::NatsDefault => "NATS JetStream, default",
            Self::Postgres => "PostgreSQL, default",
            Self::PostgresAsync => "PostgreSQL, `synchronous_commit = off`",
            Self::Kafka => "Kafka, `flush.messages=1`",
            Self::KafkaDefault => "Kafka, default",
        }
    }

    /// Returns true if it syncs before it acknowledges.
    pub(crate) const fn synced(self) -> bool {
        matches!(
            self,
            Self::Dlog | Self::Redis | Self::Nats | Self::Postgres | Self::Kafka
        )
    }

    /// Returns true if the load can be run on it.
    pub(crate) const fn runs(self, load: Load) -> bool {
        match load {
            Load::Alone => matches!(self, Self::Dlog),
            Load::One | Load::Few | Load::Many | Load::Most | Load::Large | Load::Proof => true,
            // What is read is what the load `most` has written; without syncs, that is more.
            Load::Read(Reader::Records) => matches!(self, Self::Dlog) || !self.synced(),
            Load::Read(Reader::Sets | Reader::OneStream) => matches!(self, Self::Dlog),
        }
    }

    /// Checks that all programs it needs are there.
    ///
    /// # Errors
    /// One is not; the message says which.
    pub(crate) fn installed(self) -> Outcome<()> {
        let needed: &[&str] = match self.peer() {
            "redis" => &[redis::PROGRAM],
            "nats" => &[nats::SERVER, nats::LOAD],
            "postgres" => &[postgres::FOLDER],
            "kafka" => &[kafka::CLASS_PATH],
            _ => &[],
        };
        needed.iter().try_for_each(|name| tool(name).map(drop))
    }

    /// Starts a server with a new folder below `parent`.
    ///
    /// # Errors
    /// It does not start; the message has the end of its log.
    pub(crate) fn start(self, parent: &Path) -> Outcome<Box<dyn Running>> {
        let folder = tempfile::Builder::new()
            .prefix(self.peer())
            .tempdir_in(parent)?;
        Ok(match self.peer() {
            "redis" => Box::new(redis::Redis::start(folder, self.synced())?),
            "nats" => Box::new(nats::Nats::start(folder, self.synced())?),
            "postgres" => Box::new(postgres::Postgres::start(folder, self.synced())?),
            "kafka" => Box::new(kafka::Kafka::start(folder, self.synced())?),
            _ => Box::new(ours::Dlog::start(folder)?),
        })
    }
}

/// Returns the path in this variable, which tests/parts/peers sets for what it installed.
///
/// # Errors
/// It is not set, or there is no such file.
pub(crate) fn tool(variable: &str) -> Outcome<String> {
    let path = std::env::var(variable).map_err(|_| "not installed, see above".to_owned())?;
    if Path::new(&path).exists() {
        Ok(path)
    } else {
        Err(format!("{variable} names {path}, which does not exist").into())
    }
}

/// A load of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// The next record is written when the last one is acknowledged.
    One,
    /// 64 records in flight.
    Few,
    /// 1,024 records in flight.
    Many,
    /// The same, and each record is a request of its own.
    Alone,
    /// As many records of 100 bytes as it can take.
    Most,
    /// As many records of 1 KiB as it can take.
    Large,
    /// The records of `Most`, read from the first one.
    Read(Reader),
    /// As `One`, while system calls are counted; no figure of a table.
    Proof,
}

/// What a reader of the records takes at once. The others than dlog have one reader each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reader {
    /// Record by record; of dlog, merged from all streams, and each record once.
    Records,
    /// The same, and all records of a set at once.
    Sets,
    /// The records of one stream, as often as they are stored.
    OneStream,
}

/// The loads of the tables, in the order in which they run.
pub(crate) const LOADS: [Load; 9] = [
    Load::One,
    Load::Few,
    Load::Many,
    Load::Alone,
    Load::Most,
    Load::Large,
    Load::Read(Reader::Records),
    Load::Read(Reader::Sets),
    Load::Read(Reader::OneStream),
];

/// Records that a pass of [`Load::Read`] reads at most: 100 MB of payload.
pub(crate) const READ_LIMIT: u64 = 1_000_000;

impl Load {
    /// Returns the name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Few => "64",
            Self::Many => "1024",
            Self::Alone => "alone",
            Self::Most => "most",
            Self::Large => "large",
            Self::Read(_) => "read",
            Self::Proof => "proof",
        }
    }

    /// Returns the title of its column.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::One => "one at a time, p50",
            Self::Few => "64 in flight",
            Self::Many => "1,024 in flight",
            Self::Alone => "1,024 in flight, unbatched",
            Self::Most => "most",
            Self::Large => "most, 1 KiB",
            Self::Read(Reader::Records) => "read from the start",
            Self::Read(Reader::Sets) => "read from the start, sets at once",
            Self::Read(Reader::OneStream) => "read from the start, one stream",
            Self::Proof => "one at a time under strace",
        }
    }

    /// Returns the size of a record's payload in bytes.
    pub(crate) const fn record_bytes(self) -> usize {
        match self {
            Self::Large => 1024,
            Self::One
            | Self::Few
            | Self::Many
            | Self::Alone
            | Self::Most
            | Self::Read(_)
            | Self::Proof => 100,
        }
    }

    /// Returns the stream, topic or table that it writes to; each load has its own.
    pub(crate) const fn stream(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Few => "few",
            Self::Many => "many",
            Self::Alone => "alone",
            Self::Most | Self::Read(_) => "most",
            Self::Large => "large",
            Self::Proof => "proof",
        }
    }
}

/// A started server.
pub(crate) trait Running {
    /// Returns its process.
    fn server(&self) -> &Server;

    /// Returns its version, its settings and its client, for a reader of the tables.
    fn about(&self) -> String;

    /// Runs a load.
    ///
    /// # Errors
    /// The client fails, or does not end in time.
    fn run(&self, load: Load, time: Time, disk: Option<&Disk>) -> Outcome<Sample>;
}
