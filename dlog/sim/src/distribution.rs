use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use distributedlog_testkit::Random;

/// Distribution of the latencies of streams or, for streams with a [capacity](super::Capacity), of
/// the time that a worker needs for a set.
#[derive(Clone, Debug, PartialEq)]
pub enum Distribution {
    /// Every latency is the same.
    Constant(Duration),
    /// Latencies are lognormal, with this mean and standard deviation of the latency (not of its
    /// logarithm).
    Lognormal {
        /// The mean.
        mean: Duration,
        /// The standard deviation.
        sd: Duration,
    },
    /// Latencies are fast, or slow with some probability.
    Bimodal {
        /// The fast latency.
        fast: Duration,
        /// The slow latency.
        slow: Duration,
        /// The probability of the slow latency, 0 to 1.
        slow_share: f64,
    },
    /// Each recorded latency is as frequent as in the recording.
    Recorded(Recorded),
}

/// Recorded latencies with their counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded(Arc<[(u64, u64)]>);

/// A text is no valid recording of latencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedError {
    /// The line, from 1; 0 if the error concerns the whole text.
    pub line: usize,
    detail: String,
}

impl Recorded {
    /// Parses latencies from a text: one a line, in microseconds or with a unit (`us`, `µs`, `ms`,
    /// `s`), followed by its count if that is not 1. Empty lines and comments from `#` on are
    /// skipped.
    ///
    /// # Errors
    ///
    /// The first invalid line, or that the text has no latency.
    ///
    /// ```
    /// use distributedlog_sim::Recorded;
    ///
    /// let text = "1.2ms 950\n3ms 45\n80000 5 # five of a thousand took 80 ms\n";
    /// let recorded = Recorded::parse(text).unwrap();
    /// assert_eq!(recorded.len(), 1_000);
    /// assert!(Recorded::parse("fast").unwrap_err().to_string().contains("line 1"));
    /// ```
    pub fn parse(text: &str) -> Result<Self, RecordedError> {
        let mut latencies = Vec::new();
        let mut total = 0_u64;
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let refuse = |detail: String| RecordedError {
                line: index + 1,
                detail,
            };
            let mut words = line.split_whitespace();
            let Some(latency) = words.next() else {
                continue;
            };
            let micros = micros(latency).ok_or_else(|| {
                refuse(format!(
                    "'{latency}' is not a latency; write microseconds or a unit, as in 1200, \
                     1.2ms or 2s"
                ))
            })?;
            let count = match words.next() {
                None => 1,
                Some(count) => count
                    .parse()
                    .ok()
                    .filter(|count| (1..=1 << 40).contains(count))
                    .ok_or_else(|| {
                        refuse(format!(
                            "'{count}' is not how often a latency was seen: 1 to 2^40"
                        ))
                    })?,
            };
            if let Some(more) = words.next() {
                return Err(refuse(format!(
                    "'{more}' is one word too many: a line is a latency and how often it was seen"
                )));
            }
            total = total.saturating_add(count);
            latencies.push((micros, total));
        }
        if latencies.is_empty() {
            return Err(RecordedError {
                line: 0,
                detail: "there is no latency in it".to_owned(),
            });
        }
        Ok(Self(latencies.into()))
    }

    /// Returns the number of recorded latencies.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.last().map_or(0, |(_, total)| *total)
    }

    /// Returns false: a recording has at least one latency.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn draw(&self, random: &mut Random) -> f64 {
        let rank = random.below(self.len());
        let index = self.0.partition_point(|(_, total)| *total <= rank);
        self.0[index].0 as f64
    }
}

/// Parses a latency with or without a unit. Returns microseconds, at most a day.
fn micros(text: &str) -> Option<u64> {
    let split = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "" | "us" | "µs" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    let micros = number.parse::<f64>().ok()? * scale;
    (micros <= 86_400e6).then_some(micros.round() as u64)
}

impl fmt::Display for RecordedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.detail),
            line => write!(f, "line {line}: {}", self.detail),
        }
    }
}

impl core::error::Error for RecordedError {}

/// A distribution prepared for drawing, in microseconds.
#[derive(Clone, Debug)]
pub(crate) enum Sampler {
    Constant(f64),
    Lognormal {
        mu: f64,
        sigma: f64,
    },
    Bimodal {
        fast: f64,
        slow: f64,
        slow_share: f64,
    },
    Recorded(Recorded),
}

impl Sampler {
    pub(crate) fn new(distribution: &Distribution) -> Self {
        let micros = |length: Duration| length.as_micros() as f64;
        match *distribution {
            Distribution::Constant(latency) => Self::Constant(micros(latency)),
            Distribution::Lognormal { mean, sd } => {
                let (mean, sd) = (micros(mean), micros(sd));
                // Mean = exp(mu + sigma²/2) and (sd / mean)² = exp(sigma²) - 1.
                let variance = (sd / mean).powi(2).ln_1p();
                Self::Lognormal {
                    mu: mean.ln() - variance / 2.0,
                    sigma: variance.sqrt(),
                }
            }
            Distribution::Bimodal {
                fast,
                slow,
                slow_share,
            } => Self::Bimodal {
                fast: micros(fast),
                slow: micros(slow),
                slow_share,
            },
            Distribution::Recorded(ref recorded) => Self::Recorded(recorded.clone()),
        }
    }

    /// Draws a latency in microseconds.
    pub(crate) fn draw(&self, random: &mut Random) -> f64 {
        match self {
            Self::Constant(latency) => *latency,
            Self::Lognormal { mu, sigma } => (mu + sigma * normal(random)).exp(),
            Self::Bimodal {
                fast,
                slow,
                slow_share,
            } => {
                if random.chance(*slow_share) {
                    *slow
                } else {
                    *fast
                }
            }
            Self::Recorded(recorded) => recorded.draw(random),
        }
    }
}

/// Draws a number uniformly from 0, excluded, to 1.
pub(crate) fn unit(random: &mut Random) -> f64 {
    ((random.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// Draws a standard normal number (Box and Muller).
fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * unit(random).ln()).sqrt();
    radius * (core::f64::consts::TAU * unit(random)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(distribution: &Distribution) -> (f64, f64) {
        let sampler = Sampler::new(distribution);
        let mut random = Random::new(1);
        let draws: Vec<f64> = (0..200_000).map(|_| sampler.draw(&mut random)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance =
            draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn a_lognormal_has_the_mean_and_the_deviation_that_were_asked_for() {
        let (mean, sd) = moments(&Distribution::Lognormal {
            mean: Duration::from_millis(5),
            sd: Duration::from_millis(2),
        });
        assert!(
            (4_975.0..5_025.0).contains(&mean) && (1_960.0..2_040.0).contains(&sd),
            "{mean} {sd}"
        );
    }

    #[test]
    fn latencies_are_drawn_as_often_as_they_were_recorded() {
        let recorded =
            Recorded::parse("# a comment\n\n1000µs 45\n1000 45\n100ms 10\n").expect("latencies");
        let (mean, _) = moments(&Distribution::Recorded(recorded));
        assert!((10_700.0..11_100.0).contains(&mean), "{mean}");
    }

    #[test]
    fn a_record_of_latencies_that_means_nothing_is_refused_with_its_line() {
        for (text, line) in [
            ("", 0),
            ("# none", 0),
            ("5ms\nslow", 2),
            ("5ms 0", 1),
            ("5ms 1 1", 1),
            ("-5ms", 1),
            ("5 parsecs", 1),
            ("1e9s", 1),
        ] {
            assert_eq!(
                Recorded::parse(text).expect_err("refused").line,
                line,
                "{text}"
            );
        }
    }
}
