//! A store that demands a secret: the flags and the environment of its clients.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running `dlog local` with a secret. Killed when it is dropped.
struct Served {
    process: Child,
    uri: String,
}

impl Served {
    fn start(folder: &Path, secret: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_dlog"))
            .args(["local", "0", "-q", "--secret-file"])
            .arg(secret)
            .arg("--data")
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command was built");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut lines = output.lines().map(|line| line.expect("text"));
        let uri = lines.find(|line| line.starts_with("distributedlog://"));
        let uri = uri.expect("it prints its URI");
        assert!(lines.any(|line| line.starts_with("listening on ")));
        Self { process, uri }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it was killed");
    }
}

/// Runs `dlog tool list` with these flags. Returns the status and the standard error.
fn list(uri: &str, flags: &[&str], environment: Option<&Path>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dlog"));
    command.args(["tool", "list", "-u", uri]).args(flags);
    if let Some(file) = environment {
        command.env("DLOG_STORE_SECRET_FILE", file);
    }
    let output = command.output().expect("the command was built");
    let said = String::from_utf8(output.stderr).expect("messages are text");
    (output.status.code(), said)
}

#[test]
fn a_store_with_a_secret_serves_commands_that_name_its_file_and_says_so_to_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let (secret, other) = (folder.path().join("secret"), folder.path().join("other"));
    std::fs::write(&secret, "bm8gc2VjcmV0IGF0IGFsbA\n").expect("a file");
    std::fs::write(&other, "YW5vdGhlciBvbmUgb2YgdGhlbQ\n").expect("a file");
    let served = Served::start(&folder.path().join("store"), &secret);
    let flag = |file: &Path| format!("--store-secret-file={}", file.display());
    assert_eq!(list(&served.uri, &[&flag(&secret)], None).0, Some(0));
    assert_eq!(list(&served.uri, &[], Some(&secret)).0, Some(0));
    let (status, said) = list(&served.uri, &[], None);
    assert_eq!(status, Some(1));
    assert!(
        said.contains("it requires a secret: give this client the file"),
        "{said}"
    );
    let (status, said) = list(&served.uri, &[&flag(&other)], None);
    assert_eq!(status, Some(1));
    assert!(said.contains("it knows another secret"), "{said}");
}
