//! The console between pipes: what it prints for each line, and to which output.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// Time without the expected line after which a test fails. Far above the longest expected wait.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Process that is killed when its test ends or panics.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_remove("RUST_LOG")
            .spawn();
        Self(child.expect("the command was built"))
    }

    /// Kills the process, as a crash does.
    fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it was started");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lines that a process writes.
struct Lines(Receiver<String>);

impl Lines {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let (sender, lines) = channel();
        let pipe = BufReader::new(pipe.expect("it is piped"));
        std::thread::spawn(move || {
            pipe.lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self(lines)
    }

    /// Returns the next line that contains `text`.
    fn with(&self, text: &str) -> String {
        loop {
            let line = self
                .0
                .recv_timeout(TIMEOUT)
                .unwrap_or_else(|_| panic!("no line with {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.with("{")).expect("a line is an object")
    }
}

fn proxy(data: &Path, port: &str) -> (Running, String) {
    let mut proxy = Running::start(
        Command::new(env!("CARGO_BIN_EXE_dlog"))
            .args(["proxy", "-p", port, "--data"])
            .arg(data),
    );
    let listening = Lines::of(proxy.0.stdout.take()).with("listening on ");
    (
        proxy,
        listening.trim_start_matches("listening on ").to_owned(),
    )
}

fn type_line(to: &mut ChildStdin, line: &str) {
    to.write_all(line.as_bytes())
        .and_then(|()| to.flush())
        .expect("the console reads");
}

#[test]
fn while_no_proxy_answers_the_console_reports_it_and_continues_when_one_is_back() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (first, address) = proxy(home.path(), "0");
    let name = format!("inet!{address}");
    let flags = [
        "console-multi-writer",
        "--format",
        "json",
        "--attempts",
        "--stats",
        "--recommended",
        &*name,
        "s-1,s-2",
    ];
    let mut console = Running::start(Command::new(env!("CARGO_BIN_EXE_dlog")).args(flags));
    let mut keyboard = console.0.stdin.take().expect("it is piped");
    let (results, notices) = (
        Lines::of(console.0.stdout.take()),
        Lines::of(console.0.stderr.take()),
    );

    type_line(&mut keyboard, "one\n");
    let line = results.json();
    assert_eq!(
        (&line["line"], &line["attempts"][0]["outcome"]),
        (&1.into(), &"won".into()),
        "{line}"
    );
    assert_eq!(line["stream"], line["attempts"][0]["stream"]);

    first.kill();
    type_line(&mut keyboard, "two\n");
    let notice = notices.with("No proxy answers");
    assert!(notice.contains(&name) && notice.contains("50s"), "{notice}");

    let (_second, again) = proxy(
        home.path(),
        address.rsplit(':').next().expect("it has a port"),
    );
    assert_eq!(again, address);
    let line = results.json();
    assert_eq!(
        (&line["line"], &line["error"]),
        (&2.into(), &serde_json::Value::Null),
        "{line}"
    );
    notices.with("Lines are acknowledged again.");

    drop(keyboard);
    let stats = notices.json();
    assert_eq!(stats["writer"]["records_written"], 2, "{stats}");
    assert!(
        stats["client"]["disconnects"].as_u64() >= Some(1)
            && stats["streams"][1]["stream"] == "s-2",
        "{stats}"
    );
    assert!(console.0.wait().expect("it was started").success());
}
