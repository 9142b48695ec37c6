use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use tokio::net::TcpListener;

use super::kit::*;
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_store::remote::{ClientSettings, RemoteStore, ServerSettings, serve};
use distributedlog_store::uri::Uri;
use distributedlog_store::{
    EntryRecord, LogStore, ReadLimit, Retention, RetentionInfo, StoreError,
};

#[tokio::test]
async fn every_operation_goes_through_the_socket() {
    let Running {
        store,
        uri,
        server: _server,
    } = running(ServerSettings::default()).await;
    let remote = client(&uri).await;
    let (a, b) = (name("a"), name("b"));
    remote.create(&b).await.expect("created");
    remote.create(&a).await.expect("created");
    assert_eq!(
        remote.create(&a).await,
        Err(StoreError::StreamExists(a.clone()))
    );
    assert_eq!(remote.list().await, Ok(vec![a.clone(), b.clone()]));
    let lease = lease(&remote, &a, &owner(1)).await;
    let mut two = entry("one");
    two.records.push(EntryRecord {
        payload: "set of two".into(),
        slots: 2,
        is_record_set: true,
    });
    assert_eq!(
        start_append(&remote, &lease, two.clone()).await,
        Ok(Ok(Dlsn::new(1, 0, 0)))
    );
    assert_eq!(
        append(&remote, &lease, "next").await,
        Ok(Dlsn::new(1, 1, 0))
    );
    let batch = remote
        .read(&a, Dlsn::INITIAL, at_once())
        .await
        .expect("reads");
    assert_eq!(
        batch,
        store
            .read(&a, Dlsn::INITIAL, at_once())
            .await
            .expect("reads")
    );
    assert_eq!(batch.entries[0].records, two.records);
    assert_eq!(remote.describe(&a).await, store.describe(&a).await);
    remote
        .truncate(&a, Dlsn::new(1, 1, 0))
        .await
        .expect("truncates");
    assert_eq!(
        remote.describe(&a).await.expect("there").first,
        Some(Dlsn::new(1, 1, 0))
    );
    remote.release(&lease).await.expect("released");
    assert_eq!(store.owner(&a), None);
    assert_eq!(
        append(&remote, &lease, "late").await,
        Err(StoreError::Fenced(a.clone()))
    );
    remote.delete(&a).await.expect("deleted");
    assert_eq!(
        remote.delete(&a).await,
        Err(StoreError::StreamNotFound(a.clone()))
    );
    assert_eq!(
        remote.read(&a, Dlsn::INITIAL, at_once()).await,
        Err(StoreError::StreamNotFound(a))
    );
}

#[tokio::test]
async fn many_appends_in_flight_get_their_positions_in_the_order_of_the_calls() {
    let Running {
        uri,
        server: _server,
        ..
    } = running(ServerSettings::default()).await;
    let remote = client(&uri).await;
    let stream = name("s");
    remote.create(&stream).await.expect("created");
    let lease = lease(&remote, &stream, &owner(1)).await;
    let appends: Vec<_> = (0..10_000_u32)
        .map(|i| start_append(&remote, &lease, entry(i.to_be_bytes().to_vec())))
        .collect();
    for (i, append) in (0..).zip(appends) {
        assert_eq!(append.await, Ok(Ok(Dlsn::new(1, i, 0))));
    }
    let (mut from, mut seen) = (Dlsn::INITIAL, 0_u32);
    while seen < 10_000 {
        let batch = remote
            .read(
                &stream,
                from,
                ReadLimit {
                    max_bytes: 1000,
                    wait: Duration::ZERO,
                    created_unix_ms: None,
                },
            )
            .await
            .expect("reads");
        for entry in &batch.entries {
            assert_eq!(entry.records[0].payload, seen.to_be_bytes().to_vec());
            seen += 1;
        }
        from = batch.next;
    }
}

