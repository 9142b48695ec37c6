//! The memory of a reader whose application takes no records, and its connections.

use core::time::Duration;

use crate::kit::{SOURCES, STEP, Stack, plain, settings, take};

const RECORD_BYTES: usize = 5_000;
const RECORDS: usize = 4_000;

/// Two streams of 20 MB each.
async fn full() -> Stack {
    // A proxy that closes a connection which takes nothing for 0.3 s.
    let stack = Stack::start_with(settings().write_timeout(Duration::from_millis(300))).await;
    for stream in ["a", "b"] {
        for entry in 0..RECORDS {
            let payload = vec![u8::try_from(entry % 128).expect("small"); RECORD_BYTES];
            stack.put(stream, i64::try_from(entry).expect("small"), plain(payload));
        }
    }
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_takes_no_records_stops_the_reader_within_its_bounds() {
    for source in SOURCES {
        let stack = full().await;
        let buffer = 256 << 10;
        let mut reader = stack
            .reader(source, &["a", "b"])
            .buffer_bytes(buffer)
            .follow(false)
            .build()
            .expect("valid");
        let mut most = 0;
        // Few enough that sockets cannot hold what is left.
        let taken = RECORDS / 10;
        for _ in 0..taken {
            take(&mut reader, 1).await;
            most = most.max(reader.stats().buffered_bytes);
        }
        // Twice, and for each stream the line of one record (4/3 of it), or one entry.
        let bound = 2 * buffer + 2 * (RECORD_BYTES * 4 / 3 + 300);
        println!("{source}: at most {most} bytes buffered");
        assert!(most > 0 && most <= bound, "{source}: {most} bytes");
        let before = reader.stats();
        if source == "http" {
            // Until the proxy has closed the connections.
            let closed = async {
                while stack.proxy.load().bytes > 0 || connections(&stack).await > 0 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(STEP, closed)
                .await
                .expect("they close");
        }
        assert_eq!(reader.stats(), before, "{source}: nothing works meanwhile");
        // It goes on where it was.
        let left = take(&mut reader, 2 * RECORDS - taken).await;
        assert!(left.iter().all(|text| text.len() == RECORD_BYTES));
        let end = tokio::time::timeout(STEP, reader.next()).await;
        assert_eq!(end.expect("it comes"), None, "{source}");
        let stats = reader.stats();
        assert_eq!(stats.merge.delivered, 2 * RECORDS as u64);
        if source == "http" {
            assert!(stats.connections > 2, "the proxy closed them: {stats:?}");
        }
    }
}

#[tokio::test]
async fn a_reader_that_is_dropped_closes_its_connections() {
    let stack = Stack::start().await;
    for stream in ["a", "b"] {
        stack.put(stream, 0, plain("1"));
    }
    let mut reader = stack.reader("http", &["a", "b"]).build().expect("valid");
    take(&mut reader, 2).await;
    assert_eq!(connections(&stack).await, 2);
    drop(reader);
    let closed = async {
        while connections(&stack).await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(STEP, closed)
        .await
        .expect("they close");
}

/// Number of reads that the proxy serves, from its metrics.
async fn connections(stack: &Stack) -> u64 {
    let address = stack.proxy.http_addr().expect("it was asked for");
    let metrics = crate::kit::get(address, "/metrics").await;
    metrics
        .lines()
        .find_map(|line| line.strip_prefix("dlog_proxy_http_readers "))
        .unwrap_or_else(|| panic!("{metrics}"))
        .parse()
        .expect("a number")
}
