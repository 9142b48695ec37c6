use core::time::Duration;
use std::path::PathBuf;

use distributedlog_sim::{
    Arrivals, Bursts, Capacity, Distribution, Fault as StreamFault, FaultKind, Recorded, Scenario,
    SharedStalls, Stragglers, scenarios,
};

use super::super::output::counted;
use super::super::{CliError, duration};

/// Flags that change the named scenario, or the healthy one if none is named.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Scenario")]
pub(super) struct ScenarioArgs {
    /// Number of streams
    #[arg(long, value_name = "N")]
    streams: Option<u16>,

    /// Number of record sets to write
    #[arg(long, value_name = "N")]
    sets: Option<u64>,

    /// Mean number of sets per second, without bursts; they arrive at random times
    #[arg(long, value_name = "N")]
    rate: Option<f64>,

    /// Number of sets in an operation, whose latency is the time until all of them are written
    #[arg(long, value_name = "N")]
    fan_out: Option<u32>,

    /// Bursts: interval, duration, and factor of the rate; for instance 2s,200ms,3
    #[arg(long, value_name = "EVERY,LENGTH,FACTOR", value_parser = bursts)]
    bursts: Option<Bursts>,

    /// Latency of a stream: 5ms, lognormal:MEAN,SD, bimodal:FAST,SLOW,SHARE or recorded:FILE, as
    /// dlog bench --record writes it
    #[arg(long, value_name = "LATENCY", value_parser = latency)]
    latency: Option<LatencyArg>,

    /// Attempts that take longer: their share, and the factor of their latency; for instance
    /// 0.05,10
    #[arg(long, value_name = "SHARE,FACTOR", value_parser = stragglers)]
    stragglers: Option<Stragglers>,

    /// Number of storage domains that the streams belong to in turn, as those of a store share its
    /// disk; 0: each has a storage of its own [default: 1 with a recording that has times, else 0]
    #[arg(long, value_name = "N")]
    domains: Option<u16>,

    /// Stalls of each storage domain, which hold up all its streams at once: mean time between
    /// them, mean length; for instance 500ms,20ms
    #[arg(long, value_name = "EVERY,LENGTH", value_parser = shared_stalls)]
    shared_stalls: Option<SharedStalls>,

    /// Stall a stream: 1:10s-40s, or all:10s-40s
    #[arg(long, value_name = "STREAM:FROM-UNTIL", value_parser = stall)]
    stall: Vec<StreamFault>,

    /// Move a stream to another owner: attempts that wait or arrive in that time are never answered
    #[arg(long, value_name = "STREAM:FROM-UNTIL", value_parser = away)]
    away: Vec<StreamFault>,

    /// Slow a stream down: 1:10s-20s:10 by a factor of ten, 1:0s-:10 until the end
    #[arg(long, value_name = "STREAM:FROM-UNTIL:FACTOR", value_parser = slow)]
    slow: Vec<StreamFault>,

    /// Share of attempts that are never answered
    #[arg(long, value_name = "SHARE")]
    loss: Option<f64>,

    /// Capacity of a stream: sets that it writes at the same time, each for its latency, and sets
    /// that may wait; for instance 4,64
    #[arg(long, value_name = "WORKERS,QUEUE", value_parser = capacity)]
    capacity: Option<Capacity>,
}

/// A distribution, or the file with its latencies.
#[derive(Clone, Debug)]
enum LatencyArg {
    Known(Distribution),
    Recorded(PathBuf),
}

impl ScenarioArgs {
    /// Returns true if no flag changes the scenario, other than its number of sets.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            streams,
            sets: _,
            rate,
            fan_out,
            bursts,
            latency,
            stragglers,
            stall,
            away,
            slow,
            loss,
            capacity,
            domains,
            shared_stalls,
        } = self;
        let numbers = streams.is_none() && rate.is_none() && fan_out.is_none() && loss.is_none();
        let shapes =
            bursts.is_none() && latency.is_none() && stragglers.is_none() && capacity.is_none();
        let storage = domains.is_none() && shared_stalls.is_none();
        numbers && shapes && storage && stall.is_empty() && away.is_empty() && slow.is_empty()
    }

    /// Returns the description and the scenario of this letter, or the healthy one, with the
    /// changes of the flags.
    ///
    /// # Errors
    /// The letter is unknown, a file cannot be read, or the scenario is invalid.
    pub(super) fn scenario(&self, letter: Option<&str>) -> Result<(String, Scenario), CliError> {
        let (about, base) = match letter {
            None => ("custom", healthy()),
            Some(letter) => scenarios::named(letter).ok_or_else(|| unknown(letter))?,
        };
        let about = if letter.is_some() && (!self.is_empty() || self.sets.is_some()) {
            format!("{about}, changed")
        } else {
            about.to_owned()
        };
        let latency = match &self.latency {
            None => base.latency,
            Some(LatencyArg::Known(distribution)) => distribution.clone(),
            Some(LatencyArg::Recorded(file)) => {
                let refuse = |error: &dyn core::fmt::Display| {
                    CliError::failure(format!(
                        "cannot read latencies from {}: {error}",
                        file.display()
                    ))
                };
                let text = std::fs::read_to_string(file).map_err(|error| refuse(&error))?;
                Distribution::Recorded(Recorded::parse(&text).map_err(|error| refuse(&error))?)
            }
        };
        // What held up one stream when it was recorded held up all of the store.
        let in_time = matches!(&latency, Distribution::Recorded(it) if it.is_in_time());
        let domains = match self.domains {
            Some(domains) => domains,
            None if in_time && base.domains == 0 => 1,
            None => base.domains,
        };
        let mut faults = base.faults;
        faults.extend(self.stall.iter().chain(&self.away).chain(&self.slow));
        let scenario = Scenario {
            streams: self.streams.unwrap_or(base.streams),
            sets: self.sets.unwrap_or(base.sets),
            arrivals: Arrivals {
                per_second: self.rate.unwrap_or(base.arrivals.per_second),
                fan_out: self.fan_out.unwrap_or(base.arrivals.fan_out),
                bursts: self.bursts.or(base.arrivals.bursts),
            },
            latency,
            stragglers: self.stragglers.or(base.stragglers),
            faults,
            loss: self.loss.unwrap_or(base.loss),
            capacity: self.capacity.or(base.capacity),
            domains,
            shared_stalls: self.shared_stalls.or(base.shared_stalls),
        };
        scenario
            .check()
            .map_err(|error| CliError::usage(error.to_string()))?;
        Ok((about, scenario))
    }
}

