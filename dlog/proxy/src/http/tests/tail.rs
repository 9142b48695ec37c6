//! Reading over HTTP: NDJSON, Server-Sent Events, and resuming.

use core::time::Duration;

use serde_json::{Value, json};

use super::kit::{Client, Lines, Version, metric, record_set, settings, start, until_metric};
use distributedlog_store::{LogStore, StreamName};

const SET: &str = "content-type: application/vnd.distributedlog.record-set";
const SSE: &str = "accept: text/event-stream";

/// Positions of the records up to the end.
async fn positions(mut lines: Lines) -> Vec<String> {
    let lines: Vec<Value> = lines
        .rest()
        .await
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let records = lines.iter().filter(|line| line["event"] == "record");
    records
        .map(|line| line["dlsn"].as_str().expect("a position").to_owned())
        .collect()
}

#[tokio::test]
async fn records_come_one_a_line_with_what_a_merged_reader_needs() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let set = record_set(&[b"a", b"\xff\n"], Some((0x8f14_e45f << 96, 17)));
    client
        .ask("POST", "/v1/streams/s/records", &[SET], set)
        .await;
    client.write("s", b"alone").await;
    let created = client.created_ms("s").await;
    let mut lines = client.tail("s", "follow=false", &[]).await;
    assert_eq!(
        (
            &lines.headers["content-type"],
            &lines.headers["cache-control"]
        ),
        (
            &"application/x-ndjson".parse().expect("a value"),
            &"no-store".parse().expect("a value")
        )
    );
    assert_eq!(
        lines.json().await,
        json!({"event": "heartbeat", "next": format!("1,0,0@{created}")})
    );
    let mut first = lines.json().await;
    assert!(
        first["written_ms"]
            .take()
            .as_u64()
            .is_some_and(|at| at > 1_700_000_000_000)
    );
    let writer = "8f14e45f000000000000000000000000";
    assert_eq!(
        first,
        json!({
            "event": "record",
            "dlsn": "1,0,0",
            "after": format!("1,0,0@{created}"),
            "written_ms": null,
            "slot": 0,
            "slots": 2,
            "writer": writer,
            "sequence": 17,
            "payload": "YQ==",
        })
    );
    let second = lines.json().await;
    assert_eq!(
        (&second["dlsn"], &second["slot"], &second["payload"]),
        (&json!("1,0,1"), &json!(1), &json!("/wo="))
    );
    let third = lines.json().await;
    assert_eq!(
        (&third["slots"], third.get("writer"), &third["payload"]),
        (&json!(1), None, &json!("YWxvbmU="))
    );
    assert_eq!(
        lines.json().await,
        json!({"event": "end", "reason": "caught_up", "next": format!("1,2,0@{created}")})
    );
    assert_eq!(lines.line().await, None);
}

#[tokio::test]
async fn text_is_text_where_it_is_and_base64_where_it_is_not() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", "größer".as_bytes()).await;
    client.write("s", b"\xff").await;
    let mut lines = client.tail("s", "follow=false&payload=text", &[]).await;
    lines.line().await;
    let (first, second) = (lines.json().await, lines.json().await);
    assert_eq!(
        (&first["text"], first.get("payload")),
        (&json!("größer"), None)
    );
    assert_eq!(
        (second.get("text"), &second["payload"]),
        (None, &json!("/w=="))
    );
}

#[tokio::test]
async fn a_reader_that_follows_gets_what_is_written_later_over_both_versions() {
    for version in [Version::One, Version::Two] {
        let (proxy, _) = start(settings()).await;
        let client = Client::new(&proxy, version);
        client.write("s", b"before").await;
        let next = format!("1,0,1@{}", client.created_ms("s").await);
        let mut from_end = client.tail("s", "from=end&payload=text", &[]).await;
        assert_eq!(from_end.json().await["next"], next, "{version:?}");
        client.write("s", b"after").await;
        let record = from_end.json().await;
        assert_eq!(
            (&record["dlsn"], &record["text"]),
            (&json!("1,1,0"), &json!("after")),
            "{version:?}"
        );
        assert_eq!(metric(&client, "dlog_proxy_http_readers").await, 1.0);
        drop(from_end);
        // The server finds out by itself, on either version.
        until_metric(&client, "dlog_proxy_http_readers", 0.0).await;
    }
}

