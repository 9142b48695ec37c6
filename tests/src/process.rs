//! Child processes whose output is read line by line as it comes.

use core::fmt::Write as _;
use core::time::Duration;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::binary;

/// Timeout of each step of a test: longer than a step takes on a loaded machine unless it hangs.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Output stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A command that was not started yet.
#[derive(Debug)]
pub struct Starting {
    name: String,
    command: Command,
}

impl Starting {
    /// `dlog` with these arguments.
    pub fn dlog<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(binary::dlog());
        command.args(arguments);
        Self::from_command(command)
    }

    /// A copy of `dlog` with these arguments.
    pub fn copy<S: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::from_command(command)
    }

    /// Another program with these arguments.
    pub fn program<S: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        let starting = Self::from_command(command);
        Self {
            name: format!(
                "{} {}",
                program.display(),
                starting.name.trim_start_matches("dlog ")
            ),
            ..starting
        }
    }

    /// `dlog` with these arguments, by a shell that first runs `before`: `ulimit`, say.
    pub fn dlog_after<S: AsRef<OsStr>>(
        before: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{before} && exec \"$0\" \"$@\""))
            .arg(binary::dlog())
            .args(arguments);
        Self::from_command(command)
    }

    fn from_command(mut command: Command) -> Self {
        let words: Vec<_> = command
            .as_std()
            .get_args()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        // What the user has set must not change what is tested.
        command
            .env_remove("RUST_LOG")
            .env_remove("DLOG_URI")
            .env_remove("DLOG_TO")
            .env_remove("DLOG_CONTEXT")
            // Not the configuration of the user who runs the tests.
            .env("DLOG_CONFIG", "/dev/null")
            .env("NO_COLOR", "1");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self {
            name: format!("dlog {}", words.join(" ")),
            command,
        }
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Connects its standard input to a pipe.
    #[must_use]
    pub fn with_stdin(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Runs it as the user with this number, which only root may do.
    #[must_use]
    pub fn as_user(mut self, user: u32) -> Self {
        self.command.uid(user);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// The system cannot start it.
    #[must_use]
    pub fn start(self) -> Process {
        let Self { name, mut command } = self;
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{name}`: {error}"));
        let transcript = Arc::new(Transcript {
            lines: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let mut readers = JoinSet::new();
        readers.spawn(read_lines(
            child.stdout.take().expect("piped"),
            From::Stdout,
            Arc::clone(&transcript),
        ));
        readers.spawn(read_lines(
            child.stderr.take().expect("piped"),
            From::Stderr,
            Arc::clone(&transcript),
        ));
        let stdin = child.stdin.take();
        Process {
            name,
            child,
            stdin,
            transcript,
            readers,
            looked: 0,
        }
    }
}

struct Transcript {
    lines: Mutex<Vec<(From, String)>>,
    count: watch::Sender<usize>,
}

impl Transcript {
    fn line(&self, index: usize) -> Option<(From, String)> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(index)
            .cloned()
    }
}

async fn read_lines(from: impl AsyncRead + Unpin, which: From, transcript: Arc<Transcript>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        transcript
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((which, line));
        transcript.count.send_modify(|count| *count += 1);
    }
}

/// A running child. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    transcript: Arc<Transcript>,
    readers: JoinSet<()>,
    /// First line that [`until_line`](Self::until_line) has not examined.
    looked: usize,
}

impl Process {
    /// Waits for the next line that `find` accepts. The next call continues behind it.
    ///
    /// # Panics
    /// The process ended without such a line, or it did not come within [`STEP_TIMEOUT`]. The
    /// message has the process's whole output.
    pub async fn until_line<T>(
        &mut self,
        what: &str,
        mut find: impl FnMut(From, &str) -> Option<T>,
    ) -> T {
        let mut count = self.transcript.count.subscribe();
        let search = async {
            loop {
                while let Some((from, line)) = self.transcript.line(self.looked) {
                    self.looked += 1;
                    if let Some(found) = find(from, &line) {
                        return Some(found);
                    }
                }
                tokio::select! {
                    _ = count.wait_for(|count| *count > self.looked) => {}
                    () = drained(&mut self.readers) => {
                        self.transcript.line(self.looked)?;
                    }
                }
            }
        };
        match tokio::time::timeout(STEP_TIMEOUT, search).await {
            Ok(Some(found)) => found,
            Ok(None) => panic!("`{}` ended without {what}\n{}", self.name, self.said()),
            Err(_) => panic!(
                "`{}` did not say {what} within {STEP_TIMEOUT:?}\n{}",
                self.name,
                self.said()
            ),
        }
    }

    /// Waits for `listening on ADDRESS`. Returns the address.
    pub async fn until_listening(&mut self) -> core::net::SocketAddr {
        self.until_line("where it listens", |_, line| {
            line.strip_prefix("listening on ")?.parse().ok()
        })
        .await
    }

    /// Writes to its standard input.
    ///
    /// # Panics
    /// It has none, or has closed it.
    pub async fn type_in(&mut self, text: &str) {
        let stdin = self
            .stdin
            .as_mut()
            .expect("started with a pipe to read from");
        stdin
            .write_all(text.as_bytes())
            .await
            .unwrap_or_else(|error| panic!("`{}` does not read: {error}", self.name));
        stdin.flush().await.expect("pipes have nothing to flush");
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Closes its output pipes: it writes to closed pipes from now on, as when the collector of its
    /// logs has ended.
    pub async fn hang_up(&mut self) {
        self.readers.shutdown().await;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        // One that has ended already is reaped by `until_exit`, which returns its exit status.
        if let Some(id) = id {
            kill_process(id, signal).ok();
        }
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    ///
    /// # Panics
    /// It does not go.
    pub async fn kill_9(mut self) {
        self.child.kill().await.expect("the child is ours");
    }

    /// Waits until it ends by itself. Returns its exit status and output.
    ///
    /// # Panics
    /// It goes on for longer than [`STEP_TIMEOUT`].
    pub async fn until_exit(self) -> Ended {
        self.until_exit_within(STEP_TIMEOUT).await
    }

    /// Waits until it ends by itself, for this long.
    ///
    /// # Panics
    /// It goes on for longer.
    pub async fn until_exit_within(mut self, limit: Duration) -> Ended {
        let Ok(status) = tokio::time::timeout(limit, self.child.wait()).await else {
            panic!(
                "`{}` did not end within {limit:?}\n{}",
                self.name,
                self.said()
            );
        };
        // A grandchild that holds the pipes open must not hold the test up.
        tokio::time::timeout(STEP_TIMEOUT, drained(&mut self.readers))
            .await
            .ok();
        let lines = self
            .transcript
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ended {
            name: self.name,
            status: status.expect("the child is ours"),
            lines,
        }
    }

    /// Waits until it is gone, after [`signal`](Self::signal), and its output is complete.
    ///
    /// # Panics
    /// It goes on for longer than [`STEP_TIMEOUT`].
    pub async fn until_gone(&mut self) {
        let gone = async {
            self.child.wait().await.expect("the child is ours");
            drained(&mut self.readers).await;
        };
        if tokio::time::timeout(STEP_TIMEOUT, gone).await.is_err() {
            panic!("`{}` did not end\n{}", self.name, self.said());
        }
    }

    /// Returns the lines of one stream so far.
    #[must_use]
    pub fn lines(&self, which: From) -> Vec<String> {
        let lines = self.transcript.lines.lock();
        let lines = lines.unwrap_or_else(PoisonError::into_inner);
        let of_stream = lines.iter().filter(|(from, _)| *from == which);
        of_stream.map(|(_, line)| line.clone()).collect()
    }

    /// Returns its output so far, for a failure's message.
    #[must_use]
    pub fn said(&self) -> String {
        transcript(
            &self
                .transcript
                .lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The process's id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

async fn drained(readers: &mut JoinSet<()>) {
    while readers.join_next().await.is_some() {}
}

fn transcript(lines: &[(From, String)]) -> String {
    let mut text = String::new();
    for (from, line) in lines {
        let mark = match from {
            From::Stdout => "out",
            From::Stderr => "err",
        };
        writeln!(text, "  {mark} | {line}").expect("a string takes everything");
    }
    text
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    name: String,
    /// Exit status.
    pub status: ExitStatus,
    /// Whole output.
    pub lines: Vec<(From, String)>,
}

impl Ended {
    /// Returns the lines of one stream, joined.
    #[must_use]
    pub fn text(&self, which: From) -> String {
        self.lines
            .iter()
            .filter(|(from, _)| *from == which)
            .map(|(_, line)| line.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Asserts the exit code.
    ///
    /// # Panics
    /// It is another one. The message has the process's whole output.
    #[must_use]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(
            self.status.code(),
            Some(code),
            "`{}` ended with {}\n{}",
            self.name,
            self.status,
            transcript(&self.lines)
        );
        self
    }

    /// Asserts that standard error has this text.
    ///
    /// # Panics
    /// It has not.
    #[must_use]
    pub fn complaining(self, text: &str) -> Self {
        assert!(
            self.text(From::Stderr).contains(text),
            "`{}` does not say \"{text}\"\n{}",
            self.name,
            transcript(&self.lines)
        );
        self
    }
}