/// Scenario (a) without its stragglers.
fn healthy() -> Scenario {
    let (_, base) = scenarios::named("a").expect("the table begins with it");
    Scenario {
        stragglers: None,
        ..base
    }
}

fn unknown(letter: &str) -> CliError {
    let known: Vec<String> = scenarios::ALL
        .iter()
        .map(|(letter, about)| format!("{letter}  {about}"))
        .collect();
    CliError::usage(format!("there is no scenario '{letter}'")).tip(known.join("\n"))
}

/// Splits a text at commas into exactly `N` parts.
fn parts<const N: usize>(text: &str) -> Result<[&str; N], String> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    <[&str; N]>::try_from(parts).map_err(|parts| {
        let found = counted(parts.len() as u64, "value");
        format!("{found} separated by commas instead of {N}")
    })
}

fn time(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| error.to_string())
}

fn number<T: core::str::FromStr<Err: core::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("'{text}': {error}"))
}

fn bursts(text: &str) -> Result<Bursts, String> {
    let [every, length, factor] = parts(text)?;
    Ok(Bursts {
        every: time(every)?,
        length: time(length)?,
        factor: number(factor)?,
    })
}

fn stragglers(text: &str) -> Result<Stragglers, String> {
    let [share, factor] = parts(text)?;
    Ok(Stragglers {
        share: number(share)?,
        factor: number(factor)?,
    })
}

fn shared_stalls(text: &str) -> Result<SharedStalls, String> {
    let [every, length] = parts(text)?;
    Ok(SharedStalls {
        every: time(every)?,
        length: time(length)?,
    })
}

fn capacity(text: &str) -> Result<Capacity, String> {
    let [workers, queue] = parts(text)?;
    Ok(Capacity {
        workers: number(workers)?,
        queue: number(queue)?,
    })
}

fn latency(text: &str) -> Result<LatencyArg, String> {
    let known = match text.split_once(':') {
        None => Distribution::Constant(time(text)?),
        Some(("recorded", file)) => return Ok(LatencyArg::Recorded(file.into())),
        Some(("lognormal", values)) => {
            let [mean, sd] = parts(values)?;
            Distribution::Lognormal {
                mean: time(mean)?,
                sd: time(sd)?,
            }
        }
        Some(("bimodal", values)) => {
            let [fast, slow, share] = parts(values)?;
            Distribution::Bimodal {
                fast: time(fast)?,
                slow: time(slow)?,
                slow_share: number(share)?,
            }
        }
        Some((other, _)) => {
            return Err(format!(
                "'{other}' is not a distribution; write lognormal, bimodal, recorded, or a time \
                 alone"
            ));
        }
    };
    Ok(LatencyArg::Known(known))
}

fn stream_fault(text: &str, kind: FaultKind) -> Result<StreamFault, String> {
    let shape = || format!("'{text}' is not a stream and a time: write 1:10s-20s, or all:10s-20s");
    let (stream, times) = text.split_once(':').ok_or_else(shape)?;
    let (from, until) = times.split_once('-').ok_or_else(shape)?;
    let stream = if stream == "all" {
        None
    } else {
        Some(number(stream)?)
    };
    let until = if until.is_empty() {
        None
    } else {
        Some(time(until)?)
    };
    Ok(StreamFault {
        stream,
        from: time(from)?,
        until,
        kind,
    })
}

fn stall(text: &str) -> Result<StreamFault, String> {
    stream_fault(text, FaultKind::Stall)
}

fn away(text: &str) -> Result<StreamFault, String> {
    stream_fault(text, FaultKind::Failover)
}

