use serde::Deserialize as _;
use serde_json::json;

use super::snapshot::{Overview, OverviewBody, StreamBody, StreamRow};
use super::*;

fn snapshot() -> Snapshot {
    let overview = json!({
        "proxy": {"shard": 1, "address": "127.0.0.1:8000"}, "ready": true,
        "streams": {"total": 9, "owned": 2},
        "requests": {"unanswered": 3, "duplicates_answered": 5, "connections": 40},
        "writes": {
            "first": {"written": 90, "p50_us": 460, "p99_us": 1_800},
            "repeated": {"written": 10, "p50_us": 460, "p99_us": 2_000},
        },
        "history": [{"writes_per_s": 93.1, "bytes_per_s": 4_500.0}],
        "errors": [{"kind": "OVER_CAPACITY", "count": 3, "message": "\u{1b}[2J full"}],
    });
    let stream = json!({
        "stream": "orders", "bytes": 11_700, "records": 600, "last_ms": null,
        "owner": {"shard": 1, "address": "127.0.0.1:8000"},
        "write_rate": {"records_per_s": 20.0, "bytes_per_s": 390.0},
    });
    let body = OverviewBody::deserialize(&overview).expect("an overview");
    let overview = Overview {
        body,
        json: overview,
    };
    let body = StreamBody::deserialize(&stream).expect("a stream");
    Snapshot {
        proxies: vec![
            ProxyState::Answered(Box::new(overview)),
            ProxyState::Failed {
                url: "http://h:1".to_owned(),
                why: "refused".to_owned(),
            },
        ],
        streams: vec![StreamRow { body, json: stream }],
        total: 9,
        note: None,
    }
}

#[test]
fn proxies_errors_and_streams_stand_one_below_the_other() {
    let lines = view::lines(&snapshot(), Sort::Rate, 40);
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let proxy = words(&lines[1]).join(" ");
    assert_eq!(
        proxy,
        "127.0.0.1:8000 ready 2 93.1 4.50 kB 0.46 ms 1.80 ms 10.0 % 2.00 ms 5 3 40"
    );
    assert_eq!(lines[2], "http://h:1      refused");
    assert!(lines[3].contains("3 of OVER_CAPACITY"), "{}", lines[3]);
    assert!(!lines.concat().contains('\u{1b}'), "{lines:?}");
    let stream = words(&lines[6]).join(" ");
    assert_eq!(stream, "orders 20 390 B 600 11.7 kB - 127.0.0.1:8000");
    assert_eq!(lines[7], "and 8 more");
}

#[test]
fn programs_get_what_the_proxies_said() {
    let text = serde_json::to_value(json(&snapshot())).expect("it serializes");
    assert_eq!(text["proxies"][0]["history"][0]["writes_per_s"], 93.1);
    assert_eq!(text["streams"][0]["stream"], "orders");
}

#[test]
fn it_fails_only_if_no_proxy_answers() {
    let mut snapshot = snapshot();
    assert!(snapshot.all_failed().is_none());
    snapshot.proxies.remove(0);
    let error = snapshot.all_failed().expect("none answers");
    assert!(error.to_string().contains("http://h:1: refused"), "{error}");
}
