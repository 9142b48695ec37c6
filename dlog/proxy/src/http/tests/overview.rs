//! The overview of a proxy: health, latencies, repetitions and errors.

use std::sync::Arc;

use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use serde_json::json;

use super::kit::{Client, Version, settings, start};
use crate::{HttpToken, Proxy};

const OCTETS: &str = "content-type: application/octet-stream";

#[tokio::test]
async fn an_overview_tells_first_attempts_from_repeated_ones() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::Two);
    let path = "/v1/streams/s/records";
    for attempt in ["0", "0", "1"] {
        let attempt = format!("dlog-attempt: {attempt}");
        let written = client.ask("POST", path, &[OCTETS, &attempt], "abc").await;
        assert_eq!(written.status, 200);
    }
    let overview = client.get("/v1/overview").await.json();
    let writes = &overview["writes"];
    assert_eq!(
        json!([writes["first"]["written"], writes["repeated"]["written"]]),
        json!([2, 1])
    );
    assert!(writes["first"]["p99_us"].as_u64() > Some(0), "{overview}");
    assert_eq!(overview["requests"]["repeated"], 1);
    assert_eq!(overview["requests"]["written_bytes"], 9);
    assert_eq!(overview["ready"], true);
    assert_eq!(overview["streams"], json!({"total": 1, "owned": 1}));
    let address = proxy.local_addr().to_string();
    assert_eq!(
        overview["proxies"],
        json!([{"shard": 1, "address": address, "streams": 1}])
    );
    assert_eq!(overview["disk"], json!(null), "the store is in memory");
    assert_eq!(
        overview["failure_domain"],
        json!(null),
        "nor has it an identity"
    );
    assert_eq!(overview["errors"], json!([]));
}

#[tokio::test]
async fn a_store_in_a_folder_tells_the_room_on_its_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(EmbeddedSettings::new(folder.path())).expect("a new store");
    let settings = settings().build().expect("valid settings");
    let proxy = Proxy::start(settings, Arc::new(store)).await;
    let proxy = proxy.expect("a free port");
    let client = Client::new(&proxy, Version::One);
    let disk = &client.get("/v1/overview").await.json()["disk"];
    assert!(disk["size_bytes"].as_u64() > disk["free_bytes"].as_u64());
    assert!(disk["free_bytes"].as_u64() > Some(0), "{disk}");
}

#[tokio::test]
async fn errors_of_the_last_hour_are_listed_by_kind_with_the_newest_message() {
    let token = HttpToken::new("0123456789abcdef").expect("a token");
    let (proxy, _) = start(settings().http_token(Some(token)).faults(true)).await;
    let client = Client::new(&proxy, Version::One);
    let authorization = "authorization: Bearer 0123456789abcdef";
    let path = "/v1/streams/s/records";
    client
        .ask("PUT", "/faults/s/fail/517", &[authorization], "")
        .await;
    for _ in 0..3 {
        let headers = [OCTETS, authorization];
        let refused = client.ask("POST", path, &headers, "x").await;
        assert_eq!(refused.status, 429);
    }
    assert_eq!(client.get("/v1/streams").await.status, 401);
    // What clients send may be in a message, but no more than a line of it.
    let long = format!("/v1/streams/{}", "%3Cscript%3E".repeat(400));
    client.ask("GET", &long, &[authorization], "").await;
    let overview = client
        .ask("GET", "/v1/overview", &[authorization], "")
        .await;
    let errors = overview.json()["errors"].clone();
    let errors = errors.as_array().expect("errors");
    let of = |kind: &str| errors.iter().find(|error| error["kind"] == kind);
    assert_eq!(of("OVER_CAPACITY").expect("three")["count"], 3);
    assert_eq!(of("UNAUTHORIZED").expect("one")["count"], 1);
    let invalid = of("INVALID_STREAM_NAME").expect("one");
    let message = invalid["message"].as_str().expect("a message");
    assert!(message.chars().count() <= 301, "{message}");
    assert_eq!(errors.len(), 3, "{errors:?}");
}
