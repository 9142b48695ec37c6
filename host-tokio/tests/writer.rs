//! The multi stream writer over real connections: its machine, its runner, its transport and the
//! sockets in one task.

mod support;

use core::time::Duration;
use std::collections::HashSet;

use distributedlog::wire::record_set::{RecordSet, SetIdentity, WriterId};
use distributedlog::writer::{Identity, Reason, Settings};
use distributedlog::{Dlsn, FailureDomain, StatusCode, StreamIndex, WriteState};
use distributedlog_tokio::{BuildError, MultiStreamWriter, MultiStreamWriterBuilder};
use support::{Peer, Proxy, Received};
use tokio::task::JoinSet;

const AT: Dlsn = Dlsn::new(1, 2, 0);

fn builder(proxy: &Proxy, streams: &[&str]) -> MultiStreamWriterBuilder {
    MultiStreamWriter::builder(streams.iter().copied()).proxies(proxy.name())
}

async fn built(proxy: &Proxy, builder: MultiStreamWriterBuilder) -> (MultiStreamWriter, Peer) {
    let (writer, peer) = tokio::join!(builder.build(), proxy.accept_handshake());
    (writer.unwrap(), peer)
}

#[tokio::test]
async fn a_record_is_written_to_one_of_the_streams() {
    let proxy = Proxy::bind().await;
    let (writer, mut peer) = built(&proxy, builder(&proxy, &["a", "b", "c"])).await;
    let (written, call) = tokio::join!(writer.write(b"a record"), async {
        let call = peer.call().await;
        peer.answer_written(&call, AT).await;
        call
    });
    let written = written.unwrap();
    assert_eq!(
        (written.dlsn, &*writer.stream_name(written.stream)),
        (AT, &*call.stream)
    );
    assert!(call.is_record_set);
    let crc = distributedlog::wire::crc::write(&call.stream, &call.data);
    assert_eq!(call.crc32, Some(i64::from(crc)));
    let set = RecordSet::parse(&call.data, &mut []).unwrap();
    assert_eq!(set.records().collect::<Vec<_>>(), [b"a record"]);
    assert_eq!(
        (
            writer.counters().records_written,
            writer.client_counters().succeeded
        ),
        (1, 1)
    );
    let status = writer
        .stream_status(written.stream)
        .expect("it was written to");
    assert_eq!(
        (
            status.healthy,
            status.counters.attempts,
            status.counters.won
        ),
        (true, 1, 1)
    );
    assert_eq!(writer.stream_status(StreamIndex(3)), None);
}

/// R22: the writer hedges to another one first.
#[tokio::test]
async fn the_failure_domain_of_a_stream_is_what_the_proxy_that_owns_it_said_last() {
    let (first, second) = (Proxy::bind().await, Proxy::bind().await);
    let (writer, mut peer) = tokio::join!(builder(&first, &["a"]).build(), async {
        let mut peer = first.accept().await;
        peer.handshake_in("store-1").await;
        peer
    });
    let writer = writer.unwrap();
    let domain = || writer.stream_status(StreamIndex(0)).unwrap().failure_domain;
    assert_eq!(domain(), None, "nothing was sent there yet");
    let (written, ()) = tokio::join!(writer.write(b"one"), async {
        let call = peer.call().await;
        peer.answer_written(&call, AT).await;
    });
    written.unwrap();
    assert_eq!(domain(), Some(FailureDomain::of("store-1")));
    // The stream moves to a proxy of another store.
    let (written, mut other) = tokio::join!(writer.write(b"two"), async {
        let call = peer.call().await;
        peer.answer_found(&call, &second.location()).await;
        let mut other = second.accept().await;
        other.handshake_in("store-2").await;
        let call = other.call().await;
        other.answer_written(&call, AT).await;
        other
    });
    written.unwrap();
    let (written, ()) = tokio::join!(writer.write(b"three"), async {
        let call = other.call().await;
        other.answer_written(&call, AT).await;
    });
    written.unwrap();
    assert_eq!(domain(), Some(FailureDomain::of("store-2")));
}

/// The identity of the set of one record that a writer sends first.
async fn first_identity(
    builder: impl Fn(&Proxy) -> MultiStreamWriterBuilder,
) -> Option<SetIdentity> {
    let proxy = Proxy::bind().await;
    let (writer, mut peer) = built(&proxy, builder(&proxy)).await;
    let (written, call) = tokio::join!(writer.write(b"r"), async {
        let call = peer.call().await;
        peer.answer_written(&call, AT).await;
        call
    });
    written.unwrap();
    RecordSet::parse(&call.data, &mut []).unwrap().identity()
}

