//! Tools of operators: inspection, recovery, audit, single ledgers.

use core::time::Duration;
use std::sync::Arc;

use distributedlog_bookkeeper::driver::{Client, LedgerOptions, Settings};
use distributedlog_bookkeeper::zookeeper::{Access, CreateMode, Op, ZooKeeper as _};
use distributedlog_store::LogStore as _;
use distributedlog_store::bookkeeper::operator::{
    FindingKind, LedgerState, MissingLedger, NamedLedgers, Operator, Recovery,
};
use distributedlog_store::bookkeeper::{BookKeeperSettings, Ensembles};
use distributedlog_testkit::zookeeper::ModelSession;

use super::kit::{Kit, NAMESPACE, name};

impl Kit {
    pub(crate) async fn operator(&self) -> Operator<ModelSession> {
        let Ok(sessions) = self.cluster.sessions(Duration::from_secs(10)).await;
        let ensembles = Ensembles {
            sessions: sessions.clone(),
            ledger_sessions: sessions,
            servers: "zk",
        };
        let connect = Some(Arc::new(self.cluster.bookies.clone()) as _);
        let (settings, environment) = (BookKeeperSettings::default(), self.cluster.environment());
        let opened = Operator::open(&settings, &environment, ensembles, NAMESPACE, connect);
        opened.await.expect("the namespace is bound")
    }

    async fn client(&self) -> Client {
        let Ok(sessions) = self.cluster.sessions(Duration::from_secs(10)).await;
        let client = self.cluster.client(Settings::default(), sessions).await;
        let client = client.expect("ZooKeeper is there");
        client.bookies_known().await;
        client
    }

    fn set(&self, path: &str, data: &str) {
        self.cluster.ensemble.apply(&[Op::Set {
            path: format!("{NAMESPACE}/s/<default>/{path}"),
            data: data.as_bytes().to_vec(),
            version: None,
        }]);
    }

    fn delete(&self, path: &str) {
        self.cluster.ensemble.apply(&[Op::Delete {
            path: format!("{NAMESPACE}/s/<default>/{path}"),
            version: None,
        }]);
    }

    fn text(&self, path: &str) -> String {
        let nodes = self.cluster.ensemble.nodes();
        let node = &nodes[&format!("{NAMESPACE}/s/<default>/{path}")];
        String::from_utf8(node.data.clone()).expect("text")
    }
}

const FIRST: &str = "ledgers/logrecs_000000000000000001";
const SECOND: &str = "ledgers/logrecs_000000000000000002";
const THIRD: &str = "ledgers/logrecs_000000000000000003";

/// A stream "s" with three completed segments of two records each, which no one owns.
async fn three_segments(kit: &Kit) {
    for _ in 0..3 {
        let process = kit.process(1).await;
        let lease = process.own("s").await;
        process.append(&lease, "one").await.expect("stored");
        process.append(&lease, "two").await.expect("stored");
        process.store.close().await.expect("it is completed");
    }
}

/// The kinds of what an inspection of the stream finds.
async fn found(kit: &Kit) -> Vec<(Option<i64>, FindingKind)> {
    let operator = kit.operator().await;
    let (stream, mut named) = (name("s"), NamedLedgers::default());
    let found = operator.inspect(&stream, &mut named).await;
    let found = found.expect("ZooKeeper is there");
    found
        .into_iter()
        .map(|it| (it.log_segment, it.kind))
        .collect()
}

/// The segment's text with one of its fields replaced.
fn with_field(text: &str, field: usize, value: &str) -> String {
    let mut fields: Vec<&str> = text.split(';').collect();
    fields[field] = value;
    fields.join(";")
}

#[tokio::test(start_paused = true)]
async fn what_a_writer_leaves_has_no_findings() {
    let kit = Kit::new(1, 3);
    three_segments(&kit).await;
    assert_eq!(found(&kit).await, []);
    // Nor while it writes.
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    process.append(&lease, "three").await.expect("stored");
    assert_eq!(found(&kit).await, []);
}

