use core::time::Duration;

use distributedlog::writer::{Health, Settings};
use distributedlog::{Clock, Instant, StreamIndex};
use distributedlog_testkit::{Executor, Faults, Faulty, Latency, MemoryStreams, writer};

use crate::ms;

/// Writes `count` records, one every millisecond. Returns the latency of each.
fn latencies(settings: Settings, stalled: bool, count: u64) -> Vec<Duration> {
    let mut executor = Executor::new(1);
    let streams = MemoryStreams::new(executor.clock(), 5, Latency::Between(ms(1), ms(4)), 1);
    let (transport, faults) = Faulty::new(streams, executor.clock(), 5, 1);
    if stalled {
        faults.set(StreamIndex(2), Faults::stalled());
    }
    let (handle, runner) = writer(settings, 5, executor.clock(), transport);
    executor.spawn(runner.run());
    let took = std::rc::Rc::new(core::cell::RefCell::new(Vec::new()));
    for number in 0..count {
        let (handle, clock, took) = (handle.clone(), executor.clock(), std::rc::Rc::clone(&took));
        executor.spawn(async move {
            let start = Instant::from_millis(number);
            clock.sleep_until(start).await;
            handle
                .write(b"record")
                .await
                .expect("four streams are well");
            took.borrow_mut().push(clock.now().since(start));
        });
    }
    let clock = executor.clock();
    executor.run(async {
        clock.sleep_until(Instant::from_millis(count + 1_000)).await;
        handle.close().await;
    });
    let mut took = took.take();
    assert_eq!(took.len() as u64, count, "all writes succeeded");
    took.sort_unstable();
    took
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

#[test]
fn with_one_of_five_streams_stalled_p99_is_the_first_speculative_timeout_and_a_healthy_p99() {
    for buffer_size in [0, 16 * 1024] {
        let settings = Settings::builder()
            .original_features()
            .buffer_size(buffer_size)
            .seed(5)
            .build()
            .unwrap();
        let healthy = p99(&latencies(settings, false, 3_000));
        let stalled = p99(&latencies(settings, true, 3_000));
        let bound = settings.first_speculative_timeout() + healthy;
        assert!(
            stalled <= bound,
            "buffer size {buffer_size}: {stalled:?}, not within {bound:?}"
        );
    }
}

/// Canonical for R9.
#[test]
fn with_health_a_stalled_stream_costs_a_hedge_only_until_probation_and_at_probes() {
    let health = Health::Probation {
        strikes: 3,
        first_backoff: ms(100),
        max_backoff: ms(1_000),
    };
    let settings = Settings::builder()
        .original_features()
        .buffer_size(0)
        .seed(5)
        .health(health)
        .build()
        .unwrap();
    let healthy = p99(&latencies(settings, false, 3_000));
    let took = latencies(settings, true, 3_000);
    let slow = took
        .iter()
        .filter(|took| **took >= settings.first_speculative_timeout())
        .count();
    // In the 50 ms before the first hedge wins, a fifth of the sets start there: 10, and some more
    // until the third strike; then one probe after 100, 200, 400, 800, 1,000 ms.
    assert!(slow <= 25, "{slow} writes were hedged");
    assert!(
        took[took.len() * 98 / 100] <= healthy,
        "all but these are as fast as ever"
    );
}
