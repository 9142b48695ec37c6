//! Errors of the files of `--tls-certificates` and `--tls-key`.

use std::path::Path;
use std::process::Command;

/// Runs `dlog proxy` with these files in `folder`. Returns what it writes to the standard error.
fn refused(folder: &Path, certificates: &str, key: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dlog"))
        .args(["proxy", "-q", "-p", "0", "--data"])
        .arg(folder.join("store"))
        .arg("--tls-certificates")
        .arg(folder.join(certificates))
        .arg("--tls-key")
        .arg(folder.join(key))
        .output()
        .expect("the command was built");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).expect("messages are text")
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_flag() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("empty.pem"), "").expect("the folder can be written");
    // No valid certificate, but PEM: the key is what fails.
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(folder.path().join("chain.pem"), certificate).expect("it can be written");
    for (certificates, key, flag, file) in [
        ("none.pem", "empty.pem", "--tls-certificates", "none.pem"),
        ("empty.pem", "none.pem", "--tls-certificates", "empty.pem"),
        ("chain.pem", "none.pem", "--tls-key", "none.pem"),
        ("chain.pem", "empty.pem", "--tls-key", "empty.pem"),
    ] {
        let said = refused(folder.path(), certificates, key);
        let named = format!("{flag} {}", folder.path().join(file).display());
        assert!(said.contains(&named), "{named} is not in {said}");
    }
}
