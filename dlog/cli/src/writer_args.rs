use core::time::Duration;

use clap::ValueEnum;
use distributedlog::writer::{Codec, Rounds, Settings};

use super::policy_args::PolicyArgs;
use super::{Fault, duration};

/// The settings of the multi stream writer as flags. The defaults are the tutorial's.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The writer's settings")]
pub(crate) struct WriterArgs {
    /// How long a record may take from the moment it was accepted
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "50s")]
    request_timeout: Duration,

    /// Never try another stream because an answer takes long, only because an attempt failed
    #[arg(long)]
    no_hedging: bool,

    /// How long to wait for a stream's answer before the next stream is tried as well
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "10s")]
    first_speculative_timeout: Duration,

    /// The longest to wait before another stream is tried as well
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "20s")]
    max_speculative_timeout: Duration,

    /// What that wait is multiplied by each time
    #[arg(long, value_name = "FACTOR", default_value_t = 2.0)]
    speculative_backoff_multiplier: f32,

    /// Bytes at which a record set is sent; 0 sends each record at once
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    buffer_size: usize,

    /// How long a record waits for company in its set; 0 for as long as it takes
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "0")]
    flush_interval: Duration,

    /// Let a set fill also while nothing is in flight, as the original does
    #[arg(long)]
    no_flush_when_idle: bool,

    /// How record sets are compressed
    #[arg(long, value_enum, default_value_t)]
    compression: Compression,

    /// How many sets may be in flight
    #[arg(long, value_name = "N", default_value_t = 256)]
    in_flight_sets: usize,

    /// How many bytes may be buffered and in flight
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20)]
    buffered_bytes: usize,

    /// How often a record goes round the streams; 1 as the original does [default: until the
    /// request timeout]
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,

    /// The pause after the first round over the streams
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "10ms")]
    first_backoff: Duration,

    /// The longest pause between rounds
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "1s")]
    max_backoff: Duration,

    /// What the order of the streams is made of; the same seed gives the same order [default:
    /// random]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,

    /// Write record sets without the identity by which merging readers tell copies, as the
    /// original does
    #[arg(long)]
    no_identity: bool,

    #[command(flatten)]
    policies: PolicyArgs,
}

/// How record sets are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Compression {
    #[default]
    None,
    Lz4,
}

impl WriterArgs {
    /// Whether record sets carry an identity.
    #[must_use]
    pub(crate) const fn identity(&self) -> bool {
        !self.no_identity
    }

    /// The settings.
    ///
    /// # Errors
    /// One of them is out of its bounds, or at odds with another.
    pub(crate) fn settings(&self) -> Result<Settings, Fault> {
        let builder = Settings::tutorial()
            .to_builder()
            .request_timeout(self.request_timeout)
            .hedging(!self.no_hedging)
            .first_speculative_timeout(self.first_speculative_timeout)
            .max_speculative_timeout(self.max_speculative_timeout)
            .speculative_backoff_multiplier(self.speculative_backoff_multiplier)
            .buffer_size(self.buffer_size)
            .flush_interval(self.flush_interval)
            .flush_when_idle(!self.no_flush_when_idle)
            .codec(match self.compression {
                Compression::None => Codec::None,
                Compression::Lz4 => Codec::Lz4,
            })
            .in_flight_sets(self.in_flight_sets)
            .buffered_bytes(self.buffered_bytes)
            .rounds(Rounds {
                limit: self.rounds,
                first_backoff: self.first_backoff,
                max_backoff: self.max_backoff,
            });
        let builder = match self.seed {
            Some(seed) => builder.seed(seed),
            None => builder,
        };
        self.policies.apply(builder).build().map_err(|error| {
            let fault = Fault::usage(error.to_string().replace('_', " "));
            if error.setting() == "max_speculative_timeout" {
                fault.tip(
                    "lower --max-speculative-timeout and --first-speculative-timeout too, for \
                     instance to 200ms and 50ms",
                )
            } else {
                fault
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        writer: WriterArgs,
    }

    fn settings(line: &str) -> Result<Settings, Fault> {
        Line::parse_from(core::iter::once("x").chain(line.split_whitespace()))
            .writer
            .settings()
    }

    #[test]
    fn without_flags_the_settings_are_the_tutorials() {
        assert_eq!(
            settings("").expect("the defaults are legal"),
            Settings::tutorial()
        );
    }

    #[test]
    fn every_setting_has_its_flag() {
        let flags = "--request-timeout 5s --first-speculative-timeout 50ms \
                     --max-speculative-timeout 200ms --speculative-backoff-multiplier 3 \
                     --buffer-size 16384 --flush-interval 2ms --no-flush-when-idle --compression \
                     lz4 --in-flight-sets 7 --buffered-bytes 1000000 --rounds 1 --first-backoff \
                     20ms --max-backoff 30ms --seed 42 --no-hedging";
        let expected = Settings::builder()
            .original_features()
            .request_timeout(Duration::from_secs(5))
            .first_speculative_timeout(Duration::from_millis(50))
            .max_speculative_timeout(Duration::from_millis(200))
            .speculative_backoff_multiplier(3.0)
            .buffer_size(16_384)
            .flush_interval(Duration::from_millis(2))
            .flush_when_idle(false)
            .codec(Codec::Lz4)
            .in_flight_sets(7)
            .buffered_bytes(1_000_000)
            .rounds(Rounds {
                limit: Some(1),
                first_backoff: Duration::from_millis(20),
                max_backoff: Duration::from_millis(30),
            })
            .seed(42)
            .hedging(false)
            .build();
        assert_eq!(settings(flags).expect("legal"), expected.expect("legal"));
    }

    #[test]
    fn record_sets_carry_an_identity_unless_it_is_switched_off() {
        let identity = |line: &str| {
            Line::parse_from(core::iter::once("x").chain(line.split_whitespace()))
                .writer
                .identity()
        };
        assert!(identity("") && !identity("--no-identity"));
    }

    #[test]
    fn settings_at_odds_with_each_other_are_a_fault_of_the_command_line() {
        let fault = settings("--request-timeout 5s").expect_err("20 s are longer than 5 s");
        assert_eq!(fault.exit_status(), super::super::EXIT_USAGE);
    }
}
