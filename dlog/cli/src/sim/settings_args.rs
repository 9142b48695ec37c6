use core::time::Duration;

use distributedlog::wire::record_set::WriterId;
use distributedlog::writer::{
    Adaptive, Budget, Choice, Health, Identity, Settings, SettingsBuilder, Window,
};
use distributedlog_sim::Scenario;

use super::super::writer_args::{SettingFlags, SettingsOf, settings_error};
use super::super::{CliError, duration};

/// Settings of a simulated writer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub(super) settings: Settings,
    /// Maximum time that a set waits for room in front of the writer.
    pub(super) max_wait: Duration,
    /// True if the writer knows which streams share a storage domain (R22).
    pub(super) knows_domains: bool,
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
        let domains = if self.knows_domains {
            ""
        } else {
            "; does not know the storage domains"
        };
        text(&self.settings) + domains
    }

    /// The number of storage domains that the writer knows of.
    pub(super) const fn known_domains(&self, scenario: &Scenario) -> u16 {
        if self.knows_domains {
            scenario.domains
        } else {
            0
        }
    }

    /// The same with a writer that knows which streams share a storage domain (R22), or does not.
    pub(super) const fn with_knows_domains(self, knows_domains: bool) -> Self {
        Self {
            knows_domains,
            ..self
        }
    }

    /// The same with sets that wait while all streams are silent (R21), or do not.
    pub(super) fn with_wait_out_stalls(self, waits: bool) -> Self {
        let settings = self.settings.to_builder().wait_out_stalls(waits).build();
        Self {
            settings: settings.expect("any valid settings may have it"),
            ..self
        }
    }

    /// The same with another number of sets in flight.
    pub(super) fn with_in_flight_sets(self, sets: usize) -> Self {
        let settings = self
            .settings
            .to_builder()
            .in_flight_sets(sets)
            .build()
            .expect("a valid number, and the rest is valid already");
        Self { settings, ..self }
    }
}

/// The default settings, as far as they matter to sets that are simulated without their bytes, with
/// the original's request timeout, so that policies are compared with the original at its own.
#[derive(Clone, Copy, Debug)]
struct Simulated;

impl SettingsOf for Simulated {
    const HEADING: &'static str = "The writer's settings, as everywhere; the timeouts and streams \
                                   hold for the other policies too";
    const WITHOUT_FLAG: &'static [&'static str] = &[
        "hedging",
        "buffer_size",
        "flush_interval",
        "flush_when_idle",
        "codec",
        "buffered_bytes",
        "pending_records",
        // The simulation has a seed of its own, and every set an identity.
        "seed",
        "identity",
        "attempt_reports",
        // Sets are not filled while one is in flight: a single stream would be the bottleneck.
        "order",
    ];

    fn base() -> SettingsBuilder {
        Settings::builder().request_timeout(Settings::original().request_timeout())
    }
}

/// Flags of the simulated writer.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SettingsArgs {
    #[command(flatten)]
    writer: SettingFlags<Simulated>,

    /// Time that a set waits for room while as many are in flight as may be; 0: it fails at once
    /// [default: the request timeout]
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration::parse,
        help_heading = Simulated::HEADING
    )]
    wait_for_room: Option<Duration>,

    /// Hide from the writer which streams share a storage domain; proxies say it in their
    /// handshakes
    #[arg(long, help_heading = Simulated::HEADING)]
    hide_domains: bool,
}

impl SettingsArgs {
    /// Returns the settings for runs from this seed.
    ///
    /// # Errors
    /// A setting is outside its range, or contradicts another.
    pub(super) fn chosen(&self, seed: u64) -> Result<Chosen, CliError> {
        let settings = self
            .writer
            .builder()?
            // The name does not matter: there is one writer.
            .identity(Identity::Trailer {
                writer: WriterId(*b"simulated writer"),
                first_sequence: 0,
            })
            .seed(seed)
            .build()
            .map_err(|error| settings_error(&error))?;
        let max_wait = self
            .wait_for_room
            .unwrap_or_else(|| settings.request_timeout());
        Ok(Chosen {
            settings,
            max_wait,
            knows_domains: !self.hide_domains,
        })
    }
}

/// Returns the settings in a line for people.
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
    let choice = match settings.choice() {
        Choice::Turn => "",
        Choice::Load => "starts by load; ",
    };
    let stalls = if settings.wait_out_stalls() {
        ""
    } else {
        "; hedges to silent streams"
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
        "ours: {budget}; {health}; {window}; {choice}{adaptive}; {} sets in flight{stalls}",
        settings.in_flight_sets()
    )
}
