use core::time::Duration;

use distributedlog::writer::Counters;
use serde_json::{Value, json};

use super::super::latency::QUANTILES;
use super::latencies::{self, Latencies};
use super::load::Measured;
use super::verify::ReadBack;

/// A load, and its measurements.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) streams: usize,
    pub(super) writers: u32,
    pub(super) in_flight: usize,
    pub(super) record_bytes: usize,
    /// Records per second of all writers that were asked for; `None`: as many as possible.
    pub(super) rate: Option<f64>,
    pub(super) warm_up: Duration,
    pub(super) measured: Measured,
    /// Counters of all writers over the whole run, the warm-up included.
    pub(super) counters: Counters,
    pub(super) read_back: Option<ReadBack>,
}

impl Report {
    fn seconds(&self) -> f64 {
        self.measured.span.as_secs_f64().max(1e-9)
    }

    fn rate(&self) -> f64 {
        self.measured.written as f64 / self.seconds()
    }

    fn bytes_rate(&self) -> f64 {
        self.rate() * self.record_bytes as f64
    }

    /// Attempts beyond one for each set, as a share of the sets.
    fn extra_load(&self) -> f64 {
        let Counters { attempts, sets, .. } = self.counters;
        attempts as f64 / sets.max(1) as f64 - 1.0
    }

    /// Formats the report for people.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![self.heading(), String::new()];
        let Measured {
            written,
            not_written,
            unknown,
            ..
        } = self.measured;
        lines.push(format!(
            "{} records/s, {:.1} MB/s: {written} records written in {:.1} s, {not_written} not \
             written, {unknown} with an unknown outcome",
            grouped(self.rate()),
            self.bytes_rate() / 1e6,
            self.seconds(),
        ));
        lines.push(String::new());
        lines.extend(self.latency_table());
        lines.push(String::new());
        let Counters {
            sets,
            attempts,
            hedges_sent,
            hedges_won,
            retries,
            ..
        } = self.counters;
        lines.push(format!(
            "{sets} sets in {attempts} attempts: {:.2} % more than one each; {hedges_sent} hedges, \
             of which {hedges_won} won, and {retries} retries (with the warm-up)",
            self.extra_load() * 100.0
        ));
        if let Some(found) = &self.read_back {
            lines.push(format!(
                "read back: {} records, {} lost, {} more than once, {} unexpected; {} duplicates \
                 dropped, {} of unknown outcome are there",
                found.records,
                found.lost,
                found.twice,
                found.unexpected,
                found.duplicates,
                found.unknown_written,
            ));
        }
        if let Some(failure) = &self.measured.failure {
            lines.push(format!("last failure: {failure}"));
        }
        lines.join("\n")
    }

    fn heading(&self) -> String {
        let rate = self.rate.map_or_else(
            || format!("at most {} records in flight each", self.in_flight),
            |rate| format!("{rate} records/s in all"),
        );
        format!(
            "{} over {}, records of {} bytes, {rate}, after {:?} of warm-up",
            super::super::output::counted(self.writers.into(), "writer"),
            super::super::output::counted(self.streams as u64, "stream"),
            self.record_bytes,
            self.warm_up,
        )
    }

    fn latency_table(&self) -> Vec<String> {
        let names = QUANTILES.iter().map(|(name, _)| *name);
        let header = core::iter::once("latency").chain(names).chain(["max"]);
        let header: Vec<String> = header.map(str::to_owned).collect();
        let row = |name: &str, latencies: &Latencies| {
            let quantiles = QUANTILES
                .iter()
                .map(|(_, quantile)| latencies.quantile(*quantile));
            let times = quantiles.chain([latencies.longest()]).map(latencies::text);
            core::iter::once(name.to_owned()).chain(times).collect()
        };
        let rows: [Vec<String>; 3] = [
            header,
            row("writes", &self.measured.writes),
            row("attempts", &self.measured.attempts),
        ];
        let lines = rows.iter().map(|row| {
            let (name, cells) = row.split_first().expect("each has a name");
            let cells = cells.iter().map(|cell| format!("  {cell:>8}"));
            format!("{name:<8}{}", cells.collect::<String>())
        });
        lines.collect()
    }

    /// Formats the report for programs, as one object.
    pub(super) fn json(&self) -> Value {
        let measured = &self.measured;
        let counters: serde_json::Map<String, Value> = self
            .counters
            .iter()
            .map(|(name, count)| (name.to_owned(), count.into()))
            .collect();
        json!({
            "streams": self.streams,
            "writers": self.writers,
            "in_flight": self.in_flight,
            "record_bytes": self.record_bytes,
            "rate": self.rate,
            "warm_up_seconds": self.warm_up.as_secs_f64(),
            "seconds": self.seconds(),
            "records_written": measured.written,
            "records_not_written": measured.not_written,
            "records_unknown": measured.unknown,
            "records_per_second": self.rate(),
            "bytes_per_second": self.bytes_rate(),
            "write_latency_us": latencies_json(&measured.writes),
            "attempt_latency_us": latencies_json(&measured.attempts),
            "extra_load": self.extra_load(),
            "counters": counters,
            "last_failure": measured.failure.map(|failure| failure.to_string()),
            "read_back": self.read_back.map(|found| json!({
                "records": found.records,
                "lost": found.lost,
                "twice": found.twice,
                "unexpected": found.unexpected,
                "unknown_written": found.unknown_written,
                "duplicates": found.duplicates,
            })),
        })
    }

    /// Formats the report for spreadsheets: a line of names and one of values. Latencies are in
    /// microseconds.
    pub(super) fn csv(&self) -> String {
        let mut columns: Vec<(String, String)> = Vec::new();
        let measured = &self.measured;
        let mut add = |name: &str, value: String| columns.push((name.to_owned(), value));
        add("streams", self.streams.to_string());
        add("writers", self.writers.to_string());
        add("in_flight", self.in_flight.to_string());
        add("record_bytes", self.record_bytes.to_string());
        add(
            "rate",
            self.rate.map_or_else(String::new, |it| it.to_string()),
        );
        add("seconds", format!("{:.3}", self.seconds()));
        add("records_written", measured.written.to_string());
        add("records_not_written", measured.not_written.to_string());
        add("records_unknown", measured.unknown.to_string());
        add("records_per_second", format!("{:.1}", self.rate()));
        for (kind, latencies) in [("write", &measured.writes), ("attempt", &measured.attempts)] {
            for (name, quantile) in QUANTILES {
                let us = latencies.quantile(quantile).as_micros();
                add(&format!("{kind}_{name}_us"), us.to_string());
            }
            let longest = latencies.longest().as_micros();
            add(&format!("{kind}_max_us"), longest.to_string());
        }
        add("extra_load", format!("{:.6}", self.extra_load()));
        let join = |part: fn(&(String, String)) -> &str| {
            columns.iter().map(part).collect::<Vec<_>>().join(",")
        };
        format!("{}\n{}", join(|(name, _)| name), join(|(_, value)| value))
    }
}