/// R12: by default each writer has an id of its own.
#[tokio::test]
async fn sets_carry_a_random_writer_id_unless_one_is_given_or_none_is_wanted() {
    let one = first_identity(|proxy| builder(proxy, &["a"]))
        .await
        .unwrap();
    let other = first_identity(|proxy| builder(proxy, &["a"]))
        .await
        .unwrap();
    assert_eq!((one.sequence, other.sequence), (0, 0));
    assert_ne!(one.writer, other.writer);
    assert_eq!(
        first_identity(|proxy| builder(proxy, &["a"]).identity(false)).await,
        None
    );
    let given = SetIdentity {
        writer: WriterId([5; 16]),
        sequence: 9,
    };
    let settings = Settings::builder()
        .original_features()
        .identity(Identity::Trailer {
            writer: given.writer,
            first_sequence: given.sequence,
        });
    assert_eq!(
        first_identity(|proxy| builder(proxy, &["a"]).settings(settings)).await,
        Some(given)
    );
}

/// R4: over any window of n sets, each of n streams starts one.
#[tokio::test]
async fn sets_go_to_the_streams_in_turn() {
    let proxy = Proxy::bind().await;
    let (writer, mut peer) = built(
        &proxy,
        builder(&proxy, &["a", "b", "c", "d", "e"]).buffer_size(0),
    )
    .await;
    let mut streams = HashSet::new();
    for _ in 0..5 {
        let (written, call) = tokio::join!(writer.write(b"r"), async {
            let call = peer.call().await;
            peer.answer_written(&call, AT).await;
            call
        });
        assert_eq!(written.unwrap().dlsn, AT);
        streams.insert(call.stream);
    }
    assert_eq!(streams.len(), 5);
}

/// R3 and R11: the first stream does not reply, the second one does, and the first attempt is
/// discarded.
#[tokio::test]
async fn a_slow_stream_is_hedged_and_the_loser_is_discarded_at_the_proxy() {
    let proxy = Proxy::bind().await;
    let (first, max, all) = (
        Duration::from_millis(20),
        Duration::from_secs(20),
        Duration::from_secs(50),
    );
    let settings = Settings::builder()
        .original_features()
        .first_speculative_timeout(first)
        .max_speculative_timeout(max)
        .request_timeout(all);
    let (writer, mut peer) = built(&proxy, builder(&proxy, &["a", "b"]).settings(settings)).await;
    let (written, ()) = tokio::join!(writer.write(b"r"), async {
        let slow = peer.call().await;
        let hedge = peer.call().await;
        assert_ne!(slow.stream, hedge.stream);
        assert_eq!(slow.data, hedge.data);
        peer.answer_written(&hedge, AT).await;
        assert_eq!(peer.receive().await, Received::Discarded(slow.tag));
    });
    assert_eq!(written.unwrap().dlsn, AT);
    assert_eq!(writer.counters().hedges_sent, 1);
}

/// R5: a transient failure moves to the next stream at once; one of the record itself ends the
/// write.
#[tokio::test]
async fn a_failed_attempt_goes_to_the_next_stream_and_a_rejected_record_to_none() {
    let proxy = Proxy::bind().await;
    let (writer, mut peer) = built(&proxy, builder(&proxy, &["a", "b"])).await;
    let (written, ()) = tokio::join!(writer.write(b"r"), async {
        let call = peer.call().await;
        peer.answer_status(&call, StatusCode::OverCapacity, "")
            .await;
        let again = peer.call().await;
        assert_ne!(call.stream, again.stream);
        peer.answer_written(&again, AT).await;
    });
    assert_eq!(written.unwrap().dlsn, AT);
    let (written, ()) = tokio::join!(writer.write(b"r"), async {
        let call = peer.call().await;
        peer.answer_status(&call, StatusCode::TooLargeRecord, "")
            .await;
    });
    let error = written.unwrap_err();
    assert_eq!(
        (error.known, error.reason, error.attempts),
        (WriteState::Rejected, Reason::Refused, 1)
    );
}

