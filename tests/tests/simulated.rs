//! `dlog sim` as its users start it.

use std::path::Path;
use std::process::Command;

use distributedlog_tests::binary;
use distributedlog_tests::process::{From, Starting};
use rustix::process::Signal;

#[test]
fn the_table_of_policies_in_the_documentation_is_what_the_command_writes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = folder.path().join("hedging.md");
    let status = Command::new(binary::dlog())
        .args(["sim", "--all", "--format", "json", "--markdown"])
        .arg(&written)
        .output()
        .expect("it runs");
    assert!(
        status.status.success(),
        "{}",
        String::from_utf8_lossy(&status.stderr)
    );
    let read = |file: &Path| std::fs::read_to_string(file).expect("the document is there");
    let (written, kept) = (
        read(&written),
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/hedging.md")),
    );
    for (written, kept) in written.lines().zip(kept.lines()) {
        assert_eq!(
            written, kept,
            "the figures have changed: dlog sim --all --markdown docs/hedging.md"
        );
    }
    assert_eq!(written.lines().count(), kept.lines().count());
}

#[tokio::test]
async fn a_simulation_that_is_interrupted_says_so_and_ends() {
    let mut running = Starting::dlog(["sim", "a", "--sets", "1000000000"]).start();
    // The settings are the first that it prints, before it begins.
    running
        .until_line("the settings", |_, line| {
            line.starts_with("ours: ").then_some(())
        })
        .await;
    running.signal(Signal::INT);
    let ended = running
        .until_exit()
        .await
        .with_code(1)
        .complaining("interrupted before the end");
    assert!(
        !ended.text(From::Stdout).contains("policy"),
        "a table of half a run would look like one of a whole run"
    );
}
