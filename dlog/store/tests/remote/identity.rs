use distributedlog::Dlsn;

use super::kit::*;
use distributedlog_store::remote::{RemoteStore, ServerSettings};
use distributedlog_store::uri::Uri;
use distributedlog_store::{LogStore, StoreError, StoreId};

fn id(byte: u8) -> StoreId {
    StoreId::from_bytes([byte; 16])
}

/// A server of a store with this identity.
async fn identified(byte: u8) -> Running {
    let running = running(ServerSettings::default()).await;
    running.store.identify(id(byte));
    running
}

#[tokio::test]
async fn a_client_stays_with_the_store_that_it_began_with() {
    let (first, second) = (identified(1).await, identified(2).await);
    let relay = Relay::before(first.server.local_addr()).await;
    let remote = RemoteStore::connect(&relay.uri, client_settings()).await;
    let remote = remote.expect("connects");
    assert_eq!(remote.identity(), Some(id(1)));
    let stream = name("s");
    remote.create(&stream).await.expect("created");
    let lease = lease(&remote, &stream, &owner(1)).await;
    append(&remote, &lease, "to the first")
        .await
        .expect("appended");
    second.store.create(&stream).await.expect("created");

    relay.lead_to(second.server.local_addr());
    // Until it has noticed the lost connection, it answers that the outcome is unknown.
    let refused = loop {
        match append(&remote, &lease, "to nobody").await {
            Err(StoreError::Refused { detail, .. }) => break detail,
            Err(StoreError::Disconnected { .. } | StoreError::Unreachable { .. }) => {}
            other => panic!("{other:?}"),
        }
        tokio::task::yield_now().await;
    };
    for text in [&id(1).to_string(), &id(2).to_string()] {
        assert!(refused.contains(text.as_str()), "{refused}");
    }
    assert!(second.store.records("s").is_empty());

    relay.lead_to(first.server.local_addr());
    let batch = remote.read(&stream, Dlsn::INITIAL, at_once()).await;
    assert_eq!(batch.expect("it is back").entries.len(), 1);
}

#[tokio::test]
async fn a_store_has_one_address() {
    let (first, second) = (identified(1).await, identified(2).await);
    let hosts = format!(
        "{},{}",
        first.server.local_addr(),
        second.server.local_addr()
    );
    let uri: Uri = format!("distributedlog://{hosts}/messaging/distributedlog")
        .parse()
        .expect("a valid URI");
    let refused = RemoteStore::connect(&uri, client_settings()).await;
    let Err(StoreError::Refused { address, detail }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(address, hosts);
    assert!(
        detail.contains("ZooKeeper") && detail.contains("one address"),
        "{detail}"
    );
}

#[tokio::test]
async fn health_is_that_of_the_store_behind_the_server_and_of_the_connection() {
    let running = identified(1).await;
    let relay = Relay::before(running.server.local_addr()).await;
    let remote = RemoteStore::connect(&relay.uri, client_settings()).await;
    let remote = remote.expect("connects");
    assert_eq!(remote.check_health().await, Ok(()));
    relay.shut();
    let lost = loop {
        match remote.check_health().await {
            Ok(()) => tokio::task::yield_now().await,
            Err(lost) => break lost,
        }
    };
    assert!(
        matches!(
            lost,
            StoreError::Unreachable { .. } | StoreError::Disconnected { .. }
        ),
        "{lost:?}"
    );
    relay.open();
    while remote.check_health().await.is_err() {
        tokio::task::yield_now().await;
    }
    running.store.fail_all();
    assert!(remote.check_health().await.is_err());
}
