//! Resuming: positions name the life of their stream, and a browser's `EventSource` resumes by the
//! ids of its events.

use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_store::{LogStore, StreamName};
use serde_json::Value;

use super::kit::{Client, Version, settings, start};

const SSE: &str = "accept: text/event-stream";

async fn delete(client: &Client, stream: &str) {
    let path = format!("/v1/streams/{stream}");
    assert_eq!(client.ask("DELETE", &path, &[], "").await.status, 204);
}

/// The texts of the records of a read, and its last line.
async fn read(client: &Client, query: &str) -> (Vec<String>, Value) {
    let query = format!("follow=false&payload=text&{query}");
    let lines = client.tail("s", &query, &[]).await.rest().await;
    let mut lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let end = lines.pop().expect("an end");
    let texts = lines.iter().filter_map(|line| line["text"].as_str());
    (texts.map(str::to_owned).collect(), end)
}

#[tokio::test]
async fn a_position_of_a_stream_that_was_made_anew_is_refused_everywhere() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    for record in ["old-1", "old-2", "old-3"] {
        client.write("s", record.as_bytes()).await;
    }
    let (texts, end) = read(&client, "limit=2").await;
    assert_eq!(texts, ["old-1", "old-2"]);
    let next = end["next"].as_str().expect("a position").to_owned();
    assert_eq!(read(&client, &format!("from={next}")).await.0, ["old-3"]);
    delete(&client, "s").await;
    for record in ["new-1", "new-2", "new-3", "new-4"] {
        client.write("s", record.as_bytes()).await;
    }
    for path in [
        format!("/v1/streams/s/records?from={next}"),
        format!("/v1/streams/s/records?follow=false&after={next}"),
    ] {
        let refused = client.get(&path).await;
        assert_eq!(refused.problem(), "410 STREAM_RECREATED", "{path}");
        let created = client.created_ms("s").await;
        assert!(
            refused.detail().contains(&format!("created at {created}")),
            "{refused:?}"
        );
    }
    let id = format!("last-event-id: {next}");
    let refused = client
        .ask("GET", "/v1/streams/s/records", &[&id, SSE], "")
        .await;
    assert_eq!(refused.problem(), "410 STREAM_RECREATED");
    let truncating = format!("/v1/streams/s/records?before={next}");
    let refused = client.ask("DELETE", &truncating, &[], "").await;
    assert_eq!(refused.problem(), "410 STREAM_RECREATED, not_written");
    // A position without a life is valid in every stream, as before.
    let alone = next.split('@').next().expect("a DLSN");
    let (texts, _) = read(&client, &format!("from={alone}")).await;
    assert_eq!(texts, ["new-3", "new-4"]);
}

#[tokio::test]
async fn a_time_is_the_position_of_the_first_record_written_then_or_later() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let stream = StreamName::new("s").expect("a name");
    // Written at 7 ms.
    store.put_plain(&stream, 0, "old-1");
    store.put_plain(&stream, 1, "old-2");
    client.write("s", b"new").await;
    for (from, texts) in [
        ("1970-01-01T00:00:00Z", &["old-1", "old-2", "new"][..]),
        ("1970-01-01T00:00:00.007Z", &["old-1", "old-2", "new"]),
        ("1970-01-01T00:00:00.008Z", &["new"]),
        ("1970-01-01T01:00:00.008+01:00", &["new"]),
        ("1970-01-01T01:00:00.008%2B01:00", &["new"]),
        ("2970-01-01T00:00:00Z", &[]),
    ] {
        let (found, _) = read(&client, &format!("from={from}")).await;
        assert_eq!(found, texts, "{from}");
    }
    let truncate = async |time: &str| {
        let path = format!("/v1/streams/s/records?before={time}");
        assert_eq!(client.ask("DELETE", &path, &[], "").await.status, 204);
        read(&client, "from=start").await.0
    };
    assert_eq!(truncate("1970-01-01T00:00:00.007Z").await.len(), 3);
    assert_eq!(truncate("1970-01-01T00:00:00.008Z").await, ["new"]);
    for (method, path) in [
        (
            "GET",
            "/v1/streams/s/records?after=1970-01-01T00:00:00.008Z",
        ),
        ("GET", "/v1/streams/s/records?from=1970-01-01"),
        ("DELETE", "/v1/streams/s/records?before=yesterday"),
    ] {
        let refused = client.ask(method, path, &[], "").await;
        assert_eq!(refused.status, 400, "{method} {path}: {refused:?}");
    }
}

