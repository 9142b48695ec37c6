//! Passes the commit that is built to `dlog --version`. A build outside a repository, as of the
//! packaged crate, has none.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The log of HEAD changes with each commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    println!("cargo::rustc-env=DLOG_COMMIT={commit}");
}

/// Returns the output of a command of git, if there is a repository and its sources are these.
fn git(arguments: &[&str]) -> Option<String> {
    // Not the repository that a packaged crate is unpacked in.
    if !std::path::Path::new("../../core/Cargo.toml").exists() {
        return None;
    }
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}
