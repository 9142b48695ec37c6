//! What holds over each source.

use core::time::Duration;
use std::time::SystemTime;

use distributedlog::Dlsn;
use distributedlog_reader::{FaultKind, MergeSettings, ReadError, ReadFrom};
use distributedlog_store::LogStore;
use distributedlog_testkit::Random;
use distributedlog_testkit::store::PUT_UNIX_MS;

use crate::kit::{Faults, SOURCES, Stack, name, next, plain, rest, set, take, text, until};

/// Three streams with ten sets of two records, each of them in two of the streams.
async fn duplicated() -> (Stack, Vec<String>) {
    let stack = Stack::start().await;
    let mut entries = [0; 3];
    let mut expected = Vec::new();
    for sequence in 0..10 {
        for copy in [0, 1] {
            let stream = (sequence as usize + copy) % 3;
            let set = set(&format!("set-{sequence}"), 2, 7, sequence);
            stack.put(&format!("s-{stream}"), entries[stream], set);
            entries[stream] += 1;
        }
        expected.extend((0..2).map(|slot| format!("set-{sequence}.{slot}")));
    }
    (stack, expected)
}

const STREAMS: [&str; 3] = ["s-0", "s-1", "s-2"];

#[tokio::test]
async fn each_record_is_delivered_once_and_the_end_is_no_error() {
    for source in SOURCES {
        let (stack, mut expected) = duplicated().await;
        let mut reader = stack
            .reader(source, &STREAMS)
            .follow(false)
            .build()
            .expect("valid");
        let (mut texts, end) = rest(&mut reader).await;
        texts.sort();
        expected.sort();
        assert_eq!((texts, end), (expected, None), "{source}");
        let stats = reader.stats();
        assert_eq!(
            (stats.merge.delivered, stats.merge.duplicates_dropped),
            (20, 20)
        );
        assert!(
            stats
                .streams
                .iter()
                .all(|stream| stream.ended && stream.caught_up)
        );
    }
}

#[tokio::test]
async fn without_merging_duplicates_are_delivered_too_and_the_memory_of_sets_is_kept() {
    for source in SOURCES {
        let (stack, _) = duplicated().await;
        let mut merged = stack.reader(source, &STREAMS).build().expect("valid");
        take(&mut merged, 20).await;
        let position = merged.position();
        let mut reader = stack
            .reader(source, &STREAMS)
            .merge(None::<MergeSettings>)
            .position(position.clone())
            .follow(false)
            .build()
            .expect("valid");
        rest(&mut reader).await;
        let seen = |json: String| {
            json.split_once("\"seen\":")
                .expect("it is there")
                .1
                .to_owned()
        };
        assert_eq!(seen(reader.position().to_json()), seen(position.to_json()));
        let mut reader = stack
            .reader(source, &STREAMS)
            .merge(None::<MergeSettings>)
            .follow(false)
            .build()
            .expect("valid");
        assert_eq!(rest(&mut reader).await.0.len(), 40, "{source}");
    }
}

#[tokio::test]
async fn a_missing_stream_is_an_error_after_the_others_were_read() {
    for source in SOURCES {
        let stack = Stack::start().await;
        stack.put("a", 0, plain("1"));
        stack.put("b", 0, plain("2"));
        let faults = Faults::default();
        let mut reader = stack
            .reader(source, &["missing-1", "a", "missing-2", "b"])
            .follow(false)
            .on_fault(faults.callback())
            .build()
            .expect("valid");
        let (mut texts, end) = rest(&mut reader).await;
        texts.sort();
        assert_eq!(texts, ["1", "2"], "{source}");
        let Some(ReadError::Incomplete { unread }) = end else {
            panic!("{source}: {end:?}")
        };
        let named: Vec<_> = unread
            .iter()
            .map(|fault| (&*fault.stream, fault.kind))
            .collect();
        let missing = FaultKind::Missing;
        assert_eq!(named, [("missing-1", missing), ("missing-2", missing)]);
        assert_eq!(faults.kinds(), [missing, missing]);
    }
}

