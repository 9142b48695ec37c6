use core::time::Duration;

use distributedlog::wire::record_set::WriterId;
use distributedlog::writer::{Adaptive, Budget, Health, Identity, Rounds, Settings, Window};

use super::super::policy_args::PolicyArgs;
use super::super::{Fault, duration};

/// How the writer is to be simulated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub(super) settings: Settings,
    /// How long a set waits for room in front of the writer.
    pub(super) patience: Duration,
}

impl Chosen {
    /// The extra attempts for each set that the bounds are allowed: as many as the writer, or 5 %
    /// if it has no budget.
    pub(super) fn share(&self) -> f64 {
        match self.settings.budget() {
            Budget::Off => 0.05,
            // Through decimal digits, so that 0.05 is 0.05 and not 0.05000000074505806.
            Budget::Share { share, .. } => (share as f64 * 1e6).round() / 1e6,
        }
    }

    /// In a line for people.
    pub(super) fn text(&self) -> String {
        text(&self.settings)
    }

    /// The same with another number of sets in flight.
    pub(super) fn with_in_flight_sets(self, sets: usize) -> Self {
        let settings = self
            .settings
            .to_builder()
            .in_flight_sets(sets)
            .build()
            .expect("a legal number, and the rest is legal already");
        Self { settings, ..self }
    }
}

/// The settings of the simulated writer. Those that no flag changes are the recommended ones.
#[derive(Clone, Debug, clap::Args)]
#[command(
    next_help_heading = "The writer's settings, as everywhere; the timeouts and streams hold for \
                         the other policies too"
)]
pub(super) struct SettingsArgs {
    /// How long a set may take
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "500ms")]
    request_timeout: Duration,

    /// How long to wait for a stream's answer before the next stream is tried as well
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "50ms")]
    first_speculative_timeout: Duration,

    /// The longest to wait before another stream is tried as well
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "200ms")]
    max_speculative_timeout: Duration,

    /// What that wait is multiplied by each time
    #[arg(long, value_name = "FACTOR", default_value_t = 2.0)]
    speculative_backoff_multiplier: f32,

    /// How many sets may be in flight
    #[arg(long, value_name = "N", default_value_t = Settings::default().in_flight_sets())]
    in_flight_sets: usize,

    /// How long a set waits for room when as many are in flight, before it fails; 0 for not at all
    /// [default: the request timeout]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    wait_for_room: Option<Duration>,

    /// How often a set goes round the streams [default: until the request timeout]
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,

    /// The pause after the first round over the streams
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "10ms")]
    first_backoff: Duration,

    /// The longest pause between rounds
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "1s")]
    max_backoff: Duration,

    #[command(flatten)]
    policies: PolicyArgs,
}

impl SettingsArgs {
    /// What was chosen, for runs from this seed.
    ///
    /// # Errors
    /// A setting is out of its bounds, or at odds with another.
    pub(super) fn chosen(&self, seed: u64) -> Result<Chosen, Fault> {
        let settings = self
            .policies
            .apply(Settings::builder())
            .request_timeout(self.request_timeout)
            .first_speculative_timeout(self.first_speculative_timeout)
            .max_speculative_timeout(self.max_speculative_timeout)
            .speculative_backoff_multiplier(self.speculative_backoff_multiplier)
            .in_flight_sets(self.in_flight_sets)
            .rounds(Rounds {
                limit: self.rounds,
                first_backoff: self.first_backoff,
                max_backoff: self.max_backoff,
            })
            // Any name will do: there is one writer.
            .identity(Identity::Trailer {
                writer: WriterId(*b"simulated writer"),
                first_sequence: 0,
            })
            .seed(seed)
            .build()
            .map_err(|error| Fault::usage(error.to_string().replace('_', " ")))?;
        Ok(Chosen {
            settings,
            patience: self.wait_for_room.unwrap_or(self.request_timeout),
        })
    }
}

/// What the writer runs with, in a line for people.
fn text(settings: &Settings) -> String {
    let budget = match settings.budget() {
        Budget::Off => "no budget".to_owned(),
        Budget::Share {
            share,
            per_second,
            burst,
        } => format!("budget {share} and {per_second}/s, up to {burst}"),
    };
    let health = match settings.health() {
        Health::Off => "no probation".to_owned(),
        Health::Probation {
            strikes,
            first_backoff,
            max_backoff,
        } => {
            format!("probation after {strikes} strikes, {first_backoff:?} to {max_backoff:?}")
        }
    };
    let window = match settings.window() {
        Window::Off => "no window".to_owned(),
        Window::Share => "window share".to_owned(),
        Window::Attempts(attempts) => format!("window {attempts}"),
    };
    let (first, max) = (
        settings.first_speculative_timeout(),
        settings.max_speculative_timeout(),
    );
    let adaptive = match settings.adaptive() {
        Adaptive::Off => format!("hedges after {first:?} to {max:?}"),
        Adaptive::Quantile {
            quantile,
            floor,
            warm_up,
        } => {
            format!(
                "hedges after quantile {quantile}, {floor:?} to {max:?} ({first:?} for the first \
                 {warm_up})"
            )
        }
    };
    format!(
        "ours: {budget}; {health}; {window}; {adaptive}; {} sets in flight",
        settings.in_flight_sets()
    )
}
