//! Lists of streams with details: order, pages, search, and stores that know less.

use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_testkit::store::MemoryStore;
use serde_json::{Value, json};

use super::kit::{Client, Version, settings, start, start_on};
use crate::Proxy;

/// Lists streams with details, which must succeed.
async fn list(client: &Client, query: &str) -> Value {
    let answer = client
        .get(&format!("/v1/streams?details=true&{query}"))
        .await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()
}

fn names(listed: &Value) -> Vec<&str> {
    let rows = listed["streams"].as_array().expect("rows");
    let names = rows.iter().map(|row| row["stream"].as_str());
    names.map(|name| name.expect("a name")).collect()
}

/// A proxy on a store in a folder, with streams of 3, 1, 2 and no records.
async fn four_streams() -> (tempfile::TempDir, crate::RunningProxy, Client) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(EmbeddedSettings::new(folder.path())).expect("a new store");
    let settings = settings().build().expect("valid settings");
    let proxy = Proxy::start(settings, std::sync::Arc::new(store)).await;
    let proxy = proxy.expect("a free port");
    let client = Client::new(&proxy, Version::One);
    for (stream, records) in [("b-three", 3), ("c-one", 1), ("A-two", 2), ("d-none", 0)] {
        client
            .ask("PUT", &format!("/v1/streams/{stream}"), &[], "")
            .await;
        for _ in 0..records {
            assert_eq!(client.write(stream, b"0123456789").await.status, 200);
        }
    }
    (folder, proxy, client)
}

#[tokio::test]
async fn streams_are_sorted_by_name_size_last_write_and_rate() {
    let (_folder, _proxy, client) = four_streams().await;
    // Created after the last catalogue: the next one is new.
    client.ask("PUT", "/v1/streams/e", &[], "").await;
    client.ask("DELETE", "/v1/streams/e", &[], "").await;
    for (query, expected) in [
        ("", ["A-two", "b-three", "c-one", "d-none"]),
        ("order=desc", ["d-none", "c-one", "b-three", "A-two"]),
        ("sort=bytes", ["d-none", "c-one", "A-two", "b-three"]),
        (
            "sort=bytes&order=desc",
            ["b-three", "A-two", "c-one", "d-none"],
        ),
        ("sort=last_write", ["d-none", "b-three", "c-one", "A-two"]),
        (
            "sort=rate&order=desc",
            ["b-three", "A-two", "c-one", "d-none"],
        ),
    ] {
        let whole = list(&client, query).await;
        assert_eq!(names(&whole), expected, "{query}");
        assert_eq!((&whole["next"], &whole["total"]), (&json!(null), &json!(4)));
        // And page by page.
        let mut paged = Vec::new();
        let mut after = String::new();
        for _ in 0..4 {
            let page = list(&client, &format!("{query}&limit=1{after}")).await;
            paged.extend(names(&page).into_iter().map(str::to_owned));
            let Some(next) = page["next"].as_str() else {
                break;
            };
            after = format!("&after={next}");
        }
        assert_eq!(paged, expected, "{query} in pages");
    }
}

#[tokio::test]
async fn a_row_has_what_the_store_and_the_proxy_know() {
    let (_folder, proxy, client) = four_streams().await;
    let listed = list(&client, "search=THREE").await;
    let row = &listed["streams"][0];
    assert_eq!(
        json!([row["stream"], row["bytes"], row["records"], row["segments"]]),
        json!(["b-three", 30, 3, 1])
    );
    assert_eq!(
        row["owner"],
        json!({"shard": 1, "address": proxy.local_addr().to_string()})
    );
    assert_eq!(
        row["retention"],
        json!({"age_ms": null, "bytes": null, "own": false})
    );
    assert!(row["last_ms"].as_u64() >= row["first_ms"].as_u64());
    let rate = row["write_rate"]["records_per_s"].as_f64();
    assert!(rate > Some(0.0), "{row}");
    let listed = list(&client, "prefix=d-").await;
    let row = &listed["streams"][0];
    assert_eq!(
        json!([
            row["bytes"],
            row["last_ms"],
            row["owner"],
            row["write_rate"]
        ]),
        json!([0, null, null, null])
    );
}

#[tokio::test]
async fn a_search_finds_parts_of_names_and_counts_all_of_them() {
    let (_folder, _proxy, client) = four_streams().await;
    for (query, expected, total) in [
        ("search=o", &["A-two", "c-one", "d-none"][..], 3),
        ("search=O&prefix=c", &["c-one"], 1),
        ("search=o&limit=1", &["A-two"], 3),
        ("search=nothing", &[], 0),
        ("search=%00%ff", &[], 0),
        ("prefix=b-three-and-more", &[], 0),
    ] {
        let listed = list(&client, query).await;
        assert_eq!(names(&listed), expected, "{query}");
        assert_eq!(listed["total"], total, "{query}");
    }
    let long = "x".repeat(5_000);
    assert_eq!(list(&client, &format!("search={long}")).await["total"], 0);
}

#[tokio::test]
async fn parameters_that_cannot_be_used_are_refused() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    for query in [
        "sort=name",
        "order=asc",
        "search=x",
        "details=maybe",
        "details=true&sort=size",
        "details=true&order=up",
        "details=true&limit=0",
        "details=true&limit=1001",
        "details=true&filter=.*",
        "details=true&sort=rate&after=none",
    ] {
        let refused = client.get(&format!("/v1/streams?{query}")).await;
        assert_eq!(refused.problem(), "400 BAD_REQUEST", "{query}");
    }
    assert_eq!(list(&client, "after=none&order=desc").await["total"], 0);
}

/// The store in memory has no streams in short, as one on other machines.
#[tokio::test]
async fn a_store_that_must_be_asked_about_each_stream_is_sorted_while_they_are_few() {
    let store = MemoryStore::new();
    let proxy = start_on(settings(), &store).await;
    let client = Client::new(&proxy, Version::One);
    client.write("small", b"1").await;
    client.write("large", b"1234").await;
    let listed = list(&client, "sort=bytes").await;
    assert_eq!(names(&listed), ["small", "large"]);
    assert_eq!(listed["streams"][1]["bytes"], 4);
    for number in 0..1_000 {
        let path = format!("/v1/streams/s-{number}");
        assert_eq!(client.ask("PUT", &path, &[], "").await.status, 201);
    }
    for sort in ["bytes", "last_write"] {
        let path = format!("/v1/streams?details=true&sort={sort}");
        assert_eq!(client.get(&path).await.problem(), "501 UNSUPPORTED");
    }
    let listed = list(&client, "sort=rate&order=desc&limit=2").await;
    assert_eq!(listed["total"], 1_002);
    assert_eq!(names(&listed), ["large", "small"]);
    // The rows of a page are described all the same.
    assert_eq!(listed["streams"][0]["bytes"], 4);
}
