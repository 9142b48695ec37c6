//! Redis Streams, by a client that only pipelines: the commands are made once, and answers are
//! scanned, not kept.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use distributedlog_tests::ports::ReservedPort;
use tempfile::TempDir;

use crate::Outcome;
use crate::client::{self, Sample, Tally};
use crate::machine::Disk;
use crate::options::Time;
use crate::peer::{Load, Running, tool};
use crate::server::{Server, run};

/// Variable with the path of the server.
pub(crate) const PROGRAM: &str = "PEERS_REDIS";
/// Entries of a page of XRANGE.
const PAGE: usize = 10_000;

/// A running server.
#[derive(Debug)]
pub(crate) struct Redis {
    server: Server,
}

impl Redis {
    /// Starts it.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(folder: TempDir, synced: bool) -> Outcome<Self> {
        let port = ReservedPort::new();
        let mut command = Command::new(tool(PROGRAM)?);
        command.args(["--bind", "127.0.0.1", "--port", &port.number().to_string()]);
        command.arg("--dir").arg(folder.path());
        command.args(["--appendonly", "yes", "--save", "", "--appendfsync"]);
        command.arg(if synced { "always" } else { "everysec" });
        // A rewrite in the background would be measured with what comes after it.
        command.args(["--auto-aof-rewrite-percentage", "0"]);
        let server = Server::start(command, port, folder)?;
        Ok(Self { server })
    }
}

impl Running for Redis {
    fn server(&self) -> &Server {
        &self.server
    }

    fn about(&self) -> String {
        let version = tool(PROGRAM).and_then(|it| run(Command::new(it).arg("--version")));
        let version = version.unwrap_or_default();
        let version = version
            .split_whitespace()
            .find_map(|it| it.strip_prefix("v="));
        format!(
            "Redis {}, `appendonly yes`, no snapshots, no rewrites. Client: \
             pipelined XADD with prepared bytes, answers only counted; 64 in flight on one \
             connection, 1,024 on 8, `most` 16,384 on 16. Reader: XRANGE, {PAGE} entries a page, \
             answers scanned for the last id",
            version.unwrap_or("of unknown version"),
        )
    }

    fn run(&self, load: Load, time: Time, disk: Option<&Disk>) -> Outcome<Sample> {
        let mut command = Command::new(std::env::current_exe()?);
        let address = self.server.address();
        let measure = time.measure.as_millis().to_string();
        if matches!(load, Load::Read(_)) {
            command.args(["client-redis", "read", &address, load.stream(), &measure]);
        } else {
            // A server reads 16 KiB of a connection at a time: more in flight needs more of them.
            let (connections, window) = match load {
                Load::One | Load::Proof => (1, 1),
                Load::Few => (1, 64),
                Load::Many | Load::Alone => (8, 128),
                Load::Most | Load::Large | Load::Read(_) => (16, 1024),
            };
            command.args(["client-redis", "write", &address, load.stream()]);
            command.args([load.record_bytes(), connections, window].map(|it| it.to_string()));
            command.args([&time.warm_up.as_millis().to_string(), &measure]);
        }
        client::measure(command, &self.server, time, disk)
    }
}

/// Runs as the client.
///
/// # Errors
/// The server answers with an error, or closes the connection.
pub(crate) fn client(arguments: &[&str]) -> Outcome<()> {
    match *arguments {
        [
            "write",
            address,
            stream,
            bytes,
            connections,
            window,
            warm_up,
            measure,
        ] => {
            let command = add_command(stream, bytes.parse()?);
            let tally = Tally::begin(millis(warm_up)?, millis(measure)?);
            write(
                address,
                &command,
                connections.parse()?,
                window.parse()?,
                tally,
            )
        }
        ["read", address, stream, measure] => read(address, stream, millis(measure)?),
        _ => Err(format!("not for people: {arguments:?}").into()),
    }
}

fn millis(text: &str) -> Outcome<Duration> {
    Ok(Duration::from_millis(text.parse()?))
}

fn command(parts: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", parts.len());
    for part in parts {
        bytes += &format!("${}\r\n{part}\r\n", part.len());
    }
    bytes.into_bytes()
}

fn add_command(stream: &str, bytes: usize) -> Vec<u8> {
    command(&["XADD", stream, "*", "d", &"r".repeat(bytes)])
}

