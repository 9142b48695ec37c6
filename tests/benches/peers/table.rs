//! The tables, in Markdown.

use core::fmt::Write as _;
use std::process::Command;

use crate::Results;
use crate::client::Sample;
use crate::limits::SIZES;
use crate::machine;
use crate::options::Options;
use crate::peer::{Load, MODES, Mode, PEERS, Reader};
use crate::server::run;

/// Median, lowest and highest of the rounds.
#[derive(Clone, Copy)]
struct Figure {
    median: f64,
    lowest: f64,
    highest: f64,
}

impl Figure {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Some(Self {
            median: *values.get(values.len() / 2)?,
            lowest: *values.first()?,
            highest: *values.last()?,
        })
    }

    fn text(self, unit: &str) -> String {
        let Self {
            median,
            lowest,
            highest,
        } = self;
        if lowest == highest {
            return format!("{}{unit}", number(median));
        }
        format!(
            "{}{unit} ({}–{})",
            number(median),
            number(lowest),
            number(highest)
        )
    }
}

/// Formats with three digits at least, and commas between thousands.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    // Three or four digits tell apart what a repetition would tell apart.
    let rounded = if value >= 100_000.0 {
        (value / 1000.0).round() * 1000.0
    } else if value >= 10_000.0 {
        (value / 100.0).round() * 100.0
    } else {
        value
    };
    let digits = format!("{rounded:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Results {
    fn samples(&self, mode: Mode, load: Load) -> &[Sample] {
        self.samples.get(&(mode, load)).map_or(&[], Vec::as_slice)
    }

    /// Returns the figure of a column.
    fn figure(&self, mode: Mode, load: Load) -> Option<Figure> {
        let value = |sample: &Sample| match load {
            Load::One | Load::Proof => sample.p50_us,
            Load::Few | Load::Many | Load::Alone | Load::Most | Load::Large => sample.rate(),
            Load::Read(_) => sample.megabytes(load),
        };
        Figure::of(self.samples(mode, load).iter().map(value))
    }

    fn median(&self, mode: Mode, load: Load, value: impl Fn(&Sample) -> f64) -> Option<f64> {
        Figure::of(self.samples(mode, load).iter().map(value)).map(|figure| figure.median)
    }

    /// Returns the cell of a load: the figure, and how far dlog is ahead.
    fn cell(&self, mode: Mode, load: Load) -> String {
        let Some(figure) = self.figure(mode, load) else {
            return String::new();
        };
        let text = figure.text(match load {
            Load::One | Load::Proof => " µs",
            Load::Read(_) => " MB/s",
            Load::Few | Load::Many | Load::Alone | Load::Most | Load::Large => "/s",
        });
        let ours = self.figure(Mode::Dlog, load);
        match ours.filter(|_| mode != Mode::Dlog) {
            None => text,
            Some(ours) => {
                let ahead = match load {
                    Load::One | Load::Proof => figure.median / ours.median,
                    Load::Few
                    | Load::Many
                    | Load::Alone
                    | Load::Most
                    | Load::Large
                    | Load::Read(_) => ours.median / figure.median,
                };
                format!("{text}; {ahead:.2}×")
            }
        }
    }

    /// Returns the medians of several loads, as one cell.
    fn cells(&self, mode: Mode, loads: &[Load], value: impl Fn(&Sample) -> Option<f64>) -> String {
        let cells = loads.iter().map(|load| {
            let samples = self.samples(mode, *load).iter().filter_map(&value);
            Figure::of(samples).map_or_else(|| "–".to_owned(), |it| number(it.median))
        });
        cells.collect::<Vec<_>>().join(" / ")
    }
}

/// Returns the section of docs/benchmarks.md.
pub(crate) fn section(results: &Results, options: &Options, load_before: &str) -> String {
    let mut text = String::new();
    head(&mut text, options, load_before);
    rates(&mut text, results);
    reading(&mut text, results);
    costs(&mut text, results);
    limits(&mut text, results);
    about(&mut text, results);
    text
}

/// Appends a line. A string takes everything.
fn line(text: &mut String, line: core::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a string takes everything");
    text.push('\n');
}

fn head(text: &mut String, options: &Options, load_before: &str) {
    let date = run(Command::new("date").args(["-u", "+%F"])).unwrap_or_default();
    line(
        text,
        format_args!(
            "Measured on {} in {} rounds of {} s a load: {}; load average before: {load_before}. \
             Each figure is the median of the rounds (lowest–highest). `2.00×` says that dlog is \
             twice as good in this column.\n",
            date.trim(),
            options.rounds,
            options.time().measure.as_secs_f64(),
            machine::about(),
        ),
    );
}

fn shown(results: &Results, loads: &[Load]) -> Vec<Mode> {
    let has = |mode: &Mode| {
        loads
            .iter()
            .any(|load| !results.samples(*mode, *load).is_empty())
    };
    MODES.into_iter().filter(has).collect()
}

fn rates(text: &mut String, results: &Results) {
    let loads = [Load::One, Load::Few, Load::Many, Load::Most, Load::Large];
    let titles = loads.map(Load::title).join(" | ");
    line(
        text,
        format_args!("| records of 100 bytes | synced | {titles} |"),
    );
    line(text, format_args!("|---|---|---|---|---|---|---|"));
    for mode in shown(results, &loads) {
        let cells = loads.map(|load| results.cell(mode, load)).join(" | ");
        let synced = if mode.synced() { "yes" } else { "no" };
        line(
            text,
            format_args!("| {} | {synced} | {cells} |", mode.title()),
        );
    }
    if let Some(alone) = results.figure(Mode::Dlog, Load::Alone) {
        line(
            text,
            format_args!(
                "\nWith 1,024 in flight and each record a request of its own, as Redis and NATS \
                 send them, dlog takes {}.",
                alone.text("/s")
            ),
        );
    }
}

