//! Positions: saved, resumed over the other source, and refused where they do not belong.

use distributedlog::Dlsn;
use distributedlog_reader::{MergeSettings, MultiReader, ReadError, ReaderPosition};
use distributedlog_store::LogStore;
use distributedlog_testkit::Random;

use crate::kit::{SOURCES, Stack, name, plain, rest, set, take};

#[tokio::test]
async fn a_reader_resumes_where_another_stopped_over_any_source_and_at_any_record() {
    let stack = Stack::start().await;
    let mut entries = [0; 3];
    let mut random = Random::new(3);
    let mut expected = Vec::new();
    for sequence in 0..60 {
        let records = 1 + u32::try_from(random.index(4)).expect("small");
        for _ in 0..=random.index(3) {
            let stream = random.index(3);
            let set = set(&format!("{sequence}"), records, 1, sequence);
            stack.put(&format!("s-{stream}"), entries[stream], set);
            entries[stream] += 1;
        }
        expected.extend((0..records).map(|slot| format!("{sequence}.{slot}")));
    }
    expected.sort();
    for first in SOURCES {
        let (mut texts, mut saved) = (Vec::new(), None::<String>);
        let (mut source, mut other) = (first, SOURCES[usize::from(first == SOURCES[0])]);
        // A few records of each, over one source and the other in turns.
        while texts.len() < expected.len() {
            let position = saved.map(|json| ReaderPosition::from_json(&json).expect("just saved"));
            let mut reader = stack
                .reader(source, &["s-0", "s-1", "s-2"])
                .position(position)
                .build()
                .expect("valid");
            let count = (1 + random.index(9)).min(expected.len() - texts.len());
            texts.extend(take(&mut reader, count).await);
            saved = Some(reader.position().to_json());
            core::mem::swap(&mut source, &mut other);
        }
        texts.sort();
        assert_eq!(texts, expected, "first over {first}");
        let json = saved.expect("it was saved");
        for source in SOURCES {
            let position = ReaderPosition::from_json(&json).expect("just saved");
            let builder = stack.reader(source, &["s-0", "s-1", "s-2"]);
            let mut reader = builder
                .position(position)
                .follow(false)
                .build()
                .expect("valid");
            assert_eq!(rest(&mut reader).await, (vec![], None), "{source}");
        }
    }
}

#[tokio::test]
async fn the_streams_of_a_position_are_read_without_being_named() {
    for source in SOURCES {
        let stack = Stack::start().await;
        stack.put("a", 0, plain("1"));
        let mut reader = stack.reader(source, &["a"]).build().expect("valid");
        take(&mut reader, 1).await;
        stack.put("a", 1, plain("2"));
        let mut reader = distributedlog_reader::MultiStreamReader::builder(stack.source(source))
            .position(reader.position())
            .build()
            .expect("valid");
        assert_eq!(take(&mut reader, 1).await, ["2"], "{source}");
    }
}

#[tokio::test]
async fn a_stream_that_was_created_again_is_an_error_until_it_is_removed_from_the_position() {
    for source in SOURCES {
        let stack = Stack::start().await;
        stack.put("a", 0, plain("old"));
        stack.put("a", 1, plain("older"));
        let mut before = stack.reader(source, &["a"]).build().expect("valid");
        take(&mut before, 1).await;
        let mut position = before.position();
        take(&mut before, 1).await;
        stack.store.delete(&name("a")).await.expect("it is there");
        stack.put("a", 0, plain("new"));
        // Both the reader that resumes and the one that read meanwhile.
        let builder = stack.reader(source, &["a"]).position(position.clone());
        let mut resumed = builder.build().expect("valid");
        for reader in [&mut before, &mut resumed] {
            let (texts, end) = rest(reader).await;
            assert!(texts.is_empty(), "{source}");
            assert!(
                matches!(&end, Some(ReadError::Recreated { stream, .. }) if stream == "a"),
                "{source}: {end:?}"
            );
        }
        position.remove("a");
        let builder = stack.reader(source, &["a"]).position(position);
        let mut reader = builder.follow(false).build().expect("valid");
        assert_eq!(rest(&mut reader).await.0, ["new"], "{source}");
    }
}

#[tokio::test]
async fn a_position_beyond_the_end_is_an_error() {
    for source in SOURCES {
        let stack = Stack::start().await;
        stack.put("a", 0, plain("1"));
        let json = r#"{"format":1,"streams":{"a":{"after":"1,7,0"}},"seen":""}"#;
        let position = ReaderPosition::from_json(json).expect("a position");
        let builder = stack.reader(source, &["a"]).position(position);
        let (texts, end) = rest(&mut builder.build().expect("valid")).await;
        assert!(texts.is_empty());
        assert!(
            matches!(&end, Some(ReadError::PositionBeyondEnd { stream, .. }) if stream == "a"),
            "{source}: {end:?}"
        );
    }
}

#[tokio::test]
async fn a_position_of_the_reader_of_a_store_is_taken_over() {
    for source in SOURCES {
        let stack = Stack::start().await;
        stack.put("a", 0, set("0", 2, 1, 0));
        stack.put("a", 1, set("1", 2, 1, 1));
        stack.put("b", 0, set("0", 2, 1, 0));
        let store: std::sync::Arc<dyn LogStore> = stack.store.clone();
        let starts = ["a", "b"].map(|stream| (name(stream), Dlsn::INITIAL));
        let mut lower = MultiReader::new(&store, starts, MergeSettings::default());
        for _ in 0..3 {
            lower.next().await.expect("no end").expect("no error");
        }
        let mut reader = stack
            .reader(source, &["a", "b"])
            .position(ReaderPosition::from(&lower.position()))
            .follow(false)
            .build()
            .expect("valid");
        assert_eq!(rest(&mut reader).await.0, ["1.1"], "{source}");
    }
}
