//! Records of a set that are taken at once.

use core::num::NonZeroUsize;

use distributedlog::Dlsn;
use distributedlog_reader::{MultiStreamReader, ReadFrom, StreamRun};

use crate::kit::{SOURCES, STEP, Stack, name, plain, rest, set, take};

const ALL: NonZeroUsize = NonZeroUsize::MAX;

fn most(records: usize) -> NonZeroUsize {
    NonZeroUsize::new(records).expect("not zero")
}

fn texts(it: &StreamRun) -> Vec<String> {
    let payloads = it.run.iter().map(|(_, payload)| payload);
    let texts = payloads.map(|payload| String::from_utf8_lossy(payload).into_owned());
    texts.collect()
}

async fn next(reader: &mut MultiStreamReader, most: NonZeroUsize) -> Option<StreamRun> {
    let next = tokio::time::timeout(STEP, reader.next_run(most)).await;
    let next = next.unwrap_or_else(|_| panic!("nothing came: {:?}", reader.stats()));
    next.map(|it| it.expect("it is read"))
}

/// Two streams with sets, records alone, an entry of both, a damaged set, and duplicates.
async fn mixed() -> Stack {
    let stack = Stack::start().await;
    let mut damaged = set("damaged", 2, 7, 100);
    damaged.payload.truncate(20);
    stack.put("a", 0, set("one", 3, 7, 1));
    stack.put("a", 1, plain("alone"));
    let both = vec![plain("beside"), set("two", 2, 7, 2)];
    stack.store.put(&name("a"), Dlsn::new(1, 2, 0), both);
    stack.put("a", 3, damaged);
    stack.put("a", 4, set("three", 4, 7, 3));
    stack.put("b", 0, set("four", 2, 7, 4));
    stack.put("b", 1, set("one", 3, 7, 1));
    stack.put("b", 2, set("three", 4, 7, 3));
    stack.put("b", 3, set("two", 2, 7, 2));
    stack.put("b", 4, set("five", 5, 7, 5));
    stack
}

#[tokio::test]
async fn runs_have_the_records_that_are_delivered_one_by_one() {
    for source in SOURCES {
        let stack = mixed().await;
        let reader = || stack.reader(source, &["a", "b"]).follow(false);
        let mut one_by_one = reader().build().expect("valid");
        let (mut expected, end) = rest(&mut one_by_one).await;
        expected.sort();
        assert_eq!((expected.len(), end), (18, None), "{source}");
        for limit in [1, 2, 3, usize::MAX] {
            let mut reader = reader().build().expect("valid");
            let (mut found, mut longest) = (Vec::new(), 0);
            while let Some(it) = next(&mut reader, most(limit)).await {
                assert_eq!(texts(&it).len(), it.run.len());
                let begins = it.run.iter().next().expect("it is not empty").0;
                assert!(begins >= it.run.dlsn && it.run.last() >= begins);
                longest = longest.max(it.run.len());
                found.extend(texts(&it));
            }
            found.sort();
            assert_eq!(found, expected, "{source}, {limit}");
            assert!(longest <= limit, "{source}: {longest} of {limit}");
            // Lines have no sets.
            assert!(source == "lines" || limit < 5 || longest > 1, "{source}");
            let (stats, of_one) = (reader.stats(), one_by_one.stats());
            assert_eq!(stats.malformed, 1, "{source}");
            assert_eq!(stats.merge, of_one.merge, "{source}, {limit}");
            let streams = |reader: &MultiStreamReader| {
                let json = reader.position().to_json();
                json.split_once("\"seen\"")
                    .expect("it is there")
                    .0
                    .to_owned()
            };
            assert_eq!(streams(&reader), streams(&one_by_one), "{source}, {limit}");
        }
    }
}

#[tokio::test]
async fn a_reader_resumes_behind_each_run() {
    for source in SOURCES {
        let stack = mixed().await;
        let reader = || stack.reader(source, &["a", "b"]).follow(false);
        let mut expected = rest(&mut reader().build().expect("valid")).await.0;
        expected.sort();
        for runs in 0..expected.len() {
            let mut first = reader().build().expect("valid");
            let mut found = Vec::new();
            for _ in 0..runs {
                if let Some(it) = next(&mut first, most(4)).await {
                    found.extend(texts(&it));
                }
            }
            let resumed = reader().position(first.position()).build();
            found.extend(rest(&mut resumed.expect("valid")).await.0);
            found.sort();
            assert_eq!(found, expected, "{source}, after {runs}");
        }
    }
}

#[tokio::test]
async fn of_a_set_that_was_delivered_in_part_a_run_has_the_rest() {
    for source in ["http", "store"] {
        let stack = Stack::start().await;
        stack.put("a", 0, set("parted", 3, 7, 1));
        for (entry, label) in [(0, "one"), (1, "parted"), (2, "two")] {
            let sequence = [9, 1, 8][usize::try_from(entry).expect("small")];
            stack.put("b", entry, set(label, 3, 7, sequence));
        }
        let start = ReadFrom::Position(Dlsn::new(1, 0, 1));
        let reader = stack.reader(source, &["a"]).stream_from("a", start);
        let mut reader = reader.build().expect("valid");
        assert_eq!(take(&mut reader, 2).await, ["parted.1", "parted.2"]);
        let reader = stack
            .reader(source, &["a", "b"])
            .position(reader.position());
        let mut reader = reader.follow(false).build().expect("valid");
        let mut parted = None;
        let mut found = Vec::new();
        while let Some(it) = next(&mut reader, ALL).await {
            found.extend(texts(&it));
            if texts(&it) == ["parted.0"] {
                parted = Some(it);
            }
        }
        assert_eq!(found.len(), 7, "{source}: {found:?}");
        let parted = parted.expect("it came").run;
        let positions: Vec<Dlsn> = parted.iter().map(|(dlsn, _)| dlsn).collect();
        assert_eq!(positions, [Dlsn::new(1, 1, 0)], "{source}");
        // Over a connection the set may have come in pieces, record by record.
        if source == "store" {
            assert_eq!((parted.len(), parted.last()), (1, Dlsn::new(1, 1, 2)));
        }
        let merge = reader.stats().merge;
        assert_eq!((merge.delivered, merge.duplicates_dropped), (7, 2));
    }
}
