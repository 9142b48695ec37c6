use std::collections::BTreeSet;
use std::sync::Arc;

use distributedlog_bookkeeper::driver::{BookieSet, follow_bookies};
use distributedlog_bookkeeper::metadata::{BookieAddress, BookieId};
use distributedlog_bookkeeper::zookeeper::ZooKeeper as _;
use distributedlog_testkit::zookeeper::Delivery;
use tokio::sync::watch;

use crate::faults::{LOSSES, Setup, TIMEOUT, with_each_request};

fn ids(names: &[&str]) -> BTreeSet<BookieId> {
    names.iter().copied().map(BookieId::new).collect()
}

/// A `BookieServiceInfoFormat` with one endpoint.
fn registration(host: &str, port: u8) -> Vec<u8> {
    let mut endpoint = vec![
        0x0a,
        1,
        b'x',
        0x10,
        port,
        0x1a,
        u8::try_from(host.len()).expect("short"),
    ];
    endpoint.extend_from_slice(host.as_bytes());
    endpoint.extend_from_slice(&[0x22, 10]);
    endpoint.extend_from_slice(b"bookie-rpc");
    let mut data = vec![0x32, u8::try_from(endpoint.len()).expect("short")];
    data.extend(endpoint);
    data
}

fn bookie_set(
    setup: &mut Setup,
    receiver: &mut watch::Receiver<Arc<BookieSet>>,
    writable: &[&str],
    read_only: &[&str],
) -> Arc<BookieSet> {
    let (writable, read_only) = (ids(writable), ids(read_only));
    setup
        .executor
        .run(receiver.wait_for(|set| set.writable == writable && set.read_only == read_only))
        .expect("the follower lives")
        .clone()
}

#[test]
fn bookies_that_come_leave_and_become_read_only_are_seen() {
    let mut setup = Setup::new();
    setup.put("/ledgers", b"");
    let (sessions, receiver) = watch::channel(setup.session.clone());
    let (publish, mut bookies) = watch::channel(Arc::default());
    let follower = setup
        .executor
        .spawn(follow_bookies(receiver, "/ledgers".to_owned(), publish));
    setup.executor.settle();
    // The cluster is formatted only now.
    setup.put("/ledgers/available", b"");
    setup.put("/ledgers/available/a:1", b"");
    setup.put("/ledgers/available/free", &registration("h", 7));
    let set = bookie_set(&mut setup, &mut bookies, &["a:1", "free"], &[]);
    let address = |set: &BookieSet, id: &str| set.address(&BookieId::new(id));
    let at = |host: &str, port| {
        Some(BookieAddress {
            host: host.to_owned(),
            port,
        })
    };
    assert_eq!(address(&set, "a:1"), at("a", 1));
    assert_eq!(address(&set, "free"), at("h", 7));
    assert_eq!(address(&set, "other:9"), at("other", 9));
    assert_eq!(address(&set, "unknown"), None);

    setup.put("/ledgers/available/readonly", b"");
    setup.put("/ledgers/available/readonly/b:2", b"damaged");
    bookie_set(&mut setup, &mut bookies, &["a:1", "free"], &["b:2"]);

    let session = setup.session.clone();
    setup.executor.run(async {
        session
            .delete("/ledgers/available/free", None)
            .await
            .expect("there");
    });
    let set = bookie_set(&mut setup, &mut bookies, &["a:1"], &["b:2"]);
    assert_eq!(address(&set, "free"), at("h", 7), "ledgers name it still");

    // The session ends: what is known stays, and the next session goes on.
    setup.ensemble.expire(setup.session.session());
    setup.put("/ledgers/available/c:3", b"");
    setup.executor.settle();
    assert_eq!(bookies.borrow().writable, ids(&["a:1"]));
    sessions.send_replace(setup.ensemble.session(setup.executor.clock(), TIMEOUT));
    bookie_set(&mut setup, &mut bookies, &["a:1", "c:3"], &["b:2"]);
    drop(sessions);
    drop(bookies);
    setup.executor.settle();
    assert!(setup.executor.is_finished(follower));
}

#[test]
fn the_bookies_are_found_whichever_request_is_lost() {
    for delivery in LOSSES.into_iter().chain([Delivery::Unavailable]) {
        let plays = with_each_request(delivery, |mut setup| {
            for path in [
                "/ledgers",
                "/ledgers/available",
                "/ledgers/available/readonly",
            ] {
                setup.put(path, b"");
            }
            setup.put("/ledgers/available/a:1", b"");
            let (_sessions, receiver) = watch::channel(setup.session.clone());
            let (publish, mut bookies) = watch::channel(Arc::default());
            setup
                .executor
                .spawn(follow_bookies(receiver, "/ledgers".to_owned(), publish));
            bookie_set(&mut setup, &mut bookies, &["a:1"], &[]);
            setup.put("/ledgers/available/b:2", b"");
            bookie_set(&mut setup, &mut bookies, &["a:1", "b:2"], &[]);
        });
        assert!(plays > 5, "{plays} requests");
    }
}
