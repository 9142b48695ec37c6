//! The scenarios that `docs/hedging.md` compares, by letter.

use core::time::Duration;

use super::{
    Arrivals, Bursts, Capacity, Distribution, Fault, FaultKind, Scenario, SharedStalls, Stragglers,
};

/// Letter and one-line description of each scenario.
pub const ALL: [(&str, &str); 10] = [
    ("a", "5 % of the attempts take ten times as long"),
    ("b", "one of five streams stalls for 30 s"),
    ("c", "one of five streams is ten times slower throughout"),
    (
        "d",
        "ownership failover: a stream answers nothing for 10 s, then from elsewhere",
    ),
    (
        "e",
        "brown-out: all streams at half of their capacity for 10 s",
    ),
    ("f", "bursts above the capacity"),
    ("g", "one stream only"),
    ("h", "fan-out: an operation is 100 sets to 100 streams"),
    ("i", "five streams share a disk that stalls"),
    ("j", "six streams on two disks that stall"),
];

/// Returns the scenario with this letter and its description, or `None` if there is none.
#[must_use]
pub fn named(letter: &str) -> Option<(&'static str, Scenario)> {
    let (letter, about) = ALL.into_iter().find(|(of, _)| *of == letter)?;
    let scenario = match letter {
        "a" => Scenario {
            stragglers: Some(Stragglers {
                share: 0.05,
                factor: 10.0,
            }),
            ..plain()
        },
        "b" => Scenario {
            faults: vec![fault(10, Some(40), FaultKind::Stall)],
            ..plain()
        },
        "c" => Scenario {
            faults: vec![fault(0, None, FaultKind::Slow(10.0))],
            ..plain()
        },
        "d" => Scenario {
            faults: vec![fault(10, Some(20), FaultKind::Failover)],
            ..plain()
        },
        "e" => brown_out(),
        "f" => bursts(),
        "g" => Scenario {
            streams: 1,
            stragglers: Some(Stragglers {
                share: 0.05,
                factor: 10.0,
            }),
            ..plain()
        },
        "h" => fan_out(),
        "i" => shared(5, 1),
        _ => shared(6, 2),
    };
    Some((about, scenario))
}

impl Scenario {
    /// Returns the scenario with another number of sets.
    #[must_use]
    pub fn with_sets(self, sets: u64) -> Self {
        Self { sets, ..self }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// Five streams, 1,000 sets a second for 50 s, lognormal with a mean of 5 ms and a deviation of 2
/// ms.
fn plain() -> Scenario {
    Scenario {
        streams: 5,
        sets: 50_000,
        arrivals: Arrivals {
            per_second: 1_000.0,
            fan_out: 1,
            bursts: None,
        },
        latency: Distribution::Lognormal {
            mean: MILLISECOND * 5,
            sd: MILLISECOND * 2,
        },
        stragglers: None,
        faults: Vec::new(),
        loss: 0.0,
        capacity: None,
        domains: 0,
        shared_stalls: None,
    }
}

/// Makes a fault of the second stream; times are in seconds.
fn fault(from: u64, until: Option<u64>, kind: FaultKind) -> Fault {
    Fault {
        stream: Some(1),
        from: Duration::from_secs(from),
        until: until.map(Duration::from_secs),
        kind,
    }
}

/// Five streams with a capacity of 4,000 sets a second together, and half of that from 10 s to
/// 20 s, under a load of 2,400 sets a second.
fn brown_out() -> Scenario {
    Scenario {
        sets: 72_000,
        arrivals: Arrivals {
            per_second: 2_400.0,
            fan_out: 1,
            bursts: None,
        },
        capacity: Some(Capacity {
            workers: 4,
            queue: 64,
        }),
        faults: vec![Fault {
            stream: None,
            ..fault(10, Some(20), FaultKind::Slow(2.0))
        }],
        ..plain()
    }
}

/// The same streams without faults, under a load of 2,000 sets a second, and of 6,000 for 200 ms
/// every two seconds.
fn bursts() -> Scenario {
    Scenario {
        sets: 72_000,
        arrivals: Arrivals {
            per_second: 2_000.0,
            fan_out: 1,
            bursts: Some(Bursts {
                every: MILLISECOND * 2_000,
                length: MILLISECOND * 200,
                factor: 3.0,
            }),
        },
        capacity: Some(Capacity {
            workers: 4,
            queue: 64,
        }),
        ..plain()
    }
}

/// 100 operations a second of 100 sets each. One attempt in a thousand takes a second or so.
fn fan_out() -> Scenario {
    Scenario {
        streams: 100,
        sets: 300_000,
        arrivals: Arrivals {
            per_second: 5_000.0,
            fan_out: 100,
            bursts: None,
        },
        stragglers: Some(Stragglers {
            share: 0.001,
            factor: 100.0,
        }),
        ..plain()
    }
}

/// Streams whose latencies are those of a disk that syncs in a millisecond or so. The disks that
/// they share stall for 20 ms on average, once in half a second.
fn shared(streams: u16, domains: u16) -> Scenario {
    Scenario {
        streams,
        latency: Distribution::Lognormal {
            mean: MILLISECOND,
            sd: MILLISECOND / 4,
        },
        domains,
        shared_stalls: Some(SharedStalls {
            every: MILLISECOND * 500,
            length: MILLISECOND * 20,
        }),
        ..plain()
    }
}
