//! Records and record sets over HTTP.

use axum::body::Body;
use distributedlog::wire::crc;
use serde_json::json;

use super::kit::{Client, Version, metric, record_set, settings, start, start_on};
use distributedlog_store::{LogStore, StoreError, StreamName};

const OCTETS: &str = "content-type: application/octet-stream";
const SET: &str = "content-type: application/vnd.distributedlog.record-set";

#[tokio::test]
async fn a_record_is_appended_and_its_position_told_in_all_forms_over_both_versions() {
    for version in [Version::One, Version::Two] {
        let (proxy, _) = start(settings()).await;
        let client = Client::new(&proxy, version);
        let first = client.write("s", b"one").await;
        assert_eq!(
            (first.status.as_u16(), first.header("content-type")),
            (200, "application/json"),
            "{version:?}"
        );
        let serialized = "AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAA==";
        assert_eq!(
            first.json(),
            json!({
                "stream": "s",
                "records": 1,
                "dlsn": {
                    "text": "1,0,0",
                    "serialized": serialized,
                    "log_segment": 1,
                    "entry": 0,
                    "slot": 0,
                },
            })
        );
        assert_eq!(
            client.write("s", b"two").await.json()["dlsn"]["text"],
            "1,1,0"
        );
        assert_eq!(
            client.write("a%2Fb", b"nested").await.json()["stream"],
            "a/b"
        );
    }
}

#[tokio::test]
async fn a_record_set_is_appended_as_one_and_counted() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let set = record_set(&[b"a", b"b", b"c"], Some((7, 3)));
    let written = client
        .ask("POST", "/v1/streams/s/records", &[SET], set)
        .await
        .json();
    assert_eq!(
        (&written["records"], &written["dlsn"]["text"]),
        (&json!(3), &json!("1,0,0"))
    );
    assert_eq!(
        client.write("s", b"d").await.json()["dlsn"]["text"],
        "1,1,0"
    );
}

#[tokio::test]
async fn what_is_no_record_set_is_refused_with_its_offset() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let whole = record_set(&[b"a", b"b"], None);
    for (bytes, what) in [
        (&b""[..], "at offset 0"),
        (&whole[..whole.len() - 1], "not a record set"),
        (&whole[..16], "not a record set"),
    ] {
        let refused = client
            .ask("POST", "/v1/streams/s/records", &[SET], bytes.to_vec())
            .await;
        assert_eq!(refused.problem(), "400 MALFORMED_RECORD_SET, rejected");
        assert!(refused.detail().contains(what), "{}", refused.detail());
    }
    assert!(
        store.list().await.expect("it is open").is_empty(),
        "nothing was made for them"
    );
}

#[tokio::test]
async fn a_checksum_that_does_not_match_is_refused() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let right = format!("dlog-crc32: {:08x}", crc::write("s", b"record"));
    let path = "/v1/streams/s/records";
    assert_eq!(
        client
            .ask("POST", path, &[OCTETS, &right], "record")
            .await
            .status,
        200
    );
    assert_eq!(
        client
            .ask("POST", path, &[OCTETS, &right], "recorb")
            .await
            .problem(),
        "400 CHECKSUM_FAILED 523, not_written"
    );
    for malformed in [
        "dlog-crc32: 1234",
        "dlog-crc32: +1234567",
        "dlog-crc32: 123456789",
        "dlog-crc32: 0x123456",
        "dlog-crc32: ",
    ] {
        assert_eq!(
            client
                .ask("POST", path, &[OCTETS, malformed], "record")
                .await
                .problem(),
            "400 BAD_REQUEST, not_written",
            "{malformed}"
        );
    }
}

#[tokio::test]
async fn content_types_distinguish_records_and_record_sets() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let path = "/v1/streams/s/records";
    for one_record in [
        "text/plain",
        "text/plain;charset=UTF-8",
        "TEXT/csv",
        "application/json",
        "Application/Octet-Stream",
    ] {
        assert_eq!(
            client
                .ask(
                    "POST",
                    path,
                    &[&format!("content-type: {one_record}")],
                    "{}"
                )
                .await
                .status,
            200,
            "{one_record}"
        );
    }
    assert_eq!(
        client.ask("POST", path, &[], "no type at all").await.status,
        200
    );
    for refused in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "image/png",
        "nonsense",
        "",
        "\u{e9}",
    ] {
        let answer = client
            .ask("POST", path, &[&format!("content-type: {refused}")], "x")
            .await;
        assert_eq!(
            answer.problem(),
            "415 UNSUPPORTED_MEDIA_TYPE, rejected",
            "{refused}"
        );
    }
    let packed = client
        .ask("POST", path, &[OCTETS, "content-encoding: gzip"], "x")
        .await;
    assert_eq!(packed.problem(), "415 UNSUPPORTED_MEDIA_TYPE, rejected");
}

