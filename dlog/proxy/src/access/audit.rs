use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use distributedlog::Escaped;
use serde::Serialize;

use super::Principal;
use distributedlog_store::utc;

/// Lines that wait to be written. Beyond, lines are left out and counted: a disk that hangs must
/// not stop the proxy.
const MAX_WAITING: usize = 4096;
/// Time in which one refusal of each client and operation has a line of its own.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of clients and operations whose refusals are told apart.
const MAX_REFUSED: usize = 1024;
/// Longest text of a client that a line has, in characters.
const MAX_TEXT_CHARS: usize = 1100;
/// Maximum time for writing what waits, when the proxy ends.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Log of what was administered, and of what was refused because of who asked: one JSON object a
/// line. Cheap to clone.
///
/// Each act of administration has its line. Of refusals each client and operation has one in a
/// second, with the number of those that were left out before it, so that a client cannot fill the
/// disk. A thread of its own writes; the proxy never waits for it.
#[derive(Clone)]
pub struct AuditLog(Arc<Inner>);

struct Inner {
    sender: SyncSender<Message>,
    left_out: Arc<AtomicU64>,
    refusals: Mutex<HashMap<RefusalKey, RefusalState>>,
}

enum Message {
    Line(String),
    Reopen,
    Flush(SyncSender<()>),
}

type RefusalKey = (Principal, &'static str);

struct RefusalState {
    logged_at: Instant,
    left_out: u64,
}

/// Something that is logged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditEvent<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) peer: SocketAddr,
    /// `thrift` or `http`.
    pub(crate) port: &'static str,
    /// `read`, `write`, `create`, `admin`, or `authenticate`.
    pub(crate) operation: &'static str,
    /// Method of thrift, or method and route of HTTP.
    pub(crate) request: &'a str,
    pub(crate) stream: Option<&'a str>,
    /// Status code, or name of another outcome.
    pub(crate) outcome: &'a str,
    pub(crate) reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    event: &'static str,
    principal: Option<String>,
    how: &'static str,
    peer: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<&'static str>,
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Number of refusals of this client and operation that have no line.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
}

