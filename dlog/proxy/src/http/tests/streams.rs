//! Streams over HTTP: created, listed, described, truncated and deleted.

use serde_json::json;

use super::kit::{Client, Version, settings, start};

#[tokio::test]
async fn creating_a_stream_twice_reports_that_it_existed() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    for (status, created) in [(201, true), (200, false)] {
        let answer = client.ask("PUT", "/v1/streams/a%2Fb", &[], "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (status, json!({"stream": "a/b", "created": created}))
        );
    }
    assert_eq!(
        client
            .ask("PUT", "/v1/streams/a%20b", &[], "")
            .await
            .problem(),
        "400 INVALID_STREAM_NAME 602, not_written"
    );
}

#[tokio::test]
async fn streams_are_listed_by_prefix_filter_and_page() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::Two);
    for name in ["b-1", "b-2", "b-10", "a", "c"] {
        client
            .ask("PUT", &format!("/v1/streams/{name}"), &[], "")
            .await;
    }
    for (query, streams, next) in [
        ("", &["a", "b-1", "b-10", "b-2", "c"][..], None),
        ("?prefix=b-", &["b-1", "b-10", "b-2"], None),
        ("?filter=b-%5B0-9%5D", &["b-1", "b-2"], None),
        ("?limit=2", &["a", "b-1"], Some("b-1")),
        ("?limit=2&after=b-1", &["b-10", "b-2"], Some("b-2")),
        ("?limit=2&after=b-2", &["c"], None),
        ("?prefix=d", &[], None),
    ] {
        let listed = client.get(&format!("/v1/streams{query}")).await.json();
        assert_eq!(
            (
                &listed["streams"],
                listed.get("next").and_then(|next| next.as_str())
            ),
            (&json!(streams), next),
            "{query}"
        );
    }
    for query in ["filter=(", "limit=0", "limit=10001", "order=up"] {
        assert_eq!(
            client.get(&format!("/v1/streams?{query}")).await.status,
            400,
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_stream_is_described_and_truncated() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    for record in [&b"one"[..], b"two", b"three"] {
        client.write("s", record).await;
    }
    let described = client.get("/v1/streams/s").await.json();
    assert_eq!(
        (
            &described["first"],
            &described["last"],
            &described["truncated_before"]
        ),
        (&json!("1,0,0"), &json!("1,2,0"), &json!(null))
    );
    assert_eq!(
        described["owner"],
        json!({"shard": 1, "address": proxy.local_addr().to_string()})
    );
    let segment = &described["segments"][0];
    assert_eq!(
        (
            &segment["records"],
            &segment["payload_bytes"],
            &segment["completed"]
        ),
        (&json!(3), &json!(11), &json!(false))
    );
    assert_eq!(
        client
            .ask("DELETE", "/v1/streams/s/records?before=1,1,0", &[], "")
            .await
            .status,
        204
    );
    let described = client.get("/v1/streams/s").await.json();
    assert_eq!(
        (&described["first"], &described["truncated_before"]),
        (&json!("1,1,0"), &json!("1,1,0"))
    );
    for query in ["", "?before=", "?before=end", "?befor=1,1,0"] {
        let refused = client
            .ask("DELETE", &format!("/v1/streams/s/records{query}"), &[], "")
            .await;
        assert_eq!(refused.problem(), "400 BAD_REQUEST, not_written", "{query}");
    }
}

#[tokio::test]
async fn a_missing_stream_cannot_be_described_truncated_or_deleted() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    assert_eq!(
        client.get("/v1/streams/none").await.problem(),
        "404 LOG_NOT_FOUND 510"
    );
    let cut = client
        .ask("DELETE", "/v1/streams/none/records?before=1,0,0", &[], "")
        .await;
    assert_eq!(cut.problem(), "404 LOG_NOT_FOUND 510, not_written");
    assert_eq!(
        client
            .ask("DELETE", "/v1/streams/none", &[], "")
            .await
            .problem(),
        "404 LOG_NOT_FOUND 510, not_written"
    );
}
