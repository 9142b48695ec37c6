use core::time::Duration;

use clap::ValueEnum;
use distributedlog::writer::{Adaptive, Budget, Health, SettingsBuilder, Window};

use super::duration;

/// What the writer does beyond the original (R8 to R10), as flags. Without any of them the settings
/// stay as they are.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Budget, health and adaptive timeouts")]
pub(crate) struct PolicyArgs {
    /// Switch all of these on with their recommended values; flags beside it change single ones
    #[arg(long)]
    recommended: bool,

    /// Extra attempts, hedges and retries alike, that each set pays for: 0.05 for one in twenty
    /// [default: off; recommended: 0.05]
    #[arg(long, value_name = "SHARE|off", value_parser = number_or_off)]
    budget: Option<NumberOrOff>,

    /// Extra attempts that each second pays for, so that few sets can be hedged too [default: 1]
    #[arg(long, value_name = "N", requires = "budget")]
    budget_per_second: Option<u32>,

    /// How many extra attempts can be saved up [default: 100]
    #[arg(long, value_name = "N", requires = "budget")]
    budget_burst: Option<u32>,

    /// Whether a stream that stalls or fails loses its turn until probes find it well [default:
    /// off; recommended: on]
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    health: Option<Switch>,

    /// How many attempts in a row must fail, be overtaken or take twice as long as usual, before a
    /// stream loses its turn [default: 3]
    #[arg(long, value_name = "N", requires = "health")]
    health_strikes: Option<u32>,

    /// How long until it is probed for the first time [default: 100ms]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "health")]
    health_first_backoff: Option<Duration>,

    /// The longest until it is probed again [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "health")]
    health_max_backoff: Option<Duration>,

    /// How many sets may be outstanding at one stream: a fair share and as much again, a number,
    /// or as many as there are [default: share]
    #[arg(long, value_name = "share|N|off", value_parser = window)]
    window: Option<Window>,

    /// Try the next stream after this quantile of the stream's own latencies, once enough are
    /// known [default: off; recommended: 0.97]
    #[arg(long, value_name = "QUANTILE|off", value_parser = number_or_off)]
    adaptive: Option<NumberOrOff>,

    /// The shortest wait that --adaptive comes to [default: 1ms]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "adaptive")]
    adaptive_floor: Option<Duration>,

    /// After how many of a stream's answers its latencies count; until then the first speculative
    /// timeout does [default: 20]
    #[arg(long, value_name = "N", requires = "adaptive")]
    adaptive_warm_up: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum NumberOrOff {
    Number(f32),
    Off,
}

impl PolicyArgs {
    /// The same settings with what the flags say.
    pub(crate) fn apply(&self, builder: SettingsBuilder) -> SettingsBuilder {
        let mut builder = if self.recommended {
            builder.recommended()
        } else {
            builder
        };
        if let Some(budget) = self.budget {
            builder = builder.budget(self.budget_of(budget));
        }
        if let Some(health) = self.health {
            builder = builder.health(self.health_of(health));
        }
        if let Some(window) = self.window {
            builder = builder.window(window);
        }
        if let Some(adaptive) = self.adaptive {
            builder = builder.adaptive(self.adaptive_of(adaptive));
        }
        builder
    }

    fn budget_of(&self, share: NumberOrOff) -> Budget {
        let NumberOrOff::Number(share) = share else {
            return Budget::Off;
        };
        let Budget::Share {
            per_second, burst, ..
        } = Budget::RECOMMENDED
        else {
            unreachable!()
        };
        let per_second = self.budget_per_second.unwrap_or(per_second);
        Budget::Share {
            share,
            per_second,
            burst: self.budget_burst.unwrap_or(burst),
        }
    }

    fn health_of(&self, switch: Switch) -> Health {
        let Switch::On = switch else {
            return Health::Off;
        };
        let Health::Probation {
            strikes,
            first_backoff,
            max_backoff,
        } = Health::RECOMMENDED
        else {
            unreachable!()
        };
        Health::Probation {
            strikes: self.health_strikes.unwrap_or(strikes),
            first_backoff: self.health_first_backoff.unwrap_or(first_backoff),
            max_backoff: self.health_max_backoff.unwrap_or(max_backoff),
        }
    }

