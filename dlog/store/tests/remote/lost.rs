use core::time::Duration;

use distributedlog::Dlsn;
use tokio::net::TcpListener;

use super::kit::*;
use distributedlog_store::remote::{ClientSettings, RemoteStore, ServerSettings};
use distributedlog_store::uri::Uri;
use distributedlog_store::{LogStore, ReadLimit, StoreError};

#[tokio::test]
async fn appends_in_flight_on_a_lost_connection_are_unknown_and_never_sent_again() {
    let Running { store, server, .. } = running(ServerSettings {
        session_grace: LONG,
        ..ServerSettings::default()
    })
    .await;
    let relay = Relay::before(server.local_addr()).await;
    let remote = client(&relay.uri).await;
    let stream = name("s");
    remote.create(&stream).await.expect("created");
    let lease = lease(&remote, &stream, &owner(1)).await;
    store.hold_appends();
    let appends: Vec<_> = (0..100)
        .map(|_| start_append(&remote, &lease, entry("once")))
        .collect();
    store.until(|store| store.held_appends() == 100).await;
    relay.cut();
    for append in appends {
        assert!(matches!(
            append.await,
            Ok(Err(StoreError::Disconnected { .. }))
        ));
    }
    store.release_appends();
    remote.list().await.expect("reconnects");
    let batch = remote
        .read(&stream, Dlsn::INITIAL, at_once())
        .await
        .expect("reads");
    assert_eq!(
        batch.entries.len(),
        100,
        "each was written once, by the connection that was lost"
    );
    assert_eq!(
        append(&remote, &lease, "next").await,
        Ok(Dlsn::new(1, 100, 0)),
        "the session goes on"
    );
}

#[tokio::test]
async fn without_a_connection_appends_are_refused_as_not_written() {
    let Running { store, server, uri } = running(ServerSettings::default()).await;
    let remote = RemoteStore::connect(
        &uri,
        ClientSettings {
            retry_timeout: Duration::ZERO,
            ..client_settings()
        },
    )
    .await
    .expect("connects");
    let stream = name("s");
    store.create(&stream).await.expect("created");
    let mut lease_of_nobody = lease(&*store, &stream, &owner(1)).await;
    lease_of_nobody.epoch += 1;
    drop(server);
    let refused = loop {
        match append(&remote, &lease_of_nobody, "x").await {
            Err(StoreError::Fenced(_) | StoreError::Disconnected { .. }) => {
                tokio::task::yield_now().await
            }
            other => break other,
        }
    };
    assert!(
        matches!(refused, Err(StoreError::Unreachable { .. })),
        "{refused:?}"
    );
    assert!(matches!(
        remote.list().await,
        Err(StoreError::Unreachable { .. })
    ));
}

#[tokio::test]
async fn a_restarted_server_is_found_again_and_its_leases_are_gone() {
    let Running { store, server, uri } = running(ServerSettings::default()).await;
    let remote = client(&uri).await;
    let stream = name("s");
    remote.create(&stream).await.expect("created");
    let old = lease(&remote, &stream, &owner(1)).await;
    append(&remote, &old, "before").await.expect("appended");
    let address = server.local_addr().to_string();
    let tail = tokio::spawn({
        let (remote, stream) = (remote.clone(), stream.clone());
        async move {
            remote
                .read(
                    &stream,
                    Dlsn::new(1, 1, 0),
                    ReadLimit {
                        max_bytes: 1000,
                        wait: LONG,
                        created_unix_ms: None,
                    },
                )
                .await
        }
    });
    store.until_waiting_reads(1).await;
    server.drain().await;
    let _server = serve_at(&address, &store, ServerSettings::default()).await;
    remote.list().await.expect("reconnects");
    assert_eq!(
        append(&remote, &old, "as before").await,
        Err(StoreError::Fenced(stream.clone()))
    );
    let new = lease(&remote, &stream, &owner(1)).await;
    assert_eq!(append(&remote, &new, "after").await, Ok(Dlsn::new(2, 0, 0)));
    let batch = tail
        .await
        .expect("no panic")
        .expect("the read was sent again");
    assert_eq!(batch.entries[0].records, entry("after").records);
}

#[tokio::test]
async fn a_half_open_connection_is_detected_by_its_pings() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = Uri::local("127.0.0.1", listener.local_addr().expect("bound").port());
    // Sends each client a welcome and nothing more, like a machine whose cable was pulled.
    tokio::spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            welcome(&mut stream, 1, 1).await;
            silent.push(stream);
        }
    });
    let remote = client(&uri).await;
    let lease = distributedlog_store::Lease {
        stream: name("s"),
        epoch: 1,
    };
    let lost = append(&remote, &lease, "into the void").await;
    assert!(
        matches!(
            &lost,
            Err(StoreError::Disconnected { detail, .. }) if detail.contains("sent nothing")
        ),
        "{lost:?}"
    );
}

#[tokio::test]
async fn dropping_the_client_completes_its_appends_as_unknown() {
    let Running {
        store,
        uri,
        server: _server,
    } = running(ServerSettings::default()).await;
    let remote = client(&uri).await;
    let stream = name("s");
    remote.create(&stream).await.expect("created");
    let lease = lease(&remote, &stream, &owner(1)).await;
    store.hold_appends();
    let in_flight = start_append(&remote, &lease, entry("?"));
    drop(remote);
    assert!(matches!(
        in_flight.await,
        Ok(Err(StoreError::Disconnected { .. }))
    ));
}

#[tokio::test]
async fn closing_does_not_wait_for_a_connection_that_is_lost_meanwhile() {
    let Running { store, server, .. } = running(ServerSettings::default()).await;
    let relay = Relay::before(server.local_addr()).await;
    let remote = client(&relay.uri).await;
    let stream = name("s");
    remote.create(&stream).await.expect("created");
    let lease = lease(&remote, &stream, &owner(1)).await;
    store.hold_appends();
    let in_flight = start_append(&remote, &lease, entry("?"));
    store.until(|store| store.held_appends() == 1).await;
    let mut closing = remote.close();
    // It waits for the append.
    let polled = core::future::poll_fn(|cx| core::task::Poll::Ready(closing.as_mut().poll(cx)));
    assert!(polled.await.is_pending());
    relay.shut();
    assert!(matches!(
        in_flight.await,
        Ok(Err(StoreError::Disconnected { .. }))
    ));
    // The settings would let it wait for ten minutes.
    let limit = Duration::from_secs(60);
    let closed = tokio::time::timeout(limit, closing).await;
    assert_eq!(closed, Ok(Ok(())));
}
