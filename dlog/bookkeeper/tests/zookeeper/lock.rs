use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use distributedlog_bookkeeper::namespace::nodes::{
    Acquired, HeldLock, LockLoss, LockOwner, LogError, Namespace, WriteLock,
};
use distributedlog_bookkeeper::zookeeper::{Access, NodeEvent, Op, SessionEnd, ZooKeeper as _};
use distributedlog_testkit::zookeeper::{Delivery, Ensemble, ModelSession};
use distributedlog_testkit::{Executor, VirtualClock};

use crate::faults::{LOSSES, Setup, TIMEOUT, with_each_request};

const FOLDER: &str = "/ns/s/<default>/lock";

fn lock(session: &ModelSession, client_id: &str) -> WriteLock<ModelSession> {
    let namespace = Namespace::new(session.clone(), "/ns", Access::Anyone);
    WriteLock::new(namespace.log("s").expect("a name"), client_id.to_owned())
}

fn prepare(ensemble: &Ensemble) {
    for path in ["/ns", "/ns/s", "/ns/s/<default>", FOLDER] {
        ensemble.apply(&[Op::Create {
            path: path.to_owned(),
            data: Vec::new(),
            mode: distributedlog_bookkeeper::zookeeper::CreateMode::Persistent,
            access: Access::Anyone,
        }]);
    }
}

fn setup() -> Setup {
    let setup = Setup::new();
    prepare(&setup.ensemble);
    setup
}

