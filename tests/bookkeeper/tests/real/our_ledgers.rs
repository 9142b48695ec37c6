//! Ledgers of ours that Java reads and recovers, and the reverse.

use core::time::Duration;

use distributedlog_bookkeeper::driver::{Appended, LedgerAccess, LedgerOptions, Refreshed};
use distributedlog_bookkeeper::entry::DigestType;
use distributedlog_bookkeeper::ledger::CloseReason;
use distributedlog_bookkeeper::metadata::Format;
use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::LedgerPeer;
use distributedlog_bookkeeper_tests::shared::on_shared;

use crate::ours::{
    access, append, assert_ours, assert_same, client, confirm, create, payload, read, read_to,
};

async fn java(cluster: &Cluster, version: Version) -> LedgerPeer {
    LedgerPeer::start(version, &cluster.zk_servers(), &[]).await
}

/// Clients that can read ledgers with this digest and metadata.
fn readers(digest: DigestType, format: Format) -> &'static [Version] {
    match (digest, format) {
        (DigestType::Crc32 | DigestType::Mac, Format::Text) => &Version::ALL,
        _ => &[Version::V4_17],
    }
}

async fn java_reads_ours(cluster: &Cluster) {
    let ours = client(cluster).await;
    let mut old = java(cluster, Version::V4_5).await;
    let mut new = java(cluster, Version::V4_17).await;
    for (digest, name) in [
        (DigestType::Crc32, "CRC32"),
        (DigestType::Mac, "MAC"),
        (DigestType::Crc32c, "CRC32C"),
    ] {
        for format in [Format::Text, Format::Binary] {
            let options = LedgerOptions {
                digest,
                format,
                password: "secret".into(),
                ..LedgerOptions::default()
            };
            let writer = ours.create(&options).await.expect("three bookies");
            confirm(&writer, 0..200).await;
            writer.close();
            let end = writer.ended().await;
            assert_eq!(end.reason, CloseReason::Finished);
            let length: usize = (0..200).map(|number| payload(number).len()).sum();
            for version in readers(digest, format) {
                let peer = match version {
                    Version::V4_5 => &mut old,
                    Version::V4_17 => &mut new,
                };
                let settings = format!("digest={name} password=secret");
                let (end, read) = peer.read(writer.ledger(), &settings).await;
                assert_eq!((end.lac, end.closed), (199, Some(true)));
                assert_eq!(usize::try_from(end.length), Ok(length));
                assert_eq!(read.len(), 200);
                assert_ours(&read);
            }
        }
    }
}

async fn ours_reads_and_tails_javas(cluster: &Cluster, version: Version) {
    let ours = client(cluster).await;
    let mut peer = java(cluster, version).await;
    for settings in ["password=secret", "digest=MAC password=secret"] {
        let ledger = peer.create([3, 3, 2], settings).await;
        let mut added = peer.add(ledger, 50, "size=3000 window=7").await;
        // The writer lives: what is confirmed is known from the entries' headers, which say what
        // was when they were sent, seven at the same time.
        let mut reader = ours
            .open(ledger, &access("secret"))
            .await
            .expect("it is there");
        let known = reader.last_confirmed().await.expect("three bookies");
        assert!((42..50).contains(&known), "{known}");
        peer.peer.send(&format!("add {ledger} 50")).await;
        let mut last = known;
        while last < 98 {
            last = reader
                .poll(last, Duration::from_secs(5))
                .await
                .last_confirmed;
        }
        let lines = peer.peer.rest().await.expect("all are acknowledged");
        added.extend(
            lines
                .into_iter()
                .map(distributedlog_bookkeeper_tests::peer::parse),
        );
        assert_same(&read_to(&reader, 98).await, &added[..99]);

        let end = peer.close(ledger).await;
        assert_eq!(reader.refresh().await, Refreshed::Current);
        let metadata = &reader.metadata().metadata;
        assert_eq!((metadata.last_entry, metadata.is_closed()), (99, true));
        assert_eq!(i64::try_from(metadata.length), Ok(end.length));
        assert_same(&read(&reader).await, &added);
        ours.delete(ledger, &access("secret"))
            .await
            .expect("deleted");
        assert!(peer.peer.command(&format!("read {ledger}")).await.is_err());
    }
}

