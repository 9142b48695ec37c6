use std::collections::BTreeMap;

use bytes::Bytes;
use distributedlog_bookkeeper::cluster::{ClusterError, Ledgers, NewLedger};
use distributedlog_bookkeeper::entry::DigestType;
use distributedlog_bookkeeper::ledger::{MetadataReply, SetReply, Versioned};
use distributedlog_bookkeeper::metadata::{BookieId, Format, LedgerMetadata, LedgerState};
use distributedlog_bookkeeper::zookeeper::{Access, NodeEvent, ZooKeeperError};
use distributedlog_testkit::zookeeper::{Delivery, ModelSession};

use crate::faults::{LOSSES, Setup, with_each_request};

const HIERARCHICAL: &[u8] = b"2\norg.apache.bookkeeper.meta.HierarchicalLedgerManagerFactory:1";
const FLAT: &[u8] = b"2\norg.apache.bookkeeper.meta.FlatLedgerManagerFactory:1";

fn format(setup: &Setup, layout: &[u8]) {
    setup.put("/ledgers", b"");
    setup.put("/ledgers/LAYOUT", layout);
}

pub(crate) fn new_ledger(token: u128) -> NewLedger {
    NewLedger {
        ensemble: ["b1:1", "b2:2", "b3:3"].map(BookieId::new).to_vec(),
        write_quorum: 3,
        ack_quorum: 2,
        digest: DigestType::Crc32,
        password: Bytes::new(),
        format: Format::Text,
        created_unix_ms: 1_795_882_224_065,
        custom: BTreeMap::new(),
        token,
    }
}

async fn open(session: &ModelSession) -> Ledgers<ModelSession> {
    Ledgers::open(session.clone(), "/ledgers", Access::Anyone)
        .await
        .expect("it is formatted")
}

/// Ledgers' nodes of a cluster.
fn ledgers_of(setup: &Setup) -> Vec<String> {
    let nodes = setup.ensemble.nodes();
    let ledgers = nodes.keys().filter(|path| {
        let (_, name) = path.rsplit_once('/').expect("a path");
        name.starts_with('L') && name != "LAYOUT"
    });
    ledgers.cloned().collect()
}

#[test]
fn ledgers_get_the_ids_and_nodes_that_javas_clients_give_them() {
    let mut setup = Setup::new();
    format(&setup, HIERARCHICAL);
    let session = setup.session.clone();
    let created = setup.executor.run(async {
        let ledgers = open(&session).await;
        let mut created = Vec::new();
        for token in 0..3 {
            created.push(ledgers.create(&new_ledger(token)).await.expect("created"));
        }
        created
    });
    assert_eq!(created.iter().map(|it| it.0).collect::<Vec<_>>(), [0, 1, 2]);
    let nodes = setup.ensemble.nodes();
    let stored = &nodes["/ledgers/00/0000/L0002"];
    assert_eq!(
        LedgerMetadata::decode(&stored.data),
        Ok(created[2].1.metadata.clone())
    );
    assert_eq!((created[2].1.version, stored.stat.version), (0, 0));
    assert!(stored.data.starts_with(b"BookieMetadataFormatVersion\t2\n"));
    assert!(
        setup.children("/ledgers/idgen").is_empty(),
        "counters' nodes are deleted"
    );
}

#[test]
fn a_flat_cluster_counts_below_its_root_and_a_long_one_begins_at_two_to_the_32() {
    let mut setup = Setup::new();
    format(&setup, FLAT);
    let session = setup.session.clone();
    let id = setup.executor.run(async {
        let ledgers = open(&session).await;
        ledgers.create(&new_ledger(1)).await.expect("created").0
    });
    // `LAYOUT` was the root's first child, and counts.
    assert_eq!(id, 1);
    assert_eq!(ledgers_of(&setup), ["/ledgers/L0000000001"]);

    let mut setup = Setup::new();
    format(&setup, HIERARCHICAL);
    setup.put("/ledgers/idgen-long", b"");
    let session = setup.session.clone();
    let ids = setup.executor.run(async {
        let ledgers = open(&session).await;
        let first = ledgers.create(&new_ledger(1)).await.expect("created").0;
        (
            first,
            ledgers.create(&new_ledger(2)).await.expect("created").0,
        )
    });
    assert_eq!(ids, (4_294_967_296, 4_294_967_297));
    assert_eq!(setup.children("/ledgers/idgen-long"), ["HOB-0000000001"]);
    assert_eq!(
        ledgers_of(&setup),
        [
            "/ledgers/000/0000/0042/9496/L7296",
            "/ledgers/000/0000/0042/9496/L7297"
        ]
    );
}

