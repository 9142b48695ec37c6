//! The command on a pseudo terminal, with a test as its user.
#![cfg(unix)]

use core::time::Duration;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Time without the expected text after which a test fails. Far above the longest expected wait.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Process that is killed when its test ends or panics.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A user in front of a terminal that runs `dlog`.
struct User {
    child: Running,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// Output so far, and the number of its bytes that the test has matched.
    shown: String,
    seen: usize,
}

impl User {
    /// Starts `dlog ARGS` with `home` as the home folder.
    fn runs(args: &str, home: &Path) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)
            .expect("the system has pseudo terminals");
        grantpt(&terminal).expect("it is ours");
        unlockpt(&terminal).expect("it is ours");
        let name = ptsname(&terminal, Vec::new()).expect("it has a name");
        let side: OwnedFd = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())
            .expect("its other end can be opened");
        let end = || Stdio::from(side.try_clone().expect("there are file descriptors left"));
        let child = Command::new(env!("CARGO_BIN_EXE_dlog"))
            .args(args.split_whitespace())
            .env("TERM", "xterm")
            .env("XDG_DATA_HOME", home)
            .env("HOME", home)
            .env_remove("RUST_LOG")
            .env("DLOG_CONFIG", "/dev/null")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the command was built");
        drop(side);
        let keyboard = File::from(terminal);
        let mut from_screen = keyboard
            .try_clone()
            .expect("there are file descriptors left");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The read fails when the command has exited and its end is closed.
            while let Ok(length @ 1..) = from_screen.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child: Running(child),
            keyboard,
            screen,
            shown: String::new(),
            seen: 0,
        }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("the command still runs");
    }

    /// Waits until `text` is shown after the last match.
    fn sees(&mut self, text: &str) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            match self
                .screen
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!(
                        "{text:?} is not in what is shown: {:?}",
                        &self.shown[self.seen..]
                    )
                }
            }
        }
    }

    fn sees_the_end(mut self) -> ExitStatus {
        self.child.0.wait().expect("it was started")
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn lines_are_edited_and_recalled_and_their_records_are_printed_above_the_prompt() {
    let home = folder();
    let mut user = User::runs("quickstart -p 0", home.path());
    user.sees("Type a line and press Enter");
    user.sees("Open reader to read records from stream basic-stream-7");
    user.sees("[dlog] > ");
    user.types("mesage-1\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[Ds\r");
    user.sees(
        "Received record DLSN{logSegmentSequenceNo=1, entryId=0, slotId=0} from stream \
         basic-stream-",
    );
    user.sees("\"\"\"\r\nmessage-1\r\n\"\"\"");
    user.sees("[dlog] > ");
    user.types("\x1b[A\x7f2\r");
    user.sees("\"\"\"\r\nmessage-2\r\n\"\"\"");
    user.sees("[dlog] > ");
    user.types("\x04");
    user.sees("2 records written, acknowledged and read back.");
    assert_eq!(user.sees_the_end().code(), Some(0));
    let history =
        std::fs::read_to_string(home.path().join("dlog/history")).expect("the history is kept");
    assert!(history.ends_with("message-1\nmessage-2\n"), "{history}");
}

#[test]
fn an_interrupt_at_the_prompt_ends_the_console_in_order() {
    let home = folder();
    let mut user = User::runs("quickstart -p 0", home.path());
    user.sees("[dlog] > ");
    user.types("half a line\x03");
    user.sees("0 records written, acknowledged and read back.");
    assert_eq!(user.sees_the_end().code(), Some(0));
}

#[test]
fn lines_that_are_pasted_become_a_record_each_with_and_without_bracketed_paste() {
    const LINES: usize = 200;
    let home = folder();
    let mut user = User::runs("quickstart -p 0 --http-port 0", home.path());
    user.sees("[dlog] > ");
    let lines: Vec<String> = (1..=LINES)
        .map(|number| format!("plain {number}"))
        .collect();
    user.types(&(lines.join("\r") + "\r"));
    user.sees(&format!("line {LINES}: DLSN"));
    user.sees("[dlog] > ");
    user.types("\x1b[200~one\rtwo\r\nthree\n\x1b[201~\r");
    user.sees(&format!("line {}: DLSN", LINES + 3));
    user.sees("[dlog] > ");
    user.types("\x04");
    user.sees(&format!(
        "{} records written, acknowledged and read back.",
        LINES + 3
    ));
    assert_eq!(user.sees_the_end().code(), Some(0));
}

#[test]
fn a_records_bytes_cannot_control_the_terminal() {
    let home = folder();
    let mut user = User::runs("quickstart -p 0", home.path());
    user.sees("[dlog] > ");
    // Ctrl-V takes the next key literally: an escape character becomes part of the record.
    user.types("\x16\x1b[2Jgone\r");
    user.sees("\"\"\"\r\n\u{fffd}[2Jgone\r\n\"\"\"");
    // The terminal itself would interpret keys that are pressed before the editor is back.
    user.sees("[dlog] > ");
    user.types("\x04");
    user.sees("1 record written");
    assert_eq!(user.sees_the_end().code(), Some(0));
}

#[test]
fn streams_are_created_and_deleted_only_when_the_user_says_yes() {
    let home = folder();
    let local = Command::new(env!("CARGO_BIN_EXE_dlog"))
        .args(["local", "0", "-q", "--data"])
        .arg(home.path().join("store"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command was built");
    let mut local = Running(local);
    let mut uri = String::new();
    BufReader::new(local.0.stdout.take().expect("it is piped"))
        .read_line(&mut uri)
        .expect("it prints its URI first");
    let uri = uri.trim();

    let mut user = User::runs(&format!("tool create -u {uri} -r s- -e 1-2"), home.path());
    user.sees("You are going to create streams : [s-1, s-2] (Y or N) ");
    user.types("perhaps\r");
    user.sees("Please answer Y or N.");
    user.types("n\r");
    user.sees("Nothing was created.");
    assert_eq!(user.sees_the_end().code(), Some(0));

    let mut user = User::runs(&format!("tool create -u {uri} -r s- -e 1-2"), home.path());
    user.sees("(Y or N) ");
    user.types("Y\r");
    user.sees("Created log stream s-2.");
    assert_eq!(user.sees_the_end().code(), Some(0));

    let mut user = User::runs(&format!("tool delete -u {uri} -s s-1"), home.path());
    user.sees("You are going to delete streams with all their records : [s-1] (Y or N) ");
    user.types("yes\r");
    user.sees("Deleted log stream s-1.");
    assert_eq!(user.sees_the_end().code(), Some(0));
}

#[test]
fn records_of_other_writers_are_shown_above_the_line_that_is_being_typed() {
    let home = folder();
    let mut user = User::runs("quickstart -p 0", home.path());
    user.sees("proxy    ");
    user.sees(" (thriftmux");
    let before = &user.shown[..user.seen];
    let name = before[before
        .rfind("inet!")
        .expect("the first screen names the proxy")..]
        .trim_end_matches(" (thriftmux")
        .to_owned();
    user.sees("[dlog] > ");
    user.types("half a li");
    user.sees("li");
    let mut other = Command::new(env!("CARGO_BIN_EXE_dlog"))
        .args(["console-multi-writer", &name, "basic-stream-3"])
        .stdin(Stdio::piped())
        .spawn()
        .map(Running)
        .expect("the command was built");
    other
        .0
        .stdin
        .take()
        .expect("it is piped")
        .write_all(b"from elsewhere\n")
        .expect("it reads");
    assert_eq!(other.0.wait().expect("it was started").code(), Some(0));
    user.sees("from stream basic-stream-3");
    user.sees("from elsewhere");
    user.sees("[dlog] > half a li");
    user.types("ne\r");
    user.sees("\"\"\"\r\nhalf a line\r\n\"\"\"");
    user.sees("[dlog] > ");
    user.types("\x04");
    user.sees("1 record written, acknowledged and read back.");
    assert_eq!(user.sees_the_end().code(), Some(0));
}

#[test]
fn a_missing_proxy_is_reported_above_the_line_that_is_being_typed() {
    let home = folder();
    let mut proxy = Command::new(env!("CARGO_BIN_EXE_dlog"))
        .args(["proxy", "-p", "0", "-q", "--data"])
        .arg(home.path().join("store"))
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)
        .expect("the command was built");
    let mut listening = String::new();
    BufReader::new(proxy.0.stdout.take().expect("it is piped"))
        .read_line(&mut listening)
        .expect("it prints its address first");
    let name = format!(
        "inet!{}",
        listening.trim().trim_start_matches("listening on ")
    );

    let mut user = User::runs(
        &format!("console-multi-writer -v {name} s-1,s-2"),
        home.path(),
    );
    user.sees("[dlog] > ");
    user.types("one\r");
    user.sees("line 1: DLSN{logSegmentSequenceNo=1, entryId=0, slotId=0}");
    drop(proxy);
    user.sees("[dlog] > ");
    user.types("two\r");
    user.sees("[dlog] > ");
    user.types("half a line");
    user.sees(&format!("No proxy answers at {name}"));
    user.sees("[dlog] > half a line");
    user.types("\x03");
    user.sees("Waiting for 1 line to be acknowledged");
}

#[test]
fn a_command_line_that_cannot_be_used_is_quoted_without_its_control_characters() {
    let home = folder();
    // A title for the terminal, its bell, and a sequence of one character.
    let mut user = User::runs("tool \x1b]0;title\x07li\x07st\u{9b}", home.path());
    user.sees("unrecognized subcommand 'list\u{fffd}'");
    user.sees("--help");
    assert!(!user.shown.contains('\x1b'), "{:?}", user.shown);
    assert_eq!(user.sees_the_end().code(), Some(2));
}

/// Returns the mode of the user's terminal, and of the screen that a program left there.
fn mode_of(user: &User) -> (bool, bool) {
    use rustix::termios::LocalModes;
    let mode = rustix::termios::tcgetattr(&user.keyboard).expect("it is a terminal");
    let modes = mode.local_modes;
    (
        modes.contains(LocalModes::ICANON),
        modes.contains(LocalModes::ECHO),
    )
}

#[test]
fn top_shows_proxies_and_streams_obeys_keys_and_restores_the_terminal() {
    let home = folder();
    let mut served = User::runs("quickstart -p 0 --http-port 0", home.path());
    served.sees("[dlog] > ");
    let (_, rest) = served.shown.split_once("demo     ").expect("it names it");
    let (url, _) = rest.split_once("/demo").expect("it names it");
    let url = url.to_owned();
    for end in ["q", "\u{3}"] {
        let mut user = User::runs(&format!("top {url}"), home.path());
        user.sees("\x1b[?1049h");
        user.sees("dlog top, streams by rate");
        user.sees("ready");
        user.sees("basic-stream-3");
        assert_eq!(mode_of(&user), (false, false));
        user.types("b");
        user.sees("streams by size");
        if end == "q" {
            user.types(end);
        } else {
            // The terminal is not the controlling one, so that the key is no signal.
            let id = rustix::process::Pid::from_child(&user.child.0);
            rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it runs");
        }
        user.sees("\x1b[?25h\x1b[?1049l");
        assert_eq!(user.child.0.wait().expect("it was started").code(), Some(0));
        assert_eq!(mode_of(&user), (true, true));
    }
}