#[tokio::test]
async fn reading_begins_at_the_position_in_each_of_its_forms() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client
        .ask(
            "POST",
            "/v1/streams/s/records",
            &[SET],
            record_set(&[b"a", b"b", b"c"], None),
        )
        .await;
    client.write("s", b"d").await;
    let all = ["1,0,0", "1,0,1", "1,0,2", "1,1,0"];
    for (query, from) in [
        ("", 0),
        ("&from=start", 0),
        ("&from=1,0,1", 1),
        ("&from=1%2C0%2C1", 1),
        (
            "&from=DLSN%7BlogSegmentSequenceNo=1,%20entryId=0,%20slotId=2%7D",
            2,
        ),
        ("&from=AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAQ%3D%3D", 1),
        ("&after=1,0,0", 1),
        ("&after=1,0,2", 3),
        ("&after=1,1,0", 4),
        ("&from=end", 4),
        ("&from=1,0,7", 3),
    ] {
        assert_eq!(
            positions(client.tail("s", &format!("follow=false{query}"), &[]).await).await,
            all[from..],
            "{query}"
        );
    }
    assert_eq!(
        positions(client.tail("s", "limit=2", &[]).await).await,
        all[..2]
    );
}

#[tokio::test]
async fn a_reader_that_resumes_after_each_record_misses_and_repeats_nothing() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::Two);
    for round in 0..4_u64 {
        client
            .ask(
                "POST",
                "/v1/streams/s/records",
                &[SET],
                record_set(&[b"a", b"b", b"c"], Some((1, round))),
            )
            .await;
    }
    let whole = positions(client.tail("s", "follow=false", &[]).await).await;
    assert_eq!(whole.len(), 12);
    let mut seen = Vec::new();
    let mut query = "from=start&limit=1".to_owned();
    while seen.len() < whole.len() {
        let one = positions(client.tail("s", &query, &[]).await).await;
        query = format!("after={}&limit=1", one[0]);
        seen.extend(one);
    }
    assert_eq!(seen, whole);
}

#[tokio::test]
async fn a_set_that_cannot_be_decoded_is_reported_and_skipped() {
    use distributedlog_store::{Entry, EntryRecord, Owner};
    let (proxy, store) = start(settings()).await;
    let name = StreamName::new("s").expect("a name");
    store.create(&name).await.expect("there is none");
    let owner = Owner {
        shard: 9,
        address: "elsewhere:1".into(),
    };
    let distributedlog_store::Acquired::Granted(lease) =
        store.acquire(&name, &owner).await.expect("it is free")
    else {
        panic!("it is free")
    };
    for (payload, slots, is_record_set) in [("broken", 3, true), ("whole", 1, false)] {
        let record = EntryRecord {
            payload: payload.into(),
            slots,
            is_record_set,
        };
        store.append(
            &lease,
            Entry {
                records: vec![record],
            },
            Box::new(|result| assert!(result.is_ok(), "it is open")),
        );
    }
    let client = Client::new(&proxy, Version::One);
    let mut lines = client.tail("s", "follow=false", &[]).await;
    lines.line().await;
    let malformed = lines.json().await;
    assert_eq!(
        (&malformed["event"], &malformed["dlsn"], &malformed["slots"]),
        (&json!("malformed"), &json!("1,0,0"), &json!(3))
    );
    assert_eq!(lines.json().await["dlsn"], "1,1,0");
    let events = client.tail("s", "follow=false", &[SSE]).await.rest().await;
    assert!(
        events.contains(&format!("id: 1,0,2@{}", client.created_ms("s").await)),
        "a client resumes behind it: {events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_has_heartbeats() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"x").await;
    let next = format!("1,0,1@{}", client.created_ms("s").await);
    let mut lines = client.tail("s", "from=end&heartbeat_ms=2000", &[]).await;
    lines.line().await;
    for _ in 0..3 {
        let before = tokio::time::Instant::now();
        assert_eq!(
            lines.json().await,
            json!({"event": "heartbeat", "next": next})
        );
        assert!(
            before.elapsed() >= Duration::from_millis(1900),
            "{:?}",
            before.elapsed()
        );
    }
}

#[tokio::test]
async fn a_stream_that_is_deleted_ends_its_readers() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::Two);
    client.write("s", b"x").await;
    let next = format!("1,0,1@{}", client.created_ms("s").await);
    let mut lines = client.tail("s", "from=end", &[]).await;
    lines.line().await;
    assert_eq!(
        client.ask("DELETE", "/v1/streams/s", &[], "").await.status,
        204
    );
    assert_eq!(
        lines.json().await,
        json!({"event": "end", "reason": "deleted", "next": next})
    );
    assert_eq!(lines.line().await, None);
}

