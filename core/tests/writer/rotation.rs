use std::collections::HashSet;

use distributedlog::writer::{Heap, Settings, StreamCount, Writer};
use distributedlog::{Dlsn, Instant, StreamIndex};
use distributedlog_testkit::script::check;

use crate::single;

/// Returns the streams at which `sets` sets start if each is answered at once.
fn starts(settings: Settings, streams: usize, sets: usize) -> Vec<StreamIndex> {
    let count = StreamCount::new(streams).unwrap();
    let mut writer = Writer::new(settings, count, Heap::new(&settings, count)).unwrap();
    let now = Instant::ZERO;
    (0..sets)
        .map(|_| {
            let record = writer.write(now, b"record").unwrap();
            let attempt = writer.poll_transmit(now).unwrap();
            let (id, stream) = (attempt.id, attempt.stream);
            writer.handle_finished(now, id, Ok(Dlsn::INITIAL));
            assert_eq!(writer.poll_completed(), Some(record));
            writer.take(record).unwrap().unwrap();
            stream
        })
        .collect()
}

/// Canonical for R4.
#[test]
fn over_any_window_of_n_sets_each_of_n_streams_starts_exactly_one() {
    for streams in [1, 2, 3, 5, 7, 16, 255, 256] {
        for seed in 0..5 {
            let starts = starts(single().seed(seed).build().unwrap(), streams, 3 * streams);
            for window in starts.windows(streams) {
                let different: HashSet<_> = window.iter().collect();
                assert_eq!(different.len(), streams, "{streams} streams, seed {seed}");
            }
        }
    }
}

#[test]
fn the_permutation_is_the_seeds_and_seeds_differ() {
    let with = |seed| starts(single().seed(seed).build().unwrap(), 10, 10);
    assert_eq!(with(1), with(1));
    assert_eq!((0..20).map(with).collect::<HashSet<_>>().len(), 20);
    // Shuffled evenly: over many seeds each stream comes first about as often as any other.
    let mut first = [0_u32; 5];
    for seed in 0..5_000 {
        first[usize::from(starts(single().seed(seed).build().unwrap(), 5, 1)[0].0)] += 1;
    }
    assert!(
        first.iter().all(|count| (850..1150).contains(count)),
        "{first:?}"
    );
}

#[test]
fn a_hedge_goes_to_the_next_stream_in_the_rotation_and_never_to_one_that_was_tried() {
    check(
        single().build().unwrap(),
        3,
        "
        0 write a
            start 1 on 0: a
        1 write b
            start 2 on 1: b
        2 write c
            start 3 on 2: c
        50
            start 4 on 1: a
        51
            start 5 on 2: b
        52
            start 6 on 0: c
        150
            start 7 on 2: a
        151
            start 8 on 0: b
        152
            start 9 on 1: c
        // Every stream was tried and all are outstanding: the set can only wait.
        900 answer 1
            cancel 4
            cancel 7
            done a: stream 0, 1/1/0
        901 answer 8
            cancel 2
            cancel 5
            done b: stream 0, 1/8/0
        902 answer 6
            cancel 3
            cancel 9
            done c: stream 0, 1/6/0
        ",
    );
}