#[tokio::test]
async fn a_reader_that_follows_waits_for_a_stream_and_for_records() {
    for source in SOURCES {
        let stack = Stack::start().await;
        stack.put("a", 0, plain("1"));
        let faults = Faults::default();
        let mut reader = stack
            .reader(source, &["a", "later"])
            .on_fault(faults.callback())
            .build()
            .expect("valid");
        assert_eq!(take(&mut reader, 1).await, ["1"]);
        until(&mut reader, |_| faults.kinds().len() > 1).await;
        assert_eq!(faults.kinds()[0], FaultKind::Missing, "{source}");
        stack.put("later", 0, plain("2"));
        assert_eq!(take(&mut reader, 1).await, ["2"]);
        stack.put("a", 1, plain("3"));
        assert_eq!(take(&mut reader, 1).await, ["3"], "{source}");
    }
}

#[tokio::test]
async fn reading_starts_at_the_start_the_end_a_position_or_a_time() {
    for source in SOURCES {
        let stack = Stack::start().await;
        for entry in 0..3 {
            stack.put("a", entry, plain(format!("{entry}")));
        }
        let written = SystemTime::UNIX_EPOCH + Duration::from_millis(PUT_UNIX_MS);
        let hour = Duration::from_secs(3600);
        for (from, expected) in [
            (ReadFrom::Start, vec!["0", "1", "2"]),
            (ReadFrom::End, vec![]),
            (ReadFrom::Position(Dlsn::new(1, 1, 0)), vec!["1", "2"]),
            (ReadFrom::Time(SystemTime::UNIX_EPOCH), vec!["0", "1", "2"]),
            (ReadFrom::Time(written), vec!["0", "1", "2"]),
            (ReadFrom::Time(written + hour), vec![]),
        ] {
            let builder = stack.reader(source, &["a"]).follow(false);
            let mut reader = builder.from(from).build().expect("valid");
            let read = rest(&mut reader).await;
            assert_eq!(read.0, expected, "{source} {from:?}: {:?}", read.1);
            // Also of one stream alone.
            let builder = stack.reader(source, &["a"]).follow(false);
            let builder = builder.from(ReadFrom::End).stream_from("a", from);
            let mut reader = builder.build().expect("valid");
            assert_eq!(rest(&mut reader).await.0, expected, "{source} {from:?}");
        }
    }
}

#[tokio::test]
async fn a_damaged_set_is_reported_and_skipped() {
    for source in SOURCES {
        let stack = Stack::start().await;
        let mut damaged = set("lost", 3, 1, 0);
        damaged.payload = damaged.payload.slice(..damaged.payload.len() - 60);
        stack.put("a", 0, plain("1"));
        stack.put("a", 1, damaged);
        stack.put("a", 2, plain("2"));
        let faults = Faults::default();
        let mut reader = stack
            .reader(source, &["a"])
            .follow(false)
            .on_fault(faults.callback())
            .build()
            .expect("valid");
        assert_eq!(
            rest(&mut reader).await,
            (vec!["1".into(), "2".into()], None)
        );
        let dlsn = Dlsn::new(1, 1, 0);
        assert_eq!(faults.kinds(), [FaultKind::Malformed { dlsn, slots: 3 }]);
        assert_eq!(reader.stats().malformed, 1, "{source}");
    }
}