async fn held(lock: &WriteLock<ModelSession>) -> HeldLock<ModelSession> {
    match lock.acquire().await {
        Ok(Acquired::Held(held)) => held,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_client_is_refused_with_the_owners_id_and_leaves_no_node() {
    let mut setup = setup();
    let other = setup.ensemble.session(setup.executor.clock(), TIMEOUT);
    let session = setup.session.session();
    let (first, second) = (
        lock(&setup.session, "1;0;h:8000"),
        lock(&other, "my_client"),
    );
    let (ensemble, stat) = (setup.ensemble.clone(), |ensemble: &Ensemble| {
        ensemble.nodes()[FOLDER].stat
    });
    setup.executor.run(async {
        assert_eq!(first.owner().await, Ok(None));
        let held_first = held(&first).await;
        let name = format!("{FOLDER}/member_1%3B0%3Bh%3A8000_s{session}_0000000000");
        assert_eq!(held_first.path(), name);
        let node = &ensemble.nodes()[&name];
        assert_eq!(
            (node.data.as_slice(), node.stat.ephemeral_owner),
            (&b"1;0;h:8000"[..], session)
        );
        assert!(held_first.is_held());
        let before = stat(&ensemble);
        let owner = LockOwner {
            client_id: "1;0;h:8000".to_owned(),
            session,
        };
        match second.acquire().await {
            Ok(Acquired::OwnedBy(found)) => assert_eq!(found, owner),
            refused => panic!("{refused:?}"),
        }
        assert_eq!(stat(&ensemble), before, "no node was created and deleted");
        assert_eq!(second.owner().await, Ok(Some(owner.clone())));
        let namespace = Namespace::new(other.clone(), "/ns", Access::Anyone);
        let log = namespace.log("s").expect("a name");
        assert_eq!(log.owner().await, Ok(Some(owner)));
        assert_eq!(held(&first).await.path(), name, "it is held already");

        held_first.release().await.expect("there");
        held_first.release().await.expect("released already");
        let held_second = held(&second).await;
        // The name does not tell an id with an underscore: the data does.
        let owner = second.owner().await.expect("a reply").expect("it is held");
        assert_eq!(
            (owner.client_id.as_str(), owner.session),
            ("my_client", other.session())
        );
        assert!(held_second.path().ends_with("_0000000001"));
    });
}

#[test]
fn an_earlier_session_of_the_same_client_is_waited_for() {
    let mut setup = setup();
    let next = setup.ensemble.session(setup.executor.clock(), TIMEOUT);
    let (first, second) = (lock(&setup.session, "1;0;h:1"), lock(&next, "1;0;h:1"));
    let (ensemble, number) = (setup.ensemble.clone(), setup.session.session());
    setup.executor.run(async {
        held(&first).await;
        let Ok(Acquired::OwnSession { session, watch }) = second.acquire().await else {
            panic!("the earlier session lives");
        };
        assert_eq!(session, number);
        ensemble.expire(session);
        assert_eq!(watch.await, NodeEvent::Deleted);
        held(&second).await;
    });
}

#[test]
fn the_lock_is_acquired_and_released_once_whichever_request_is_lost() {
    for client_id in ["1;0;h:1", "my_client"] {
        for delivery in LOSSES.into_iter().chain([Delivery::Unavailable]) {
            let plays = with_each_request(delivery, |mut setup| {
                prepare(&setup.ensemble);
                let lock = lock(&setup.session, client_id);
                let ensemble = setup.ensemble.clone();
                let members = || {
                    let nodes = ensemble.nodes();
                    nodes.keys().filter(|it| it.contains("/member_")).count()
                };
                setup.executor.run(async {
                    let held = loop {
                        match lock.acquire().await {
                            Ok(Acquired::Held(held)) => break held,
                            Err(error) if error.is_temporary() => {}
                            other => panic!("{other:?}"),
                        }
                    };
                    assert_eq!(members(), 1);
                    while held.release().await.is_err() {}
                    // A deletion that is on its way arrives before the session's next request.
                    assert_eq!(lock.owner().await.unwrap_or(None), None);
                });
                assert_eq!(members(), 0, "{delivery:?}");
            });
            assert!(plays > 3, "{plays} requests");
        }
    }
}

#[test]
fn a_lock_is_lost_with_its_session_or_its_node() {
    let mut setup = setup();
    let lock_of_first = lock(&setup.session, "1;0;h:1");
    let ensemble = setup.ensemble.clone();
    let clock = setup.executor.clock();
    let other = ensemble.session(clock, TIMEOUT);
    let lock_of_other = lock(&other, "1;1;h:2");
    setup.executor.run(async {
        let held_first = held(&lock_of_first).await;
        let path = held_first.path().to_owned();
        ensemble.apply(&[Op::Delete {
            path,
            version: None,
        }]);
        assert_eq!(held_first.lost().await, LockLoss::NodeDeleted);

        let held_other = held(&lock_of_other).await;
        ensemble.expire(other.session());
        let end = SessionEnd::Expired;
        assert_eq!(held_other.lost().await, LockLoss::SessionEnded(end));
        assert!(!held_other.is_held());
        let ended = lock_of_other.acquire().await;
        assert!(
            matches!(ended, Err(LogError::ZooKeeper { .. })),
            "{ended:?}"
        );
    });
}

#[test]
fn a_client_that_is_cut_off_stops_before_its_session_can_end() {
    use distributedlog::Clock as _;
    let mut setup = setup();
    let lock = lock(&setup.session, "1;0;h:1");
    let clock: VirtualClock = setup.executor.clock();
    let ensemble = setup.ensemble.clone();
    let number = setup.session.session();
    setup.executor.run(async {
        let held = held(&lock).await;
        clock.sleep_until(clock.now() + 10 * TIMEOUT).await;
        assert!(held.is_held(), "heartbeats are answered");
        ensemble.partition(number);
        clock
            .sleep_until(clock.now() + TIMEOUT * 2 / 3 - Duration::from_millis(1))
            .await;
        assert!(held.is_held());
        clock
            .sleep_until(clock.now() + Duration::from_millis(2))
            .await;
        assert!(!held.is_held());
        ensemble.heal(number);
        assert!(held.is_held(), "it was back in time");
        ensemble.partition(number);
        ensemble.expire(number);
        clock.sleep_until(clock.now() + TIMEOUT).await;
        assert!(!held.is_held());
        ensemble.heal(number);
        assert!(!held.is_held());
    });
}

#[test]
fn of_clients_that_acquire_at_the_same_time_at_most_one_gets_it() {
    let mut winners = 0;
    for seed in 0..200 {
        let ensemble = Ensemble::new();
        prepare(&ensemble);
        let mut executor = Executor::new(seed);
        let results = Rc::new(RefCell::new(Vec::new()));
        for client in 0..4 {
            let session = ensemble.session(executor.clock(), TIMEOUT);
            let lock = lock(&session, &format!("1;{client};h:1"));
            let results = Rc::clone(&results);
            executor.spawn(async move {
                let acquired = lock.acquire().await.expect("ZooKeeper is there");
                results
                    .borrow_mut()
                    .push(matches!(acquired, Acquired::Held(_)));
            });
        }
        executor.settle();
        let held = results.borrow().iter().filter(|held| **held).count();
        assert_eq!(results.borrow().len(), 4);
        assert!(held <= 1, "seed {seed}");
        winners += held;
        let nodes = ensemble.nodes();
        let members = nodes.keys().filter(|it| it.contains("/member_")).count();
        assert_eq!(members, held, "seed {seed}");
    }
    assert!(winners > 150, "{winners} of 200");
}
