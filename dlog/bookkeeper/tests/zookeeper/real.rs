//! The same calls on a real server, whose address the environment variable `ZOOKEEPER` has:
//! `ZOOKEEPER=host:port cargo test -p distributedlog-bookkeeper --test zookeeper -- --ignored`.

use core::time::Duration;
use std::collections::BTreeMap;

use distributedlog_bookkeeper::cluster::Ledgers;
use distributedlog_bookkeeper::driver::zookeeper::{Login, Session, SessionSettings};
use distributedlog_bookkeeper::namespace::nodes::{Acquired, LockLoss, Namespace, WriteLock};
use distributedlog_bookkeeper::zookeeper::{
    Access, CreateMode, SessionEnd, ZooKeeper, ZooKeeperError, create_with_parents,
};
use distributedlog_testkit::VirtualClock;
use distributedlog_testkit::zookeeper::Ensemble;
use tokio::time::timeout;

use crate::cluster::new_ledger;
use crate::log::live;
use crate::script::{play, play_on_model};

/// Limit of everything that a test waits for.
const LIMIT: Duration = Duration::from_secs(60);

async fn session(login: Option<Login>) -> Session {
    let servers = std::env::var("ZOOKEEPER").expect("ZOOKEEPER=host:port");
    let settings = SessionSettings {
        session_timeout: Duration::from_secs(10),
        login,
        ..SessionSettings::default()
    };
    let session = Session::connect(&servers, &settings).await;
    session.expect("a ZooKeeper server at ZOOKEEPER")
}

