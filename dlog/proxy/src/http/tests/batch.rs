//! Several records of one request: their results by position, and what is refused.

use axum::body::Body;
use bytes::Bytes;
use distributedlog::wire::crc;
use distributedlog_store::StoreError;
use futures_util::stream;
use serde_json::{Value, json};

use super::super::openapi;
use super::kit::{Client, Version, metric, settings, start};

const RECORDS: &str = "/v1/streams/s/records";
const LINES: &str = "content-type: application/x-ndjson";
const PREFIXED: &str = "content-type: application/vnd.distributedlog.records";

/// Records behind their lengths.
fn prefixed(records: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for record in records {
        let length = u32::try_from(record.len()).expect("small");
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(record);
    }
    body
}

/// A body that comes in pieces of a byte, without a length.
fn chopped(body: Vec<u8>) -> Body {
    let pieces = body
        .into_iter()
        .map(|byte| Ok::<_, String>(Bytes::from(vec![byte])));
    Body::from_stream(stream::iter(pieces))
}

#[tokio::test]
async fn records_are_answered_by_position_in_both_layouts_also_if_the_body_is_chopped() {
    for version in [Version::One, Version::Two] {
        let (proxy, store) = start(settings()).await;
        let client = Client::new(&proxy, version);
        let lines = b"{\"a\":1}\r\n\n\xff\nlast".to_vec();
        let records: [&[u8]; 3] = [b"{\"a\":1}", b"\xff", b"last"];
        let behind: [&[u8]; 3] = [b"a\nb", b"", b"last"];
        let bodies: [(&str, Body); 4] = [
            (LINES, lines.clone().into()),
            (LINES, chopped(lines)),
            (PREFIXED, prefixed(&behind).into()),
            (PREFIXED, chopped(prefixed(&behind))),
        ];
        for (entry, (kind, body)) in bodies.into_iter().enumerate() {
            let answer = client.ask("POST", RECORDS, &[kind], body).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let dlsn = |slot: usize| json!({"dlsn": format!("1,{entry},{slot}")});
            let expected = json!({
                "stream": "s", "records": 3, "written": 3,
                "results": [dlsn(0), dlsn(1), dlsn(2)],
            });
            assert_eq!(answer.json(), expected, "{kind}");
        }
        let stored = store.records("s");
        let payloads: Vec<&[u8]> = stored.iter().map(|(_, payload)| &**payload).collect();
        assert_eq!(payloads, [records, records, behind, behind].concat());
    }
}

#[tokio::test]
async fn a_record_that_is_too_large_has_an_error_and_those_behind_it_are_not_written() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let large = vec![b'x'; crate::MAX_RECORD_BYTES + 1];
    let body = prefixed(&[b"first", &large, b"third"]);
    let answer = client.ask("POST", RECORDS, &[PREFIXED], body).await;
    let found = answer.json();
    assert_eq!(
        (&found["records"], &found["written"], &found["results"][0]),
        (&json!(3), &json!(1), &json!({"dlsn": "1,0,0"}))
    );
    let error = |index: usize| found["results"][index]["error"].clone();
    assert_eq!(
        (&error(1)["name"], &error(1)["known"]),
        (&json!("TOO_LARGE_RECORD"), &json!("rejected"))
    );
    assert_eq!(error(2)["name"], "WRITE_CANCELLED_EXCEPTION");
    assert_eq!(store.records("s").len(), 1);
    documented(&found);
}

#[tokio::test]
async fn the_parts_of_a_large_body_fail_by_themselves() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    assert_eq!(client.write("s", b"before").await.status, 200);
    let record = vec![b'x'; 600 << 10];
    store.fail_next_append(StoreError::Io {
        path: "disk".to_owned(),
        detail: "it is gone".to_owned(),
    });
    let body = prefixed(&[&record, &record]);
    let found = client.ask("POST", RECORDS, &[PREFIXED], body).await.json();
    documented(&found);
    let results = found["results"].as_array().expect("results");
    let failed = results.iter().filter(|it| it.get("error").is_some());
    let failed: Vec<&Value> = failed.collect();
    assert!(!failed.is_empty(), "{found}");
    assert!(
        failed.iter().all(|it| it["error"]["known"].is_string()),
        "{found}"
    );
    // If all fail for one reason, the problem is the response.
    for _ in 0..2 {
        store.fail_next_append(StoreError::Io {
            path: "disk".to_owned(),
            detail: "it is gone".to_owned(),
        });
    }
    let answer = client.ask("POST", RECORDS, &[LINES], "a\nb").await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    assert!(answer.problem().ends_with(", unknown"), "{answer:?}");
}

