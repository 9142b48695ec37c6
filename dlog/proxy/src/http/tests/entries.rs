//! Reading records and sets as they are stored: the format of `docs/http.md`, byte by byte, and the
//! same records as in lines.

use core::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use distributedlog_reader::entries::{Frame, FrameBuffer, StoredRecord};
use distributedlog_store::{Dlsn, EntryRecord, LogStore, StoreError, StreamName};
use http_body_util::BodyExt as _;

use super::kit::{Client, Version, metric, record_set, settings, start};

const ACCEPT: &str = "accept: application/vnd.distributedlog.entries";
const SET: &str = "content-type: application/vnd.distributedlog.record-set";
/// Longer than anything takes on a loaded machine.
const STEP: Duration = Duration::from_secs(60);

/// A response that is read frame by frame.
struct Frames {
    body: Body,
    buffer: FrameBuffer,
}

impl Frames {
    async fn of(client: &Client, query: &str) -> Self {
        let path = format!("/v1/streams/s/records?{query}");
        let response = client.send("GET", &path, &[ACCEPT], Body::empty()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["content-type"],
            "application/vnd.distributedlog.entries"
        );
        Self {
            body: response.into_body(),
            buffer: FrameBuffer::default(),
        }
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.buffer.pop().expect("frames") {
                return Some(frame);
            }
            let more = tokio::time::timeout(STEP, self.body.frame()).await;
            let more = more.expect("it comes in time")?.expect("the body goes on");
            self.buffer.push(&more.into_data().expect("no trailers"));
        }
    }

    async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        assert!(self.buffer.is_empty(), "a frame was cut off");
        frames
    }
}

fn stored(frames: &[Frame]) -> Vec<&StoredRecord> {
    let stored = frames.iter().filter_map(|frame| {
        let Frame::Stored(stored) = frame else {
            return None;
        };
        Some(stored)
    });
    stored.collect()
}

/// Reason and detail of the end.
fn end(frames: &[Frame]) -> (&str, &str) {
    match frames.last() {
        Some(Frame::End { reason, detail, .. }) => (reason, detail),
        other => panic!("{other:?}"),
    }
}

/// Hex digits of a number of 8 bytes.
fn hex(number: u64) -> String {
    format!("{number:016x}")
}

#[tokio::test]
async fn the_bytes_of_a_response_are_those_of_the_documentation() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let stream = StreamName::new("s").expect("a name");
    // Written at 7 ms.
    store.put_plain(&stream, 0, "alone");
    let set = record_set(&[b"a", b"bc"], Some((7, 3)));
    let record = EntryRecord {
        payload: set.clone().into(),
        slots: 2,
        is_record_set: true,
    };
    store.put(&stream, Dlsn::new(1, 1, 0), vec![record]);
    let created = client.created_ms("s").await;
    let path = "/v1/streams/s/records?follow=false";
    let answer = client.ask("GET", path, &[ACCEPT], "").await;
    let found: String = answer.body.iter().map(|it| format!("{it:02x}")).collect();
    let text = |text: &[u8]| {
        text.iter()
            .map(|it| format!("{it:02x}"))
            .collect::<String>()
    };
    let place = |entry, slot, ms| hex(1) + &hex(entry) + &hex(slot) + &hex(ms);
    let expected = [
        // The start: length, kind, position, the stream's time of creation.
        format!("{:08x}01{}", 33, place(0, 0, created)),
        // A record: length, kind, position, time of the write, payload.
        format!("{:08x}02{}{}", 33 + 5, place(0, 0, 7), text(b"alone")),
        // A set: length, kind, position, time of the write, number of records, the set.
        format!(
            "{:08x}03{}{:08x}{}",
            37 + set.len(),
            place(1, 0, 7),
            2,
            text(&set)
        ),
        // The end: length, kind, next position, time of creation, length of the reason, reason.
        format!(
            "{:08x}05{}{:02x}{}",
            34 + 9,
            place(2, 0, created),
            9,
            text(b"caught_up")
        ),
    ];
    assert_eq!(found, expected.concat());
}