/// Data and versions of a node and all below it, by path below it.
async fn tree<Z: ZooKeeper>(zookeeper: &Z, root: &str) -> BTreeMap<String, (Vec<u8>, i32, i32)> {
    let mut found = BTreeMap::new();
    let mut unread = vec![root.to_owned()];
    while let Some(path) = unread.pop() {
        let (data, stat) = zookeeper.get(&path).await.expect("is there");
        let (names, _) = zookeeper.children(&path).await.expect("is there");
        unread.extend(names.into_iter().map(|name| format!("{path}/{name}")));
        let below = path[root.len()..].to_owned();
        found.insert(below, (data, stat.version, stat.children_version));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a ZooKeeper server: ZOOKEEPER=host:port"]
async fn a_real_server_replies_as_the_model_does() {
    let first = session(None).await;
    let other = session(None).await;
    let root = format!("/script-{}", first.session());
    let real = play(&first, other, &root).await;
    let model = play_on_model().await;
    for (real, model) in real.iter().zip(&model) {
        assert_eq!(real, model, "real server and model");
    }
    assert_eq!(real.len(), model.len());
    first.close().await;
}

/// Creates a log, writes its life, and returns all nodes.
async fn log_nodes<Z: ZooKeeper>(
    zookeeper: &Z,
    root: &str,
) -> BTreeMap<String, (Vec<u8>, i32, i32)> {
    let mode = CreateMode::Persistent;
    let created = create_with_parents(zookeeper, root, b"", mode, Access::Anyone).await;
    created.expect("a new root");
    let namespace = Namespace::new(zookeeper.clone(), root, Access::Anyone);
    let log = namespace.log("dir/inner").expect("a name");
    live(&log).await.expect("the one writer");
    tree(zookeeper, root).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a ZooKeeper server: ZOOKEEPER=host:port"]
async fn a_logs_nodes_on_a_real_server_are_those_on_the_model() {
    let real = session(None).await;
    let model = Ensemble::new().session(VirtualClock::new(), Duration::from_secs(10));
    let root = format!("/log-{}", real.session());
    assert_eq!(
        log_nodes(&real, &root).await,
        log_nodes(&model, "/log").await
    );
    let log = Namespace::new(real.clone(), &root, Access::Anyone).log("dir/inner");
    log.expect("a name").delete().await.expect("deleted");
    assert_eq!(tree(&real, &root).await.len(), 2, "the root and a folder");
    real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a ZooKeeper server: ZOOKEEPER=host:port"]
async fn a_lock_on_a_real_server_is_lost_with_its_node_and_its_session() {
    let (first, second) = (session(None).await, session(None).await);
    let root = format!("/lock-{}", first.session());
    log_nodes(&first, &root).await;
    let lock = |zookeeper: &Session, id: &str| {
        let namespace = Namespace::new(zookeeper.clone(), &root, Access::Anyone);
        WriteLock::new(namespace.log("dir/inner").expect("a name"), id.to_owned())
    };
    let Ok(Acquired::Held(held)) = lock(&first, "1;0;h:1").acquire().await else {
        panic!("the log is free");
    };
    assert!(held.is_held());
    let refused = lock(&second, "1;1;h:2").acquire().await;
    assert!(matches!(refused, Ok(Acquired::OwnedBy(_))), "{refused:?}");
    let lost = tokio::spawn({
        let held = held.clone();
        async move { held.lost().await }
    });
    let owner = lock(&second, "1;1;h:2").owner().await.expect("a reply");
    assert_eq!(owner.map(|it| it.session), Some(first.session()));
    second.delete(held.path(), None).await.expect("is there");
    let loss = timeout(LIMIT, lost)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(loss, LockLoss::NodeDeleted);

    let Ok(Acquired::Held(held)) = lock(&first, "1;0;h:1").acquire().await else {
        panic!("the log is free");
    };
    let ended = first.ended();
    let next = lock(&second, "1;0;h:1").acquire().await;
    let Ok(Acquired::OwnSession { watch, .. }) = next else {
        panic!("{next:?}");
    };
    drop(held);
    first.close().await;
    assert_eq!(timeout(LIMIT, ended).await, Ok(SessionEnd::Closed));
    timeout(LIMIT, watch)
        .await
        .expect("the node goes with its session");
    let next = lock(&second, "1;0;h:1").acquire().await;
    assert!(matches!(next, Ok(Acquired::Held(_))), "{next:?}");
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a ZooKeeper server: ZOOKEEPER=host:port"]
async fn a_creators_node_is_read_by_all_and_changed_by_its_user() {
    let creator = session(Login::digest("proxy", "secret")).await;
    let (same, other) = (
        session(Login::digest("proxy", "secret")).await,
        session(None).await,
    );
    let path = format!("/creator-{}", creator.session());
    let mode = CreateMode::Persistent;
    let created = creator.create(&path, b"a", mode, Access::Creator).await;
    assert_eq!(created, Ok(path.clone()));
    other.sync(&path).await.expect("a reply");
    assert_eq!(other.get(&path).await.expect("may read").0, b"a");
    let refused = other.set(&path, b"b", None).await;
    assert_eq!(refused, Err(ZooKeeperError::NoAuth));
    same.set(&path, b"c", None).await.expect("the same user");
    // Without a user there is no creator.
    let nobody = other.create("/none", b"", mode, Access::Creator).await;
    assert!(
        matches!(nobody, Err(ZooKeeperError::Refused(_))),
        "{nobody:?}"
    );
    for session in [creator, same, other] {
        session.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a ZooKeeper server: ZOOKEEPER=host:port"]
async fn ledgers_on_a_real_server_get_one_node_each() {
    let zookeeper = session(None).await;
    let root = format!("/ledgers-{}", zookeeper.session());
    let layout = b"2\norg.apache.bookkeeper.meta.HierarchicalLedgerManagerFactory:1";
    let (mode, access) = (CreateMode::Persistent, Access::Anyone);
    let path = format!("{root}/LAYOUT");
    let created = create_with_parents(&zookeeper, &path, layout, mode, access).await;
    created.expect("a new root");
    let ledgers = Ledgers::open(zookeeper.clone(), &root, access).await;
    let ledgers = ledgers.expect("it is formatted");
    let mut tasks = tokio::task::JoinSet::new();
    for token in 0..20 {
        let ledgers = ledgers.clone();
        tasks.spawn(async move { ledgers.create(&new_ledger(token)).await.expect("created").0 });
    }
    let mut created = timeout(LIMIT, tasks.join_all()).await.expect("in time");
    created.sort_unstable();
    assert_eq!(created, (0..20).collect::<Vec<_>>());
    assert_eq!(ledgers.list(None, 100).await, Ok(created));
    let (names, _) = zookeeper
        .children(&format!("{root}/idgen"))
        .await
        .expect("there");
    assert!(names.is_empty(), "{names:?}");
    zookeeper.close().await;
}