impl AuditLog {
    /// Appends to a file, which is created if it does not exist, for its owner alone.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or the system has no thread.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        Self::start(Output::File(path.to_owned(), file))
    }

    /// Writes to the standard error.
    ///
    /// # Errors
    ///
    /// The system has no thread.
    pub fn to_stderr() -> io::Result<Self> {
        Self::start(Output::Stderr)
    }

    fn start(output: Output) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let left_out = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&left_out);
        let inner = Arc::new(Inner {
            sender,
            left_out,
            refusals: Mutex::default(),
        });
        let weak = Arc::downgrade(&inner);
        let mut writer = Writer { output, counted };
        let write = move || {
            // Ends when all clones were dropped.
            loop {
                match receiver.recv_timeout(REFUSAL_INTERVAL) {
                    Ok(message) => writer.handle(message),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {}
                }
                let Some(inner) = weak.upgrade() else {
                    continue;
                };
                let ended = inner.ended_refusals();
                drop(inner);
                ended.into_iter().for_each(|line| writer.write(&line));
            }
        };
        std::thread::Builder::new()
            .name("audit log".to_owned())
            .spawn(write)?;
        Ok(Self(inner))
    }

    /// Opens the file again, as after logrotate has renamed it.
    pub fn reopen(&self) {
        // If so much waits that there is no room, the next signal does.
        let _ = self.0.sender.try_send(Message::Reopen);
    }

    /// Waits until what was logged is written, for at most 2 seconds. Blocks the thread.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.0.sender.try_send(Message::Flush(done)).is_ok() {
            // An error: it takes too long.
            let _ = written.recv_timeout(FLUSH_TIME);
        }
    }

    /// Logs an act of administration, with its outcome.
    pub(crate) fn administered(&self, event: &AuditEvent<'_>) {
        self.send(Line::of("administered", event, None));
    }

    /// Logs a refusal, or counts it if the client was refused the same less than a second ago.
    pub(crate) fn refused(&self, event: &AuditEvent<'_>) {
        let key = (event.principal.clone(), event.operation);
        let now = Instant::now();
        let mut refusals = self
            .0
            .refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_full = refusals.len() >= MAX_REFUSED;
        let left_out = match refusals.get_mut(&key) {
            Some(state) if now.duration_since(state.logged_at) < REFUSAL_INTERVAL => {
                state.left_out += 1;
                return;
            }
            Some(state) => {
                state.logged_at = now;
                core::mem::take(&mut state.left_out)
            }
            None if is_full => {
                self.0.left_out.fetch_add(1, Ordering::Relaxed);
                return;
            }
            None => {
                let state = RefusalState {
                    logged_at: now,
                    left_out: 0,
                };
                refusals.insert(key, state);
                0
            }
        };
        drop(refusals);
        self.send(Line::of(
            "refused",
            event,
            (left_out > 0).then_some(left_out),
        ));
    }

    fn send(&self, line: Line<'_>) {
        let text = line.text();
        match self.0.sender.try_send(Message::Line(text)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.0.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Inner {
    /// Forgets refusals that ended, and returns the lines of those that were left out.
    fn ended_refusals(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.retain(|(principal, operation), state| {
            if state.logged_at.elapsed() < REFUSAL_INTERVAL {
                return true;
            }
            if state.left_out > 0 {
                let line = Line {
                    time: now(),
                    event: "refused",
                    principal: name_of(principal),
                    how: principal.how().name(),
                    peer: None,
                    port: None,
                    operation,
                    request: None,
                    stream: None,
                    outcome: "refused",
                    reason: None,
                    left_out: Some(state.left_out),
                };
                lines.push(line.text());
            }
            false
        });
        lines
    }
}

impl<'a> Line<'a> {
    fn of(event: &'static str, it: &AuditEvent<'a>, left_out: Option<u64>) -> Self {
        Self {
            time: now(),
            event,
            principal: name_of(it.principal),
            how: it.principal.how().name(),
            peer: Some(it.peer),
            port: Some(it.port),
            operation: it.operation,
            request: Some(it.request),
            stream: it.stream.map(shown),
            outcome: it.outcome,
            reason: it.reason.map(shown),
            left_out,
        }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers")
    }
}

fn name_of(principal: &Principal) -> Option<String> {
    principal.name().map(shown)
}

/// Returns a text of a client without control characters, of a bounded length.
fn shown(text: &str) -> String {
    Escaped(crate::machine::shorten(text, MAX_TEXT_CHARS)).to_string()
}

fn now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    utc::rfc3339(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

enum Output {
    File(PathBuf, File),
    Stderr,
}

struct Writer {
    output: Output,
    /// Lines that were left out because too many waited.
    counted: Arc<AtomicU64>,
}

impl Writer {
    fn handle(&mut self, message: Message) {
        match message {
            Message::Line(line) => {
                let left_out = self.counted.swap(0, Ordering::Relaxed);
                if left_out > 0 {
                    let time = now();
                    self.write(&format!(
                        "{{\"time\":\"{time}\",\"event\":\"left_out\",\"left_out\":{left_out}}}"
                    ));
                }
                self.write(&line);
            }
            Message::Reopen => {
                if let Output::File(path, file) = &mut self.output {
                    match open(path) {
                        Ok(opened) => *file = opened,
                        Err(error) => {
                            let path = path.display();
                            tracing::error!(%error, "cannot open the audit log {path} again");
                        }
                    }
                }
            }
            // The proxy may not wait any longer.
            Message::Flush(done) => _ = done.try_send(()),
        }
    }

    fn write(&mut self, line: &str) {
        // One write a line, so that lines of processes that share a file do not mix.
        let line = format!("{line}\n");
        let written = match &mut self.output {
            Output::File(_, file) => file.write_all(line.as_bytes()),
            Output::Stderr => io::stderr().write_all(line.as_bytes()),
        };
        if let Err(error) = written {
            tracing::error!(%error, "cannot write to the audit log");
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditLog")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn lines(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).expect("a file");
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        text.lines().map(parse).collect()
    }

    fn event<'a>(principal: &'a Principal, stream: &'a str) -> AuditEvent<'a> {
        AuditEvent {
            principal,
            peer: SocketAddr::from(([10, 0, 0, 5], 4711)),
            port: "http",
            operation: "admin",
            request: "DELETE /v1/streams/{stream}",
            stream: Some(stream),
            outcome: "204",
            reason: None,
        }
    }

    #[test]
    fn each_act_has_a_line_that_no_text_of_a_client_breaks_and_rotation_loses_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, rotated) = (folder.path().join("audit"), folder.path().join("audit.1"));
        let log = AuditLog::to_file(&path).expect("a file");
        let alice = Principal::of_token("alice".into());
        log.administered(&event(&alice, "a\n{\"event\":\"forged\"}\u{1b}[2J\u{202e}"));
        log.flush();
        std::fs::rename(&path, &rotated).expect("it is there");
        log.reopen();
        log.administered(&event(&alice, "b"));
        log.flush();
        let first = lines(&rotated);
        assert_eq!(first.len(), 1);
        assert_eq!(
            (&first[0]["principal"], &first[0]["how"], &first[0]["event"]),
            (&"alice".into(), &"token".into(), &"administered".into())
        );
        assert_eq!(
            first[0]["stream"],
            "a\\n{\"event\":\"forged\"}\\u{1b}[2J\\u{202e}"
        );
        assert_eq!(lines(&path)[0]["stream"], "b");
    }

    #[test]
    fn refusals_of_one_client_are_bounded_and_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit");
        let log = AuditLog::to_file(&path).expect("a file");
        let (alice, bob) = ("alice".into(), "bob".into());
        let (alice, bob) = (Principal::of_token(alice), Principal::of_token(bob));
        let began = Instant::now();
        let mut refused = 0;
        while refused < 1000 && began.elapsed() < REFUSAL_INTERVAL / 2 {
            log.refused(&event(&alice, "s"));
            refused += 1;
        }
        log.refused(&event(&bob, "s"));
        log.flush();
        let now = lines(&path);
        assert_eq!(now.len(), 2, "{now:?}");
        // What was left out is written when the second is over.
        while lines(&path).len() < 3 {
            std::thread::yield_now();
        }
        let last = lines(&path).pop().expect("three lines");
        assert_eq!(
            (&last["principal"], &last["left_out"]),
            (&"alice".into(), &(refused - 1).into())
        );
    }
}
