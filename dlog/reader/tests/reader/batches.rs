//! Batches, which an application commits together with the position behind them.

use core::num::NonZeroUsize;

use distributedlog_reader::{FaultKind, ReadError};

use crate::kit::{SOURCES, Stack, plain, rest, take, text};

fn most(records: usize) -> NonZeroUsize {
    NonZeroUsize::new(records).expect("not zero")
}

#[tokio::test]
async fn a_batch_has_what_is_there_and_the_position_behind_it() {
    for source in SOURCES {
        let stack = Stack::start().await;
        for entry in 0..10 {
            stack.put("a", entry, plain(format!("{entry}")));
        }
        let mut reader = stack
            .reader(source, &["a"])
            .follow(false)
            .build()
            .expect("valid");
        let batch = reader.next_batch(most(4)).await.expect("no error");
        let batch = batch.expect("records");
        assert_eq!(batch.records.len(), 4, "{source}");
        let mut resumed = stack
            .reader(source, &["a"])
            .position(batch.position)
            .build()
            .expect("valid");
        assert_eq!(take(&mut resumed, 6).await[0], "4", "{source}");
        let mut left = Vec::new();
        while let Some(batch) = reader.next_batch(most(100)).await.expect("no error") {
            assert!(!batch.records.is_empty());
            left.extend(batch.records.iter().map(text));
        }
        assert_eq!(left, ["4", "5", "6", "7", "8", "9"], "{source}");
    }
}

#[tokio::test]
async fn the_records_before_an_error_are_a_batch_of_their_own() {
    for source in SOURCES {
        let stack = Stack::start().await;
        stack.put("a", 0, plain("1"));
        let mut reader = stack
            .reader(source, &["a", "missing"])
            .follow(false)
            .build()
            .expect("valid");
        let batch = reader.next_batch(most(100)).await.expect("no error");
        assert_eq!(batch.expect("records").records.len(), 1, "{source}");
        let error = reader.next_batch(most(100)).await.expect_err("a stream");
        let ReadError::Incomplete { unread } = error else {
            panic!("{source}: {error}")
        };
        assert_eq!(unread[0].kind, FaultKind::Missing);
        assert_eq!(reader.next_batch(most(1)).await, Ok(None));
        assert_eq!(rest(&mut reader).await, (vec![], None));
    }
}
