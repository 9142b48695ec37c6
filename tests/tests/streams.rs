//! `dlog streams` on real processes, in a namespace and through a proxy's HTTP port.

use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::{From, Starting};
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
use serde_json::Value;

/// Runs `dlog streams` with the standard input closed. Returns its standard output.
async fn streams(at: &str, arguments: &str) -> String {
    let words = arguments.split(' ').chain(["--to", at]);
    let command = Starting::dlog(["streams"].into_iter().chain(words)).start();
    let ended = command.until_exit().await.with_code(0);
    ended.text(From::Stdout) + "\n"
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_administered_alike_in_a_namespace_and_over_http() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let flags = ["--http-port", "0"];
    let mut proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &flags).await;
    let find = |_, line: &str| line.strip_prefix("HTTP on ").map(str::to_owned);
    let http = proxy.process.until_line("its HTTP port", find).await;
    for (at, prefix) in [(local.uri().to_string(), "uri"), (http, "http")] {
        let (a, b) = (format!("{prefix}/a"), format!("{prefix}/b"));
        let created = streams(&at, &format!("create {a},{b}")).await;
        assert_eq!(
            created,
            format!("Created log stream {a}.\nCreated log stream {b}.\n")
        );
        for record in ["one", "two", "three"] {
            let name = proxy.name();
            let console = Starting::dlog(["console-multi-writer", &name, &a]).with_stdin();
            let mut console = console.start();
            console.type_in(record).await;
            console.end_input();
            let _ = console.until_exit().await.with_code(0);
        }
        let listed = streams(&at, &format!("list {prefix} --format json")).await;
        let first = json(listed.lines().next().expect("a line"));
        assert_eq!(
            (&first["stream"], &first["records"]),
            (&a.as_str().into(), &3.into()),
            "{listed}"
        );
        // With the headers and identities of their record sets.
        assert!(first["bytes"].as_u64() > Some(11), "{listed}");
        assert_eq!(first["owner"]["shard"], 1, "{listed}");
        let info = json(&streams(&at, &format!("info {a} --format json")).await);
        assert_eq!(
            (&info["records"], &info["stream"]),
            (&3.into(), &a.as_str().into())
        );

        let second = &info["last"];
        let before = format!("{},{},0", second["logSegmentSequenceNo"], second["entryId"]);
        let truncated = streams(&at, &format!("truncate {a} --before {before} -f")).await;
        assert!(truncated.starts_with("Truncated log stream"), "{truncated}");
        let info = json(&streams(&at, &format!("info {a} --format json")).await);
        assert_eq!(info["first"], info["last"]);

        let kept = streams(&at, &format!("retention {a} --age 7d")).await;
        assert_eq!(kept, format!("Retention of {a}: 7d\n"));
        let owners = streams(&at, &format!("owners {prefix} --format json")).await;
        assert!(owners.contains("\"streams\":1"), "{owners}");

        let deleted = streams(&at, &format!("delete {a} {b} -f")).await;
        assert!(
            deleted.contains(&format!("Deleted log stream {b}.")),
            "{deleted}"
        );
        let gone = Starting::dlog(["streams", "info", &a, "--to", &at]).start();
        let gone = gone.until_exit().await.with_code(1);
        let _ = gone.complaining("is not found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_no_proxys_is_named_in_the_error() {
    let port = ReservedPort::new();
    let at = format!("http://127.0.0.1:{}", port.number());
    let list = Starting::dlog(["streams", "list", "--to", &at]).start();
    let ended = list.until_exit().await.with_code(1);
    let _ = ended.complaining(&format!("{at} cannot be reached"));
}
