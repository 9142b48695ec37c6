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
            .env("DLOG_CONFIG", "/dev/null")
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
fn every_line_is_written_also_when_the_reader_of_the_results_goes_away() {
    const LINES: u64 = 20_000;
    let home = tempfile::tempdir().expect("a temporary folder");
    let (_proxy, address) = proxy(home.path(), "0");
    let name = format!("inet!{address}");
    let flags = ["console-multi-writer", "-v", "--stats", "--format", "json"];
    let mut console = Running::start(
        Command::new(env!("CARGO_BIN_EXE_dlog"))
            .args(flags)
            .args([&*name, "s-1,s-2"]),
    );
    let mut keyboard = console.0.stdin.take().expect("it is piped");
    let notices = Lines::of(console.0.stderr.take());
    let mut results = BufReader::new(console.0.stdout.take().expect("it is piped"));
    let typing = std::thread::spawn(move || {
        for number in 1..=LINES {
            type_line(&mut keyboard, &format!("line {number}\n"));
        }
    });
    // As `| head -1`.
    let mut first = String::new();
    results.read_line(&mut first).expect("a result");
    drop(results);
    typing.join().expect("the console reads to the end");
    let stats = notices.json();
    assert_eq!(stats["writer"]["records_written"], LINES, "{stats}");
    assert_eq!(console.0.wait().expect("it was started").code(), Some(0));
}

/// Sends a request without a body to the HTTP port, and waits for the end of the response.
fn http(address: &str, method: &str, path: &str) {
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n");
    stream
        .write_all(format!("{request}Connection: close\r\n\r\n").as_bytes())
        .expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("it answers");
    assert!(response.starts_with("HTTP/1.1 2"), "{response}");
}

#[test]
fn quickstart_goes_round_stalled_streams_and_says_what_a_line_waits_for() {
    let mut quickstart = Running::start(Command::new(env!("CARGO_BIN_EXE_dlog")).args([
        "quickstart",
        "-p",
        "0",
        "--http-port",
        "0",
    ]));
    let mut keyboard = quickstart.0.stdin.take().expect("it is piped");
    let (results, notices) = (
        Lines::of(quickstart.0.stdout.take()),
        Lines::of(quickstart.0.stderr.take()),
    );
    let page = results.with("http://");
    let (_, address) = page.split_once("http://").expect("it was found by it");
    let address = address.split(['/', ' ']).next();
    let address = address.expect("the address comes first");
    let stall = |method, stream| {
        http(
            address,
            method,
            &format!("/faults/basic-stream-{stream}/stall"),
        )
    };

    stall("PUT", 3);
    stall("PUT", 4);
    for number in 1..=6 {
        type_line(&mut keyboard, "a line\n");
        let line = results.with(&format!("line {number}: "));
        let (_, took) = line.split_once("}} in stream ").unwrap_or(("", &line));
        assert!(
            took.contains(" ms, ") && took.contains(" attempt"),
            "{line}"
        );
        assert!(
            !took.contains("stream-3") && !took.contains("stream-4"),
            "{line}"
        );
    }
    for stream in 5..=7 {
        stall("PUT", stream);
    }
    type_line(&mut keyboard, "waits\n");
    let notice = notices.with("Waiting for an answer from ");
    assert!(notice.contains("basic-stream-"), "{notice}");
    for stream in 3..=7 {
        http(address, "DELETE", &format!("/faults/basic-stream-{stream}"));
    }
    results.with("line 7: ");

    for stream in 3..=7 {
        http(
            address,
            "PUT",
            &format!("/faults/basic-stream-{stream}/fail/503"),
        );
    }
    type_line(&mut keyboard, "refused\n");
    notices.with("answered SERVICE_UNAVAILABLE (503)");
    for stream in 3..=7 {
        http(address, "DELETE", &format!("/faults/basic-stream-{stream}"));
    }
    results.with("line 8: ");
    notices.with("Lines are acknowledged again.");
    drop(keyboard);
    results.with("8 records written, acknowledged and read back.");
    assert_eq!(quickstart.0.wait().expect("it was started").code(), Some(0));
}

#[cfg(unix)]
#[test]
fn an_interrupt_before_the_end_of_a_pipe_is_a_failure_that_says_what_was_not_written() {
    use rustix::process::{Pid, Signal, kill_process};
    let home = tempfile::tempdir().expect("a temporary folder");
    let (_proxy, address) = proxy(home.path(), "0");
    let name = format!("inet!{address}");
    for command in [
        vec!["console-multi-writer", "-v", &*name, "s-1,s-2"],
        vec!["quickstart", "-p", "0", "--http-port", "0"],
    ] {
        let mut console = Running::start(Command::new(env!("CARGO_BIN_EXE_dlog")).args(&command));
        let mut keyboard = console.0.stdin.take().expect("it is piped");
        let (results, notices) = (
            Lines::of(console.0.stdout.take()),
            Lines::of(console.0.stderr.take()),
        );
        type_line(&mut keyboard, "one\n");
        results.with("line 1: ");
        kill_process(Pid::from_child(&console.0), Signal::INT).expect("it runs");
        let error = notices.with("error: ");
        assert!(
            error.contains("interrupted before the end of the input: 1 line acknowledged")
                && error.contains("nothing after line 1 was written"),
            "{error}"
        );
        assert_eq!(console.0.wait().expect("it was started").code(), Some(1));
    }
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