#[tokio::test]
async fn names_that_no_stream_may_have_are_refused() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    for name in [
        "%3Cx%3E",
        ".hidden",
        "a%20b",
        "a%2F%2Fb",
        "%00",
        "%FF",
        &"x".repeat(1025),
    ] {
        let refused = client.write(name, b"x").await;
        assert_eq!(
            refused.problem(),
            "400 INVALID_STREAM_NAME 602, not_written",
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_missing_stream_is_created_unless_the_settings_forbid_it() {
    let (proxy, _) = start(settings().create_missing_streams(false)).await;
    let client = Client::new(&proxy, Version::One);
    assert_eq!(
        client.write("s", b"x").await.problem(),
        "404 LOG_NOT_FOUND 510, not_written"
    );
    let (proxy, _) = start(settings().read_only(true)).await;
    let client = Client::new(&proxy, Version::One);
    assert_eq!(
        client.write("s", b"x").await.problem(),
        "403 REQUEST_DENIED 403, not_written"
    );
}

#[tokio::test]
async fn pushback_has_a_retry_after_header() {
    let (proxy, store) = start(settings().max_requests_per_stream(1)).await;
    let client = Client::new(&proxy, Version::Two);
    store.hold_appends();
    let (slow, refused) = tokio::join!(client.write("s", b"slow"), async {
        store.until(|store| store.held_appends() == 1).await;
        let refused = client.write("s", b"too much").await;
        store.release_appends();
        refused
    });
    assert_eq!(slow.status, 200);
    assert_eq!(
        (refused.problem().as_str(), refused.header("retry-after")),
        ("429 OVER_CAPACITY 517, not_written", "1")
    );
}

#[tokio::test]
async fn a_stream_that_another_proxy_owns_is_not_written_and_its_owner_is_named() {
    let (one, store) = start(settings().announce(Some("one:8000".into()))).await;
    let two = start_on(
        settings().shard(2).announce(Some("two:8000".into())),
        &store,
    )
    .await;
    let (to_one, to_two) = (
        Client::new(&one, Version::One),
        Client::new(&two, Version::One),
    );
    assert_eq!(to_two.write("s", b"x").await.status, 200);
    let refused = to_one.write("s", b"y").await;
    assert_eq!(refused.problem(), "421 FOUND 302, not_written");
    assert_eq!(
        refused.json()["owner"],
        json!({"shard": 2, "address": "two:8000"})
    );
    assert_eq!(
        to_one
            .tail("s", "follow=false&payload=text", &[])
            .await
            .rest()
            .await
            .len(),
        3,
        "reading needs no owner"
    );
    two.drain().await;
}

#[tokio::test]
async fn work_whose_time_is_over_before_its_turn_is_not_started() {
    let (proxy, store) = start(settings().faults(true)).await;
    let client = &Client::new(&proxy, Version::Two);
    let faults = proxy.faults().expect("the settings allow it");
    faults.stall("s");
    // Longer first, so that a deadline which comes before another's is noticed.
    let asking = ["dlog-timeout-ms: 60", "dlog-timeout-ms: 20"].map(|timeout| async move {
        client
            .ask("POST", "/v1/streams/s/records", &[OCTETS, timeout], "late")
            .await
    });
    let refused = tokio::time::timeout(
        core::time::Duration::from_secs(20),
        futures_util::future::join_all(asking),
    )
    .await;
    for refused in refused.expect("they are refused while the stream is stalled") {
        assert_eq!(refused.problem(), "504 NOT_STARTED, not_written");
    }
    faults.clear("s");
    assert!(store.list().await.expect("it is open").is_empty());
    assert_eq!(client.write("s", b"in time").await.status, 200);
}

#[tokio::test]
async fn an_error_of_the_store_after_which_the_record_may_be_stored_is_reported_as_unknown() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"x").await;
    store
        .delete(&StreamName::new("s").expect("a name"))
        .await
        .expect("it is there");
    let refused = client.write("s", b"y").await;
    assert!(
        refused.status == 200 || refused.problem().contains("not_written"),
        "{refused:?}"
    );
    let failure = super::super::problem::Problem::of_code(
        distributedlog::StatusCode::WriteException,
        "it broke",
    );
    let text = serde_json::to_value(&failure).expect("JSON");
    assert_eq!(
        (&text["status"], &text["known"]),
        (&json!(500), &json!("unknown"))
    );
    let of_store = super::super::problem::Problem::of_listing(&StoreError::Closed);
    assert_eq!(
        serde_json::to_value(&of_store).expect("JSON")["status"],
        503
    );
}

#[tokio::test]
async fn repeated_attempts_and_requests_are_counted() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client
        .ask(
            "POST",
            "/v1/streams/s/records",
            &[OCTETS, "dlog-attempt: 1"],
            "x",
        )
        .await;
    client
        .ask(
            "POST",
            "/v1/streams/s/records",
            &[OCTETS, "dlog-attempt: 0"],
            "x",
        )
        .await;
    client.ask("GET", "/nowhere", &[], Body::empty()).await;
    assert_eq!(metric(&client, "dlog_proxy_repeated_total").await, 1.0);
    let posts =
        r#"dlog_proxy_http_requests_total{route="/v1/streams/{stream}/records",status="200"}"#;
    assert_eq!(metric(&client, posts).await, 2.0);
    assert_eq!(
        metric(
            &client,
            r#"dlog_proxy_http_requests_total{route="",status="404"}"#
        )
        .await,
        1.0
    );
    assert_eq!(
        metric(
            &client,
            r#"dlog_proxy_requests_total{method="writeWithContext",outcome="200"}"#
        )
        .await,
        2.0
    );
}
