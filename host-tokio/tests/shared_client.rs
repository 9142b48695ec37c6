//! Writers that share a client: its connections, its bounds, and its end.

mod support;

use core::time::Duration;

use distributedlog::writer::{Reason, Settings, SettingsBuilder};
use distributedlog::{
    Attempt, AttemptId, Cause, Clock, Dlsn, FailureDomain, Instant, StatusCode, StreamIndex,
    Transport, WriteState,
};
use distributedlog_tokio::{
    BuildError, MultiStreamWriter, MultiStreamWriterBuilder, ProxyClient, ProxyTransport,
};
use support::{LIMIT, Peer, Proxy, Received};
use tokio::task::JoinSet;

const AT: Dlsn = Dlsn::new(1, 2, 0);

/// Each record is a set of its own, which waits for its first attempt.
fn patient() -> SettingsBuilder {
    Settings::builder()
        .buffer_size(0)
        .hedging(false)
        .request_timeout(LIMIT)
}

fn builder(client: &ProxyClient, streams: &[&str]) -> MultiStreamWriterBuilder {
    MultiStreamWriter::builder(streams.iter().copied())
        .settings(patient())
        .shared_client(client.clone())
}

async fn writer(client: &ProxyClient) -> MultiStreamWriter {
    builder(client, &["a", "b", "c"]).build().await.unwrap()
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.unwrap()
}

