//! Streams that are added and removed while the writer runs (R17).

use core::cell::Cell;

use distributedlog::StreamIndex;
use distributedlog::writer::MemberError;
use distributedlog_testkit::Faults;
use futures_lite::future::poll_once;

use crate::{single, stage};

#[test]
fn a_stream_is_registered_before_its_first_attempt_and_drained_after_its_last() {
    // The transport has three streams, of which the writer begins with two.
    let mut stage = stage(single().build().unwrap(), 3, 9);
    let writer = stage.writer.clone();
    let added = StreamIndex(1);
    writer.remove_stream(added).unwrap();
    stage.executor.run(writer.drained(added));

    let registered = Cell::new(None);
    let index = writer.add_stream(|index| registered.set(Some(index)));
    assert_eq!(index.ok(), registered.get());
    let new = registered.get().unwrap();
    assert_eq!(
        new,
        StreamIndex(3),
        "the heap grows before it uses an index again"
    );
    writer.remove_stream(new).unwrap();
    assert_eq!(writer.remove_stream(new), Err(MemberError::NotMember));

    // A stalled stream is drained when its attempt is cancelled, because another one has won.
    let stalled = StreamIndex(2);
    stage.faults.set(stalled, Faults::stalled());
    let writes: Vec<_> = (0..2)
        .map(|_| writer.try_write(b"record").unwrap())
        .collect();
    stage.executor.settle();
    assert_eq!(writer.stream_status(stalled).unwrap().outstanding, 1);
    writer.remove_stream(stalled).unwrap();
    let mut drained = Box::pin(writer.drained(stalled));
    assert!(stage.executor.run(poll_once(&mut drained)).is_none());
    for write in writes {
        stage.executor.run(write).unwrap();
    }
    stage.executor.run(drained);
    assert_eq!(writer.stream_status(stalled).unwrap().outstanding, 0);
}