async fn ours_recovers_javas(cluster: &Cluster, version: Version) {
    let ours = client(cluster).await;
    let mut writer = java(cluster, version).await;
    let ledger = writer.create([3, 3, 2], "").await;
    writer.begin_to_add(ledger, 300, "window=100").await;
    let acknowledged = writer.kill_9().await;
    let reader = ours.recover(ledger, &LedgerAccess::default()).await;
    let entries = read(&reader.expect("three bookies")).await;
    assert!(entries.len() >= acknowledged.len());
    assert_same(&entries[..acknowledged.len()], &acknowledged);
    let (end, java_read) = java(cluster, version).await.read(ledger, "").await;
    assert_eq!(end.closed, Some(true));
    assert_same(&entries, &java_read);
}

async fn java_recovers_ours(cluster: &Cluster, version: Version) {
    let mut peer = java(cluster, version).await;
    let ours = client(cluster).await;
    let writer = create(&ours).await;
    let ledger = writer.ledger();
    let mut outcomes = append(&writer, 0..1000);
    let mut confirmed = 0;
    while confirmed < 500 {
        let (number, appended) = outcomes.recv().await.expect("1,000 outcomes");
        assert_eq!(appended, Appended::Confirmed(number));
        confirmed += 1;
    }
    drop((writer, ours));
    while let Some((_, appended)) = outcomes.recv().await {
        match appended {
            Appended::Confirmed(_) => confirmed += 1,
            Appended::Unknown => {}
            Appended::Written(_) | Appended::NotWritten => panic!("nobody has closed it"),
        }
    }
    let end = recovered(&mut peer, ledger).await;
    assert!(end + 1 >= confirmed, "{end}, {confirmed}");
    let (_, read) = peer.read(ledger, "").await;
    assert_ours(&read);
    assert_eq!(i64::try_from(read.len()), Ok(end + 1));
}

/// Recovers a ledger with Java's client. Returns its last entry.
async fn recovered(peer: &mut LedgerPeer, ledger: i64) -> i64 {
    loop {
        match peer.peer.command(&format!("recover {ledger}")).await {
            Ok(lines) => break lines[0]["lac"].as_i64().expect("an entry"),
            // 4.5.0 may lose count of the entries that it recovers; it finds the end in the end.
            Err(error) => assert!(error.contains("BKLedgerRecoveryException"), "{error}"),
        }
    }
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn java_reads_our_ledgers_on_4_17() {
    on_shared(Version::V4_17, java_reads_ours);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn we_read_and_tail_ledgers_of_java_on_4_17() {
    on_shared(Version::V4_17, async |cluster| {
        ours_reads_and_tails_javas(cluster, Version::V4_17).await;
        ours_reads_and_tails_javas(cluster, Version::V4_5).await;
    });
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn we_read_and_tail_ledgers_of_java_on_4_5() {
    on_shared(Version::V4_5, async |cluster| {
        ours_reads_and_tails_javas(cluster, Version::V4_5).await;
    });
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn we_recover_what_a_killed_java_writer_left() {
    on_shared(Version::V4_17, async |cluster| {
        ours_recovers_javas(cluster, Version::V4_17).await;
    });
    on_shared(Version::V4_5, async |cluster| {
        ours_recovers_javas(cluster, Version::V4_5).await;
    });
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn java_recovers_what_our_writer_left() {
    on_shared(Version::V4_17, async |cluster| {
        java_recovers_ours(cluster, Version::V4_17).await;
        java_recovers_ours(cluster, Version::V4_5).await;
    });
    on_shared(Version::V4_5, async |cluster| {
        java_recovers_ours(cluster, Version::V4_5).await;
    });
}