/// Checks an answer against the schema of the documentation.
fn documented(answer: &Value) {
    let document: Value = serde_json::from_str(openapi::document()).expect("JSON");
    let mut schema = document["components"]["schemas"]["BatchWritten"].clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<String> = validator
        .iter_errors(answer)
        .map(|it| it.to_string())
        .collect();
    assert!(errors.is_empty(), "{answer:#} {errors:?}");
}

#[tokio::test]
async fn what_cannot_be_split_or_is_too_much_is_refused_before_anything_is_written() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let mut cut = prefixed(&[b"whole", b"cut off"]);
    cut.truncate(cut.len() - 1);
    let mut length = prefixed(&[b"whole"]);
    length.extend_from_slice(&[0, 0, 0]);
    let many = vec![0; 4 * 4097];
    for (kind, body, said) in [
        (PREFIXED, cut, "the record with index 1 is cut off"),
        (PREFIXED, length, "the record with index 1 is cut off"),
        (
            PREFIXED,
            vec![0xff; 4],
            "the record with index 0 is cut off",
        ),
        (PREFIXED, many, "more than 4096 records"),
        (PREFIXED, Vec::new(), "no record"),
        (LINES, b"\n\r\n\n".to_vec(), "no record"),
        (LINES, b"x\n".repeat(4097), "more than 4096 records"),
    ] {
        let answer = client.ask("POST", RECORDS, &[kind], body).await;
        assert_eq!(answer.problem(), "400 BAD_REQUEST, rejected", "{said}");
        assert!(answer.detail().contains(said), "{answer:?}");
    }
    // Announced or not.
    let large = vec![b'x'; (4 << 20) + 1];
    let pieces = large.chunks(64 << 10).map(Bytes::copy_from_slice);
    let pieces: Vec<_> = pieces.map(Ok::<_, String>).collect();
    let unannounced = Body::from_stream(stream::iter(pieces));
    for body in [Body::from(large), unannounced] {
        let answer = client.ask("POST", RECORDS, &[LINES], body).await;
        assert_eq!(answer.problem(), "413 TOO_LARGE_RECORD 413, rejected");
        assert!(answer.detail().contains("4194304"), "{answer:?}");
    }
    assert_eq!(store.appends(), 0);
}

#[tokio::test]
async fn the_headers_of_an_append_hold_for_several_records() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let right = format!("dlog-crc32: {:08x}", crc::write("s", b"a\nb"));
    let wrong = "dlog-crc32: 00000000";
    let refused = client.ask("POST", RECORDS, &[LINES, wrong], "a\nb").await;
    assert_eq!(refused.problem(), "400 CHECKSUM_FAILED 523, not_written");
    assert_eq!(store.appends(), 0);
    let attempt = "dlog-attempt: 2";
    let headers = [LINES, &right, attempt];
    let written = client.ask("POST", RECORDS, &headers, "a\nb").await;
    assert_eq!(written.json()["written"], 2);
    assert_eq!(metric(&client, "dlog_proxy_repeated_total").await, 1.0);
    let late = "dlog-timeout-ms: 0";
    let late = client.ask("POST", RECORDS, &[LINES, late], "a\nb").await;
    assert_eq!(late.problem(), "504 NOT_STARTED, not_written");
    let invalid = "/v1/streams/a%20b/records";
    let refused = client.ask("POST", invalid, &[LINES], "a\nb").await;
    assert!(refused.problem().contains("INVALID_STREAM_NAME"));
}