/// Waits until a writer has given this number of attempts to its transport.
async fn attempts(writer: &MultiStreamWriter, count: u64) {
    in_time(async {
        while writer.counters().attempts < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Writes a record, which the peer acknowledges.
async fn write(writer: &MultiStreamWriter, peer: &mut Peer, record: &[u8]) {
    let (written, ()) = tokio::join!(writer.write(record), async {
        let call = peer.call().await;
        peer.answer_written(&call, AT).await;
    });
    assert_eq!(written.unwrap().dlsn, AT);
}

#[tokio::test]
async fn closing_one_of_two_writers_leaves_the_client_and_the_other() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let (one, other) = (writer(&client).await, writer(&client).await);
    write(&one, &mut peer, b"one").await;
    write(&other, &mut peer, b"other").await;
    assert_eq!(
        (one.client_counters().succeeded, client.counters().connects),
        (2, 1)
    );
    in_time(one.close()).await;
    assert!(one.is_closed() && !other.is_closed());
    write(&other, &mut peer, b"again").await;
    other.close().await;
    // The client's connection is its only one, and open until the client is closed.
    tokio::select! {
        () = async { drop(proxy.accept().await) } => panic!("there is one connection"),
        () = client.close() => {}
        () = async {
            assert_eq!(peer.receive().await, Received::End);
            drop(peer);
            core::future::pending().await
        } => {}
    }
}

#[tokio::test]
async fn many_writers_have_one_connection_to_each_proxy() {
    let (one, other) = (Proxy::bind().await, Proxy::bind().await);
    let name = format!("inet!{},{}", one.address, other.address);
    let building = one.client().proxies(name).build();
    let (client, one_peer, other_peer) =
        tokio::join!(building, one.accept_handshake(), other.accept_handshake());
    let client = client.unwrap();
    let serving = [
        tokio::spawn(one_peer.serve()),
        tokio::spawn(other_peer.serve()),
    ];
    let mut writers = Vec::new();
    for number in 0..50 {
        let streams = (0..3).map(|stream| format!("stream-{number}-{stream}"));
        let builder = MultiStreamWriter::builder(streams).settings(patient());
        let builder = builder.shared_client(client.clone());
        writers.push(builder.build().await.unwrap());
    }
    for writer in &writers {
        in_time(writer.write(b"a record")).await.unwrap();
    }
    assert_eq!(client.counters().connects, 2);
    client.close().await;
    let mut calls = 0;
    for serving in serving {
        calls += serving.await.unwrap();
    }
    assert_eq!(calls, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_on_several_threads_get_all_their_outcomes() {
    let proxy = Proxy::bind().await;
    let (client, peer) = proxy.built(proxy.client().max_in_flight(16)).await;
    let serving = tokio::spawn(peer.serve());
    let mut tasks = JoinSet::new();
    for task in 0..16_u8 {
        let writer = writer(&client).await;
        tasks.spawn(async move {
            let records = (0..500_u32).map(|number| [&[task], &number.to_be_bytes()[..]].concat());
            let results = writer.write_batch(records).await;
            assert!(results.iter().all(Result::is_ok));
            writer.close().await;
            writer.counters()
        });
    }
    while let Some(done) = in_time(tasks.join_next()).await {
        let counters = done.unwrap();
        assert_eq!(
            (counters.records_written, counters.transport_full),
            (500, 0)
        );
    }
    client.close().await;
    assert_eq!(serving.await.unwrap(), 8_000);
}

/// Eight writers with room for two operations, or for the bytes of two.
#[tokio::test]
async fn a_full_client_delays_its_writers_and_fails_none() {
    let proxy = Proxy::bind().await;
    for client in [
        proxy.client().max_in_flight(2),
        proxy.client().max_in_flight_bytes(10 * 1024),
    ] {
        let (client, mut peer) = proxy.built(client).await;
        let mut acknowledgements = Vec::new();
        let mut writers = Vec::new();
        for _ in 0..8 {
            let writer = writer(&client).await;
            acknowledgements.push(writer.try_write(&[7; 4_000]).unwrap());
            attempts(&writer, 1).await;
            writers.push(writer);
        }
        let mut calls = vec![peer.call().await, peer.call().await];
        for left in (0..8_u64).rev() {
            // No more were started than there is room for.
            let started = 8 - left + calls.len() as u64 - 1;
            assert_eq!(client.counters().submitted, started);
            let call = calls.remove(0);
            peer.answer_written(&call, AT).await;
            if left >= 2 {
                calls.push(in_time(peer.call()).await);
            }
        }
        for acknowledgement in acknowledgements {
            assert_eq!(in_time(acknowledgement).await.unwrap().attempts, 1);
        }
        assert!(writers.iter().all(|it| it.counters().transport_full == 0));
    }
}

/// A writer with much to send takes turns with one that has a single record.
#[tokio::test]
async fn a_writer_is_not_starved_by_another_one() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.built(proxy.client().max_in_flight(1)).await;
    let (greedy, modest) = (writer(&client).await, writer(&client).await);
    let mut acknowledgements = Vec::new();
    for _ in 0..50 {
        acknowledgements.push(greedy.try_write(b"greedy").unwrap());
    }
    attempts(&greedy, 50).await;
    acknowledgements.push(modest.try_write(b"modest").unwrap());
    attempts(&modest, 1).await;
    let mut modest_at = None;
    for number in 0..51 {
        let call = in_time(peer.call()).await;
        if call.data.windows(6).any(|bytes| bytes == b"modest") {
            modest_at = Some(number);
        }
        peer.answer_written(&call, AT).await;
    }
    // Behind the one that was in flight and the one that waited first.
    assert_eq!(modest_at, Some(2));
    for acknowledgement in acknowledgements {
        in_time(acknowledgement).await.unwrap();
    }
}

/// A hedge would only take the room of what waits for its first attempt.
#[tokio::test]
async fn a_set_is_not_hedged_while_the_client_is_full() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.built(proxy.client().max_in_flight(1)).await;
    let holder = writer(&client).await;
    let settings = Settings::builder()
        .original_features()
        .first_speculative_timeout(Duration::from_millis(5))
        .max_speculative_timeout(Duration::from_millis(10))
        .request_timeout(LIMIT);
    let hedging = builder(&client, &["a", "b"]).settings(settings);
    let hedging = hedging.build().await.unwrap();
    let held = holder.try_write(b"held").unwrap();
    let call = in_time(peer.call()).await;
    let written = hedging.try_write(b"hedged").unwrap();
    let refused = async |count| {
        while hedging.counters().transport_full < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // While it waits, and while it is in flight.
    in_time(refused(2)).await;
    peer.answer_written(&call, AT).await;
    let call = in_time(peer.call()).await;
    in_time(refused(hedging.counters().transport_full + 2)).await;
    peer.answer_written(&call, AT).await;
    assert_eq!(in_time(written).await.unwrap().attempts, 1);
    in_time(held).await.unwrap();
    assert_eq!(client.counters().submitted, 2);
}

/// A set without an attempt outstanding takes its turn again, also behind a failure.
#[tokio::test]
async fn a_retry_waits_for_its_turn_as_a_first_attempt_does() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.built(proxy.client().max_in_flight(1)).await;
    let (greedy, modest) = (writer(&client).await, writer(&client).await);
    let written = modest.try_write(b"modest").unwrap();
    let failed = in_time(peer.call()).await;
    let mut acknowledgements = vec![written];
    for _ in 0..20 {
        acknowledgements.push(greedy.try_write(b"greedy").unwrap());
    }
    attempts(&greedy, 20).await;
    peer.answer_status(&failed, StatusCode::StreamUnavailable, "moving")
        .await;
    let mut retried_at = None;
    for number in 0..21 {
        let call = in_time(peer.call()).await;
        if call.data == failed.data {
            assert_ne!(call.stream, failed.stream);
            retried_at = Some(number);
        }
        peer.answer_written(&call, AT).await;
    }
    assert!(retried_at.is_some_and(|at| at <= 2), "{retried_at:?}");
    for acknowledgement in acknowledgements {
        in_time(acknowledgement).await.unwrap();
    }
}

/// R11.
#[tokio::test]
async fn the_loser_of_a_hedge_is_discarded_at_the_proxy() {
    let proxy = Proxy::bind().await;
    // Longer than the test waits: it is the writer that gives the attempt up.
    let timeout = 3 * LIMIT;
    let client = proxy.client().attempt_timeout(timeout);
    let (client, mut peer) = proxy.built(client).await;
    let settings = Settings::builder()
        .original_features()
        .first_speculative_timeout(Duration::from_millis(20))
        .max_speculative_timeout(Duration::from_secs(20))
        .request_timeout(timeout);
    let builder = builder(&client, &["a", "b"]).settings(settings);
    let writer = builder.build().await.unwrap();
    let (written, ()) = tokio::join!(writer.write(b"r"), async {
        let slow = peer.call().await;
        let hedge = peer.call().await;
        assert_ne!(slow.stream, hedge.stream);
        peer.answer_written(&hedge, AT).await;
        let received = in_time(peer.receive()).await;
        assert_eq!(received, Received::Discarded(slow.tag));
    });
    assert_eq!(written.unwrap().attempts, 2);
    assert_eq!(writer.last_failure(), None);
}

#[tokio::test]
async fn dropping_a_writer_frees_its_room_and_what_waited_is_not_sent() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.built(proxy.client().max_in_flight(1)).await;
    let [first, second, third] = [
        writer(&client).await,
        writer(&client).await,
        writer(&client).await,
    ];
    let in_flight = first.try_write(b"in flight").unwrap();
    let call = peer.call().await;
    let waiting = second.try_write(b"waiting").unwrap();
    attempts(&second, 1).await;
    drop(second);
    assert_eq!(in_time(waiting).await.unwrap_err().reason, Reason::Closed);
    let last = third.try_write(b"last").unwrap();
    attempts(&third, 1).await;
    drop(first);
    let error = in_time(in_flight).await.unwrap_err();
    assert_eq!(
        (error.known, error.reason),
        (WriteState::Unknown, Reason::Closed)
    );
    let received = in_time(peer.receive()).await;
    assert_eq!(received, Received::Discarded(call.tag));
    let call = in_time(peer.call()).await;
    assert!(call.data.windows(4).any(|bytes| bytes == b"last"));
    peer.answer_written(&call, AT).await;
    in_time(last).await.unwrap();
    // Handles have the room again, too.
    let (written, ()) = tokio::join!(in_time(client.write("s", b"handle")), async {
        let call = peer.call().await;
        assert_eq!(call.data, b"handle");
        peer.answer_written(&call, AT).await;
    });
    written.unwrap();
}

/// A transport that is dropped with its task, without the writer's own cancellations.
#[tokio::test]
async fn attempts_of_a_transport_that_is_dropped_are_discarded() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.built(proxy.client().max_in_flight(1)).await;
    let mut transport = ProxyTransport::shared(client.clone(), &["a"]).unwrap();
    let now = transport.clock().now();
    let attempt = |id, record_set| Attempt {
        id: AttemptId(id),
        stream: StreamIndex(0),
        record_set,
        record_count: 1,
        earlier_attempts: 0,
        others_outstanding: 0,
        deadline: now + LIMIT,
    };
    transport.start(now, attempt(1, b"in flight")).unwrap();
    transport.start(now, attempt(2, b"waiting")).unwrap();
    let call = in_time(peer.call()).await;
    drop(transport);
    let received = in_time(peer.receive()).await;
    assert_eq!(received, Received::Discarded(call.tag));
    let (written, ()) = tokio::join!(in_time(client.write("s", b"next")), async {
        let call = peer.call().await;
        assert_eq!(call.data, b"next");
        peer.answer_written(&call, AT).await;
    });
    written.unwrap();
}