#[tokio::test]
async fn a_position_beyond_the_end_is_refused_and_every_next_is_not() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::Two);
    let name = StreamName::new("s").expect("a name");
    store.create(&name).await.expect("it is new");
    let next_of = async || {
        let (_, end) = read(&client, "").await;
        end["next"].as_str().expect("a position").to_owned()
    };
    // Empty, with records, and truncated up to its end.
    for step in 0..3 {
        let next = next_of().await;
        assert!(read(&client, &format!("from={next}")).await.0.is_empty());
        let beyond = client.get("/v1/streams/s/records?from=1,9,0").await;
        assert_eq!(beyond.problem(), "409 POSITION_BEYOND_END", "{step}");
        assert!(beyond.detail().contains("beyond the end"), "{beyond:?}");
        if step == 0 {
            client.write("s", b"one").await;
            client.write("s", b"two").await;
        } else {
            store
                .truncate(&name, Dlsn::new(1, 2, 0))
                .await
                .expect("it is there");
        }
    }
}

#[tokio::test]
async fn a_reader_whose_stream_is_made_anew_while_it_reads_is_told() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"old").await;
    let old = client.created_ms("s").await;
    let mut lines = client.tail("s", "from=end", &[]).await;
    let name = StreamName::new("s").expect("a name");
    // Between the description of the stream and the first read of it, and both at once, so that the
    // reader finds the new stream only.
    let store: Arc<dyn LogStore> = store;
    store.delete(&name).await.expect("it is there");
    store.create(&name).await.expect("its name is free");
    lines.line().await;
    let end = lines.json().await;
    assert_eq!(
        (&end["event"], &end["reason"]),
        (&"end".into(), &"recreated".into())
    );
    assert_eq!(end["next"], format!("1,0,1@{old}"));
    assert!(
        end["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("from=start")),
        "{end}"
    );
    assert_eq!(lines.line().await, None);
}

#[tokio::test]
async fn events_resume_by_their_ids_as_browsers_do() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"one").await;
    client.write("s", b"two").await;
    let created = client.created_ms("s").await;
    let mut events = client.tail("s", "limit=1&payload=text", &[SSE]).await;
    assert_eq!(events.headers["content-type"], "text/event-stream");
    let lines = events.rest().await;
    assert_eq!(
        lines[..7],
        [
            "event: heartbeat",
            &format!("id: 1,0,-1@{created}"),
            &format!(r#"data: {{"event":"heartbeat","next":"1,0,0@{created}"}}"#),
            "",
            "event: record",
            &format!("id: 1,0,0@{created}"),
            &lines[6]
        ]
    );
    assert!(
        lines[6].starts_with(r#"data: {"event":"record","dlsn":"1,0,0","after":"1,0,0@"#)
            && lines[6].ends_with(r#""text":"one"}"#),
        "{}",
        lines[6]
    );
    assert_eq!(
        lines[7..],
        [
            "",
            "event: end",
            &format!("id: 1,1,-1@{created};end"),
            &format!(r#"data: {{"event":"end","reason":"limit","next":"1,1,0@{created}"}}"#),
            ""
        ]
    );
    // It asks again for what it asked at first, and says where it was.
    let id = format!("last-event-id: 1,0,0@{created}");
    let lines = client
        .tail("s", "limit=1&from=start", &[SSE, &id])
        .await
        .rest()
        .await;
    assert!(lines.contains(&format!("id: 1,1,0@{created}")), "{lines:?}");
}

/// The `id` of the next event that has one.
async fn next_id(lines: &mut super::kit::Lines) -> String {
    loop {
        let line = lines.line().await.expect("another event");
        if let Some(id) = line.strip_prefix("id: ") {
            return id.to_owned();
        }
    }
}

#[tokio::test]
async fn a_browser_whose_link_drops_before_its_first_record_misses_nothing() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.ask("PUT", "/v1/streams/s", &[], "").await;
    for round in 0..3 {
        if round > 0 {
            client.write("s", b"before").await;
        }
        let mut lines = client.tail("s", "from=end", &[SSE]).await;
        let id = format!("last-event-id: {}", next_id(&mut lines).await);
        drop(lines);
        client.write("s", b"meanwhile").await;
        let query = "from=end&payload=text&limit=1";
        let lines = client.tail("s", query, &[SSE, &id]).await.rest().await;
        assert!(
            lines.iter().any(|line| line.contains("meanwhile")),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn a_finished_read_that_a_browser_asks_for_again_is_answered_204() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"one").await;
    for query in ["follow=false", "limit=1"] {
        let lines = client.tail("s", query, &[SSE]).await.rest().await;
        let mut ids = lines.iter().filter_map(|line| line.strip_prefix("id: "));
        let id = format!("last-event-id: {}", ids.next_back().expect("ids"));
        let path = format!("/v1/streams/s/records?{query}");
        let again = client.ask("GET", &path, &[SSE, &id], "").await;
        assert_eq!(
            (again.status.as_u16(), again.body.len()),
            (204, 0),
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_empty_last_event_id_is_none() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"one").await;
    let lines = client
        .tail("s", "follow=false&payload=text", &["last-event-id: "])
        .await
        .rest()
        .await;
    assert!(lines.iter().any(|line| line.contains("one")), "{lines:?}");
}
