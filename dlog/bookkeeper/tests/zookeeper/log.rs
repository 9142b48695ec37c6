use std::collections::BTreeMap;

use distributedlog_bookkeeper::driver::zookeeper::Session;
use distributedlog_bookkeeper::namespace::nodes::{LogError, LogNodes, Namespace, OwnedLog};
use distributedlog_bookkeeper::namespace::{
    Binding, BindingError, Completed, StoredSegment, Truncation,
};
use distributedlog_bookkeeper::zookeeper::{Access, NodeEvent, Op, ZooKeeper, ZooKeeperError};
use distributedlog_testkit::zookeeper::{Delivery, ModelSession};

use crate::faults::{LOSSES, Setup, TIMEOUT, with_each_request};

const ROOT: &str = "/messaging/dl";

fn namespace(setup: &Setup) -> Namespace<ModelSession> {
    setup.put("/messaging", b"");
    setup.put(ROOT, b"");
    Namespace::new(setup.session.clone(), "/messaging/dl/", Access::Anyone)
}

fn log(namespace: &Namespace<ModelSession>, name: &str) -> LogNodes<ModelSession> {
    namespace.log(name).expect("a valid name")
}

/// Calls until ZooKeeper was there.
async fn persist<T>(mut call: impl AsyncFnMut() -> Result<T, LogError>) -> Result<T, LogError> {
    for _ in 0..5 {
        match call().await {
            Err(error) if error.is_temporary() => {}
            outcome => return outcome,
        }
    }
    panic!("one request was lost, not five");
}

fn end(last_txid: i64, entry: i64) -> Completed {
    Completed {
        last_txid,
        completed_unix_ms: 1_795_882_224_065,
        record_count: 3,
        last: (entry, 0),
    }
}

/// Two segments, the first truncated and deleted, the third in progress.
pub(crate) async fn live<Z: ZooKeeper>(log: &LogNodes<Z>) -> Result<Vec<StoredSegment>, LogError> {
    persist(async || log.create().await).await?;
    let mut owned = persist(async || OwnedLog::read(log.clone(), 1).await).await?;
    for number in 1..=3 {
        let ledger = 10 + number;
        let left = persist(async || owned.allocate(ledger).await).await?;
        assert_eq!(left, None);
        let started = persist(async || owned.start(ledger, 1_000 * number, 0).await).await?;
        assert_eq!(started.segment.sequence_number, number);
        if number < 3 {
            persist(async || owned.complete(number, end(1_000 * number + 2, 4)).await).await?;
        }
    }
    persist(async || owned.truncate((2, 1, 0)).await).await?;
    persist(async || owned.delete(1).await).await?;
    Ok(owned.segments().to_vec())
}

/// Data and versions of all nodes.
fn nodes(setup: &Setup) -> BTreeMap<String, (Vec<u8>, i32, i32)> {
    let nodes = setup.ensemble.nodes().into_iter();
    nodes
        .map(|(path, node)| {
            let stat = node.stat;
            (path, (node.data, stat.version, stat.children_version))
        })
        .collect()
}

#[test]
fn a_logs_life_makes_the_same_nodes_whichever_request_is_lost() {
    let mut setup = Setup::new();
    let of_setup = log(&namespace(&setup), "dir/inner");
    let segments = setup
        .executor
        .run(live(&of_setup))
        .expect("nothing is lost");
    let expected = nodes(&setup);
    let shown: Vec<_> = segments
        .iter()
        .map(|it| (it.node_name.as_str(), it.segment.truncation))
        .collect();
    assert_eq!(
        shown,
        [
            ("logrecs_000000000000000002", Truncation::Partial),
            ("inprogress_000000000000000003", Truncation::Active),
        ]
    );
    assert_eq!(segments[0].segment.start_sequence_id, 3);
    for delivery in LOSSES.into_iter().chain([Delivery::Unavailable]) {
        let plays = with_each_request(delivery, |mut setup| {
            let log = log(&namespace(&setup), "dir/inner");
            let found = setup.executor.run(live(&log)).expect("the one writer");
            assert_eq!(found, segments);
            assert_eq!(nodes(&setup), expected, "{delivery:?}");
        });
        assert!(plays > 20, "{plays} requests");
    }
}

