//! Every example runs to its end and says what it should.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

fn output(program: &str) -> String {
    let output = Command::new(program).output().expect("it was built");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

#[test]
fn the_batch_loader_writes_all_records() {
    let text = output(env!("CARGO_BIN_EXE_batch_loader"));
    assert!(text.starts_with("100000 written, 0 failed, "), "{text}");
}

#[test]
fn the_merged_reader_delivers_each_record_once_across_its_restart() {
    let text = output(env!("CARGO_BIN_EXE_merged_reader"));
    let mut clicks: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    clicks.sort_unstable();
    let expected: Vec<String> = (0..10).map(|number| format!("click {number}")).collect();
    assert_eq!(clicks, expected, "{text}");
}

#[test]
fn a_consumer_that_crashes_counts_each_order_once() {
    let text = output(env!("CARGO_BIN_EXE_exactly_once"));
    assert_eq!(text, "5 crashes\napples: 33\npears: 33\nplums: 33\n");
}

#[test]
fn back_pressure_is_met_in_three_ways() {
    let text = output(env!("CARGO_BIN_EXE_back_pressure"));
    for part in [
        "waited: DLSN{",
        " accepted, ",
        " refused",
        "reserved: DLSN{",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(" 0 accepted"), "{text}");
}

#[test]
fn the_writer_takes_three_files_in_turn() {
    let text = output(env!("CARGO_BIN_EXE_own_transport"));
    for stream in 0..3 {
        let lines = text
            .lines()
            .filter(|line| line.starts_with(&format!("file {stream} ")));
        assert!(lines.count() >= 1, "{text}");
    }
    assert_eq!(text.lines().count(), 6, "{text}");
}

#[test]
fn the_device_writes_five_samples() {
    let text = output(env!("CARGO_BIN_EXE_embassy"));
    assert_eq!(
        text.lines()
            .filter(|line| line.contains(": stream "))
            .count(),
        5,
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn the_web_service_stores_an_order_and_stops_in_order() {
    let mut service = Command::new(env!("CARGO_BIN_EXE_web_service"))
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it was built");
    let mut lines = BufReader::new(service.stdout.take().expect("a pipe")).lines();
    let line = lines.next().expect("a line").expect("UTF-8");
    let address = line
        .strip_prefix("listening on http://")
        .and_then(|rest| rest.strip_suffix("/orders"))
        .expect("its address");

    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = "POST /orders HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                   content-length: 8\r\n\r\nan order";
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("it answers");
    assert!(response.starts_with("HTTP/1.1 201 Created"), "{response}");
    assert!(response.contains("orders-"), "{response}");

    let killed = Command::new("kill")
        .args(["-INT", &service.id().to_string()])
        .status();
    assert!(killed.expect("kill is there").success());
    assert_eq!(
        lines.next().expect("a line").expect("UTF-8"),
        "stopped after 1 records"
    );
    assert!(service.wait().expect("it ends").success());
}
