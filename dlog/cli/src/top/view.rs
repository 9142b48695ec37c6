use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use distributedlog::Escaped;

use super::super::latency;
use super::super::table::{self, Align};
use super::Sort;
use super::snapshot::{Overview, ProxyState, Snapshot, StreamRow};

/// Maximum number of lines about errors.
const ERRORS: usize = 3;

/// Returns the first line of the screen.
pub(super) fn heading(sort: Sort) -> String {
    let by = match sort {
        Sort::Rate => "rate",
        Sort::Bytes => "size",
        Sort::LastWrite => "last write",
        Sort::Name => "name",
    };
    format!("dlog top, streams by {by}. Keys: r rate, b size, w last write, n name, q quit")
}

/// Lays out a snapshot: proxies, errors, and as many streams as `rows` leaves room for.
pub(super) fn lines(snapshot: &Snapshot, _: Sort, rows: usize) -> Vec<String> {
    let mut lines = proxies(snapshot);
    lines.extend(errors(snapshot));
    lines.push(String::new());
    if let Some(note) = &snapshot.note {
        lines.push(Escaped(note).to_string());
    }
    let left = rows.saturating_sub(lines.len() + 2).max(1);
    let shown = &snapshot.streams[..snapshot.streams.len().min(left)];
    let shown = if rows == snapshot.streams.len() {
        &snapshot.streams[..]
    } else {
        shown
    };
    lines.extend(streams(shown));
    let hidden = snapshot.total.saturating_sub(shown.len() as u64);
    if hidden > 0 {
        lines.push(format!("and {hidden} more"));
    }
    lines
}

fn proxies(snapshot: &Snapshot) -> Vec<String> {
    let columns = [
        ("PROXY", Align::Left),
        ("STATE", Align::Left),
        ("STREAMS", Align::Right),
        ("WRITES/S", Align::Right),
        ("BYTES/S", Align::Right),
        ("P50", Align::Right),
        ("P99", Align::Right),
        ("REPEATED", Align::Right),
        ("REP. P99", Align::Right),
        ("DUPLICATES", Align::Right),
        ("WAITING", Align::Right),
        ("CLIENTS", Align::Right),
    ];
    let rows = snapshot.proxies.iter().map(|proxy| match proxy {
        ProxyState::Answered(overview) => proxy_cells(overview),
        ProxyState::Failed { url, why } => vec![url.clone(), Escaped(why).to_string()],
    });
    table::lines(&columns, &rows.collect::<Vec<_>>())
}

fn proxy_cells(Overview { body, .. }: &Overview) -> Vec<String> {
    let newest = body.history.last();
    let time = |us: Option<u64>| {
        us.map_or_else(
            || "-".to_owned(),
            |us| latency::text(Duration::from_micros(us)),
        )
    };
    let (first, repeated) = (&body.writes.first, &body.writes.repeated);
    let all = (first.written + repeated.written).max(1);
    vec![
        Escaped(&body.proxy.address).to_string(),
        if body.ready { "ready" } else { "NOT READY" }.to_owned(),
        body.streams
            .owned
            .map_or_else(|| "-".to_owned(), |it| it.to_string()),
        newest.map_or_else(
            || "-".to_owned(),
            |it| table::quantity(it.writes_per_s, "").trim_end().to_owned(),
        ),
        newest.map_or_else(|| "-".to_owned(), |it| table::quantity(it.bytes_per_s, "B")),
        time(first.p50_us),
        time(first.p99_us),
        format!("{:.1} %", repeated.written as f64 * 100.0 / all as f64),
        time(repeated.p99_us),
        body.requests.duplicates_answered.to_string(),
        body.requests.unanswered.to_string(),
        body.requests.connections.to_string(),
    ]
}

/// Returns lines about the most frequent errors of the last hour.
fn errors(snapshot: &Snapshot) -> Vec<String> {
    let answered = snapshot.proxies.iter().filter_map(|proxy| match proxy {
        ProxyState::Answered(overview) => Some(&overview.body),
        ProxyState::Failed { .. } => None,
    });
    let mut errors: Vec<_> = answered
        .flat_map(|body| body.errors.iter().map(|error| (&body.proxy.address, error)))
        .collect();
    errors.sort_by_key(|(_, error)| core::cmp::Reverse(error.count));
    errors.truncate(ERRORS);
    let line = |(address, error): &(&String, &super::snapshot::ErrorBody)| {
        format!(
            "{} in the last hour: {} of {}: {}",
            Escaped(address),
            error.count,
            Escaped(&error.kind),
            Escaped(&error.message)
        )
    };
    errors.iter().map(line).collect()
}

fn streams(rows: &[StreamRow]) -> Vec<String> {
    let columns = [
        ("STREAM", Align::Left),
        ("RECORDS/S", Align::Right),
        ("BYTES/S", Align::Right),
        ("RECORDS", Align::Right),
        ("SIZE", Align::Right),
        ("LAST WRITE", Align::Right),
        ("OWNER", Align::Left),
    ];
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let none = || "-".to_owned();
    let cells = |StreamRow { body, .. }: &StreamRow| {
        let rate = body.write_rate.as_ref();
        vec![
            Escaped(&body.stream).to_string(),
            rate.map_or_else(none, |it| {
                table::quantity(it.records_per_s, "").trim_end().to_owned()
            }),
            rate.map_or_else(none, |it| table::quantity(it.bytes_per_s, "B")),
            body.records.map_or_else(none, |it| it.to_string()),
            body.bytes.map_or_else(none, table::bytes_text),
            body.last_ms.map_or_else(none, |last| {
                format!("{} ago", table::age_text(now_ms.saturating_sub(last)))
            }),
            body.owner.as_ref().map_or_else(
                || "none".to_owned(),
                |owner| Escaped(&owner.address).to_string(),
            ),
        ]
    };
    table::lines(&columns, &rows.iter().map(cells).collect::<Vec<_>>())
}
