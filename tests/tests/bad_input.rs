//! Invalid input by users, other programs and the machine: a clear error each time, and no effect
//! on other requests.

use distributedlog_tests::process::{From, Starting};
use distributedlog_tests::stack::{Local, Proxy, STREAMS, StoreOf};
use tokio::net::TcpListener;

/// Runs `dlog` to its end. Asserts the exit code and texts of standard error.
async fn refused(arguments: &[&str], code: i32, says: &[&str]) {
    let mut ended = Starting::dlog(arguments)
        .start()
        .until_exit()
        .await
        .with_code(code);
    for text in says {
        ended = ended.complaining(text);
    }
    assert_eq!(
        ended.text(From::Stdout),
        "",
        "{arguments:?}: errors go to standard error alone"
    );
}

#[tokio::test]
async fn bad_flags_are_usage_errors_that_name_the_flag() {
    refused(&["proxy", "--data", "/tmp/x", "-p", "70000"], 2, &["70000"]).await;
    refused(
        &["proxy", "--data", "/tmp/x", "--no-such-flag"],
        2,
        &["--no-such-flag"],
    )
    .await;
    refused(
        &["proxy", "--data", "/tmp/x", "-sc", "file"],
        2,
        &["-sc (--stream-conf)", "has no meaning"],
    )
    .await;
    refused(&["local", "seven"], 2, &["seven"]).await;
    refused(&["no-such-command"], 2, &["no-such-command"]).await;
    refused(
        &["console-multi-writer", "bogus!127.0.0.1:8000", "a"],
        2,
        &["bogus"],
    )
    .await;
    refused(
        &["console-multi-writer", "inet!127.0.0.1:8000", "a b"],
        2,
        &["a b"],
    )
    .await;
}

#[tokio::test]
async fn bad_uris_are_usage_errors_that_say_what_would_be_right() {
    for (uri, says) in [
        ("127.0.0.1:7000", "is the port for clients of write proxies"),
        ("ftp://127.0.0.1/x", "write a namespace"),
        ("distributedlog://127.0.0.1:0/x", "port"),
        ("distributedlog://127.0.0.1", "the namespace is missing"),
    ] {
        refused(
            &["tool", "list", "-u", uri],
            2,
            &[
                says,
                "distributedlog://127.0.0.1:7000/messaging/distributedlog",
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn namespaces_that_cannot_be_used_are_failures_that_say_why() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        listener.local_addr().expect("bound")
    };
    for scheme in ["distributedlog", "distributedlog-bk"] {
        let uri = format!("{scheme}://{nobody}/messaging/distributedlog");
        let address = nobody.to_string();
        refused(
            &["tool", "list", "-u", &uri],
            1,
            &["cannot be reached", &address],
        )
        .await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let other = local
        .uri()
        .to_string()
        .replace("/messaging/distributedlog", "/messaging/other");
    refused(
        &["tool", "list", "-u", &other],
        1,
        &["it serves the namespace /messaging/distributedlog, not /messaging/other"],
    )
    .await;
    let proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &[]).await;
    let at_the_proxy = format!(
        "distributedlog://{}/messaging/distributedlog",
        proxy.address
    );
    refused(
        &["tool", "list", "-u", &at_the_proxy],
        1,
        &["is not a usable store"],
    )
    .await;
}

#[tokio::test]
async fn a_stream_that_is_missing_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let reader = Starting::dlog(["multi-reader", &local.uri().to_string(), "no-such-stream"])
        .start()
        .until_exit()
        .await
        .with_code(1);
    let said = reader.text(From::Stdout) + &reader.text(From::Stderr);
    assert!(
        said.contains("Log stream no-such-stream is not found. Please create it first."),
        "{said}"
    );
    refused(
        &[
            "tool",
            "truncate",
            "-u",
            &local.uri().to_string(),
            "-f",
            "-s",
            "no-such-stream",
            "--dlsn",
            "1,0,0",
        ],
        1,
        &["no-such-stream"],
    )
    .await;
}

#[tokio::test]
async fn an_address_in_use_is_named_before_anything_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let data = folder.path().join("store");
    let data = data.to_str().expect("plain");
    refused(&["local", &port, "--data", data], 1, &["in use", &port]).await;
    refused(
        &["proxy", "-p", &port, "--data", data],
        1,
        &["in use", &port],
    )
    .await;
    refused(&["quickstart", "--port", &port], 1, &["in use", &port]).await;
}

#[tokio::test]
async fn a_folder_of_other_files_does_not_become_a_store() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["notes.txt", "photos", "a.volume", "music", ".hidden"] {
        std::fs::write(folder.path().join(name), "mine").expect("written");
    }
    let place = folder.path().to_str().expect("UTF-8");
    for arguments in [
        ["local", "0", "--data", place],
        ["proxy", "-p0", "--data", place],
    ] {
        let says = [
            "has no store, but other files: a.volume, music, notes.txt and 1 more",
            "--data",
        ];
        refused(&arguments, 1, &says).await;
    }
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("it is there")
        .map(|file| file.expect("its name").file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [".hidden", "a.volume", "music", "notes.txt", "photos"]
    );
    // Those of a new file system are no reason.
    let fresh = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(fresh.path().join("lost+found")).expect("made");
    drop(Local::start(fresh.path(), 0).await);
}

#[tokio::test]
async fn a_second_process_on_the_same_store_is_told_who_holds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let data = folder.path().to_str().expect("plain");
    let holder = local.process.id().expect("it runs").to_string();
    refused(&["local", "0", "--data", data], 1, &["in use", &holder]).await;
    refused(
        &["proxy", "-p", "0", "--data", data],
        1,
        &["in use", &holder],
    )
    .await;
    let store = local.connect().await;
    store
        .create(&STREAMS[0].parse().expect("a name"))
        .await
        .expect("the first one is undisturbed");
}