#[tokio::test]
async fn a_tailing_read_is_held_on_the_server_until_the_next_append() {
    let Running {
        store,
        uri,
        server: _server,
    } = running(ServerSettings::default()).await;
    let (reader, writer) = (client(&uri).await, client(&uri).await);
    let stream = name("s");
    writer.create(&stream).await.expect("created");
    let lease = lease(&writer, &stream, &owner(1)).await;
    let read = reader.read(
        &stream,
        Dlsn::INITIAL,
        ReadLimit {
            max_bytes: 1000,
            wait: LONG,
            created_unix_ms: None,
        },
    );
    let tail = tokio::join!(read, async {
        store.until_waiting_reads(1).await;
        append(&writer, &lease, "hello").await.expect("appended");
    });
    assert_eq!(
        tail.0.expect("reads").entries[0].records,
        entry("hello").records
    );
}

#[tokio::test]
async fn a_read_whose_future_is_dropped_ends_on_the_server() {
    let Running {
        store,
        uri,
        server: _server,
    } = running(ServerSettings::default()).await;
    let remote = client(&uri).await;
    let stream = name("s");
    remote.create(&stream).await.expect("created");
    let limit = ReadLimit {
        max_bytes: 1000,
        wait: LONG,
        created_unix_ms: None,
    };
    tokio::select! {
        _ = remote.read(&stream, Dlsn::INITIAL, limit) => panic!("nothing to read"),
        () = store.until_waiting_reads(1) => {}
    }
    store.until_waiting_reads(0).await;
    assert_eq!(
        remote.list().await.map(|names| names.len()),
        Ok(1),
        "the connection lives on"
    );
}

#[tokio::test]
async fn a_read_may_wait_longer_than_the_server_holds_one() {
    let settings = ServerSettings {
        max_read_wait: Duration::from_millis(1),
        ..ServerSettings::default()
    };
    let Running {
        store,
        uri,
        server: _server,
    } = running(settings).await;
    let remote = client(&uri).await;
    let stream = name("s");
    remote.create(&stream).await.expect("created");
    let lease = lease(&remote, &stream, &owner(1)).await;
    let read = remote.read(
        &stream,
        Dlsn::INITIAL,
        ReadLimit {
            max_bytes: 1000,
            wait: LONG,
            created_unix_ms: None,
        },
    );
    let (batch, ()) = tokio::join!(read, async {
        for _ in 0..5 {
            store.until_waiting_reads(1).await;
            store.until_waiting_reads(0).await;
        }
        append(&remote, &lease, "at last").await.expect("appended");
    });
    assert_eq!(batch.expect("reads").entries.len(), 1);
}

#[tokio::test]
async fn appends_beyond_the_limit_are_refused_and_an_entry_larger_than_a_frame_too() {
    let Running {
        store,
        uri,
        server: _server,
    } = running(ServerSettings {
        max_frame_bytes: 64 << 10,
        ..ServerSettings::default()
    })
    .await;
    let remote = RemoteStore::connect(
        &uri,
        ClientSettings {
            max_append_bytes: 10,
            ..client_settings()
        },
    )
    .await
    .expect("connects");
    let stream = name("s");
    remote.create(&stream).await.expect("created");
    let lease = lease(&remote, &stream, &owner(1)).await;
    store.hold_appends();
    let first = start_append(&remote, &lease, entry("eight by"));
    assert_eq!(
        append(&remote, &lease, "three").await,
        Err(StoreError::Overloaded { limit: 10 })
    );
    store.until(|store| store.held_appends() == 1).await;
    store.release_appends();
    assert_eq!(first.await, Ok(Ok(Dlsn::INITIAL)));
    let too_large = start_append(&remote, &lease, entry(vec![0; 65_530]))
        .await
        .expect("done is called");
    assert_eq!(
        too_large,
        Err(StoreError::TooLarge {
            size: 65_530,
            limit: 65_536
        })
    );
    assert_eq!(
        append(&remote, &lease, "goes on").await,
        Ok(Dlsn::new(1, 1, 0))
    );
}

#[tokio::test]
async fn more_names_than_one_page_are_listed() {
    let Running {
        store,
        uri,
        server: _server,
    } = running(ServerSettings::default()).await;
    let count = distributedlog_store::remote::internals::NAMES_PER_PAGE + 1;
    for i in 0..count {
        store
            .create(&name(&format!("s{i:06}")))
            .await
            .expect("created");
    }
    let remote = client(&uri).await;
    assert_eq!(remote.list().await, store.list().await);
}

