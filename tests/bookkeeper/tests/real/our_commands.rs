//! `dlog admin` and `dlog tool` on a namespace of a real cluster, and `dlog proxy -a`.

use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::shared::on_shared;
use distributedlog_tests::process::{Ended, From, Starting};
use serde_json::Value;

/// Runs `dlog` to its end.
async fn dlog(line: &str) -> Ended {
    let words = line.split_whitespace();
    Starting::dlog(words).start().until_exit().await
}

/// Runs `dlog` and returns what it prints.
async fn printed(line: &str) -> String {
    let ended = dlog(line).await.with_code(0);
    let text = ended.text(From::Stdout);
    println!("$ dlog {line}\n{text}");
    text
}

/// Runs `dlog`, which fails, and returns its error.
async fn refused(line: &str) -> String {
    let ended = dlog(line).await.with_code(1);
    let text = ended.text(From::Stdout) + &ended.text(From::Stderr);
    println!("$ dlog {line}\n{text}");
    text
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Writes lines to a stream through a proxy.
async fn write(proxy: core::net::SocketAddr, stream: &str, lines: &str) {
    let proxies = format!("inet!{proxy}");
    let console = Starting::dlog(["console-multi-writer", proxies.as_str(), stream]).with_stdin();
    let mut console = console.start();
    console.type_in(lines).await;
    console.end_input();
    drop(console.until_exit().await.with_code(0));
}

async fn a_namespace_is_bound_and_unbound(cluster: &Cluster) {
    let (uri, servers) = (cluster.uri("/commands/bound"), cluster.zk_servers());
    let unbound = refused(&format!("tool list -u {uri}")).await;
    assert!(unbound.contains("dlog admin bind -l /ledgers"), "{unbound}");
    let missing = refused(&format!("admin bind {uri}")).await;
    assert!(
        missing.contains("create the namespace with -c"),
        "{missing}"
    );
    let elsewhere = refused(&format!("admin bind -l /nowhere -c {uri}")).await;
    assert!(elsewhere.contains("initnewcluster"), "{elsewhere}");
    let bind = format!("admin bind -l /ledgers -s {servers} -c {uri}");
    assert!(printed(&bind).await.starts_with("Bound "));
    assert!(printed(&bind).await.contains("already"));
    let other = refused(&format!(
        "admin bind -l /ledgers -s {servers} -seqno 5 -c {uri}"
    ))
    .await;
    assert!(other.contains("-f"), "{other}");
    printed(&format!("tool create -u {uri} -e s -f")).await;
    printed(&format!("admin unbind -f {uri}")).await;
    let unbound = refused(&format!("tool list -u {uri}")).await;
    assert!(unbound.contains("not bound"), "{unbound}");
    printed(&bind).await;
    assert_eq!(printed(&format!("tool list -u {uri}")).await, "s");
}

async fn the_tool_reads_and_recovers_what_a_killed_proxy_left(cluster: &Cluster) {
    let uri = cluster.bind("/commands/tool").await;
    printed(&format!("tool create -u {uri} -r s- -e 1-2 -f")).await;
    let proxy = [
        "proxy",
        "-p",
        "0",
        "-u",
        &uri,
        "-a",
        "--session-timeout",
        "2s",
    ];
    let mut proxy = Starting::dlog(proxy).start();
    let address = proxy.until_listening().await;
    let announced = |_: From, line: &str| line.contains("announced").then_some(());
    proxy.until_line("that it is announced", announced).await;
    let members = cluster.children("/commands/tool/.write_proxy").await;
    assert_eq!(members.len(), 1, "{members:?}");
    write(address, "s-1", "one\ntwo\nthree\n").await;

    let show = format!("tool show -u {uri} -s s-1");
    let shown = printed(&show).await;
    assert!(shown.contains("records       3"), "{shown}");
    assert!(shown.contains(&format!("proxy at {address}")), "{shown}");
    let owned = refused(&format!("tool recover -u {uri} -s s-1")).await;
    assert!(
        owned.contains(&format!(";{address}; nothing was changed")),
        "{owned}"
    );
    assert!(
        printed(&format!("tool inspect -u {uri}"))
            .await
            .contains("Checked 2 streams")
    );

    proxy.kill_9().await;
    cluster
        .until_no_children("/commands/tool/s-1/<default>/lock")
        .await;
    let recovered = printed(&format!("tool recover -u {uri} -s s-1")).await;
    assert_eq!(recovered, "s-1: completed log segment 1 with 3 records");
    assert!(printed(&show).await.contains("owner         none"));
    let counted = printed(&format!("tool count -u {uri} -s s-1")).await;
    assert!(counted.starts_with("s-1: 3 records"), "{counted}");
    let dumped = printed(&format!("tool dump -u {uri} -s s-1 --limit 2")).await;
    assert!(dumped.ends_with("\ntwo"), "{dumped}");
    printed(&format!("tool inspect -u {uri}")).await;
    ledgers_are_read(&uri).await;

    let truncated = printed(&format!("tool truncate -u {uri} -s s-1 --dlsn 9,0,0 -f")).await;
    assert!(truncated.starts_with("Truncated"), "{truncated}");
    printed(&format!("tool delete -u {uri} -r s- -e 1-2 -f")).await;
    assert_eq!(printed(&format!("tool list -u {uri}")).await, "");
}

/// Commands about single ledgers, on the one of s-1.
async fn ledgers_are_read(uri: &str) {
    let audit = printed(&format!("tool audit -u {uri} --format json")).await;
    let audit = json(&audit);
    assert_eq!(
        (&audit["streams"], &audit["missing"]),
        (&2.into(), &json("[]"))
    );
    let shown = json(&printed(&format!("tool show -u {uri} -s s-1 --format json")).await);
    let ledger = shown["ledgers"][0]["ledger"].as_i64().expect("it is shown");
    let found = json(
        &printed(&format!(
            "tool findledger -u {uri} -l {ledger} --format json"
        ))
        .await,
    );
    assert_eq!(found["streams"][0]["stream"], "s-1");
    assert_eq!(found["state"], "closed");
    printed(&format!("tool findledger -u {uri} {ledger}")).await;
    let lac = printed(&format!("tool readlac -u {uri} {ledger}")).await;
    let last = found["last_entry"].as_i64().expect("it has entries");
    assert_eq!(lac, format!("LastAddConfirmed: {last}"));
    let entries = printed(&format!(
        "tool readentries -u {uri} -l {ledger} -fid 0 -uid 0"
    ))
    .await;
    assert!(entries.starts_with("Entry 0 (bytes = "), "{entries}");
    let bookies = printed(&format!("tool listbookies -u {uri}")).await;
    assert_eq!(bookies.lines().count(), 3, "{bookies}");
    assert_eq!(printed(&format!("tool listbookies -u {uri} -ro")).await, "");
    let missing = refused(&format!("tool readlac -u {uri} 999999999")).await;
    assert!(
        missing.contains("ledger 999999999 does not exist"),
        "{missing}"
    );
}

async fn a_local_store_has_no_ledgers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().to_str().expect("text");
    let mut local = Starting::dlog(["local", "0", "--data", folder]).start();
    let address = local.until_listening().await;
    let uri = format!("distributedlog://{address}/messaging/distributedlog");
    for command in [
        "inspect",
        "audit",
        "listbookies",
        "readlac 1",
        "recover -s s",
    ] {
        let error = refused(&format!("tool {command} -u {uri}")).await;
        assert!(error.contains("there are no ledgers"), "{error}");
    }
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn our_command_binds_a_namespace_and_unbinds_it() {
    on_shared(Version::V4_17, a_namespace_is_bound_and_unbound);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn our_tool_reads_a_namespace_and_recovers_what_a_killed_proxy_left() {
    on_shared(
        Version::V4_17,
        the_tool_reads_and_recovers_what_a_killed_proxy_left,
    );
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn our_tool_says_that_a_local_store_has_no_ledgers() {
    on_shared(Version::V4_17, |_| a_local_store_has_no_ledgers());
}