#[test]
fn of_two_writers_the_second_one_wins_and_the_first_changes_nothing() {
    let mut setup = Setup::new();
    let namespace = namespace(&setup);
    let log = log(&namespace, "s");
    setup.executor.run(async {
        log.create().await.expect("created");
        let mut first = OwnedLog::read(log.clone(), 1).await.expect("is there");
        first.allocate(7).await.expect("free");
        first.start(7, 1, 0).await.expect("free");
        let mut second = OwnedLog::read(log.clone(), 1).await.expect("is there");
        let started = second.in_progress().expect("the first's").segment;
        second
            .complete(started.sequence_number, end(2, 1))
            .await
            .expect("recovered");
        second.allocate(8).await.expect("free");

        let is_conflict = |outcome: Result<_, LogError>| {
            assert!(
                matches!(outcome, Err(LogError::Conflict { .. })),
                "{outcome:?}"
            );
        };
        is_conflict(first.complete(1, end(3, 2)).await.map(|_| ()));
        is_conflict(first.allocate(9).await.map(|_| ()));
        is_conflict(first.start(9, 1, 0).await.map(|_| ()));
        second
            .start(8, 3, 0)
            .await
            .expect("the first changed nothing");
        is_conflict(first.start(9, 1, 0).await.map(|_| ()));
        assert_eq!(second.nodes().max_sequence_number.value, 2);
        assert_eq!(second.nodes().max_txid.value, 2);
        let again = OwnedLog::read(log.clone(), 1).await.expect("is there");
        assert_eq!(again.nodes(), second.nodes());
        assert_eq!(again.segments(), second.segments());
    });
}

#[test]
fn a_change_that_arrives_late_behind_another_writers_is_a_conflict() {
    let mut setup = Setup::new();
    let namespace = namespace(&setup);
    let log = log(&namespace, "s");
    let ensemble = setup.ensemble.clone();
    let other = setup.ensemble.session(setup.executor.clock(), TIMEOUT);
    setup.executor.run(async {
        log.create().await.expect("created");
        let mut first = OwnedLog::read(log.clone(), 1).await.expect("is there");
        first.allocate(7).await.expect("free");
        // The request of the start is on its way, and ZooKeeper is away for what follows.
        let first_session = setup.session.clone();
        let number = first_session.session();
        ensemble.deliver_by(move |request| match request {
            it if it.session != number => Delivery::Answered,
            it if it.is_change => Delivery::LostDelayed,
            _ => Delivery::Unavailable,
        });
        let unknown = first.start(7, 1, 0).await.expect_err("no reply");
        assert!(unknown.is_temporary(), "{unknown}");

        let theirs = Namespace::new(other, ROOT, Access::Anyone)
            .log("s")
            .expect("a name");
        let mut second = OwnedLog::read(theirs, 1).await.expect("is there");
        assert_eq!(
            second.allocate(8).await,
            Ok(Some(7)),
            "the first's ledger was left"
        );
        second.start(8, 1, 0).await.expect("free");

        ensemble.deliver_all();
        let late = first.start(7, 1, 0).await;
        assert!(matches!(late, Err(LogError::Conflict { .. })), "{late:?}");
        let again = OwnedLog::read(log.clone(), 1).await.expect("is there");
        assert_eq!(again.segments(), second.segments());
    });
}

#[test]
fn a_call_that_was_dropped_is_resolved_by_the_next() {
    for polls in 1..12 {
        let mut setup = Setup::new();
        let namespace = namespace(&setup);
        let log = log(&namespace, "s");
        setup.executor.run(async {
            log.create().await.expect("created");
            let mut owned = OwnedLog::read(log.clone(), 1).await.expect("is there");
            owned.allocate(7).await.expect("free");
            {
                let mut call = core::pin::pin!(owned.start(7, 1, 0));
                for _ in 0..polls {
                    // Dropped after so many polls, or ready before.
                    let mut is_ready = false;
                    core::future::poll_fn(|cx| {
                        is_ready = call.as_mut().poll(cx).is_ready();
                        core::task::Poll::Ready(())
                    })
                    .await;
                    if is_ready {
                        break;
                    }
                }
            }
            let started = owned.start(7, 1, 0).await.expect("once more");
            assert_eq!(owned.segments(), [started]);
            let again = OwnedLog::read(log.clone(), 1).await.expect("is there");
            assert_eq!(
                (again.nodes(), again.segments()),
                (owned.nodes(), owned.segments())
            );
        });
    }
}