    fn adaptive_of(&self, quantile: NumberOrOff) -> Adaptive {
        let NumberOrOff::Number(quantile) = quantile else {
            return Adaptive::Off;
        };
        let Adaptive::Quantile { floor, warm_up, .. } = Adaptive::RECOMMENDED else {
            unreachable!()
        };
        let floor = self.adaptive_floor.unwrap_or(floor);
        Adaptive::Quantile {
            quantile,
            floor,
            warm_up: self.adaptive_warm_up.unwrap_or(warm_up),
        }
    }
}

fn number_or_off(text: &str) -> Result<NumberOrOff, String> {
    if text == "off" {
        return Ok(NumberOrOff::Off);
    }
    text.parse()
        .map(NumberOrOff::Number)
        .map_err(|_| "neither a number, as in 0.05, nor off".to_owned())
}

fn window(text: &str) -> Result<Window, String> {
    match text {
        "off" => Ok(Window::Off),
        "share" => Ok(Window::Share),
        number => number
            .parse()
            .map(Window::Attempts)
            .map_err(|_| "neither share, nor a number up to 65535, nor off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use distributedlog::writer::Settings;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        policies: PolicyArgs,
    }

    fn applied(line: &str) -> Result<SettingsBuilder, clap::Error> {
        let line = Line::try_parse_from(core::iter::once("x").chain(line.split_whitespace()))?;
        Ok(line.policies.apply(Settings::tutorial().to_builder()))
    }

    #[test]
    fn without_flags_nothing_changes_and_with_recommended_all_of_it_does() {
        let tutorial = Settings::tutorial().to_builder();
        assert_eq!(applied("").expect("legal"), tutorial);
        assert_eq!(
            applied("--recommended").expect("legal"),
            tutorial.recommended()
        );
    }

    #[test]
    fn every_policy_has_its_flag() {
        let flags = "--budget 0.1 --budget-per-second 3 --budget-burst 7 --health on \
                     --health-strikes 5 --health-first-backoff 50ms --health-max-backoff 4s \
                     --window 9 --adaptive 0.99 --adaptive-floor 5ms --adaptive-warm-up 100";
        let (first_backoff, max_backoff) = (Duration::from_millis(50), Duration::from_secs(4));
        let expected = Settings::tutorial()
            .to_builder()
            .budget(Budget::Share {
                share: 0.1,
                per_second: 3,
                burst: 7,
            })
            .health(Health::Probation {
                strikes: 5,
                first_backoff,
                max_backoff,
            })
            .window(Window::Attempts(9))
            .adaptive(Adaptive::Quantile {
                quantile: 0.99,
                floor: Duration::from_millis(5),
                warm_up: 100,
            });
        assert_eq!(applied(flags).expect("legal"), expected);
        assert_eq!(
            applied("--health on").expect("legal"),
            Settings::tutorial()
                .to_builder()
                .health(Health::RECOMMENDED)
        );
        assert_eq!(
            applied("--window off").expect("legal"),
            Settings::tutorial().to_builder().window(Window::Off)
        );
    }

    #[test]
    fn a_flag_beside_recommended_changes_its_own_setting() {
        let recommended = Settings::tutorial().to_builder().recommended();
        assert_eq!(
            applied("--recommended --health off").expect("legal"),
            recommended.health(Health::Off)
        );
        assert_eq!(
            applied("--recommended --budget off").expect("legal"),
            recommended.budget(Budget::Off)
        );
        assert_eq!(
            applied("--recommended --adaptive off").expect("legal"),
            recommended.adaptive(Adaptive::Off)
        );
    }

    #[test]
    fn what_cannot_be_understood_or_says_nothing_alone_is_refused() {
        for (line, said) in [
            ("--budget much", "neither a number, as in 0.05, nor off"),
            (
                "--window 70000",
                "neither share, nor a number up to 65535, nor off",
            ),
            ("--budget-burst 5", "--budget <SHARE|off>"),
            ("--health-strikes 5", "--health <on|off>"),
            ("--health-max-backoff 5s", "--health <on|off>"),
            ("--adaptive-floor 5ms", "--adaptive <QUANTILE|off>"),
            ("--adaptive-warm-up 5", "--adaptive <QUANTILE|off>"),
        ] {
            let error = applied(line).expect_err(line).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