fn latencies_json(latencies: &Latencies) -> Value {
    let mut object = serde_json::Map::new();
    object.insert("count".to_owned(), latencies.len().into());
    object.insert("mean".to_owned(), latencies.mean_us().into());
    for (name, quantile) in QUANTILES {
        let us = latencies.quantile(quantile).as_micros();
        object.insert(
            name.to_owned(),
            u64::try_from(us).unwrap_or(u64::MAX).into(),
        );
    }
    let longest = latencies.longest().as_micros();
    object.insert(
        "max".to_owned(),
        u64::try_from(longest).unwrap_or(u64::MAX).into(),
    );
    object.into()
}

/// Formats a number without fraction, with commas between thousands.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut measured = Measured {
            written: 3,
            unknown: 1,
            span: Duration::from_secs(2),
            ..Measured::default()
        };
        for us in [500, 700, 90_000] {
            measured.writes.add(Duration::from_micros(us));
        }
        measured.attempts.add(Duration::from_micros(400));
        let mut counters = Counters::default();
        (counters.sets, counters.attempts, counters.hedges_sent) = (2, 3, 1);
        Report {
            streams: 5,
            writers: 1,
            in_flight: 64,
            record_bytes: 100,
            rate: None,
            warm_up: Duration::from_secs(1),
            measured,
            counters,
            read_back: None,
        }
    }

    #[test]
    fn a_report_says_rate_outcomes_latencies_and_load() {
        let expected = "\
1 writer over 5 streams, records of 100 bytes, at most 64 records in flight each, after 1s of \
warm-up

2 records/s, 0.0 MB/s: 3 records written in 2.0 s, 0 not written, 1 with an unknown outcome

latency        p50       p90       p99     p99.9    p99.99       max
writes      700 µs   90.0 ms   90.0 ms   90.0 ms   90.0 ms   90.0 ms
attempts    400 µs    400 µs    400 µs    400 µs    400 µs    400 µs

2 sets in 3 attempts: 50.00 % more than one each; 1 hedges, of which 0 won, and 0 retries (with \
the warm-up)";
        assert_eq!(report().text(), expected);
    }

    #[test]
    fn programs_get_the_same_figures() {
        let report = report();
        let json = report.json();
        assert_eq!(json["records_written"], 3);
        assert_eq!(json["write_latency_us"]["p50"], 700);
        assert_eq!(json["counters"]["hedges_sent"], 1);
        let csv = report.csv();
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        let [names, values] = lines.as_slice() else {
            panic!("{csv}");
        };
        assert_eq!(names.len(), values.len());
        let of = |name: &str| {
            let index = names.iter().position(|it| *it == name);
            values[index.expect("it is a column")]
        };
        assert_eq!((of("records_unknown"), of("write_p50_us")), ("1", "700"));
        assert_eq!(of("extra_load"), "0.500000");
    }

    #[test]
    fn thousands_are_separated() {
        for (number, text) in [(7.4, "7"), (999.6, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
