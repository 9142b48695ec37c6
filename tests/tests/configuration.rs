//! `dlog proxy -c FILE` and `--print-config`: the original's configuration files. And `-u` of
//! `dlog quickstart`.

use std::fs;
use std::path::{Path, PathBuf};

use distributedlog_tests::process::{Ended, From, Starting};
use distributedlog_tests::stack::Local;
use tempfile::TempDir;

const FILE: &str = "\
# As the original's write_proxy.conf.
zkSessionTimeoutSeconds = 1
ensemble-size=5
bkc.numChannelsPerBookie=1
numWorkerThreads=32
bkcWriteQuorumSise=3
server_port=0
";

/// A folder with a file of this text.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("write_proxy.conf");
    fs::write(&path, text).expect("the file is written");
    (folder, path)
}

/// Runs `dlog proxy` with this file to its end.
async fn proxy(file: &Path, arguments: &[&str]) -> Ended {
    let start = ["proxy", "-c", file.to_str().expect("a plain name")];
    let words = start.iter().chain(arguments);
    let starting = Starting::dlog(words).env("DLOG_URI", "");
    starting.start().until_exit().await
}

/// Returns the line of standard error that has the text.
fn line_with(error: &str, text: &str) -> String {
    let mut lines = error.lines().filter(|line| line.contains(text));
    let line = lines.next().unwrap_or_else(|| panic!("{text}: {error}"));
    assert_eq!(lines.next(), None, "{text} is said twice");
    line.to_owned()
}

#[tokio::test]
async fn a_file_is_shown_with_where_each_setting_comes_from_and_what_has_no_effect() {
    let (_folder, path) = file(FILE);
    let ended = proxy(&path, &["--print-config", "--shard-id", "4"]).await;
    let (text, error) = (ended.text(From::Stdout), ended.text(From::Stderr));
    drop(ended.with_code(0));
    let place = path.display();
    for shown in [
        "session_timeout 1s".to_owned() + &format!(" {place}:2 (zkSessionTimeoutSeconds)"),
        format!("ensemble_size 5 {place}:3 (ensemble-size)"),
        "write_quorum 3 default".to_owned(),
        format!("port 0 {place}:7 (server_port)"),
        "shard 4 --shard-id".to_owned(),
        "namespace none default".to_owned(),
    ] {
        let setting = shown.split(' ').next().expect("a word");
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{setting} ")));
        let line = line.unwrap_or_else(|| panic!("{setting}: {text}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.join(" "), shown);
    }
    let ignored = line_with(&error, "bkc.numChannelsPerBookie");
    assert!(
        ignored.contains(":4: bkc.numChannelsPerBookie has no effect"),
        "{ignored}"
    );
    let ignored = line_with(&error, "numWorkerThreads");
    assert!(
        ignored.contains(":5: numWorkerThreads has no effect"),
        "{ignored}"
    );
    let unknown = line_with(&error, "bkcWriteQuorumSise");
    assert!(
        unknown.ends_with("did you mean bkcWriteQuorumSize?"),
        "{unknown}"
    );
}

#[tokio::test]
async fn a_file_that_is_wrong_is_refused_with_its_name_and_the_line() {
    for (text, says) in [
        ("a=1\nensemble-size=many\n", ":2: ensemble-size is \"many\""),
        (
            "server_mode=NONDURABLE\n",
            ":1: server_mode is \"NONDURABLE\"; it must be",
        ),
        ("\nx=\\q\n", ":2: the escape"),
        (
            "write-quorum-size=4\n",
            ":1: write-quorum-size is \"4\"; it must be within 1 to 3",
        ),
    ] {
        let (_folder, path) = file(text);
        let ended = proxy(&path, &["--print-config"]).await.with_code(2);
        assert_eq!(ended.text(From::Stdout), "");
        let says = format!("{}{says}", path.display());
        drop(ended.complaining(&says));
    }
    let (folder, _) = file("");
    for (path, says) in [
        (
            folder.path().join("missing.conf"),
            "missing.conf: No such file",
        ),
        (folder.path().to_owned(), "Is a directory"),
    ] {
        let ended = proxy(&path, &[]).await.with_code(1);
        drop(ended.complaining("cannot read").complaining(says));
    }
}

#[tokio::test]
async fn a_proxy_without_a_store_is_a_usage_error_that_names_both_kinds() {
    let (_folder, path) = file("");
    let ended = proxy(&path, &[]).await.with_code(2);
    let ended = ended.complaining("--uri <URI>, DLOG_URI in the environment, or --data <DIR>");
    drop(ended.complaining("it is: -u distributedlog://127.0.0.1:7000/"));
}

#[tokio::test]
async fn a_proxy_of_a_store_without_bookies_starts_with_such_a_file_and_warns() {
    let data = TempDir::new().expect("a folder");
    let local = Local::start(data.path(), 0).await;
    let (_folder, path) = file(FILE);
    let words = ["proxy", "-c", path.to_str().expect("a plain name")];
    let proxy = Starting::dlog(words).env("DLOG_URI", local.uri().to_string());
    let mut proxy = proxy.start();
    proxy.until_listening().await;
    let said = proxy.lines(From::Stderr).join("\n");
    let warning = line_with(
        &said,
        "the settings of BookKeeper in the file have no effect",
    );
    assert!(warning.ends_with("is a store of `dlog local`"), "{warning}");
    proxy.kill_9().await;
}

#[tokio::test]
async fn quickstart_writes_to_the_namespace_of_its_uri_and_leaves_the_streams_there() {
    let data = TempDir::new().expect("a folder");
    let local = Local::start(data.path(), 0).await;
    let uri = local.uri().to_string();
    for round in 1..=2 {
        let words = [
            "quickstart",
            "-p",
            "0",
            "--http-port",
            "0",
            "-u",
            uri.as_str(),
        ];
        let mut quickstart = Starting::dlog(words).with_stdin().start();
        quickstart.type_in("one\ntwo\n").await;
        quickstart.end_input();
        let ended = quickstart.until_exit().await.with_code(0);
        let text = ended.text(From::Stdout);
        assert!(
            text.contains(&format!("store    {uri} (kept)")),
            "round {round}: {text}"
        );
        assert!(
            text.ends_with("2 records written, acknowledged and read back."),
            "{text}"
        );
    }
    let counted = [
        "tool",
        "count",
        "-u",
        uri.as_str(),
        "-r",
        "basic-stream-",
        "-e",
        "3-7",
    ];
    let counted = Starting::dlog(counted)
        .start()
        .until_exit()
        .await
        .with_code(0);
    let text = counted.text(From::Stdout);
    // Hedged sets are stored twice.
    let total = text.lines().last().and_then(|line| line.split(' ').nth(2));
    let total: u64 = total
        .and_then(|it| it.parse().ok())
        .unwrap_or_else(|| panic!("{text}"));
    assert!(total >= 4, "{text}");
}