#[test]
fn an_old_writers_next_ledger_is_handed_over_to_be_deleted() {
    let mut setup = Setup::new();
    let namespace = namespace(&setup);
    let log = log(&namespace, "s");
    setup.executor.run(async {
        log.create().await.expect("created");
    });
    // As DistributedLog 0.5.0 leaves it.
    setup.ensemble.apply(&[Op::Set {
        path: log.paths().allocation(),
        data: b"19".to_vec(),
        version: None,
    }]);
    setup.executor.run(async {
        assert_eq!(log.ledgers().await, Ok(vec![19]));
        let mut owned = OwnedLog::read(log.clone(), 1).await.expect("is there");
        assert_eq!(owned.allocate(20).await, Ok(Some(19)));
        owned.start(20, 5, 0).await.expect("free");
        assert_eq!(log.ledgers().await, Ok(vec![20]));
        // An empty segment is deleted, and its number used again.
        owned.delete(1).await.expect("there");
        owned.delete(1).await.expect("deleted already");
        owned.allocate(21).await.expect("free");
        let started = owned.start(21, 5, 0).await.expect("free");
        assert_eq!(started.segment.sequence_number, 1);
    });
}

#[test]
fn logs_are_created_found_and_deleted_and_folders_stay() {
    let mut setup = Setup::new();
    let namespace = namespace(&setup);
    setup.put("/messaging/dl/.write_proxy", b"");
    // Another client began with it: the rest is created.
    setup.put("/messaging/dl/b", b"");
    setup.executor.run(async {
        for name in ["b", "dir/inner", "dir/inner/deep", "a"] {
            let log = log(&namespace, name);
            assert_eq!(log.exists().await, Ok(false));
            log.create().await.expect("created");
            log.create().await.expect("created already");
            assert_eq!(log.exists().await, Ok(true));
        }
        let list = async |folder| namespace.list(folder, 100).await.expect("is there");
        assert_eq!(list(None).await, ["a", "b", "dir"]);
        assert_eq!(list(Some("dir")).await, ["dir/inner"]);
        assert_eq!(list(Some("/dir/inner")).await, ["dir/inner/deep"]);
        let find = async |folder, limit| namespace.find_logs(folder, limit).await.expect("there");
        assert_eq!(
            find(None, 100).await,
            ["a", "b", "dir/inner", "dir/inner/deep"]
        );
        assert_eq!(find(None, 2).await, ["a", "b"]);
        assert_eq!(
            find(Some("dir"), 100).await,
            ["dir/inner", "dir/inner/deep"]
        );
        let missing = namespace.list(Some("none"), 100).await;
        assert!(matches!(missing, Err(LogError::NotFound { .. })));

        let life = log(&namespace, "a").life().await.expect("is there");
        log(&namespace, "a").delete().await.expect("deleted");
        log(&namespace, "a")
            .delete()
            .await
            .expect("deleted already");
        log(&namespace, "a").create().await.expect("created");
        let next = log(&namespace, "a").life().await.expect("is there");
        assert_ne!(life.created_zxid, next.created_zxid);
        log(&namespace, "dir/inner")
            .delete()
            .await
            .expect("deleted");
        assert_eq!(find(None, 100).await, ["a", "b", "dir/inner/deep"]);
        log(&namespace, "dir/inner/deep")
            .delete()
            .await
            .expect("deleted");
        assert_eq!(list(None).await, ["a", "b", "dir"], "as Java, folders stay");
    });
    assert!(namespace.log(".x").is_err());
}

