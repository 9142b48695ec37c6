//! The `dlog` binary under test.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Names a binary that is there already; without it, one is built.
pub const VARIABLE: &str = "DLOG_BINARY";

/// Where the binary is. The first call builds it when [`VARIABLE`] does not name one, in the
/// profile and target folder of the running test.
///
/// # Panics
/// There is no binary and it cannot be built; the message says which command failed.
pub fn dlog() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os(VARIABLE) {
        Some(named) => {
            let named = PathBuf::from(named);
            assert!(
                named.is_file(),
                "{VARIABLE} names {}, which is no file: build it, or unset the variable",
                named.display()
            );
            named
        }
        None => build(),
    })
}

fn build() -> PathBuf {
    // The test is at TARGET/PROFILE/deps/NAME-HASH.
    let test = env::current_exe().expect("the test's own path");
    let profile_folder = test
        .parent()
        .and_then(Path::parent)
        .expect("tests are three folders deep");
    let target = profile_folder
        .parent()
        .expect("tests are three folders deep");
    let folder_name = profile_folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("debug");
    // The folder of the profile "dev" has another name than the profile.
    let profile = if folder_name == "debug" {
        "dev"
    } else {
        folder_name
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--package",
        "dlog",
        "--bin",
        "dlog",
        "--profile",
        profile,
    ]);
    command
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(target);
    let status = command.status();
    assert!(
        matches!(&status, Ok(status) if status.success()),
        "cannot build dlog ({status:?}): run `cargo build -p dlog --profile {profile}`, or set \
         {VARIABLE} to a built binary"
    );
    profile_folder.join(format!("dlog{}", env::consts::EXE_SUFFIX))
}