fn reading(text: &mut String, results: &Results) {
    const READERS: [(Load, &str); 3] = [
        (Load::Read(Reader::Records), ""),
        (Load::Read(Reader::Sets), ", sets at once"),
        (Load::Read(Reader::OneStream), ", one stream, not merged"),
    ];
    let modes = shown(results, &READERS.map(|(load, _)| load));
    if modes.is_empty() {
        return;
    }
    line(
        text,
        format_args!(
            "\n| from the start, over loopback, MB of payload | rate | records/s | µs of \
             processor a record: server / client | cores in use: server / client |"
        ),
    );
    line(text, format_args!("|---|---|---|---|---|"));
    let rows = modes
        .into_iter()
        .flat_map(|mode| READERS.map(|reader| (mode, reader)));
    for (mode, (load, what)) in rows {
        let Some(rate) = results.median(mode, load, Sample::rate) else {
            continue;
        };
        line(
            text,
            format_args!(
                "| {}{what} | {} | {} | {} / {} | {} |",
                mode.title(),
                results.cell(mode, load),
                number(rate),
                results.cells(mode, &[load], server_us),
                results.cells(mode, &[load], client_us),
                cores(results, mode, load),
            ),
        );
    }
}

fn server_us(sample: &Sample) -> Option<f64> {
    Some(sample.server_seconds * 1e6 / sample.records as f64)
}

fn client_us(sample: &Sample) -> Option<f64> {
    Some(sample.client_seconds * 1e6 / sample.records as f64)
}

/// Returns what both sides used of the processors: which of them limits.
fn cores(results: &Results, mode: Mode, load: Load) -> String {
    let server = results.cells(mode, &[load], |it| Some(it.server_seconds / it.seconds));
    let client = results.cells(mode, &[load], |it| Some(it.client_seconds / it.seconds));
    format!("{server} / {client}")
}

fn costs(text: &mut String, results: &Results) {
    const COSTS: [Load; 4] = [Load::One, Load::Few, Load::Many, Load::Most];
    let modes = shown(results, &COSTS);
    line(
        text,
        format_args!(
            "\nThe cost of a record of 100 bytes, one at a time / 64 / 1,024 in flight / most. \
             Syncs are system calls of the server, counted by strace one at a time; flushes and \
             bytes are those of the whole disk; what a mode that does not sync has not written \
             yet is missing. Where both sides together use all cores, a faster client would not \
             help.\n"
        ),
    );
    line(
        text,
        format_args!(
            "| | syncs | flushes of the disk | bytes to the disk | µs of processor, server | µs of \
             processor, client | MB resident, most | cores in use, most: server / client |"
        ),
    );
    line(text, format_args!("|---|---|---|---|---|---|---|---|"));
    for mode in modes {
        let flushes = |it: &Sample| Some(it.disk?.flushes as f64 / it.records as f64);
        let bytes = |it: &Sample| Some(it.disk?.bytes as f64 / it.records as f64);
        let resident = |it: &Sample| Some(it.resident_bytes as f64 / 1e6);
        let proof = results.proofs.get(&mode);
        line(
            text,
            format_args!(
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                mode.title(),
                proof.map_or_else(|| "–".to_owned(), |it| it.brief()),
                results.cells(mode, &COSTS, flushes),
                results.cells(mode, &COSTS, bytes),
                results.cells(mode, &COSTS, server_us),
                results.cells(mode, &COSTS, client_us),
                results.cells(mode, &[Load::Most], resident),
                cores(results, mode, Load::Most),
            ),
        );
    }
}

fn limits(text: &mut String, results: &Results) {
    let figure = |value: &dyn Fn(&crate::limits::Limits) -> f64, unit: &str| {
        let figure = Figure::of(results.limits.iter().map(value));
        figure.map_or_else(String::new, |it| it.text(unit))
    };
    line(
        text,
        format_args!("\n| the limits of the machine, same run | |"),
    );
    line(text, format_args!("|---|---|"));
    for (index, size) in SIZES.into_iter().enumerate() {
        let size = match size {
            size if size < 1 << 10 => format!("{size} B"),
            size if size < 1 << 20 => format!("{} KiB", size >> 10),
            size => format!("{} MiB", size >> 20),
        };
        let time = figure(&|limits| limits.sync_us[index], " µs");
        line(
            text,
            format_args!("| write + fdatasync of {size}, p50 | {time} |"),
        );
    }
    if results
        .limits
        .iter()
        .any(|limits| limits.sync_bytes.is_some())
    {
        let bytes = figure(&|limits| limits.sync_bytes.unwrap_or(0.0), "");
        line(
            text,
            format_args!("| bytes to the disk for one of 128 B | {bytes} |"),
        );
    }
    let time = figure(&|limits| limits.round_trip_us, " µs");
    line(
        text,
        format_args!("| TCP echo of 100 B between two processes, p50 | {time} |"),
    );
    let rate = figure(&|limits| limits.loopback_mb, " MB/s");
    line(
        text,
        format_args!("| TCP one way, writes of 64 KiB | {rate} |"),
    );
}

fn about(text: &mut String, results: &Results) {
    line(text, format_args!("\nVersions, settings and clients:\n"));
    let mut lines: Vec<String> = Vec::new();
    for peer in PEERS {
        if let Some(about) = results.about.get(peer) {
            lines.push(format!("- {about}."));
        }
    }
    if !results.missing.is_empty() {
        let missing = results.missing.join("; ");
        let missing = missing.lines().next().unwrap_or_default();
        lines.push(format!("- Not measured: {missing}."));
    }
    text.push_str(&lines.join("\n"));
}
