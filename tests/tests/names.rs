//! A name in ZooKeeper, from end to end: a writer follows the proxies that are announced there
//! while they come and go. Run by tests/parts/interop, which brings ZooKeeper.

use core::net::SocketAddr;
use core::time::Duration;

use distributedlog_tests::java::{Original, java};
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::{Process, STEP_TIMEOUT, Starting};
use distributedlog_tests::stack::{Local, Proxy, STREAMS, StoreOf};
use distributedlog_tokio::{MultiStreamWriter, ProxyClient};
use rustix::process::Signal;
use zookeeper_client::{Acls, Client, CreateMode};

const PATH: &str = "/messaging/distributedlog/proxies";

/// ZooKeeper of the original's time, and a session with it.
async fn zookeeper(folder: &tempfile::TempDir) -> (Process, String, Client) {
    let reserved = ReservedPort::new();
    let port = reserved.number();
    let settings = folder.path().join("zoo.cfg");
    let text = format!(
        "dataDir={}\nclientPortAddress=127.0.0.1\nclientPort={port}\ntickTime=500\nadmin.\
         enableServer=false\n",
        folder.path().display()
    );
    std::fs::write(&settings, text).expect("the folder can be written");
    let settings = settings.to_str().expect("a plain path");
    let process = java(
        Original::V0_5,
        "org.apache.zookeeper.server.ZooKeeperServerMain",
        &[settings],
    )
    .start();
    let ensemble = format!("127.0.0.1:{port}");
    let session = async {
        loop {
            // It takes a while to listen.
            match Client::connector()
                .with_fail_eagerly()
                .connect(&ensemble)
                .await
            {
                Ok(client) => return client,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let client = tokio::time::timeout(STEP_TIMEOUT, session)
        .await
        .expect("ZooKeeper starts");
    client
        .mkdir(PATH, &CreateMode::Persistent.with_acls(Acls::anyone_all()))
        .await
        .expect("a new path");
    (process, ensemble, client)
}

/// Announces a proxy as Finagle's servers are announced, in a node that does not end with a
/// session. Returns the node.
async fn announce(client: &Client, address: SocketAddr, shard: i32) -> String {
    let (host, port) = (address.ip(), address.port());
    let json = format!(
        concat!(
            r#"{{"serviceEndpoint":{{"host":"{host}","port":{port}}},"#,
            r#""additionalEndpoints":{{}},"status":"ALIVE","shard":{shard}}}"#,
        ),
        host = host,
        port = port,
        shard = shard,
    );
    let options = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
    let (_, sequence) = client
        .create(&format!("{PATH}/member_"), json.as_bytes(), &options)
        .await
        .expect("a new member");
    format!("{PATH}/member_{sequence}")
}

/// Waits until the client knows these proxies.
async fn until_known(client: &ProxyClient, mut expected: Vec<SocketAddr>) {
    expected.sort_unstable();
    let known = async {
        loop {
            // Each round asks every proxy that is known.
            let mut known: Vec<_> = client
                .handshake()
                .await
                .iter()
                .map(|reply| reply.host)
                .collect();
            known.sort_unstable();
            if known == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(STEP_TIMEOUT, known).await.is_ok(),
        "{expected:?} are not all that is known"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run interop"]
async fn a_writer_follows_the_proxies_that_are_announced_in_zookeeper() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = tempfile::tempdir().expect("a folder");
    let (_zookeeper, ensemble, zk) = zookeeper(&folder).await;
    let local = Local::start(data.path(), 0).await;
    let uri = local.uri();
    let one = Proxy::start(StoreOf::At(&uri), 0, &[]).await;
    let node = announce(&zk, one.address, 1).await;
    let name = format!("zk!{ensemble}!{PATH}");
    let client = ProxyClient::builder()
        .proxies(format!("serverset!{ensemble}!{PATH}"))
        .ready_timeout(STEP_TIMEOUT)
        .build()
        .await
        .expect("a proxy");
    let writer = MultiStreamWriter::builder(STREAMS)
        .proxies(&name)
        .request_timeout(STEP_TIMEOUT)
        .build()
        .await
        .expect("a proxy");
    until_known(&client, vec![one.address]).await;
    writer.write(b"through the first").await.expect("a write");

    let two = Proxy::start(StoreOf::At(&uri), 0, &[]).await;
    announce(&zk, two.address, 2).await;
    until_known(&client, vec![one.address, two.address]).await;
    // The first leaves, then ends.
    zk.delete(&node, None).await.expect("its node is there");
    until_known(&client, vec![two.address]).await;
    one.process.signal(Signal::TERM);
    let _ = one.process.until_exit().await.with_code(0);
    for _ in 0..100 {
        writer.write(b"through the second").await.expect("a write");
    }
    writer.close().await;
    client.close().await;

    let mut console = Starting::dlog(["console-multi-writer", &name, &STREAMS.join(",")])
        .with_stdin()
        .start();
    console.type_in("by the command line\n").await;
    console.end_input();
    let _ = console.until_exit().await.with_code(0);
    let nobody = ["console-multi-writer", "zk!127.0.0.1:1!/nobody/there", "a"];
    let _ = Starting::dlog(nobody)
        .with_stdin()
        .start()
        .until_exit()
        .await
        .with_code(1)
        .complaining("ZooKeeper cannot be asked");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run interop"]
async fn a_proxy_announces_itself_and_takes_it_back_before_it_drains() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = tempfile::tempdir().expect("a folder");
    let (_zookeeper, ensemble, zk) = zookeeper(&folder).await;
    let local = Local::start(data.path(), 0).await;
    let uri = local.uri();
    let name = format!("zk!{ensemble}!{PATH}");
    let one = Proxy::start(StoreOf::At(&uri), 0, &["-a", &name, "-sp", "0"]).await;
    // A proxy listens before it announces itself. The first is announced before the second starts,
    // so that its node is the first.
    let client = ProxyClient::builder()
        .proxies(&name)
        .ready_timeout(STEP_TIMEOUT)
        .build()
        .await
        .expect("a proxy");
    let two = Proxy::start(StoreOf::At(&uri), 0, &["-a", &name]).await;
    until_known(&client, vec![one.address, two.address]).await;
    let writer = MultiStreamWriter::builder(STREAMS)
        .proxies(&name)
        .request_timeout(STEP_TIMEOUT)
        .build()
        .await
        .expect("a proxy");
    writer.write(b"through either").await.expect("a write");

    let mut nodes = zk.list_children(PATH).await.expect("the path is there");
    nodes.sort_unstable();
    let (data, _) = zk
        .get_data(&format!("{PATH}/{}", nodes[0]))
        .await
        .expect("a member");
    let text = String::from_utf8(data).expect("it is JSON");
    let port = one.address.port();
    let service = format!(r#"{{"host":"127.0.0.1","port":{port}}}"#);
    assert!(
        text.starts_with(&format!(
            r#"{{"serviceEndpoint":{service},"additionalEndpoints":{{"aurora":"#
        )),
        "{text}"
    );
    assert!(
        text.contains(&format!(r#""thrift":{service}"#))
            && text.ends_with(r#""status":"ALIVE","shard":1}"#),
        "{text}"
    );

    one.process.signal(Signal::TERM);
    let _ = one.process.until_exit().await.with_code(0);
    // It has ended: nothing of it waits for the end of a session.
    assert_eq!(
        zk.list_children(PATH).await.expect("the path is there"),
        nodes[1..],
        "its node went with it"
    );
    until_known(&client, vec![two.address]).await;
    for _ in 0..100 {
        writer.write(b"through the second").await.expect("a write");
    }
    // This one's node stays until its session is over.
    two.process.kill_9().await;
    let three = Proxy::start(StoreOf::At(&uri), 0, &["-a", &name]).await;
    until_known(&client, vec![three.address]).await;
    writer.close().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run interop"]
async fn a_proxy_that_cannot_announce_itself_says_why_and_ends() {
    let data = tempfile::tempdir().expect("a folder");
    for (arguments, code, complaint) in [
        (
            &["-a", "zk!127.0.0.1:1!/nobody/there"][..],
            1,
            "cannot announce in ZooKeeper at 127.0.0.1:1/nobody/there: none of its servers",
        ),
        (&["-a"], 2, "-a (--announce) needs the name of a serverset"),
        (
            &["-a", "inet!127.0.0.1:1"],
            2,
            "is named zk!HOST:PORT!/PATH",
        ),
        (
            &[
                "-a",
                "zk!127.0.0.1:1!/a",
                "--zookeeper-login",
                "/nobody/there",
            ],
            1,
            "cannot read /nobody/there",
        ),
    ] {
        let proxy = Proxy::command(StoreOf::In(data.path()), 0, arguments).start();
        let _ = proxy
            .until_exit()
            .await
            .with_code(code)
            .complaining(complaint);
    }
}
