//! Servers as child processes that end with this one.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use distributedlog_tests::ports::ReservedPort;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Outcome;

/// Time in which a server must accept connections, and a client must do what takes seconds.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(90);

/// Processes to kill when this one is interrupted.
static CHILDREN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A child process that is killed when the value is dropped.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// The process.
    pub(crate) child: Child,
}

impl Guarded {
    /// Starts the command.
    ///
    /// # Errors
    /// The system cannot start it.
    pub(crate) fn spawn(command: &mut Command) -> Outcome<Self> {
        let mut children = CHILDREN.lock().map_err(|_| "a thread panicked")?;
        let program = command.get_program().to_owned();
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        children.push(child.id());
        Ok(Self { child })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let id = self.child.id();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Ok(mut children) = CHILDREN.lock() {
            children.retain(|child| *child != id);
        }
    }
}

fn signal(id: u32, signal: Signal) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(id, signal);
    }
}

/// Ends all children, removes the folder and exits when this process is interrupted.
pub(crate) fn end_with_a_signal(folder: &Path) {
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut end) = signal(SignalKind::terminate()) else {
                return;
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = end.recv() => {}
            }
        });
        // Held until the exit, so that none is started any more.
        let children = CHILDREN.lock();
        for id in children.iter().flat_map(|children| children.iter()) {
            signal(*id, Signal::KILL);
        }
        // A process that is being killed may still make a file.
        for _ in 0..100 {
            if fs::remove_dir_all(&folder).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("peers: interrupted");
        std::process::exit(130);
    });
}

/// A running server with its folder, which is removed with it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Guarded,
    port: ReservedPort,
    log: PathBuf,
    /// Signal that ends it in an orderly way, if a kill would leave processes or memory behind.
    end: Option<Signal>,
    /// Dropped last.
    folder: TempDir,
}

impl Server {
    /// Starts the command, and waits until the port accepts connections.
    ///
    /// # Errors
    /// It ends, or does not accept connections in time. The message has the end of its log.
    pub(crate) fn start(
        mut command: Command,
        port: ReservedPort,
        folder: TempDir,
    ) -> Outcome<Self> {
        let log = folder.path().join("server.log");
        let output = File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let process = Guarded::spawn(&mut command)?;
        let mut server = Self {
            process,
            port,
            log,
            end: None,
            folder,
        };
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).is_err() {
            let ended = server.process.child.try_wait()?;
            if ended.is_some() || began.elapsed() > STEP_TIMEOUT {
                let how =
                    ended.map_or_else(|| "it does not listen".to_owned(), |how| how.to_string());
                return Err(format!("{how}\n{}", server.log_end()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Ends it with this signal.
    pub(crate) fn ends_with(mut self, signal: Signal) -> Self {
        self.end = Some(signal);
        self
    }

    /// Returns the process's id.
    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Returns its port.
    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// Returns its address.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Returns its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the last lines of its log.
    pub(crate) fn log_end(&self) -> String {
        last_lines(&self.log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(end) = self.end else { return };
        signal(self.id(), end);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            if !matches!(self.process.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Returns the last lines of a file.
pub(crate) fn last_lines(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Runs a command that ends by itself. Returns its standard output.
///
/// # Errors
/// It fails; the message has its output.
pub(crate) fn run(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        let error = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?}: {}\n{text}{error}", output.status).into())
    }
}