#[test]
fn a_log_is_deleted_whichever_request_is_lost() {
    for delivery in LOSSES {
        with_each_request(delivery, |mut setup| {
            let log = log(&namespace(&setup), "s");
            setup.executor.run(async {
                live(&log).await.expect("the one writer");
                persist(async || log.delete().await).await.expect("deleted");
            });
            assert!(setup.children(ROOT).is_empty(), "{delivery:?}");
        });
    }
}

#[test]
fn readers_see_segments_change() {
    let mut setup = Setup::new();
    let namespace = namespace(&setup);
    let log = log(&namespace, "s");
    setup.executor.run(async {
        let missing = log.segments().await.map(|it| it.segments);
        assert!(matches!(missing, Err(LogError::NotFound { .. })));
        log.create().await.expect("created");
        let mut owned = OwnedLog::read(log.clone(), 1).await.expect("is there");
        let before = log.segments().await.expect("is there");
        assert!(before.segments.is_empty());
        owned.allocate(7).await.expect("free");
        owned.start(7, 1, 0).await.expect("free");
        assert_eq!(before.watch.await, NodeEvent::ChildrenChanged);
        let before = log.segments().await.expect("is there");
        assert_eq!(before.segments, owned.segments());
        owned.complete(1, end(1, 1)).await.expect("there");
        assert_eq!(before.watch.await, NodeEvent::ChildrenChanged);
    });
    setup.put(&log.paths().segment("logrecs_damaged"), b"5;x");
    let damaged = setup.executor.run(log.segments()).map(|it| it.segments);
    assert!(
        matches!(damaged, Err(LogError::Segment { .. })),
        "{damaged:?}"
    );
}

#[test]
fn a_namespace_is_bound_once_and_unbound() {
    for delivery in LOSSES {
        with_each_request(delivery, |mut setup| {
            let namespace = Namespace::new(setup.session.clone(), ROOT, Access::Anyone);
            let binding = Binding::new("127.0.0.1:2181", "/ledgers");
            setup.executor.run(async {
                let missing = persist(async || namespace.binding().await).await;
                assert!(matches!(missing, Err(LogError::NotFound { .. })));
                let bind = async |binding: &Binding, replaces| {
                    persist(async || namespace.bind(binding, replaces).await).await
                };
                bind(&binding, false).await.expect("bound");
                bind(&binding, false).await.expect("bound already");
                let other = Binding::new("127.0.0.1:2181", "/others");
                let refused = bind(&other, false).await;
                assert!(matches!(refused, Err(LogError::AlreadyBound { .. })));
                bind(&other, true).await.expect("replaced");
                let found = persist(async || namespace.binding().await).await;
                assert_eq!(found, Ok(other));
                persist(async || namespace.unbind().await)
                    .await
                    .expect("unbound");
                let error = BindingError::Unbound;
                let path = ROOT.to_owned();
                let unbound = persist(async || namespace.binding().await).await;
                assert_eq!(unbound, Err(LogError::Binding { path, error }));
                bind(&binding, false).await.expect("bound again");
            });
        });
    }
}

#[test]
fn an_ended_session_ends_every_call() {
    let mut setup = Setup::new();
    let log = log(&namespace(&setup), "s");
    setup.session.close();
    let path = "/messaging/dl".to_owned();
    let error = ZooKeeperError::SessionEnded;
    let ended = setup.executor.run(log.create());
    assert_eq!(ended, Err(LogError::ZooKeeper { path, error }));
}

/// Tasks of an application can make these calls over the driver.
#[test]
fn futures_over_the_driver_are_send() {
    const fn is_send<T: Send>(_: &T) {}
    let _check = |log: LogNodes<Session>| {
        is_send(&log.create());
        is_send(&log.segments());
        is_send(&log.delete());
        is_send(&OwnedLog::read(log, 1));
    };
    let _check = |mut owned: OwnedLog<Session>| {
        is_send(&owned.allocate(1));
        is_send(&owned.start(1, 1, 0));
        is_send(&owned.complete(1, end(1, 1)));
        is_send(&owned.truncate((1, 0, 0)));
    };
}
