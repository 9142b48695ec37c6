use core::time::Duration;

use distributedlog::Dlsn;

use super::kit::*;
use distributedlog_store::remote::ServerSettings;
use distributedlog_store::{Acquired, LogStore, StoreError};

fn long_grace() -> ServerSettings {
    ServerSettings {
        session_grace: LONG,
        ..ServerSettings::default()
    }
}

fn short_grace() -> ServerSettings {
    ServerSettings {
        session_grace: Duration::from_millis(1),
        ..ServerSettings::default()
    }
}

#[tokio::test]
async fn a_stream_belongs_to_the_first_owner_while_its_session_exists() {
    let Running {
        store,
        uri,
        server: _server,
    } = running(long_grace()).await;
    let (first, second) = (client(&uri).await, client(&uri).await);
    let stream = name("s");
    first.create(&stream).await.expect("created");
    let lease = lease(&first, &stream, &owner(1)).await;
    assert_eq!(
        second.acquire(&stream, &owner(2)).await,
        Ok(Acquired::OwnedBy(owner(1)))
    );
    assert_eq!(
        append(&first, &lease, "still mine").await,
        Ok(Dlsn::INITIAL)
    );
    drop(first);
    assert_eq!(
        second.acquire(&stream, &owner(2)).await,
        Ok(Acquired::OwnedBy(owner(1))),
        "the time of grace is not over"
    );
    assert_eq!(store.owner(&stream), Some(owner(1)));
}

#[tokio::test]
async fn a_lost_owners_streams_are_free_after_the_grace_period() {
    let Running {
        store,
        uri,
        server: _server,
    } = running(short_grace()).await;
    let (first, second) = (client(&uri).await, client(&uri).await);
    let stream = name("s");
    first.create(&stream).await.expect("created");
    let old = lease(&first, &stream, &owner(1)).await;
    append(&first, &old, "by the first")
        .await
        .expect("appended");
    drop(first);
    store.until(|store| store.owner(&stream).is_none()).await;
    let new = lease(&second, &stream, &owner(2)).await;
    assert_eq!(
        append(&second, &new, "by the second").await,
        Ok(Dlsn::new(2, 0, 0)),
        "in the next log segment"
    );
    assert_eq!(
        append(&second, &old, "as the first").await,
        Err(StoreError::Fenced(stream))
    );
}

#[tokio::test]
async fn a_restarted_owner_does_not_wait_for_its_previous_session() {
    let Running {
        uri,
        server: _server,
        ..
    } = running(long_grace()).await;
    let former = client(&uri).await;
    let stream = name("s");
    former.create(&stream).await.expect("created");
    let old = lease(&former, &stream, &owner(1)).await;
    let restarted = client(&uri).await;
    let new = lease(&restarted, &stream, &owner(1)).await;
    assert_eq!(append(&restarted, &new, "mine").await, Ok(Dlsn::INITIAL));
    assert_eq!(
        append(&former, &old, "not mine").await,
        Err(StoreError::Fenced(stream))
    );
}

#[tokio::test]
async fn a_lease_of_another_session_is_fenced_and_not_released() {
    let Running {
        store,
        uri,
        server: _server,
    } = running(long_grace()).await;
    let (first, second) = (client(&uri).await, client(&uri).await);
    let stream = name("s");
    first.create(&stream).await.expect("created");
    let lease = lease(&first, &stream, &owner(1)).await;
    assert_eq!(
        append(&second, &lease, "stolen").await,
        Err(StoreError::Fenced(stream.clone()))
    );
    second.release(&lease).await.expect("no error");
    assert_eq!(store.owner(&stream), Some(owner(1)));
}

#[tokio::test]
async fn a_client_that_reconnects_in_time_keeps_its_leases() {
    let Running { server, uri, .. } = running(long_grace()).await;
    let relay = Relay::before(server.local_addr()).await;
    let (first, second) = (client(&relay.uri).await, client(&uri).await);
    let stream = name("s");
    first.create(&stream).await.expect("created");
    let lease = lease(&first, &stream, &owner(1)).await;
    for round in 0..5 {
        relay.cut();
        // A list waits for the client to reconnect.
        first.list().await.expect("reconnects");
        // The relay's cut may reach this client only now; then the append's outcome is unknown, or
        // it was not sent.
        while append(&first, &lease, "again").await.is_err() {
            first.list().await.expect("reconnects");
        }
        assert_eq!(
            second.acquire(&stream, &owner(2)).await,
            Ok(Acquired::OwnedBy(owner(1))),
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_client_that_reconnects_too_late_finds_its_leases_fenced() {
    let Running { store, server, uri } = running(short_grace()).await;
    let relay = Relay::before(server.local_addr()).await;
    let (first, second) = (client(&relay.uri).await, client(&uri).await);
    let stream = name("s");
    first.create(&stream).await.expect("created");
    let old = lease(&first, &stream, &owner(1)).await;
    relay.shut();
    store.until(|store| store.owner(&stream).is_none()).await;
    let new = lease(&second, &stream, &owner(2)).await;
    relay.open();
    let late = loop {
        match append(&first, &old, "late").await {
            Err(StoreError::Unreachable { .. } | StoreError::Disconnected { .. }) => {
                _ = first.list().await
            }
            other => break other,
        }
    };
    assert_eq!(late, Err(StoreError::Fenced(stream)));
    assert_eq!(append(&second, &new, "mine").await, Ok(Dlsn::INITIAL));
}
