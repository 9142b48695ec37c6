//! Random settings of a writer and its client, drawn anew for each process.

use core::time::Duration;

use distributedlog::client::routing::{self, Resend};
use distributedlog::client::session::Protocol;
use distributedlog::writer::{
    Adaptive, Budget, Choice, Codec, Health, Identity, Order, Rounds, Settings, Window,
};
use distributedlog_testkit::Random;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn pick<T: Copy>(random: &mut Random, choices: &[T]) -> T {
    choices[random.below(choices.len() as u64) as usize]
}

/// Draws valid settings of a writer.
pub(super) fn writer(random: &mut Random, identity: Identity, streams: usize) -> Settings {
    let request = 300 + random.below(3_000);
    let max = 20 + random.below(request - 30);
    let first = 10 + random.below(max.min(300) - 9);
    let mut builder = Settings::builder()
        .original_features()
        .buffer_size(pick(random, &[0, 100, 400, 2_000]))
        .flush_interval(ms(random.below(20)))
        .flush_when_idle(random.chance(0.7))
        .request_timeout(ms(request))
        .max_speculative_timeout(ms(max))
        .first_speculative_timeout(ms(first.min(max)))
        .speculative_backoff_multiplier(1.0 + random.below(3) as f32)
        .seed(random.bits())
        .in_flight_sets(pick(random, &[2, 8, 32]))
        .buffered_bytes(pick(random, &[4_000, 1_000_000]))
        .pending_records(pick(random, &[20, 500]))
        .rounds(Rounds {
            limit: random.chance(0.35).then(|| 1 + random.below(3) as u32),
            first_backoff: ms(1 + random.below(10)),
            max_backoff: ms(10 + random.below(100)),
        })
        .window(pick(
            random,
            &[
                Window::Off,
                Window::Share,
                Window::Attempts(1),
                Window::Attempts(3),
            ],
        ))
        .identity(identity);
    builder = builder.budget(pick(
        random,
        &[
            Budget::Off,
            Budget::RECOMMENDED,
            Budget::Share {
                share: 0.1,
                per_second: 2,
                burst: 5,
            },
        ],
    ));
    let impatient = Health::Probation {
        strikes: 2,
        first_backoff: ms(20),
        max_backoff: ms(500),
    };
    builder = builder.health(pick(random, &[Health::Off, Health::RECOMMENDED, impatient]));
    let eager = Adaptive::Quantile {
        quantile: 0.9,
        floor: ms(2),
        warm_up: 5,
    };
    builder = builder.adaptive(pick(random, &[Adaptive::Off, Adaptive::RECOMMENDED, eager]));
    builder = builder.choice(pick(random, &[Choice::Turn, Choice::Load]));
    // From a copy of the numbers, so that everything else is drawn as it was before this setting.
    builder = builder.wait_out_stalls(random.clone().chance(0.5));
    if random.chance(0.2) {
        let home = random.below(streams as u64) as u8;
        builder = builder.order(Order::Kept { home });
    }
    if random.chance(0.2) {
        builder = builder.codec(Codec::Lz4);
    }
    builder.build().expect("within the bounds")
}

/// Draws valid settings of a client, and its protocol.
pub(super) fn client(random: &mut Random) -> (routing::Settings, Protocol) {
    let settings = routing::Settings::builder()
        .resend(if random.chance(0.8) {
            Resend::WhenNotWritten
        } else {
            Resend::Always
        })
        .attempt_timeout(ms(200 + random.below(1_500)))
        .connect_timeout(ms(50 + random.below(300)))
        .blackout_start(ms(20 + random.below(200)))
        .blackout_max(ms(500 + random.below(1_000)))
        .stream_failfast(random.chance(0.2))
        .periodic_handshake_interval(ms(1_000 + random.below(3_000)))
        .ownership_sync_interval(ms(1_000 + random.below(5_000)))
        .build()
        .expect("within the bounds");
    let protocol = if random.chance(0.8) {
        Protocol::ThriftMux
    } else {
        pick(random, &[Protocol::Thrift, Protocol::PlainThrift])
    };
    (settings, protocol)
}
