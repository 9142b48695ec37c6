//! A server that other machines reach, and that admits everybody, says so in one line.

use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Starts a server with these arguments, and returns what it has logged once it serves.
fn logged(folder: &Path, arguments: &[&str]) -> String {
    let mut process = Command::new(env!("CARGO_BIN_EXE_dlog"))
        .args(arguments)
        .arg("--data")
        .arg(folder.join("store"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command was built");
    let output = BufReader::new(process.stdout.take().expect("it is piped"));
    let mut lines = output.lines().map_while(Result::ok);
    let serves = lines.any(|line| line.starts_with("listening on "));
    // In order, so that the log is complete.
    let id = i32::try_from(process.id()).expect("an id");
    let id = rustix::process::Pid::from_raw(id).expect("it is not zero");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
    let mut log = String::new();
    let mut error = process.stderr.take().expect("it is piped");
    error.read_to_string(&mut log).expect("text");
    process.wait().expect("it ends");
    assert!(serves, "{log}");
    log
}

#[test]
fn a_server_that_admits_everybody_beyond_loopback_names_the_flags_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (rules, secret) = (folder.path().join("rules"), folder.path().join("secret"));
    std::fs::write(&rules, "").expect("a file");
    std::fs::write(&secret, "c2VjcmV0IG9mIGEgdGVzdA").expect("a file");
    let rules = format!("--authorization={}", rules.display());
    let secret = format!("--secret-file={}", secret.display());
    let proxy = [
        "proxy",
        "-p",
        "0",
        "--bind",
        "0.0.0.0",
        "--advertise",
        "localhost",
    ];
    let local = ["local", "0", "--bind", "0.0.0.0"];
    for (arguments, flags) in [
        (
            proxy.to_vec(),
            &["--authorization", "--tls-client-ca", "--http-tokens"][..],
        ),
        ([&proxy[..], &[&rules]].concat(), &[]),
        (vec!["proxy", "-p", "0"], &[]),
        (local.to_vec(), &["--secret-file", "--tls-client-ca"]),
        ([&local[..], &[&secret]].concat(), &[]),
        (vec!["local", "0"], &[]),
    ] {
        let log = logged(folder.path(), &arguments);
        let warnings = log
            .lines()
            .filter(|line| line.contains("every client that reaches"));
        let warnings: Vec<&str> = warnings.collect();
        assert_eq!(
            warnings.len(),
            usize::from(!flags.is_empty()),
            "{arguments:?}: {log}"
        );
        for flag in flags {
            assert!(warnings[0].contains(flag), "{warnings:?}");
        }
    }
}
