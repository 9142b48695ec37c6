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
    /// Each recorded latency is as frequent as in the recording, or in a recording in time, as it
    /// was at that time.
    Recorded(Recorded),
}

/// Recorded latencies: how often each was seen, or in time, when an attempt that took so long
/// began.
///
/// From a recording in time an attempt takes as long as the recorded one that began last before it.
/// The recording begins anew at its end. Streams of one storage domain are at one place in it, so
/// that what held up all of them when it was recorded does so again; domains are at unrelated ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Latencies, each with the number of latencies up to it.
    Counted(Arc<[(u64, u64)]>),
    /// Begins of attempts, in order, with their latencies.
    InTime(Arc<[(u64, u64)]>),
}

/// A text is no valid recording of latencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedError {
    /// The line, from 1; 0 if the error concerns the whole text.
    pub line: usize,
    detail: String,
}

impl Recorded {
    /// Parses latencies from a text: one a line, in microseconds or with a unit (`us`, `µs`, `ms`,
    /// `s`), followed by its count if that is not 1; or all of them behind the time at which their
    /// attempt began, with an `@`, as `dlog bench --record` writes them. Empty lines and comments
    /// from `#` on are skipped.
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
    /// assert_eq!((recorded.len(), recorded.is_in_time()), (1_000, false));
    /// let recorded = Recorded::parse("@0 1.2ms\n@5ms 80ms\n@10ms 75ms\n").unwrap();
    /// assert_eq!((recorded.len(), recorded.is_in_time()), (3, true));
    /// assert!(Recorded::parse("fast").unwrap_err().to_string().contains("line 1"));
    /// ```
    pub fn parse(text: &str) -> Result<Self, RecordedError> {
        let mut latencies = Vec::new();
        let mut is_in_time = false;
        let mut total = 0_u64;
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let refuse = |detail: String| RecordedError {
                line: index + 1,
                detail,
            };
            let mut words = line.split_whitespace();
            let Some(first) = words.next() else {
                continue;
            };
            let has_time = first.starts_with('@');
            if latencies.is_empty() {
                is_in_time = has_time;
            } else if is_in_time != has_time {
                return Err(refuse(
                    "either every line begins with the time of its attempt, as @12ms, or none does"
                        .to_owned(),
                ));
            }
            latencies.push(if has_time {
                in_time(first, &mut words).map_err(refuse)?
            } else {
                let (latency, count) = counted(first, &mut words).map_err(refuse)?;
                total = total.saturating_add(count);
                (latency, total)
            });
            if let Some(more) = words.next() {
                return Err(refuse(format!(
                    "'{more}' is one word too many: a line is a latency and how often it was seen, \
                     or a time and a latency"
                )));
            }
        }
        if latencies.is_empty() {
            return Err(RecordedError {
                line: 0,
                detail: "there is no latency in it".to_owned(),
            });
        }
        Ok(Self(if is_in_time {
            latencies.sort_by_key(|(began, _)| *began);
            Kind::InTime(latencies.into())
        } else {
            Kind::Counted(latencies.into())
        }))
    }

    /// Returns the number of recorded latencies.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Counted(latencies) => latencies.last().map_or(0, |(_, total)| *total),
            Kind::InTime(latencies) => latencies.len() as u64,
        }
    }

    /// Returns false: a recording has at least one latency.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns `true` if it is known when each attempt began.
    #[must_use]
    pub const fn is_in_time(&self) -> bool {
        matches!(self.0, Kind::InTime(_))
    }

    fn draw(&self, random: &mut Random, at: u64) -> f64 {
        let latency = match &self.0 {
            Kind::Counted(latencies) => {
                let rank = random.below(self.len());
                latencies[latencies.partition_point(|(_, total)| *total <= rank)].0
            }
            Kind::InTime(latencies) => {
                let (first, last) = (latencies[0].0, latencies[latencies.len() - 1].0);
                // The last one lasts as long as others do on average.
                let length = last - first + ((last - first) / latencies.len() as u64).max(1);
                let at = first + at % length;
                // At least one, the first, began by then.
                latencies[latencies.partition_point(|(began, _)| *began <= at) - 1].1
            }
        };
        latency as f64
    }
}

/// Parses a latency and how often it was seen.
fn counted<'a>(
    latency: &str,
    rest: &mut impl Iterator<Item = &'a str>,
) -> Result<(u64, u64), String> {
    let micros = latency_of(latency)?;
    let count = match rest.next() {
        None => 1,
        Some(count) => count
            .parse()
            .ok()
            .filter(|count| (1..=1 << 40).contains(count))
            .ok_or_else(|| format!("'{count}' is not how often a latency was seen: 1 to 2^40"))?,
    };
    Ok((micros, count))
}

/// Parses the time at which an attempt began, and its latency.
fn in_time<'a>(
    began: &str,
    rest: &mut impl Iterator<Item = &'a str>,
) -> Result<(u64, u64), String> {
    let time = micros(&began[1..]).ok_or_else(|| {
        format!("'{began}' is not a time; write microseconds or a unit, as in @1200 or @1.2ms")
    })?;
    let latency = rest
        .next()
        .ok_or_else(|| format!("no latency stands behind '{began}'"))?;
    Ok((time, latency_of(latency)?))
}

fn latency_of(text: &str) -> Result<u64, String> {
    micros(text).ok_or_else(|| {
        format!("'{text}' is not a latency; write microseconds or a unit, as in 1200, 1.2ms or 2s")
    })
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

    /// Draws a latency in microseconds. `at` is the time of an attempt by a recording's clock.
    pub(crate) fn draw(&self, random: &mut Random, at: u64) -> f64 {
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
            Self::Recorded(recorded) => recorded.draw(random, at),
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
        let draws: Vec<f64> = (0..200_000).map(|_| sampler.draw(&mut random, 0)).collect();
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
            ("@5ms", 1),
            ("@5ms 1 1", 1),
            ("@soon 1", 1),
            ("@0 1\n1", 2),
            ("1\n@0 1", 2),
        ] {
            assert_eq!(
                Recorded::parse(text).expect_err("refused").line,
                line,
                "{text}"
            );
        }
    }

    #[test]
    fn a_recording_in_time_gives_the_latency_of_each_time_and_begins_anew_at_its_end() {
        let text = "@1s 1ms\n@1010ms 40ms # out of order\n@1005ms 2ms\n@1015ms 35ms\n";
        let recorded = Recorded::parse(text).expect("latencies");
        assert_eq!((recorded.len(), recorded.is_in_time()), (4, true));
        let mut random = Random::new(1);
        let mut at = |micros| recorded.draw(&mut random, micros);
        // From the first to the last, and a quarter of that.
        let length = 15_000 + 3_750;
        for (micros, latency) in [
            (0, 1_000.0),
            (4_999, 1_000.0),
            (5_000, 2_000.0),
            (12_000, 40_000.0),
            (18_000, 35_000.0),
            (length, 1_000.0),
            (length * 1_000 + 5_000, 2_000.0),
        ] {
            assert!((at(micros) - latency).abs() < f64::EPSILON, "{micros}");
        }
    }
}
