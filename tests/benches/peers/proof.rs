//! The proof that what is acknowledged is synced: system calls that sync, counted by strace while
//! one record is written at a time.

use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use distributedlog_tests::processor;
use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;
use crate::machine;
use crate::options::Time;
use crate::peer::{Load, Running};
use crate::server::{Guarded, STEP_TIMEOUT};

/// System calls that sync; of `pwritev2` those with a flag that does.
const CALLS: &str = "trace=fsync,fdatasync,msync,sync_file_range,syncfs,pwritev2";

/// What strace counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof {
    /// Records that were acknowledged.
    pub(crate) records: u64,
    /// System calls that sync, in the same time.
    pub(crate) syncs: u64,
    /// Files each of whose writes is a sync.
    pub(crate) synced_files: usize,
}

impl Proof {
    /// Returns the syncs of a record as text.
    pub(crate) fn brief(self) -> String {
        let each = self.syncs as f64 / self.records as f64;
        let files = match self.synced_files {
            0 => String::new(),
            files => format!(", and {files} files with `O_DSYNC`"),
        };
        format!("{each:.2}{files}")
    }
}

/// Counts while records are written one at a time.
///
/// # Errors
/// strace is not there or may not attach; the load fails.
pub(crate) fn of(running: &dyn Running) -> Outcome<Proof> {
    let server = running.server();
    let file = server.folder().join("strace.log");
    let mut command = Command::new("strace");
    command.args(["-f", "-ttt", "-e", CALLS, "-o"]).arg(&file);
    let family = processor::family(server.id());
    for id in &family {
        command.args(["-p", &id.to_string()]);
    }
    let command = command.stdin(Stdio::null()).stderr(Stdio::piped());
    let mut strace = Guarded::spawn(command)?;
    let output = strace.child.stderr.take().ok_or("no pipe")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut attached = 0;
    while attached < family.len() {
        let line = lines.recv_timeout(STEP_TIMEOUT);
        let line = line.map_err(|_| "strace does not attach")?;
        if !line.contains("attached") {
            return Err(line.into());
        }
        attached += 1;
    }
    let time = Time {
        warm_up: Duration::from_millis(500),
        measure: Duration::from_secs(1),
    };
    let sample = running.run(Load::Proof, time, None)?;
    let id = i32::try_from(strace.child.id())
        .ok()
        .and_then(Pid::from_raw);
    if let Some(id) = id {
        kill_process(id, Signal::INT)?;
    }
    strace.child.wait()?;
    let text = std::fs::read_to_string(&file)?;
    let syncs = { text.lines() }.filter(|line| is_sync(line, sample.began, sample.ended));
    Ok(Proof {
        records: sample.records,
        syncs: syncs.count() as u64,
        synced_files: machine::files_synced_by_writes(server.id()),
    })
}

/// Returns true for a line about a system call that syncs and began in this time.
fn is_sync(line: &str, from: f64, end: f64) -> bool {
    // PROCESS TIME CALL(ARGUMENTS…; a call that goes on later has a second line, without a '('.
    let mut words = line.split_whitespace().skip(1);
    let time = words.next().and_then(|time| time.parse::<f64>().ok());
    let call = words.next().and_then(|word| word.split_once('('));
    let in_time = time.is_some_and(|time| (from..=end).contains(&time));
    in_time && call.is_some_and(|(name, _)| name != "pwritev2" || line.contains("SYNC"))
}
