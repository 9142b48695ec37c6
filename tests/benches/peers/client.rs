//! Clients as child processes, and what is measured while one runs.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Instant, SystemTime};

use distributedlog_tests::processor;

use crate::Outcome;
use crate::machine::{self, Disk, Written};
use crate::options::Time;
use crate::peer::Load;
use crate::server::{Guarded, STEP_TIMEOUT, Server};

/// What one load measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Acknowledged records, or records that were read.
    pub(crate) records: u64,
    /// Time in which they were.
    pub(crate) seconds: f64,
    /// Latency of one record: half of them are faster.
    pub(crate) p50_us: f64,
    /// Latency of one record: 99 of 100 are faster.
    pub(crate) p99_us: f64,
    /// Processor time of the client in seconds.
    pub(crate) client_seconds: f64,
    /// Processor time of the server in seconds.
    pub(crate) server_seconds: f64,
    /// What was written to the disk; `None` if the kernel does not count that.
    pub(crate) disk: Option<Written>,
    /// Time at which the measurement began, in seconds since 1970.
    pub(crate) began: f64,
    /// Time at which it ended.
    pub(crate) ended: f64,
    /// Resident bytes of the server at the end.
    pub(crate) resident_bytes: u64,
}

impl Sample {
    /// Returns the rate in records a second.
    pub(crate) fn rate(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    /// Returns the rate in megabytes of payload a second.
    pub(crate) fn megabytes(&self, load: Load) -> f64 {
        self.rate() * load.record_bytes() as f64 / 1e6
    }

    /// Returns the figure of the load's column as text.
    pub(crate) fn brief(&self, load: Load) -> String {
        match load {
            Load::One | Load::Proof => {
                format!("p50 {:.0} µs, p99 {:.0} µs", self.p50_us, self.p99_us)
            }
            Load::Read(_) | Load::Large => {
                format!("{:.0}/s, {:.0} MB/s", self.rate(), self.megabytes(load))
            }
            Load::Few | Load::Many | Load::Alone | Load::Most => format!("{:.0}/s", self.rate()),
        }
    }
}

/// The counters at the begin of a measurement.
pub(crate) struct Window<'a> {
    began: Instant,
    began_at: SystemTime,
    server: &'a Server,
    server_seconds: f64,
    disk: Option<(&'a Disk, Written)>,
}

impl<'a> Window<'a> {
    /// Begins a measurement.
    pub(crate) fn open(server: &'a Server, disk: Option<&'a Disk>) -> Self {
        Self {
            server,
            server_seconds: processor::seconds(server.id()),
            disk: disk.map(|disk| (disk, disk.written())),
            began: Instant::now(),
            began_at: SystemTime::now(),
        }
    }

    /// Ends it: everything is measured but the records and the client.
    pub(crate) fn close(self) -> Sample {
        let seconds = self.began.elapsed().as_secs_f64();
        let disk = self.disk.map(|(disk, before)| {
            let now = disk.written();
            Written {
                bytes: now.bytes - before.bytes,
                flushes: now.flushes - before.flushes,
            }
        });
        let began = self.began_at.duration_since(SystemTime::UNIX_EPOCH);
        let began = began.map_or(0.0, |it| it.as_secs_f64());
        Sample {
            seconds,
            began,
            ended: began + seconds,
            server_seconds: processor::seconds(self.server.id()) - self.server_seconds,
            disk,
            resident_bytes: machine::resident_bytes(self.server.id()),
            ..Sample::default()
        }
    }
}

/// Runs a client that prints `measuring`, and then `result RECORDS SECONDS P50_US P99_US`.
///
/// # Errors
/// It prints something else, fails, or takes too long.
pub(crate) fn measure(
    mut command: Command,
    server: &Server,
    time: Time,
    disk: Option<&Disk>,
) -> Outcome<Sample> {
    let log = server.folder().join("client.log");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log)?);
    let mut client = Guarded::spawn(&mut command)?;
    let output = client.child.stdout.take().ok_or("no pipe")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // The receiver is gone when the measurement has failed.
            let _ = sender.send(line);
        }
    });
    let limit = STEP_TIMEOUT + time.warm_up + time.measure;
    let next = || {
        lines.recv_timeout(limit).map_err(|error| {
            let said = crate::server::last_lines(&log);
            format!("the client's output: {error}\n{said}\n{}", server.log_end())
        })
    };
    let line = next()?;
    if line != "measuring" {
        return Err(format!("the client says '{line}'").into());
    }
    let window = Window::open(server, disk);
    let client_seconds = processor::seconds(client.child.id());
    let line = next()?;
    let mut sample = window.close();
    sample.client_seconds = processor::seconds(client.child.id()) - client_seconds;
    let fields: Vec<&str> = line.split(' ').collect();
    let &["result", records, seconds, p50, p99] = fields.as_slice() else {
        return Err(format!("the client says '{line}'").into());
    };
    sample.records = records.parse()?;
    sample.seconds = seconds.parse()?;
    (sample.p50_us, sample.p99_us) = (p50.parse()?, p99.parse()?);
    if sample.records == 0 {
        return Err("no record in this time".into());
    }
    // It ends with its input.
    drop(client.child.stdin.take());
    client.child.wait()?;
    Ok(sample)
}

/// Counts records in a client, and prints the two lines that [`measure`] reads.
#[derive(Debug)]
pub(crate) struct Tally {
    from: Instant,
    end: Instant,
    measuring: bool,
    records: u64,
    latencies: Vec<u32>,
}

impl Tally {
    /// Begins with the warm-up.
    pub(crate) fn begin(warm_up: Duration, measure: Duration) -> Self {
        let from = Instant::now() + warm_up;
        Self {
            from,
            end: from + measure,
            measuring: false,
            records: 0,
            latencies: Vec::new(),
        }
    }

    /// Returns true until the measurement is over.
    pub(crate) fn goes_on(&mut self, now: Instant) -> bool {
        if !self.measuring && now >= self.from {
            self.measuring = true;
            self.from = now;
            println!("measuring");
        }
        now < self.end
    }

    /// Counts acknowledged records.
    pub(crate) const fn add(&mut self, records: u64) {
        if self.measuring {
            self.records += records;
        }
    }

    /// Counts one record with its latency.
    pub(crate) fn add_one(&mut self, took: Duration) {
        if self.measuring {
            self.records += 1;
            self.latencies
                .push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// Prints the result, and waits for the end of the input.
    ///
    /// # Errors
    /// The output or the input cannot be used.
    pub(crate) fn end(mut self) -> Outcome<()> {
        let seconds = self.from.elapsed().as_secs_f64();
        self.latencies.sort_unstable();
        let at = |per_mille: usize| {
            let index = self.latencies.len() * per_mille / 1000;
            self.latencies.get(index).copied().unwrap_or(0)
        };
        let mut output = std::io::stdout();
        writeln!(
            output,
            "result {} {seconds} {} {}",
            self.records,
            at(500),
            at(990)
        )?;
        output.flush()?;
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        Ok(())
    }
}