#[tokio::test]
async fn a_deleted_stream_is_dropped_by_a_reader_that_follows_and_an_error_otherwise() {
    for source in SOURCES {
        let stack = Stack::start().await;
        stack.put("a", 0, plain("1"));
        stack.create("b").await;
        let faults = Faults::default();
        let mut reader = stack
            .reader(source, &["a", "b"])
            .on_fault(faults.callback())
            .build()
            .expect("valid");
        assert_eq!(take(&mut reader, 1).await, ["1"]);
        stack.store.delete(&name("a")).await.expect("it is there");
        until(&mut reader, |_| !faults.kinds().is_empty()).await;
        assert_eq!(faults.kinds(), [FaultKind::Deleted], "{source}");
        stack.put("b", 0, plain("2"));
        assert_eq!(take(&mut reader, 1).await, ["2"], "{source}");
        stack.store.delete(&name("b")).await.expect("it is there");
        assert_eq!(next(&mut reader).await, None, "{source}: nothing is left");
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_ends_a_reader_that_gives_up() {
    for source in SOURCES {
        let stack = Stack::start().await;
        stack.put("a", 0, plain("1"));
        stack.put("b", 0, plain("2"));
        // Of which stream does not matter.
        stack
            .store
            .fail_next_read(distributedlog_store::StoreError::Corrupt {
                path: "volume".to_owned(),
                detail: "damaged".to_owned(),
            });
        let mut reader = stack
            .reader(source, &["a", "b"])
            .follow(false)
            .give_up_after(Some(Duration::ZERO))
            .build()
            .expect("valid");
        let (texts, end) = rest(&mut reader).await;
        assert_eq!(texts.len(), 1, "{source}: the other was read");
        let error = end.expect("an error").to_string();
        assert!(
            error.contains("cannot be read") && error.contains("damaged"),
            "{source}: {error}"
        );
        // A reader that tries again reads both.
        let builder = stack.reader(source, &["a", "b"]).follow(false);
        let mut reader = builder.build().expect("valid");
        assert_eq!(rest(&mut reader).await.0.len(), 2, "{source}");
    }
}

#[tokio::test]
async fn futures_that_are_dropped_lose_nothing() {
    for source in SOURCES {
        for seed in 1..=20 {
            let (stack, mut expected) = duplicated().await;
            let mut random = Random::new(seed);
            let mut reader = stack
                .reader(source, &STREAMS)
                .follow(false)
                .build()
                .expect("valid");
            let mut texts = Vec::new();
            loop {
                // Dropped after none, one or a few turns of the runtime.
                let turns = random.index(4);
                let given_up = async {
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                };
                let next = tokio::select! {
                    biased;
                    () = given_up => continue,
                    next = reader.next() => next,
                };
                match next {
                    Some(Ok(record)) => texts.push(text(&record)),
                    Some(Err(error)) => panic!("{error}"),
                    None => break,
                }
            }
            texts.sort();
            expected.sort();
            assert_eq!(texts, expected, "{source}, seed {seed}");
        }
    }
}

#[tokio::test]
async fn the_lag_is_counted_in_entries_and_time_and_a_reader_at_the_end_has_none() {
    for source in SOURCES {
        let stack = Stack::start().await;
        for entry in 0..5 {
            stack.put("a", entry, plain(format!("{entry}")));
        }
        stack.create("empty").await;
        let mut reader = stack
            .reader(source, &["a", "empty"])
            .build()
            .expect("valid");
        let lag = reader.lag().await;
        assert_eq!(
            (lag[0].entries, lag[0].behind),
            (None, None),
            "{source}: not begun"
        );
        take(&mut reader, 2).await;
        let lag = reader.lag().await;
        assert_eq!(lag[0].entries, Some(3), "{source}: {lag:?}");
        assert!(lag[0].behind.is_some(), "{source}: {lag:?}");
        assert!(!reader.stats().streams[0].caught_up);
        take(&mut reader, 3).await;
        until(&mut reader, |reader| {
            let stats = reader.stats();
            stats.streams.iter().all(|stream| stream.caught_up)
        })
        .await;
        let lag = reader.lag().await;
        for lag in &lag {
            let measured = (lag.entries, lag.behind, lag.error.as_deref());
            assert_eq!(measured, (Some(0), Some(Duration::ZERO), None), "{source}");
        }
        let stats = reader.stats();
        let now = SystemTime::now();
        assert_eq!(stats.streams[0].lag_at(now), Some(Duration::ZERO));
        // What another task awaits does not hold the reader.
        let later = tokio::spawn(reader.lag());
        stack.store.delete(&name("a")).await.expect("it is there");
        assert!(later.await.expect("no panic").len() == 2);
        assert!(reader.lag().await[0].error.is_some(), "{source}");
    }
}
