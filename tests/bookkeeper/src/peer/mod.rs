//! Java programs that take commands on standard input and answer in lines of JSON.

mod bench;
mod ledger;
mod log;

use std::path::PathBuf;

use distributedlog_tests::process::{From, Process};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::java::{Version, java, print_log};

pub use bench::{BenchPeer, Measured};
pub use ledger::{LedgerEnd, LedgerEntry, LedgerPeer};
pub use log::{LogPeer, LogRecord, LogSegment};

/// A running Java program. Dropping it kills it; when the test fails, the end of its log is shown.
pub struct Peer {
    name: String,
    process: Process,
    log: PathBuf,
}

impl Peer {
    /// Starts `peer.MAIN` without waiting for it.
    #[must_use]
    pub fn spawn<S: AsRef<str>>(
        version: Version,
        main: &str,
        name: &str,
        options: &[&str],
        arguments: &[S],
    ) -> Self {
        let java = java(version, main, name, options, arguments);
        Self {
            name: name.to_owned(),
            process: java.starting.start(),
            log: java.log,
        }
    }

    /// Waits until it takes commands.
    ///
    /// # Panics
    /// It ends before, or takes too long.
    pub async fn until_ready(&mut self) {
        self.until_line("ready", |value| value.get("ready").map(drop))
            .await;
    }

    /// Sends a command, whose lines [`next`](Self::next) returns.
    ///
    /// # Panics
    /// It has ended.
    pub async fn send(&mut self, command: &str) {
        self.process.type_in(&format!("{command}\n")).await;
    }

    /// Returns the next line of the command that was sent: `None` when it is done.
    ///
    /// # Errors
    /// The command failed, with Java's error.
    ///
    /// # Panics
    /// The process has ended, or no line comes within a minute.
    pub async fn next(&mut self) -> Result<Option<Value>, String> {
        let value = self.until_line("a line", |value| Some(value.clone())).await;
        if let Some(error) = value.get("error").and_then(Value::as_str) {
            return Err(error.to_owned());
        }
        Ok(value.get("done").is_none().then_some(value))
    }

    /// Sends a command. Returns its lines when it is done.
    ///
    /// # Errors
    /// The command failed, with Java's error.
    pub async fn command(&mut self, command: &str) -> Result<Vec<Value>, String> {
        self.send(command).await;
        self.rest().await
    }

    /// Returns the lines of the command that was sent, when it is done.
    ///
    /// # Errors
    /// The command failed, with Java's error.
    pub async fn rest(&mut self) -> Result<Vec<Value>, String> {
        let mut lines = Vec::new();
        while let Some(line) = self.next().await? {
            lines.push(line);
        }
        Ok(lines)
    }

    /// Runs a command that must succeed, and parses its lines.
    ///
    /// # Panics
    /// It fails, or has other lines.
    pub async fn expect<T: DeserializeOwned>(&mut self, command: &str) -> Vec<T> {
        match self.command(command).await {
            Ok(lines) => lines.into_iter().map(parse).collect(),
            Err(error) => panic!("{}: `{command}` failed: {error}", self.name),
        }
    }

    /// Sends the process a signal: `Signal::STOP` and `Signal::CONT`, for example.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Returns the process's id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Kills it as `kill -9` does. Returns all lines that it has printed in its life.
    pub async fn kill_9(&mut self) -> Vec<Value> {
        self.process.signal(Signal::KILL);
        self.process.until_gone().await;
        let lines = self.process.lines(From::Stdout);
        // The last line may be cut.
        let values = lines.iter().map(|line| serde_json::from_str(line).ok());
        values.flatten().collect()
    }

    /// Prints the end of its log to standard error.
    pub fn print_log(&self) {
        print_log(&self.name, &self.log);
    }

    async fn until_line<T>(&mut self, what: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        self.process
            .until_line(what, |from, line| {
                let value = (from == From::Stdout).then(|| serde_json::from_str(line).ok());
                find(&value.flatten()?)
            })
            .await
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_log();
        }
    }
}

/// Parses a line.
///
/// # Panics
/// It is another kind of line.
pub fn parse<T: DeserializeOwned>(line: Value) -> T {
    let text = line.to_string();
    serde_json::from_value(line).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Decodes a payload's hexadecimal digits.
fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text: String = serde::Deserialize::deserialize(deserializer)?;
    let pairs = text.as_bytes().chunks(2);
    let decoded = pairs.map(|pair| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok());
    let decoded: Option<Vec<u8>> = decoded.collect();
    decoded.ok_or_else(|| serde::de::Error::custom("no hexadecimal digits"))
}