/// One connection with its window.
struct Connection {
    socket: TcpStream,
    answers: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> Outcome<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let answers = BufReader::with_capacity(1 << 20, socket.try_clone()?);
        Ok(Self {
            socket,
            answers,
            line: Vec::new(),
        })
    }

    /// Reads a line without its end.
    fn line(&mut self) -> Outcome<&str> {
        self.line.clear();
        self.answers.read_until(b'\n', &mut self.line)?;
        let line = self
            .line
            .strip_suffix(b"\r\n")
            .ok_or("the server hung up")?;
        Ok(core::str::from_utf8(line)?)
    }

    /// Skips bytes of an answer.
    fn skip(&mut self, mut bytes: usize) -> Outcome<()> {
        while bytes > 0 {
            let here = self.answers.fill_buf()?.len().min(bytes);
            if here == 0 {
                return Err("the server hung up".into());
            }
            self.answers.consume(here);
            bytes -= here;
        }
        Ok(())
    }

    /// Reads the id that answers an XADD.
    fn id(&mut self) -> Outcome<()> {
        let length = self.line()?;
        if !length.starts_with('$') {
            return Err(format!("the server says '{length}'").into());
        }
        self.line().map(drop)
    }

    /// Reads the answers that are there, one at least. Returns their number.
    fn ids(&mut self) -> Outcome<usize> {
        self.id()?;
        let mut count = 1;
        // An answer that is not there as a whole is waited for: its end is on the way.
        while !self.answers.buffer().is_empty() {
            self.id()?;
            count += 1;
        }
        Ok(count)
    }
}

fn write(
    address: &str,
    command: &[u8],
    connections: usize,
    window: usize,
    mut tally: Tally,
) -> Outcome<()> {
    if (connections, window) == (1, 1) {
        let mut connection = Connection::open(address)?;
        loop {
            let began = Instant::now();
            if !tally.goes_on(began) {
                return tally.end();
            }
            connection.socket.write_all(command)?;
            connection.id()?;
            tally.add_one(began.elapsed());
        }
    }
    let shared = Mutex::new(tally);
    let commands = command.repeat(window);
    let write = || -> Outcome<()> {
        let mut connection = Connection::open(address)?;
        let mut room = window;
        loop {
            connection
                .socket
                .write_all(&commands[..room * command.len()])?;
            room = connection.ids()?;
            let mut tally = shared.lock().map_err(|_| "another connection failed")?;
            tally.add(room as u64);
            if !tally.goes_on(Instant::now()) {
                return Ok(());
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| write().map_err(|error| error.to_string())))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".to_owned())?)
    })?;
    shared
        .into_inner()
        .map_err(|_| "a connection failed")?
        .end()
}

/// Reads passes from the start; the first is not measured.
fn read(address: &str, stream: &str, measure: Duration) -> Outcome<()> {
    let mut connection = Connection::open(address)?;
    pass(&mut connection, stream)?;
    let mut tally = Tally::begin(Duration::ZERO, measure);
    while tally.goes_on(Instant::now()) {
        tally.add(pass(&mut connection, stream)?);
    }
    tally.end()
}

fn pass(connection: &mut Connection, stream: &str) -> Outcome<u64> {
    let (mut records, mut start) = (0, "-".to_owned());
    while records < crate::peer::READ_LIMIT {
        let request = command(&["XRANGE", stream, &start, "+", "COUNT", &PAGE.to_string()]);
        connection.socket.write_all(&request)?;
        let entries: u64 = number(connection.line()?, '*')?;
        if entries == 0 {
            break;
        }
        for _ in 0..entries {
            connection.line()?;
            connection.line()?;
            let id = connection.line()?;
            start.clear();
            start.push('(');
            start += id;
            for _ in 0..number(connection.line()?, '*')? {
                let bytes = number(connection.line()?, '$')? + 2;
                connection.skip(usize::try_from(bytes)?)?;
            }
        }
        records += entries;
    }
    Ok(records)
}

fn number(line: &str, kind: char) -> Outcome<u64> {
    let digits = line.strip_prefix(kind);
    let digits = digits.ok_or_else(|| format!("the server says '{line}'"))?;
    Ok(digits.parse()?)
}