#[tokio::test]
async fn malformed_read_requests_are_refused() {
    let (proxy, _) = start(settings().http_max_readers(1)).await;
    let client = Client::new(&proxy, Version::One);
    assert_eq!(
        client.get("/v1/streams/none/records").await.problem(),
        "404 LOG_NOT_FOUND 510"
    );
    assert_eq!(
        client.get("/v1/streams/a%20b/records").await.problem(),
        "400 INVALID_STREAM_NAME 602"
    );
    client.write("s", b"x").await;
    for query in [
        "from=yesterday",
        "from=1,0",
        "after=end",
        "from=1,0,0@",
        "after=1,0,0@yesterday",
        "after=1,0,0;end",
        "from=start&after=1,0,0",
        "heartbeat_ms=1",
        "payload=hex",
        "fllow=false",
        "limit=-1",
    ] {
        assert!(
            client
                .get(&format!("/v1/streams/s/records?{query}"))
                .await
                .problem()
                .starts_with("400 BAD_REQUEST"),
            "{query}"
        );
    }
    let malformed_id = client
        .ask("GET", "/v1/streams/s/records", &["last-event-id: what"], "")
        .await;
    assert_eq!(malformed_id.problem(), "400 BAD_REQUEST");
    let mut first = client.tail("s", "", &[]).await;
    first.line().await;
    let refused = client.get("/v1/streams/s/records").await;
    assert_eq!(refused.problem(), "503 TOO_MANY_READERS");
    assert_eq!(refused.headers["retry-after"], "1");
}

#[tokio::test]
async fn the_weights_of_accept_decide_between_lines_and_events() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"x").await;
    let (lines, events) = ("application/x-ndjson", "text/event-stream");
    for (accept, expected) in [
        ("", lines),
        ("text/event-stream", events),
        ("Text/Event-Stream; charset=utf-8", events),
        ("text/event-stream;q=0", lines),
        ("text/event-stream; q=0.000, */*", lines),
        ("text/event-stream;q=0.5, application/x-ndjson", lines),
        (
            "text/event-stream;q=0.5, application/x-ndjson;q=0.4",
            events,
        ),
        ("application/x-ndjson, text/event-stream", events),
        ("text/event-streams", lines),
        ("*/*", lines),
        ("text/*", lines),
        ("application/json", lines),
        ("application/x-ndjson;q=0, */*", events),
        ("image/png, text/html;q=0.9", lines),
        ("nonsense", lines),
    ] {
        let header = format!("accept: {accept}");
        let read = client.tail("s", "follow=false", &[&header]).await;
        assert_eq!(read.headers["content-type"], expected, "{accept}");
    }
}

#[tokio::test]
async fn a_query_that_cannot_be_used_is_refused_with_what_to_write() {
    let (proxy, _) = start(settings().faults(true)).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"x").await;
    for (method, path, detail) in [
        (
            "DELETE",
            "/v1/streams/s/records",
            "before: this parameter is required; write ?before=1,0,0, the position of the first \
             record that is kept",
        ),
        (
            "GET",
            "/v1/streams/s/records?fllow=false",
            "fllow: no such parameter; this path has from, after, follow, payload, heartbeat_ms, \
             limit",
        ),
        (
            "GET",
            "/v1/streams/s/records?follow=no",
            "follow: \"no\" is not true or false",
        ),
        (
            "GET",
            "/v1/streams/s/records?limit=-1",
            "limit: \"-1\" is not a number of records",
        ),
        (
            "GET",
            "/v1/streams/s/records?limit=1&limit=2",
            "limit: this parameter is there twice; write it once",
        ),
        (
            "GET",
            "/v1/streams/s/records?payload=hex",
            "payload: \"hex\" is not base64 or text",
        ),
        (
            "GET",
            "/v1/streams/s/records?heartbeat_ms=",
            "heartbeat_ms: \"\" is not a number of milliseconds from 100 to 60000",
        ),
        (
            "GET",
            "/v1/streams?limit=all",
            "limit: \"all\" is not a number from 1 to 10000",
        ),
        (
            "GET",
            "/v1/streams/%ff",
            "the stream's name in the path is not UTF-8: percent-encode the bytes of its UTF-8 \
             form, as in /v1/streams/gr%C3%B6%C3%9Fer",
        ),
        (
            "PUT",
            "/faults/s/fail/none",
            "code: \"none\" is not the number of a status code, such as 517",
        ),
    ] {
        let refused = client.ask(method, path, &[], "").await;
        assert_eq!(refused.status, 400, "{path}");
        assert_eq!(refused.detail(), detail, "{path}");
    }
    let refused = client.ask("PUT", "/faults/%ff/fail/517", &[], "").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(client.get("/page/%ff").await.status, 404);
}
