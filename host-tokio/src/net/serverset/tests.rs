//! Against ZooKeeper itself, which tests/parts/interop brings.

use core::future::poll_fn;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use distributedlog_testkit::ports::ReservedPort;
use tempfile::TempDir;
use zookeeper_client::{Acl, Acls, AuthId, CreateMode, CreateOptions, Permission};

use super::*;

/// Timeout of each step, long enough for loaded machines.
const PATIENCE: Duration = Duration::from_secs(60);

const PATH: &str = "/messaging/proxies";

/// A server of ZooKeeper on this machine. Dropping it kills it.
struct ZooKeeper {
    child: Child,
    folder: TempDir,
    port: Arc<ReservedPort>,
}

impl ZooKeeper {
    async fn start() -> Self {
        Self::start_on(Arc::default()).await
    }

    /// One that has begun to serve: it accepts connections a little before.
    async fn serving() -> Self {
        let zookeeper = Self::start().await;
        drop(zookeeper.client().await);
        zookeeper
    }

    /// One that remembers nothing.
    async fn start_on(port: Arc<ReservedPort>) -> Self {
        let number = port.number();
        let java =
            std::env::var("INTEROP_JAVA").expect("INTEROP_JAVA is not set: run tests/run interop");
        let folder = tempfile::tempdir().expect("a folder");
        let settings = folder.path().join("zoo.cfg");
        let text = format!(
            "dataDir={}\nclientPortAddress=127.0.0.1\nclientPort={number}\ntickTime=500\nadmin.\
             enableServer=false\n",
            folder.path().display()
        );
        std::fs::write(&settings, text).expect("the folder can be written");
        let log =
            std::fs::File::create(folder.path().join("log")).expect("the folder can be written");
        let child = Command::new("java")
            .arg(format!("@{java}"))
            .arg("org.apache.zookeeper.server.ZooKeeperServerMain")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("java starts");
        let zookeeper = Self {
            child,
            folder,
            port,
        };
        let up = async {
            while TcpStream::connect(("127.0.0.1", number)).is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(PATIENCE, up).await.is_err() {
            let log =
                std::fs::read_to_string(zookeeper.folder.path().join("log")).unwrap_or_default();
            panic!("ZooKeeper did not start\n{log}");
        }
        zookeeper
    }

    fn ensemble(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// Kills it; its port.
    fn kill(mut self) -> Arc<ReservedPort> {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
        Arc::clone(&self.port)
    }

    async fn client(&self) -> Client {
        timeout(PATIENCE, Client::connect(&self.ensemble()))
            .await
            .expect("in time")
            .expect("a session")
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn follow(ensemble: String, endpoint: Option<&str>) -> ServerSet {
    let endpoint = endpoint.map(str::to_owned);
    follow_as(ensemble, endpoint, None)
}

fn follow_as(
    ensemble: String,
    endpoint: Option<String>,
    login: Option<ZooKeeperLogin>,
) -> ServerSet {
    ServerSet::new(ServerSetName {
        ensemble,
        path: PATH.to_owned(),
        endpoint,
        login,
        every: Duration::from_secs(3600),
    })
}

async fn next(set: &mut ServerSet) -> NameEvent {
    timeout(PATIENCE, poll_fn(|cx| set.poll(cx)))
        .await
        .expect("an event in time")
}

/// Ports and shards in order, once they are these.
async fn until(set: &mut ServerSet, expected: &[(u16, i32)]) {
    let mut seen = Vec::new();
    let come = async {
        loop {
            let event = poll_fn(|cx| set.poll(cx)).await;
            let mut members: Vec<_> = event
                .found
                .iter()
                .map(|found| (found.address.port(), found.shard))
                .collect();
            members.sort_unstable();
            if members == expected {
                return;
            }
            seen.push((members, event.failures));
        }
    };
    if timeout(PATIENCE, come).await.is_err() {
        panic!("{expected:?} did not come; seen were {seen:?}");
    }
}

fn json(port: u16, shard: i32) -> Vec<u8> {
    let endpoint = format!(r#"{{"host":"127.0.0.1","port":{port}}}"#);
    let other = format!(r#"{{"host":"127.0.0.1","port":{}}}"#, port + 1000);
    let further = format!(r#""additionalEndpoints":{{"thrift":{other}}}"#);
    format!(r#"{{"serviceEndpoint":{endpoint},{further},"status":"ALIVE","shard":{shard}}}"#)
        .into_bytes()
}

async fn path(client: &Client) {
    client
        .mkdir(PATH, &CreateMode::Persistent.with_acls(Acls::anyone_all()))
        .await
        .expect("a new path");
}

/// A member comes, as a server set of Twitter's announces one; its node.
async fn register(client: &Client, port: u16, shard: i32, mode: CreateMode) -> String {
    let options: CreateOptions<'_> = mode.with_acls(Acls::anyone_all());
    let (_, sequence) = client
        .create(&format!("{PATH}/member_"), &json(port, shard), &options)
        .await
        .expect("a new member");
    format!("{PATH}/member_{}", sequence)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run interop"]
async fn members_come_and_go_and_change_their_shards() {
    let zookeeper = ZooKeeper::start().await;
    let mut set = follow(zookeeper.ensemble(), None);
    // It accepts connections a little before it serves them.
    while !next(&mut set).await.failures[0]
        .1
        .to_string()
        .contains("no such path")
    {}
    let client = zookeeper.client().await;
    path(&client).await;
    until(&mut set, &[]).await;
    let first = register(&client, 1, 10, CreateMode::PersistentSequential).await;
    until(&mut set, &[(1, 10)]).await;
    // A member whose session ends leaves the set.
    let other = zookeeper.client().await;
    register(&other, 2, 11, CreateMode::EphemeralSequential).await;
    until(&mut set, &[(1, 10), (2, 11)]).await;
    client
        .set_data(&first, &json(1, 12), None)
        .await
        .expect("its node is there");
    until(&mut set, &[(1, 12), (2, 11)]).await;
    let stopping = String::from_utf8(json(1, 12))
        .expect("text")
        .replace("ALIVE", "STOPPING");
    client
        .set_data(&first, stopping.as_bytes(), None)
        .await
        .expect("its node is there");
    until(&mut set, &[(2, 11)]).await;
    client
        .set_data(&first, &json(1, 12), None)
        .await
        .expect("its node is there");
    until(&mut set, &[(1, 12), (2, 11)]).await;
    drop(other);
    until(&mut set, &[(1, 12)]).await;
    client
        .create(
            &format!("{PATH}/vector_0"),
            b"weights",
            &CreateMode::Persistent.with_acls(Acls::anyone_all()),
        )
        .await
        .expect("a node beside");
    client
        .create(
            &format!("{PATH}/member_bad"),
            b"no JSON",
            &CreateMode::Persistent.with_acls(Acls::anyone_all()),
        )
        .await
        .expect("a bad node");
    register(&client, 3, 13, CreateMode::PersistentSequential).await;
    until(&mut set, &[(1, 12), (3, 13)]).await;
    client
        .delete(&first, None)
        .await
        .expect("its node is there");
    until(&mut set, &[(3, 13)]).await;
    until(
        &mut follow(zookeeper.ensemble(), Some("thrift")),
        &[(1003, 13)],
    )
    .await;
    until(&mut follow(zookeeper.ensemble(), Some("http")), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run interop"]
async fn what_is_known_outlives_the_ensemble_and_the_session() {
    let zookeeper = ZooKeeper::start().await;
    let client = zookeeper.client().await;
    path(&client).await;
    register(&client, 1, 10, CreateMode::PersistentSequential).await;
    let mut set = follow(zookeeper.ensemble(), None);
    until(&mut set, &[(1, 10)]).await;
    drop(client);
    // The new server knows neither the session nor the set: the session ends, and the set is read
    // again from the start.
    let zookeeper = ZooKeeper::start_on(zookeeper.kill()).await;
    let client = zookeeper.client().await;
    // The members are made before the path, so that the set is never empty: an empty set would make
    // clients leave proxies that serve.
    let mut all = client.new_multi_writer();
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    all.add_create("/messaging", b"", &options).expect("valid");
    all.add_create(PATH, b"", &options).expect("valid");
    all.add_create(&format!("{PATH}/member_1"), &json(1, 20), &options)
        .expect("valid");
    all.commit().await.expect("a path with a member");
    until(&mut set, &[(1, 20)]).await;
    register(&client, 2, 21, CreateMode::PersistentSequential).await;
    until(&mut set, &[(1, 20), (2, 21)]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run interop"]
async fn an_ensemble_that_cannot_be_reached_is_named_and_followed_once_it_is_there() {
    let port = Arc::<ReservedPort>::default();
    let ensemble = format!("127.0.0.1:{}", port.number());
    let mut set = follow(ensemble.clone(), None);
    let event = next(&mut set).await;
    let (place, why) = &event.failures[0];
    assert_eq!(*place, format!("{ensemble}{PATH}"));
    assert!(
        why.to_string().starts_with("ZooKeeper cannot be asked"),
        "{why}"
    );
    let zookeeper = ZooKeeper::start_on(port).await;
    let client = zookeeper.client().await;
    path(&client).await;
    register(&client, 7, 70, CreateMode::PersistentSequential).await;
    until(&mut set, &[(7, 70)]).await;
}

fn announcement(zookeeper: &ZooKeeper, port: u16, shard: i32) -> Announcement {
    Announcement::new(
        format!("zk!{}!{PATH}", zookeeper.ensemble()),
        "127.0.0.1",
        port,
    )
    .shard(shard)
    .endpoint("thrift", "127.0.0.1", port + 1000)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run interop"]
async fn what_is_announced_is_found_until_it_is_taken_back() {
    let zookeeper = ZooKeeper::serving().await;
    // The path does not exist: the first proxy makes it.
    let one = announcement(&zookeeper, 1, 10)
        .publish()
        .await
        .expect("ZooKeeper is there");
    let two = announcement(&zookeeper, 2, -1)
        .publish()
        .await
        .expect("ZooKeeper is there");
    let mut set = follow(zookeeper.ensemble(), None);
    until(&mut set, &[(1, 10), (2, -1)]).await;
    until(
        &mut follow(zookeeper.ensemble(), Some("thrift")),
        &[(1001, 10), (1002, -1)],
    )
    .await;
    one.withdraw().await;
    until(&mut set, &[(2, -1)]).await;
    // As a process that ends without a word.
    drop(two);
    until(&mut set, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run interop"]
async fn what_is_announced_is_announced_again_when_the_session_has_ended() {
    let zookeeper = ZooKeeper::serving().await;
    let announced = announcement(&zookeeper, 1, 10)
        .publish()
        .await
        .expect("ZooKeeper is there");
    until(&mut follow(zookeeper.ensemble(), None), &[(1, 10)]).await;
    // The new server knows neither the session nor the path.
    let zookeeper = ZooKeeper::start_on(zookeeper.kill()).await;
    let mut set = follow(zookeeper.ensemble(), None);
    until(&mut set, &[(1, 10)]).await;
    // A node that an operator deletes stays deleted.
    let client = zookeeper.client().await;
    let nodes = client.list_children(PATH).await.expect("the path is there");
    assert_eq!(nodes.len(), 1, "one session, one node: {nodes:?}");
    client
        .delete(&format!("{PATH}/{}", nodes[0]), None)
        .await
        .expect("its node is there");
    until(&mut set, &[]).await;
    announced.withdraw().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run interop"]
async fn a_path_of_users_is_followed_and_announced_in_by_its_users_alone() {
    let zookeeper = ZooKeeper::serving().await;
    let login = ZooKeeperLogin::parse("proxy:secret").expect("a login");
    let owner = login::connect(&zookeeper.ensemble(), Some(&login))
        .await
        .expect("a session");
    let users_alone = [Acl::new(Permission::ALL, AuthId::authed())];
    owner
        .mkdir(
            "/messaging",
            &CreateMode::Persistent.with_acls(Acls::anyone_all()),
        )
        .await
        .expect("a new path");
    owner
        .create(
            PATH,
            b"",
            &CreateMode::Persistent.with_acls(Acls::new(&users_alone)),
        )
        .await
        .expect("a new path");

    let wrong = ZooKeeperLogin::parse("proxy:guess").expect("a login");
    for stranger in [
        announcement(&zookeeper, 1, 10),
        announcement(&zookeeper, 1, 10).login(wrong.clone()),
    ] {
        let error = stranger.publish().await.expect_err("it is nobody's path");
        assert!(
            error
                .to_string()
                .ends_with(&format!("{PATH}: this user may not make nodes there")),
            "{error}"
        );
    }
    for stranger in [None, Some(wrong)] {
        let event = next(&mut follow_as(zookeeper.ensemble(), None, stranger)).await;
        assert!(
            event.failures[0]
                .1
                .to_string()
                .starts_with("ZooKeeper cannot be asked"),
            "{event:?}"
        );
    }
    let announced = announcement(&zookeeper, 1, 10)
        .login(login.clone())
        .publish()
        .await
        .expect("it is its path");
    until(
        &mut follow_as(zookeeper.ensemble(), None, Some(login)),
        &[(1, 10)],
    )
    .await;
    let stranger = zookeeper.client().await;
    assert!(matches!(
        stranger.delete(announced.node(), None).await,
        Err(Error::NoAuth)
    ));
    assert!(
        stranger.get_data(announced.node()).await.is_ok(),
        "who knows the node may read where the member is"
    );
}

#[tokio::test]
async fn announcing_where_nothing_is_says_so() {
    // No server takes the first port.
    let port = 1;
    let error = async |name: String| {
        Announcement::new(name, "h", 1)
            .publish()
            .await
            .expect_err("nobody is there")
            .to_string()
    };
    let nowhere = format!(
        "cannot announce in ZooKeeper at 127.0.0.1:{port}/a: none of its servers can be reached"
    );
    assert_eq!(error(format!("zk!127.0.0.1:{port}!/a")).await, nowhere);
    for name in ["inet!127.0.0.1:1", "zk!127.0.0.1:1!/a!endpoint"] {
        let text = error(name.to_owned()).await;
        assert!(text.contains("is named zk!HOST:PORT!/PATH"), "{text}");
    }
    let text = error("zk!127.0.0.1".to_owned()).await;
    assert!(
        text.starts_with("cannot announce in \"zk!127.0.0.1\": "),
        "{text}"
    );
}