#[tokio::test(start_paused = true)]
async fn each_contradiction_is_found() {
    type Damage = (fn(&Kit), Vec<(Option<i64>, FindingKind)>);
    let damage: Vec<Damage> = vec![
        (
            |kit| kit.delete(SECOND),
            vec![
                (Some(3), FindingKind::SequenceNumbers),
                (Some(3), FindingKind::SequenceIds),
            ],
        ),
        (
            // The last transaction id.
            |kit| kit.set(SECOND, &with_field(&kit.text(SECOND), 3, "0")),
            vec![(Some(2), FindingKind::TransactionIds)],
        ),
        (
            |kit| kit.set(THIRD, &with_field(&kit.text(THIRD), 10, "77")),
            vec![(Some(3), FindingKind::SequenceIds)],
        ),
        (
            |kit| {
                let first = kit.text(FIRST);
                let ledger = first.split(';').nth(1).expect("a ledger");
                kit.set(SECOND, &with_field(&kit.text(SECOND), 1, ledger));
            },
            vec![(Some(2), FindingKind::SharedLedger)],
        ),
        (
            |kit| kit.set(SECOND, &with_field(&kit.text(SECOND), 1, "4711")),
            vec![(Some(2), FindingKind::MissingLedger)],
        ),
        (
            // The last entry.
            |kit| kit.set(SECOND, &with_field(&kit.text(SECOND), 6, "900")),
            vec![(Some(2), FindingKind::ShortLedger)],
        ),
        (
            |kit| kit.set("ledgers", "7"),
            vec![(None, FindingKind::MaxSequenceNumber)],
        ),
        (
            |kit| kit.set("maxtxid", "1"),
            vec![
                (Some(1), FindingKind::MaxTransactionId),
                (Some(2), FindingKind::MaxTransactionId),
                (Some(3), FindingKind::MaxTransactionId),
            ],
        ),
        (
            |kit| kit.set("maxtxid", "many"),
            vec![(None, FindingKind::DamagedNode)],
        ),
        (
            |kit| kit.set(THIRD, "nonsense"),
            vec![(None, FindingKind::DamagedNode)],
        ),
        (
            |kit| {
                kit.cluster.ensemble.apply(&[Op::Create {
                    path: format!("{NAMESPACE}/s/<default>/lock/member_x_s7_0000000000"),
                    data: b"x".to_vec(),
                    mode: CreateMode::Persistent,
                    access: Access::Anyone,
                }]);
            },
            vec![(None, FindingKind::PermanentLock)],
        ),
    ];
    for (index, (damage, expected)) in damage.into_iter().enumerate() {
        let kit = Kit::new(index as u64, 3);
        three_segments(&kit).await;
        damage(&kit);
        assert_eq!(found(&kit).await, expected, "damage {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_completed_segment_whose_ledger_is_open_is_found() {
    let kit = Kit::new(20, 3);
    three_segments(&kit).await;
    let client = kit.client().await;
    let ledger = client.create(&LedgerOptions::default()).await;
    let ledger = ledger.expect("there are three bookies").ledger();
    let text = with_field(&kit.text(SECOND), 1, &ledger.to_string());
    kit.set(SECOND, &text);
    assert_eq!(found(&kit).await, [(Some(2), FindingKind::OpenLedger)]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_writer_left_is_recovered() {
    let kit = Kit::new(30, 3);
    three_segments(&kit).await;
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    let at = process.append(&lease, "three").await.expect("stored");
    let operator = kit.operator().await;
    let stream = name("s");
    let owned = Recovery::OwnedBy {
        client_id: process.owner().client_id(),
    };
    assert_eq!(operator.recover(&stream).await, Ok(owned));
    // The writer dies: its session ends.
    kit.cluster
        .ensemble
        .expire(process.sessions.current().session());
    drop(process);
    let done = Recovery::Done {
        completed: vec![(4, 1)],
        deleted: Vec::new(),
    };
    assert_eq!(operator.recover(&stream).await, Ok(done));
    assert_eq!(found(&kit).await, []);
    let next = kit.process(2).await;
    let written = next.payloads("s").await;
    assert_eq!(written.last(), Some(&(at, "three".into())));
    // It is free again, and there is nothing left to do.
    let nothing = Recovery::Done {
        completed: Vec::new(),
        deleted: Vec::new(),
    };
    assert_eq!(operator.recover(&stream).await, Ok(nothing));
    next.acquire("s").await.expect("nobody owns it");
}

#[tokio::test(start_paused = true)]
async fn an_audit_finds_ledgers_without_a_name_and_names_without_a_ledger() {
    let kit = Kit::new(40, 3);
    three_segments(&kit).await;
    let operator = kit.operator().await;
    let mut seen = Vec::new();
    let audit = operator.audit(|what, count| seen.push(format!("{count} {what}")));
    let audit = audit.await.expect("the cluster is there");
    assert_eq!((audit.streams, audit.ledgers, audit.named), (1, 3, 3));
    assert!(audit.unnamed.is_empty() && audit.missing.is_empty());
    assert_eq!(seen, ["3 ledgers of the cluster", "1 streams"]);

    let client = kit.client().await;
    let options = LedgerOptions::default();
    let unnamed = client.create(&options).await.expect("three bookies");
    // A pool of Java's proxies names one.
    let pooled = client.create(&options).await.expect("three bookies");
    let pool = format!("{NAMESPACE}/.write_proxy_allocation_pool");
    let create = |path: &str, data: String| Op::Create {
        path: path.to_owned(),
        data: data.into_bytes(),
        mode: CreateMode::Persistent,
        access: Access::Anyone,
    };
    let (allocator, node) = (format!("{pool}/a_0000_0"), format!("{pool}/a_0000_0/0000"));
    kit.cluster.ensemble.apply(&[
        create(&pool, String::new()),
        create(&allocator, String::new()),
        create(&node, pooled.ledger().to_string()),
    ]);
    kit.set(SECOND, &with_field(&kit.text(SECOND), 1, "4711"));
    let audit = operator.audit(|_, _| ()).await.expect("it is there");
    let ids: Vec<i64> = audit.unnamed.iter().map(|it| it.ledger).collect();
    assert!(ids.contains(&unnamed.ledger()) && !ids.contains(&pooled.ledger()));
    // That of the second segment has lost its name.
    assert_eq!(ids.len(), 2);
    let missing = MissingLedger {
        stream: "s".to_owned(),
        ledger: 4711,
    };
    assert_eq!(audit.missing, [missing]);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_is_found_with_its_entries_and_its_stream() {
    let kit = Kit::new(50, 3);
    three_segments(&kit).await;
    let operator = kit.operator().await;
    let text = kit.text(SECOND);
    let ledger: i64 = text
        .split(';')
        .nth(1)
        .expect("a field")
        .parse()
        .expect("a ledger");
    let found = operator.ledger(ledger).await.expect("it exists");
    assert_eq!(
        (found.state, found.quorums),
        (LedgerState::Closed, [3, 3, 2])
    );
    let last = operator.last_confirmed(ledger).await.expect("it answers");
    assert_eq!(Some(last), found.last_entry);
    let segments = operator.segments_of_ledger(&name("s"), ledger).await;
    assert_eq!(segments, Ok(vec![2]));
    let mut kinds = Vec::new();
    let all = operator.entries(ledger, 0, None, |entry| {
        let records = entry.records.expect("ours");
        kinds.extend(records.into_iter().map(|it| (it.kind, it.payload)));
        true
    });
    all.await.expect("they are there");
    let users = kinds.iter().filter(|(kind, _)| *kind == "record");
    let payloads: Vec<&[u8]> = users.map(|(_, payload)| &payload[..]).collect();
    assert_eq!(payloads, [b"one", b"two"]);
    let mut some = 0;
    let one = operator.entries(ledger, 0, Some(99), |_| {
        some += 1;
        false
    });
    one.await.expect("they are there");
    assert_eq!(some, 1);
    let bookies = operator.bookies().await;
    assert_eq!((bookies.writable.len(), bookies.read_only.len()), (3, 0));
    let missing = operator.ledger(4711).await.expect_err("it does not exist");
    assert!(
        missing.to_string().contains("4711 does not exist"),
        "{missing}"
    );
}
