//! PostgreSQL, by pgbench (INSERT) and psql (COPY).

use core::time::Duration;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::processor;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::Outcome;
use crate::client::{Sample, Window};
use crate::machine::Disk;
use crate::options::Time;
use crate::peer::{Load, Running, tool};
use crate::server::{Guarded, Server, run};

/// Variable with the folder of the programs.
pub(crate) const FOLDER: &str = "PEERS_POSTGRES";
/// The server refuses to run as root; the user `nobody` owns nothing.
const NOBODY: u32 = 65_534;

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Server,
}

fn program(name: &str) -> Outcome<Command> {
    Ok(Command::new(Path::new(&tool(FOLDER)?).join(name)))
}

/// Returns the command of a server's program, as a user that it runs as.
fn unprivileged(name: &str) -> Outcome<Command> {
    let mut command = program(name)?;
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    Ok(command)
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(folder: TempDir, synced: bool) -> Outcome<Self> {
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        }
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let data = folder.path().join("data");
        let mut initdb = unprivileged("initdb")?;
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"]);
        run(initdb.arg("-D").arg(&data).current_dir(folder.path()))?;
        let port = ReservedPort::new();
        let mut settings = fs::OpenOptions::new()
            .append(true)
            .open(data.join("postgresql.conf"))?;
        // No checkpoint falls into a load, and all memory it shares is in its folder or anonymous.
        write!(
            settings,
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\n\
             shared_buffers = 256MB\nmax_wal_size = 16GB\ncheckpoint_timeout = 1h\n\
             dynamic_shared_memory_type = mmap\nmax_connections = 100\n\
             synchronous_commit = {}\n",
            port.number(),
            if synced { "on" } else { "off" }
        )?;
        let mut command = unprivileged("postgres")?;
        command.arg("-D").arg(&data).current_dir(folder.path());
        // SIGINT: its children end, and it removes the memory they share.
        let server = Server::start(command, port, folder)?.ends_with(Signal::INT);
        let postgres = Self { server };
        postgres.until_ready()?;
        Ok(postgres)
    }

    /// Waits until it accepts queries: it listens before.
    fn until_ready(&self) -> Outcome<()> {
        let began = Instant::now();
        loop {
            match self.query("SELECT 1") {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() > Duration::from_secs(30) => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn client(&self, name: &str) -> Outcome<Command> {
        let mut command = program(name)?;
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p"]);
        command.arg(self.server.port().to_string());
        // What the user has set must not change what is measured.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        Ok(command)
    }

    fn psql(&self) -> Outcome<Command> {
        let mut command = self.client("psql")?;
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            "postgres",
        ]);
        Ok(command)
    }

    fn query(&self, query: &str) -> Outcome<String> {
        run(self.psql()?.args(["-c", query]))
    }

    /// Inserts single rows with prepared statements on so many connections, each row a transaction.
    fn insert(&self, load: Load, connections: usize, time: Duration) -> Outcome<Sample> {
        let script = self.server.folder().join("insert.sql");
        fs::write(
            &script,
            format!("INSERT INTO {} (data) VALUES (:data);\n", load.stream()),
        )?;
        let log = self.server.folder().join("latencies");
        let mut command = self.client("pgbench")?;
        command.args([
            "-n",
            "-M",
            "prepared",
            "-j",
            "2",
            "-c",
            &connections.to_string(),
        ]);
        command.args(["-T", &time.as_secs_f64().ceil().to_string(), "-f"]);
        command.arg(script);
        command.args(["-D", &format!("data={}", "r".repeat(load.record_bytes()))]);
        if connections == 1 {
            command.args(["-l", "--log-prefix"]).arg(&log);
        }
        let text = run(command.arg("postgres"))?;
        let after = |mark: &str| {
            let rest = text.split_once(mark).map(|(_, rest)| rest);
            let number = rest.and_then(|rest| rest.split_whitespace().next());
            number.and_then(|number| number.parse::<f64>().ok())
        };
        let records = after("actually processed:").ok_or("pgbench says no number")?;
        let rate = after("tps =").ok_or("pgbench says no rate")?;
        let mut latencies = latencies(self.server.folder())?;
        latencies.sort_unstable();
        let at = |share: usize| {
            let latency = latencies.get(latencies.len() * share / 100);
            latency.copied().unwrap_or(0) as f64
        };
        Ok(Sample {
            records: records as u64,
            seconds: records / rate,
            p50_us: at(50),
            p99_us: at(99),
            ..Sample::default()
        })
    }

    /// Copies blocks of so many rows, each a transaction, on so many connections.
    fn copy(&self, load: Load, rows: usize, connections: u64, time: Duration) -> Outcome<Sample> {
        let mut block = format!("COPY {} (data) FROM STDIN;\n", load.stream());
        let row = format!("{}\n", "r".repeat(load.record_bytes()));
        block += &row.repeat(rows);
        block += "\\.\n";
        let began = Instant::now();
        let one = || -> Outcome<u64> {
            let mut command = self.psql()?;
            let command = command.stdin(Stdio::piped()).stdout(Stdio::null());
            let mut psql = Guarded::spawn(command)?;
            let mut input = psql.child.stdin.take().ok_or("no pipe")?;
            let mut records = 0;
            while began.elapsed() < time {
                input.write_all(block.as_bytes())?;
                records += rows as u64;
            }
            drop(input);
            let status = psql.child.wait()?;
            if status.success() {
                Ok(records)
            } else {
                Err(format!("psql: {status}").into())
            }
        };
        let records = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..connections)
                .map(|_| scope.spawn(|| one().map_err(|error| error.to_string())))
                .collect();
            threads.into_iter().try_fold(0, |sum, thread| {
                let records = thread.join().map_err(|_| "a thread panicked".to_owned())?;
                Ok::<_, String>(sum + records?)
            })
        })?;
        Ok(Sample {
            records,
            seconds: began.elapsed().as_secs_f64(),
            ..Sample::default()
        })
    }

    /// Copies the table out until the time is over.
    fn read(&self, load: Load, time: Duration) -> Outcome<Sample> {
        let rows = self.query(&format!("SELECT count(*) FROM {}", load.stream()))?;
        let rows: u64 = rows.trim().parse()?;
        let query = format!("COPY {} TO STDOUT (FORMAT binary)", load.stream());
        let began = Instant::now();
        let mut records = 0;
        while records == 0 || began.elapsed() < time {
            let mut command = self.psql()?;
            let status = command
                .args(["-c", &query])
                .stdout(Stdio::null())
                .status()?;
            if !status.success() {
                return Err(format!("psql: {status}").into());
            }
            records += rows;
        }
        Ok(Sample {
            records,
            seconds: began.elapsed().as_secs_f64(),
            ..Sample::default()
        })
    }

    fn load(&self, load: Load, time: Duration) -> Outcome<Sample> {
        match load {
            Load::One | Load::Proof => self.insert(load, 1, time),
            Load::Few => self.insert(load, 64, time),
            Load::Many | Load::Alone => self.copy(load, 1024, 1, time),
            Load::Most => self.copy(load, 100_000, 2, time),
            Load::Large => self.copy(load, 10_000, 2, time),
            Load::Read(_) => self.read(load, time),
        }
    }
}