#[tokio::test]
async fn what_is_read_is_what_is_stored_over_both_versions_and_is_counted() {
    for version in [Version::One, Version::Two] {
        let (proxy, store) = start(settings()).await;
        let client = Client::new(&proxy, version);
        let mut expected = Vec::new();
        for number in 0..300_u32 {
            // Sizes around those at which payloads are sent by themselves.
            let size = [1, 100, 4_095, 4_096, 9_000][number as usize % 5];
            let record = vec![u8::try_from(number % 251).expect("small"); size];
            let payload = if number % 2 == 0 {
                let set = record_set(&[&record, b"second"], Some((7, u64::from(number))));
                client
                    .ask("POST", "/v1/streams/s/records", &[SET], set.clone())
                    .await;
                set
            } else {
                client
                    .ask("POST", "/v1/streams/s/records", &[], record.clone())
                    .await;
                record
            };
            expected.push(Bytes::from(payload));
        }
        let frames = Frames::of(&client, "follow=false").await.rest().await;
        let payloads = stored(&frames).into_iter().map(|it| it.payload.clone());
        assert!(payloads.eq(expected), "{version:?}");
        let dlsns = stored(&frames).into_iter().map(|it| it.dlsn);
        let written = store.records("s");
        assert!(dlsns.eq(written.iter().map(|(dlsn, _)| *dlsn)));
        assert_eq!(end(&frames), ("caught_up", ""));
        assert_eq!(
            metric(&client, "dlog_proxy_http_records_read_total").await,
            450.0
        );
    }
}

#[tokio::test]
async fn a_read_from_within_a_set_has_the_set_whole_and_says_where_it_begins() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let set = record_set(&[b"a", b"b", b"c"], None);
    client
        .ask("POST", "/v1/streams/s/records", &[SET], set.clone())
        .await;
    client.write("s", b"alone").await;
    for (query, slot) in [("from=1,0,1", 1), ("after=1,0,1", 2)] {
        let query = format!("follow=false&{query}");
        let frames = Frames::of(&client, &query).await.rest().await;
        let Frame::Start(start) = &frames[0] else {
            panic!("{frames:?}");
        };
        assert_eq!(start.dlsn, Dlsn::new(1, 0, slot));
        assert_eq!(start.created_unix_ms, client.created_ms("s").await);
        let dlsns: Vec<Dlsn> = stored(&frames).iter().map(|it| it.dlsn).collect();
        assert_eq!(dlsns, [Dlsn::new(1, 0, 0), Dlsn::new(1, 1, 0)], "{query}");
        assert_eq!(stored(&frames)[0].payload, set);
    }
    // Truncated within the set: the position says so too.
    let name = StreamName::new("s").expect("a name");
    let truncated = store.truncate(&name, Dlsn::new(1, 0, 2)).await;
    truncated.expect("it is there");
    let mut frames = Frames::of(&client, "from=1,0,0").await;
    let starts = [frames.next().await, frames.next().await];
    let last = starts
        .iter()
        .rfind(|it| matches!(it, Some(Frame::Start(_))));
    let Some(Some(Frame::Start(start))) = last else {
        panic!("{starts:?}");
    };
    assert_eq!(start.dlsn, Dlsn::new(1, 0, 2));
}

#[tokio::test]
async fn a_limit_ends_the_response_with_the_set_that_reaches_it() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    for _ in 0..3 {
        let set = record_set(&[b"a", b"b", b"c"], None);
        client
            .ask("POST", "/v1/streams/s/records", &[SET], set)
            .await;
    }
    for (query, sets) in [
        ("limit=0", 0),
        ("limit=1", 1),
        ("limit=3", 1),
        ("limit=4", 2),
        // One record of the first set counts.
        ("limit=1&from=1,0,2", 1),
        ("limit=2&from=1,0,2", 2),
    ] {
        let frames = Frames::of(&client, query).await.rest().await;
        assert_eq!(stored(&frames).len(), sets, "{query}");
        let Some(Frame::End { reason, next, .. }) = frames.last() else {
            panic!("{frames:?}");
        };
        assert_eq!(reason, "limit", "{query}");
        // The next read misses and repeats nothing.
        let from = format!("follow=false&from={},{},0", 1, next.dlsn.entry_id);
        let rest = Frames::of(&client, &from).await.rest().await;
        assert_eq!(stored(&rest).len(), 3 - sets, "{query}");
    }
}