#[test]
fn a_creation_makes_one_ledger_whichever_reply_is_lost() {
    for delivery in LOSSES {
        for format_of_metadata in [Format::Text, Format::Binary] {
            let plays = with_each_request(delivery, |mut setup| {
                format(&setup, HIERARCHICAL);
                let session = setup.session.clone();
                let new = NewLedger {
                    format: format_of_metadata,
                    ..new_ledger(7)
                };
                let created = setup.executor.run(async {
                    let ledgers = Ledgers::open(session, "/ledgers", Access::Anyone).await?;
                    ledgers.create(&new).await
                });
                let nodes = ledgers_of(&setup);
                match created {
                    Ok((ledger, versioned)) => {
                        assert_eq!(nodes, [format!("/ledgers/00/0000/L{ledger:04}")]);
                        let data = &setup.ensemble.nodes()[&nodes[0]].data;
                        assert_eq!(*data, versioned.metadata.encode());
                    }
                    Err(ClusterError::ZooKeeper { error, .. }) => {
                        // Reads before the creation are the caller's to repeat.
                        assert_eq!(error, ZooKeeperError::Lost);
                        assert!(nodes.is_empty(), "{nodes:?}");
                    }
                    Err(error) => panic!("{error}"),
                }
            });
            assert!(plays > 5, "{plays} requests");
        }
    }
}

#[test]
fn an_id_that_another_ledger_has_is_left_to_it() {
    let mut setup = Setup::new();
    format(&setup, HIERARCHICAL);
    let session = setup.session.clone();
    let (first, second) = setup.executor.run(async {
        let ledgers = open(&session).await;
        let first = ledgers.create(&new_ledger(1)).await.expect("created");
        // The counter begins again, as after an operator deleted it.
        let zookeeper = ledgers.zookeeper();
        use distributedlog_bookkeeper::zookeeper::ZooKeeper as _;
        zookeeper
            .delete("/ledgers/idgen", None)
            .await
            .expect("empty");
        (
            first,
            ledgers.create(&new_ledger(2)).await.expect("created"),
        )
    });
    assert_eq!((first.0, second.0), (0, 1));
    assert_ne!(first.1, second.1);
}

#[test]
fn a_change_names_the_version_that_it_was_made_for() {
    let mut setup = Setup::new();
    format(&setup, HIERARCHICAL);
    let session = setup.session.clone();
    setup.executor.run(async {
        let ledgers = open(&session).await;
        let (ledger, mut known) = ledgers.create(&new_ledger(1)).await.expect("created");
        let (found, watch) = ledgers.read_and_watch(ledger).await.expect("is there");
        assert_eq!(found, known);
        known.metadata.state = LedgerState::InRecovery;
        assert_eq!(
            ledgers.compare_and_set(ledger, &known).await,
            SetReply::Done(1)
        );
        assert_eq!(watch.await, NodeEvent::DataChanged);
        assert_eq!(
            ledgers.compare_and_set(ledger, &known).await,
            SetReply::BadVersion
        );
        let stored = Versioned {
            version: 1,
            ..known.clone()
        };
        assert_eq!(ledgers.read(ledger).await, MetadataReply::Found(stored));
        let (_, watch) = ledgers.read_and_watch(ledger).await.expect("is there");
        ledgers.delete(ledger).await.expect("deleted");
        assert_eq!(watch.await, NodeEvent::Deleted);
        ledgers.delete(ledger).await.expect("deleted already");
        assert_eq!(ledgers.read(ledger).await, MetadataReply::NoNode);
        assert_eq!(
            ledgers.compare_and_set(ledger, &known).await,
            SetReply::NoNode
        );
        let gone = ledgers.read_or_error(ledger).await;
        assert_eq!(gone, Err(ClusterError::NoLedger { ledger }));
    });
}