fn slow(text: &str) -> Result<StreamFault, String> {
    let shape = || format!("'{text}' is not a stream, a time and a factor: write 1:10s-20s:10");
    let (when, factor) = text
        .rsplit_once(':')
        .filter(|(when, _)| when.contains(':'))
        .ok_or_else(shape)?;
    stream_fault(when, FaultKind::Slow(number(factor)?))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct TestCli {
        #[command(flatten)]
        scenario: ScenarioArgs,
    }

    fn scenario(line: &str) -> Result<Scenario, String> {
        let line = TestCli::try_parse_from(core::iter::once("x").chain(line.split_whitespace()))
            .map_err(|error| error.to_string())?;
        line.scenario
            .scenario(None)
            .map(|(_, scenario)| scenario)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_part_of_a_scenario_has_its_flag() {
        let flags = "--streams 7 --sets 1000 --rate 10 --fan-out 5 --bursts 2s,200ms,3 --latency \
                     bimodal:1ms,1s,0.01 --stragglers 0.1,3 --stall 1:1s-2s --away all:3s-4s \
                     --slow 6:0s-:10 --loss 0.5 --capacity 2,3 --domains 3 --shared-stalls \
                     500ms,20ms";
        let fault = |stream, from, until: Option<u64>, kind| StreamFault {
            stream,
            from: Duration::from_secs(from),
            until: until.map(Duration::from_secs),
            kind,
        };
        let expected = Scenario {
            streams: 7,
            sets: 1_000,
            arrivals: Arrivals {
                per_second: 10.0,
                fan_out: 5,
                bursts: Some(Bursts {
                    every: Duration::from_secs(2),
                    length: Duration::from_millis(200),
                    factor: 3.0,
                }),
            },
            latency: Distribution::Bimodal {
                fast: Duration::from_millis(1),
                slow: Duration::from_secs(1),
                slow_share: 0.01,
            },
            stragglers: Some(Stragglers {
                share: 0.1,
                factor: 3.0,
            }),
            faults: vec![
                fault(Some(1), 1, Some(2), FaultKind::Stall),
                fault(None, 3, Some(4), FaultKind::Failover),
                fault(Some(6), 0, None, FaultKind::Slow(10.0)),
            ],
            loss: 0.5,
            capacity: Some(Capacity {
                workers: 2,
                queue: 3,
            }),
            domains: 3,
            shared_stalls: Some(SharedStalls {
                every: Duration::from_millis(500),
                length: Duration::from_millis(20),
            }),
        };
        assert_eq!(scenario(flags).expect("the flags are valid"), expected);
    }

    #[test]
    fn invalid_flags_are_refused_with_a_correct_form() {
        for (line, part) in [
            ("--latency fast", "not a duration"),
            ("--latency uniform:1ms,2ms", "write lognormal"),
            (
                "--latency lognormal:1ms",
                "1 value separated by commas instead of 2",
            ),
            ("--latency recorded:/nowhere", "/nowhere"),
            ("--stall 1", "write 1:10s-20s"),
            ("--stall 9:1s-2s", "0 to 4"),
            ("--stall 1:2s-1s", "ends before it begins"),
            ("--stall 1:2s-", "without an end"),
            ("--slow 1:1s-2s", "write 1:10s-20s:10"),
            ("--loss 2", "0 to 1"),
            ("--streams 0", "1 to"),
            ("--sets 0", "1 to"),
            ("--rate nan", "0.001 to"),
            ("--bursts 1s,2s,3", "shorter than its interval"),
            ("--capacity 0,0", "1 to 100000"),
            ("--stragglers 7,1", "0 to 1"),
            ("--domains 6", "1 to the number of streams, 5"),
            ("--domains two", "invalid digit"),
            (
                "--shared-stalls 1s",
                "1 value separated by commas instead of 2",
            ),
            ("--shared-stalls 1s,0s", "both are above 0"),
            (
                "--sets 10000000 --shared-stalls 1ms,1ms",
                "and may have 1000000",
            ),
        ] {
            let message = scenario(line).expect_err(line);
            assert!(message.contains(part), "{line}: {message}");
        }
    }

    #[test]
    fn streams_share_the_storage_of_a_recording_in_time_unless_a_flag_says_otherwise() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("attempts.txt");
        let recorded = |flags: &str| {
            let line = format!("--latency recorded:{} {flags}", file.display());
            scenario(&line).expect("the flags are valid").domains
        };
        std::fs::write(&file, "@0 500\n@5ms 400\n").expect("the folder can be written");
        assert_eq!(
            (
                recorded(""),
                recorded("--domains 0"),
                recorded("--domains 5")
            ),
            (1, 0, 5)
        );
        std::fs::write(&file, "500 3\n400\n").expect("the folder can be written");
        assert_eq!((recorded(""), recorded("--domains 2")), (0, 2));
    }

    #[test]
    fn an_unknown_letter_is_refused_with_the_list_of_scenarios() {
        let line = TestCli::parse_from(["x"]);
        let error = line
            .scenario
            .scenario(Some("z"))
            .expect_err("there is no z");
        assert!(
            error
                .report(false)
                .expect("a message")
                .contains("stalls for 30 s")
        );
    }
}