#[tokio::test]
async fn a_response_that_follows_has_heartbeats_and_its_end_says_why() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"one").await;
    let mut frames = Frames::of(&client, "heartbeat_ms=100").await;
    assert!(matches!(frames.next().await, Some(Frame::Start(_))));
    assert!(matches!(frames.next().await, Some(Frame::Stored(_))));
    let Some(Frame::Heartbeat(next)) = frames.next().await else {
        panic!("silence");
    };
    assert!(next.dlsn > Dlsn::new(1, 0, 0) && next.dlsn <= Dlsn::new(1, 1, 0));
    client.write("s", b"two").await;
    while let Some(frame) = frames.next().await {
        if let Frame::Stored(stored) = frame {
            assert_eq!(&*stored.payload, b"two");
            break;
        }
    }
    client.ask("DELETE", "/v1/streams/s", &[], "").await;
    assert_eq!(end(&frames.rest().await), ("deleted", ""));
}

#[tokio::test]
async fn an_error_after_the_first_byte_is_said_in_the_response() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"one").await;
    let mut frames = Frames::of(&client, "").await;
    assert!(matches!(frames.next().await, Some(Frame::Start(_))));
    store.fail_next_read(StoreError::Io {
        path: "disk".to_owned(),
        detail: "it is gone".to_owned(),
    });
    client.write("s", b"two").await;
    let rest = frames.rest().await;
    let (reason, detail) = end(&rest);
    assert_eq!(reason, "failed");
    assert!(detail.contains("it is gone"), "{detail}");
}

#[tokio::test]
async fn only_a_client_that_names_the_format_gets_it() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"one").await;
    let (entries, lines, events) = (
        "application/vnd.distributedlog.entries",
        "application/x-ndjson",
        "text/event-stream",
    );
    for (accept, expected) in [
        ("*/*".to_owned(), lines),
        ("application/*".to_owned(), lines),
        (entries.to_owned(), entries),
        (format!("{entries}, {lines};q=0.5"), entries),
        (format!("{entries};q=0.5, {lines}"), lines),
        (format!("{entries};q=0.5, {events}"), events),
        (format!("{entries};q=0"), lines),
        (
            format!("{lines};q=0, {events};q=0, {entries};q=0.1"),
            entries,
        ),
    ] {
        let header = format!("accept: {accept}");
        let path = "/v1/streams/s/records?follow=false";
        let answer = client.ask("GET", path, &[&header], "").await;
        assert_eq!(answer.header("content-type"), expected, "{accept}");
    }
    let header = format!("accept: {entries};q=0, {lines};q=0, {events};q=0");
    let path = "/v1/streams/s/records?follow=false";
    let refused = client.ask("GET", path, &[&header], "").await;
    assert_eq!(refused.problem(), "406 NOT_ACCEPTABLE");
    // Positions are refused as they are for lines.
    let path = "/v1/streams/s/records?from=9,0,0";
    let refused = client.ask("GET", path, &[ACCEPT], "").await;
    assert_eq!(refused.problem(), "409 POSITION_BEYOND_END");
}

#[tokio::test]
async fn a_client_that_takes_nothing_holds_no_more_than_a_batch() {
    let limited = settings().http_max_read_ahead_bytes(4 << 20);
    let (proxy, store) = start(limited).await;
    let client = Client::new(&proxy, Version::One);
    let stream = StreamName::new("s").expect("a name");
    for entry in 0..40_000 {
        store.put_plain(
            &stream,
            entry,
            "a record of some bytes, many of which are stored",
        );
    }
    let mut waiting = Vec::new();
    for _ in 0..16 {
        let mut frames = Frames::of(&client, "follow=false").await;
        frames.next().await.expect("it begins");
        waiting.push(frames);
    }
    assert!(proxy.bounds().read_ahead.all().held() <= 4 << 20);
    let mut first = waiting.swap_remove(0);
    drop(waiting);
    assert_eq!(stored(&first.rest().await).len(), 40_000);
}