#[test]
fn a_lost_reply_leaves_a_change_unknown_and_a_deletion_can_be_repeated() {
    for delivery in LOSSES {
        let mut setup = Setup::new();
        format(&setup, HIERARCHICAL);
        let (session, ensemble) = (setup.session.clone(), setup.ensemble.clone());
        setup.executor.run(async {
            let ledgers = open(&session).await;
            let (ledger, mut known) = ledgers.create(&new_ledger(1)).await.expect("created");
            known.metadata.state = LedgerState::InRecovery;
            let mut is_first = true;
            ensemble.deliver_by(move |_| {
                if core::mem::take(&mut is_first) {
                    delivery
                } else {
                    Delivery::Answered
                }
            });
            assert_eq!(
                ledgers.compare_and_set(ledger, &known).await,
                SetReply::Unknown
            );
            // The read tells, however late the change was applied.
            let MetadataReply::Found(stored) = ledgers.read(ledger).await else {
                panic!("the ledger is there");
            };
            let was_applied = delivery != Delivery::Lost;
            assert_eq!(
                stored.metadata.state == LedgerState::InRecovery,
                was_applied
            );

            let mut is_first = true;
            ensemble.deliver_by(move |_| {
                if core::mem::take(&mut is_first) {
                    delivery
                } else {
                    Delivery::Answered
                }
            });
            let deleted = ledgers.delete(ledger).await;
            assert_eq!(deleted.is_ok(), was_applied);
            ledgers.delete(ledger).await.expect("repeated");
        });
    }
}

#[test]
fn all_ledgers_are_listed_in_pages_in_the_order_of_their_ids() {
    let mut setup = Setup::new();
    format(&setup, HIERARCHICAL);
    for path in [
        "/ledgers/00",
        "/ledgers/00/0000",
        "/ledgers/00/0000/L0000",
        "/ledgers/00/0000/L0007",
        "/ledgers/00/0001",
        "/ledgers/00/0001/L0003",
        "/ledgers/21",
        "/ledgers/21/4748",
        "/ledgers/21/4748/L3647",
        "/ledgers/000",
        "/ledgers/000/0000",
        "/ledgers/000/0000/0040",
        "/ledgers/000/0000/0040/0000",
        "/ledgers/000/0000/0040/0000/L0001",
        "/ledgers/idgen",
        "/ledgers/available",
        "/ledgers/cookies",
        "/ledgers/00/0001/X0003",
    ] {
        setup.put(path, b"");
    }
    let all = [0, 7, 10_003, 2_147_483_647, 4_000_000_001];
    let session = setup.session.clone();
    setup.executor.run(async {
        let ledgers = open(&session).await;
        assert_eq!(ledgers.list(None, 100).await.expect("listed"), all);
        for limit in 1..=all.len() {
            let (mut after, mut found) = (None, Vec::new());
            loop {
                let page = ledgers.list(after, limit).await.expect("listed");
                assert!(page.len() <= limit);
                let Some(last) = page.last() else { break };
                after = Some(*last);
                found.extend(page);
            }
            assert_eq!(found, all);
        }
    });

    let mut setup = Setup::new();
    format(&setup, FLAT);
    for path in [
        "/ledgers/L0000000012",
        "/ledgers/L40000000001",
        "/ledgers/L12",
        "/ledgers/ID-1",
    ] {
        setup.put(path, b"");
    }
    let session = setup.session.clone();
    let found = setup
        .executor
        .run(async { open(&session).await.list(None, 100).await });
    assert_eq!(found.expect("listed"), [12, 40_000_000_001]);
}

#[test]
fn a_root_without_a_cluster_or_with_an_unknown_one_is_refused() {
    let mut setup = Setup::new();
    let session = setup.session.clone();
    let missing = setup
        .executor
        .run(Ledgers::open(session.clone(), "/ledgers/", Access::Anyone));
    assert_eq!(
        missing.expect_err("nothing is there").to_string(),
        "/ledgers/LAYOUT does not exist: no BookKeeper cluster was formatted there"
    );
    format(
        &setup,
        b"2\norg.apache.bookkeeper.meta.MSLedgerManagerFactory:1",
    );
    let unknown = setup
        .executor
        .run(Ledgers::open(session, "/ledgers", Access::Anyone));
    assert!(matches!(unknown, Err(ClusterError::Layout(_))));
}