/// Reads and removes the latencies that pgbench logged, in microseconds.
fn latencies(folder: &Path) -> Outcome<Vec<u64>> {
    let mut latencies = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("latencies.") {
            let text = fs::read_to_string(&path)?;
            let third = |line: &str| -> Option<u64> { line.split(' ').nth(2)?.parse().ok() };
            latencies.extend(text.lines().filter_map(third));
            fs::remove_file(&path)?;
        }
    }
    Ok(latencies)
}

impl Running for Postgres {
    fn server(&self) -> &Server {
        &self.server
    }

    fn about(&self) -> String {
        let version = program("postgres").and_then(|mut it| run(it.arg("--version")));
        let version = version.unwrap_or_default();
        format!(
            "{}, `shared_buffers = 256MB`, no checkpoint during the loads, a table with an \
             identity column as primary key. Client: pgbench, prepared INSERT, 1 and 64 \
             connections; at 1,024 psql, COPY of 1,024 rows a transaction; `most` COPY of \
             100,000 rows (10,000 of 1 KiB) on two connections. Reader: psql, COPY to binary",
            version
                .trim()
                .replace("postgres (PostgreSQL)", "PostgreSQL"),
        )
    }

    fn run(&self, load: Load, time: Time, disk: Option<&Disk>) -> Outcome<Sample> {
        if !matches!(load, Load::Read(_)) {
            self.query(&format!(
                "CREATE TABLE {} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
                 data text NOT NULL)",
                load.stream()
            ))?;
        }
        // Too slow a disk for one record in this time is no failure here.
        let _ = self.load(load, time.warm_up);
        let own = processor::own_seconds_with_children();
        let window = Window::open(&self.server, disk);
        let measured = self.load(load, time.measure)?;
        let counted = window.close();
        Ok(Sample {
            client_seconds: processor::own_seconds_with_children() - own,
            server_seconds: counted.server_seconds,
            disk: counted.disk,
            resident_bytes: counted.resident_bytes,
            began: counted.began,
            ended: counted.ended,
            ..measured
        })
    }
}