#[tokio::test]
async fn many_writers_share_one_connection() {
    let proxy = Proxy::bind().await;
    let (writer, peer) = built(&proxy, builder(&proxy, &["a", "b", "c"])).await;
    let serving = tokio::spawn(peer.serve());
    let mut tasks = JoinSet::new();
    for task in 0..16_u8 {
        let writer = writer.clone();
        tasks.spawn(async move {
            for i in 0..500_u32 {
                writer
                    .write(&[&[task], &i.to_be_bytes()[..]].concat())
                    .await
                    .unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(writer.counters().records_written, 8_000);
    writer.close().await;
    assert!(serving.await.unwrap() > 0);
}

/// R13.
#[tokio::test]
async fn closing_flushes_waits_and_ends_the_connection() {
    let proxy = Proxy::bind().await;
    let held = Settings::builder()
        .original_features()
        .flush_when_idle(false)
        .flush_interval(Duration::ZERO);
    let (writer, mut peer) = built(&proxy, builder(&proxy, &["a"]).settings(held)).await;
    let acknowledgement = writer.try_write(b"buffered").unwrap();
    let (written, closed, ()) = tokio::join!(acknowledgement, writer.close(), async {
        let call = peer.call().await;
        peer.answer_written(&call, AT).await;
        assert_eq!(peer.receive().await, Received::End);
        drop(peer);
    });
    assert_eq!(written.unwrap().dlsn, AT);
    assert_eq!((closed.written, closed.failed), (1, 0));
    assert_eq!(
        writer.write(b"late").await.unwrap_err().reason,
        Reason::Closed
    );
}

/// R13: no future is ever left pending.
#[tokio::test]
async fn dropping_the_last_handle_completes_what_is_left() {
    let proxy = Proxy::bind().await;
    let (writer, mut peer) = built(&proxy, builder(&proxy, &["a"])).await;
    let acknowledgement = writer.try_write(b"r").unwrap();
    let _unanswered = peer.call().await;
    drop(writer);
    let error = acknowledgement.await.unwrap_err();
    assert_eq!(
        (error.known, error.reason),
        (WriteState::Unknown, Reason::Closed)
    );
}

#[tokio::test]
async fn settings_streams_and_names_are_checked_before_anything_is_connected() {
    let proxy = Proxy::bind().await;
    let none: [&str; 0] = [];
    assert!(matches!(
        builder(&proxy, &none).build().await.unwrap_err(),
        BuildError::Writer(_)
    ));
    let bad = builder(&proxy, &["a"])
        .speculative_timeouts(Duration::from_secs(2), Duration::from_secs(1));
    assert!(matches!(
        bad.build().await.unwrap_err(),
        BuildError::Writer(_)
    ));
    assert!(matches!(
        builder(&proxy, &["a b"]).build().await.unwrap_err(),
        BuildError::StreamName { .. }
    ));
}

/// R17.
#[tokio::test]
async fn streams_are_added_and_removed_by_name_while_the_writer_runs() {
    let proxy = Proxy::bind().await;
    let (writer, mut peer) = built(&proxy, builder(&proxy, &["a", "b"])).await;
    for (name, expected) in [
        ("b", "the writer writes to log stream b already"),
        ("/", "log stream name \"/\": "),
    ] {
        let refused = writer.add_stream(name).unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
    let added = writer.add_stream("c").unwrap();
    assert_eq!(writer.stream_index("c"), Some(added));
    let removed = writer.remove_stream("a").unwrap();
    writer.drained(removed).await;
    writer.remove_stream("b").unwrap();
    let (last, absent) = (writer.remove_stream("c"), writer.remove_stream("a"));
    let last = last.unwrap_err().to_string();
    assert!(last.contains("add another"), "{last}");
    let absent = absent.unwrap_err().to_string();
    assert_eq!(absent, "the writer does not write to log stream a");
    assert_eq!(writer.streams(), ["c".into()]);
    assert_eq!(
        &*writer.stream_name(removed),
        "a",
        "results may still name it"
    );
    for _ in 0..3 {
        let (written, call) = tokio::join!(writer.write(b"r"), async {
            let call = peer.call().await;
            peer.answer_written(&call, AT).await;
            call
        });
        assert_eq!((written.unwrap().stream, &*call.stream), (added, "c"));
    }
    assert!(!writer.is_closed());
    let (closed, ()) = tokio::join!(writer.close(), async {
        drop(peer);
    });
    assert_eq!(closed.failed, 0);
    assert!(writer.is_closed());
}