#[tokio::test]
async fn a_drain_finishes_requests_in_flight_and_starts_no_new_ones() {
    let Running { store, server, uri } = running(ServerSettings::default()).await;
    let settings = ClientSettings {
        retry_timeout: Duration::ZERO,
        ..client_settings()
    };
    let remote = RemoteStore::connect(&uri, settings)
        .await
        .expect("connects");
    let stream = name("s");
    store.create(&stream).await.expect("created");
    let lease = lease(&remote, &stream, &owner(1)).await;
    store.hold_appends();
    let in_flight = start_append(&remote, &lease, entry("accepted"));
    store.until(|store| store.held_appends() == 1).await;
    let draining = tokio::spawn(server.drain());
    while append(&remote, &lease, "new").await.is_ok() {}
    let held = store.held_appends();
    store.release_appends();
    assert_eq!(in_flight.await, Ok(Ok(Dlsn::INITIAL)));
    draining.await.expect("drained");
    assert_eq!(held, 1, "nothing new was started");
    assert_eq!(store.owner(&stream), None, "the leases were released");
    assert!(matches!(
        remote.list().await,
        Err(StoreError::Unreachable { .. })
    ));
}

#[tokio::test]
async fn closing_finishes_appends_in_flight_and_releases_the_leases_at_once() {
    let Running {
        store,
        uri,
        server: _server,
    } = running(ServerSettings {
        session_grace: LONG,
        ..ServerSettings::default()
    })
    .await;
    let remote = client(&uri).await;
    let stream = name("s");
    remote.create(&stream).await.expect("created");
    let lease = lease(&remote, &stream, &owner(1)).await;
    store.hold_appends();
    let in_flight = start_append(&remote, &lease, entry("accepted"));
    store.until(|store| store.held_appends() == 1).await;
    let closing = tokio::spawn({
        let remote = remote.clone();
        async move { remote.close().await }
    });
    store.release_appends();
    assert_eq!(in_flight.await, Ok(Ok(Dlsn::INITIAL)));
    closing.await.expect("no panic").expect("closed");
    assert_eq!(store.owner(&stream), None);
    assert_eq!(
        append(&remote, &lease, "late").await,
        Err(StoreError::Closed)
    );
    assert_eq!(remote.list().await, Err(StoreError::Closed));
    assert_eq!(remote.close().await, Ok(()), "again is no error");
}

#[tokio::test]
async fn retention_is_set_and_read_through_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = EmbeddedSettings {
        volume_bytes: 1 << 20,
        ..EmbeddedSettings::new(folder.path())
    };
    let store = Arc::new(EmbeddedStore::open(settings).expect("an empty folder"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = serve(listener, store, ServerSettings::default()).expect("a local address");
    let uri = Uri::local("127.0.0.1", server.local_addr().port());
    let remote = client(&uri).await;
    let stream = name("s");
    remote.create(&stream).await.expect("created");
    let week = Retention {
        age: Some(Duration::from_secs(7 * 86_400)),
        bytes: Some(1 << 40),
    };
    let info = |own, applied| Ok(RetentionInfo { own, applied });
    let none = Retention::default();
    assert_eq!(remote.retention(None).await, info(None, none));
    assert_eq!(remote.set_retention(None, Some(week)).await, Ok(()));
    assert_eq!(remote.retention(Some(&stream)).await, info(None, week));
    let set = remote.set_retention(Some(&stream), Some(none)).await;
    assert_eq!(set, Ok(()));
    assert_eq!(
        remote.retention(Some(&stream)).await,
        info(Some(none), none)
    );
    let missing = name("missing");
    let not_found = StoreError::StreamNotFound(missing.clone());
    let set = remote.set_retention(Some(&missing), None).await;
    assert_eq!(set, Err(not_found.clone()));
    assert_eq!(remote.retention(Some(&missing)).await, Err(not_found));
    server.drain().await;
}
