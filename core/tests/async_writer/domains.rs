//! Failure domains that the transport knows (R22).

use distributedlog::{FailureDomain, StreamIndex};
use distributedlog_testkit::Faults;

use crate::{ms, single, stage};

#[test]
fn the_writer_learns_a_streams_failure_domain_from_the_transport_and_follows_it() {
    let settings = single().wait_out_stalls(true).build().unwrap();
    let mut stage = stage(settings, 2, 1);
    let (writer, streams) = (stage.writer.clone(), stage.streams.clone());
    let stream = StreamIndex(1);
    let mut known_after_a_round = || {
        for _ in 0..2 {
            stage.executor.run(writer.write(b"record")).unwrap();
        }
        writer.stream_status(stream).unwrap().failure_domain
    };
    assert_eq!(known_after_a_round(), None);
    for name in ["disk-1", "disk-2"] {
        let domain = FailureDomain::of(name);
        streams.set_failure_domain(stream, domain);
        assert_eq!(known_after_a_round(), Some(domain));
    }
}

#[test]
fn a_stalled_stream_is_overtaken_by_one_of_another_failure_domain() {
    let hedges = single()
        .wait_out_stalls(true)
        .first_speculative_timeout(ms(50))
        .build()
        .unwrap();
    let mut stage = stage(hedges, 6, 3);
    let writer = stage.writer.clone();
    // Five streams of a store, and one of another.
    let (stalls, other) = (FailureDomain::of("disk-1"), StreamIndex(4));
    for stream in (0..6).map(StreamIndex).filter(|stream| *stream != other) {
        stage.streams.set_failure_domain(stream, stalls);
    }
    for _ in 0..6 {
        stage.executor.run(writer.write(b"record")).unwrap();
    }
    for stream in (0..6).map(StreamIndex).filter(|stream| *stream != other) {
        stage.faults.set(stream, Faults::stalled());
    }
    for _ in 0..12 {
        let written = stage.executor.run(writer.write(b"record")).unwrap();
        assert_eq!(written.stream, other);
    }
    let counters = writer.counters();
    assert_eq!((counters.hedges_sent, counters.hedges_won), (10, 10));
}