/// The record that waits first has no more time; the next one takes its turn.
#[tokio::test]
async fn an_attempt_that_is_cancelled_while_it_waits_leaves_its_turn_to_the_next() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.built(proxy.client().max_in_flight(1)).await;
    let (holder, writer) = (writer(&client).await, writer(&client).await);
    let held = holder.try_write(b"held").unwrap();
    let call = peer.call().await;
    let set_timeout = |timeout| {
        let settings = writer.settings().to_builder().request_timeout(timeout);
        writer.change_settings(settings.build().unwrap()).unwrap();
    };
    set_timeout(Duration::from_millis(50));
    let late = writer.try_write(b"late").unwrap();
    attempts(&writer, 1).await;
    set_timeout(LIMIT);
    let next = writer.try_write(b"next").unwrap();
    attempts(&writer, 2).await;
    let error = in_time(late).await.unwrap_err();
    assert_eq!(error.reason, Reason::TimedOut);
    peer.answer_written(&call, AT).await;
    in_time(held).await.unwrap();
    let call = in_time(peer.call()).await;
    assert!(call.data.windows(4).any(|bytes| bytes == b"next"));
    peer.answer_written(&call, AT).await;
    in_time(next).await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_closed_finishes_what_is_in_flight_and_ends_its_writers() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let [busy, idle] = [writer(&client).await, writer(&client).await];
    let answered = busy.try_write(b"answered").unwrap();
    let call = peer.call().await;
    let ((), ()) = tokio::join!(in_time(client.close()), async {
        peer.answer_written(&call, AT).await;
        assert_eq!(peer.receive().await, Received::End);
        drop(peer);
    });
    in_time(answered).await.unwrap();
    for writer in [busy, idle] {
        let error = in_time(writer.write(b"late")).await.unwrap_err();
        assert_eq!(
            (error.known, error.reason),
            (WriteState::NotWritten, Reason::Closed)
        );
        assert!(writer.is_closed());
        let failure = writer.last_failure().expect("it says why");
        assert_eq!(failure.cause(), Cause::Closed);
        let text = failure.to_string();
        assert!(
            text.contains("the client that the writer shares was closed"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_attempt_that_a_closing_client_waited_for_in_vain_may_be_written() {
    let proxy = Proxy::bind().await;
    let client = proxy.client().drain_timeout(Duration::from_millis(20));
    let (client, mut peer) = proxy.built(client).await;
    let writer = writer(&client).await;
    let unanswered = writer.try_write(b"r").unwrap();
    let _call = peer.call().await;
    let (error, ()) = tokio::join!(in_time(unanswered), async {
        client.close().await;
        drop(peer);
    });
    let error = error.unwrap_err();
    assert_eq!(
        (error.known, error.reason, error.last_cause),
        (WriteState::Unknown, Reason::Closed, Some(Cause::Closed))
    );
}

#[tokio::test]
async fn a_client_lives_as_long_as_a_writer_of_it() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let writer = writer(&client).await;
    drop(client);
    write(&writer, &mut peer, b"r").await;
    writer.close().await;
    assert_eq!(in_time(peer.receive()).await, Received::End);
}

#[tokio::test]
async fn writers_go_by_the_clock_of_their_client() {
    let proxy = Proxy::bind().await;
    let (client, _peer) = proxy.client_and_peer().await;
    let zero = || {
        let transport = ProxyTransport::shared(client.clone(), &["a"]).unwrap();
        transport.clock().to_tokio(Instant::ZERO)
    };
    assert_eq!(zero(), zero());
}

/// Writers hedge: a host may take the time that they have, unless the client's settings say less.
#[tokio::test]
async fn the_default_timeouts_of_a_client_hold_for_its_handles_alone() {
    let proxy = Proxy::bind().await;
    let two = Duration::from_secs(2);
    let default = || ProxyClient::builder().proxies(proxy.name());
    for (client, handle_has, writer_has) in [
        (default(), Duration::from_secs(1), LIMIT),
        (default().attempt_timeout(two), two, two),
    ] {
        let (client, mut peer) = proxy.built(client).await;
        let writer = writer(&client).await;
        let _writing = writer.try_write(b"r").unwrap();
        let time = in_time(peer.call()).await.time.unwrap();
        assert!(time <= writer_has && time > writer_has / 2, "{time:?}");
        let checking = client.check("s");
        let (_, ()) = tokio::join!(tokio::time::timeout(LIMIT, checking), async {
            let call = in_time(peer.call()).await;
            let time = call.time.unwrap();
            assert!(time <= handle_has && time > handle_has / 2, "{time:?}");
            peer.answer_written(&call, AT).await;
        });
    }
}

#[tokio::test]
async fn a_keyed_writer_shares_a_client() {
    let proxy = Proxy::bind().await;
    let (client, peer) = proxy.client_and_peer().await;
    let serving = tokio::spawn(peer.serve());
    let keyed = || builder(&client, &["a", "b", "c"]).build_keyed();
    let (one, other) = (keyed().await.unwrap(), keyed().await.unwrap());
    let records = (0..100_u32).map(|key| (key.to_be_bytes(), b"r"));
    let results = in_time(one.write_batch(records)).await;
    assert!(results.iter().all(Result::is_ok));
    in_time(one.close()).await;
    in_time(other.write(b"key", b"r")).await.unwrap();
    client.close().await;
    assert!(serving.await.unwrap() > 0);
    let error = in_time(other.write(b"key", b"late")).await.unwrap_err();
    assert_eq!(error.reason, Reason::Closed);
}

#[tokio::test]
async fn settings_of_the_way_to_the_proxies_belong_to_the_shared_client() {
    let proxy = Proxy::bind().await;
    let (client, _peer) = proxy.client_and_peer().await;
    let new = || builder(&client, &["a"]);
    for (builder, expected) in [
        (new().proxies(proxy.name()), "proxies"),
        (new().client_id("me"), "client_id"),
        (new().client(proxy.client()), "client"),
        #[cfg(feature = "tls")]
        (new().tls(distributedlog_tokio::Tls::only_roots()), "tls"),
    ] {
        let error = builder.build().await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, BuildError::SharedClient { setting } if setting == expected));
        assert!(
            text.starts_with(&format!("{expected} was set for a writer")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn writers_that_share_a_client_know_the_failure_domains_of_their_streams() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = tokio::join!(proxy.client().build(), async {
        let mut peer = proxy.accept().await;
        peer.handshake_in("store-1").await;
        peer
    });
    let client = client.unwrap();
    let writer = builder(&client, &["a"]).build().await.unwrap();
    // The second attempt is started after the client knows where the first one went.
    for _ in 0..2 {
        write(&writer, &mut peer, b"record").await;
    }
    let status = writer.stream_status(StreamIndex(0)).unwrap();
    assert_eq!(status.failure_domain, Some(FailureDomain::of("store-1")));
}
