//! `dlog top`: proxies and their streams, while they work.

mod screen;
mod snapshot;
mod view;

use core::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::http::HttpClient;
use super::record_text::json_line;
use super::target::TargetArgs;
use super::{CliError, Format, Output, Shutdown, duration};
use screen::{Key, Screen};
use snapshot::{ProxyState, Snapshot};

pub(crate) use screen::restore as restore_screen;

/// Number of rows of streams that are asked for where no terminal limits them.
const ROWS: usize = 20;

/// Order of the streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    // The most bytes a second first.
    #[default]
    Rate,
    // The largest first.
    Bytes,
    // The latest first.
    LastWrite,
    Name,
}

/// Show proxies and their streams: rates, latencies, repetitions, owners.
///
/// Asks the HTTP ports of proxies once a second. Keys: q ends it; r, b, w and n sort by rate, size,
/// last write and name. Without a terminal it prints snapshots, one unless --count says more.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog top --to http://127.0.0.1:8002
  dlog top http://proxy-1:8002 http://proxy-2:8002 --sort bytes
  dlog top --to http://127.0.0.1:8002 --count 3 --format json | jq .streams")]
pub(crate) struct Args {
    /// The HTTP ports of proxies [default: that of --to or of the context]
    #[arg(value_name = "URL")]
    urls: Vec<String>,

    /// Show only streams whose names contain this text
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    search: String,

    /// Order of the streams
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,

    /// Time between two snapshots
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    interval: Duration,

    /// Exit after this many snapshots
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Format of snapshots; json prints one object a line, also on a terminal
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    at: TargetArgs,
}

#[derive(Serialize)]
struct SnapshotJson<'a> {
    proxies: Vec<&'a serde_json::Value>,
    streams: Vec<&'a serde_json::Value>,
}

impl Args {
    /// Shows snapshots until the user ends it.
    ///
    /// # Errors
    /// No HTTP port is named, or none of them answers the first time.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), CliError> {
        let clients = self.clients()?;
        let first = tokio::select! {
            first = snapshot::take(&clients, self.sort, &self.search, ROWS) => first,
            () = shutdown.requested() => return Ok(()),
        };
        if let Some(error) = first.all_failed() {
            return Err(error);
        }
        let is_live = output.is_terminal() && self.format == Format::Text;
        match is_live.then(Screen::open).flatten() {
            Some(screen) => self.show(&clients, screen, output, shutdown).await,
            None => self.print(&clients, first, output, shutdown).await,
        }
    }

    fn clients(&self) -> Result<Vec<HttpClient>, CliError> {
        if self.urls.is_empty() {
            let target = self.at.resolve()?;
            let Some(url) = &target.http else {
                return Err(CliError::usage(format!(
                    "{} is {}, and figures come from HTTP ports",
                    target.place,
                    target.place.kind_text()
                ))
                .tip("name the HTTP port of a proxy: dlog top http://127.0.0.1:8002"));
            };
            return Ok(vec![HttpClient::of(url, &target.security)?]);
        }
        let security = match self.urls[0].parse() {
            Ok(place) => self.at.resolve_at(Some(&place))?.security,
            Err(error) => return Err(CliError::usage(error)),
        };
        let clients = self.urls.iter().map(|url| HttpClient::of(url, &security));
        clients.collect()
    }

    /// Prints snapshots one below the other.
    async fn print(
        &self,
        clients: &[HttpClient],
        first: Snapshot,
        output: &Output,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let (mut snapshot, mut left) = (first, self.count.unwrap_or(1));
        loop {
            match self.format {
                Format::Text => {
                    for line in view::lines(&snapshot, self.sort, snapshot.streams.len()) {
                        output.line(line)?;
                    }
                }
                Format::Json => json_line(output, &json(&snapshot))?,
            }
            left -= 1;
            if left == 0 {
                return Ok(());
            }
            if self.format == Format::Text {
                output.line("")?;
            }
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = tokio::time::sleep(self.interval) => {}
            }
            snapshot = snapshot::take(clients, self.sort, &self.search, ROWS).await;
        }
    }

    /// Shows snapshots in place, and obeys keys.
    async fn show(
        &self,
        clients: &[HttpClient],
        mut screen: Screen,
        output: &Output,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let (mut sort, mut shown) = (self.sort, 0);
        let mut ticks = tokio::time::interval(self.interval.max(Duration::from_millis(100)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.count.is_none_or(|count| shown < count) {
            tokio::select! {
                biased;
                () = shutdown.requested() => return Ok(()),
                key = screen.key() => match key {
                    None | Some(Key(b'q' | b'Q' | 0x04)) => return Ok(()),
                    Some(Key(b'r')) => sort = Sort::Rate,
                    Some(Key(b'b')) => sort = Sort::Bytes,
                    Some(Key(b'w')) => sort = Sort::LastWrite,
                    Some(Key(b'n')) => sort = Sort::Name,
                    Some(Key(_)) => continue,
                },
                _ = ticks.tick() => shown += 1,
            }
            let (rows, columns) = Screen::size();
            let taking = snapshot::take(clients, sort, &self.search, rows);
            let snapshot = tokio::select! {
                snapshot = taking => snapshot,
                () = shutdown.requested() => return Ok(()),
            };
            let mut lines = view::lines(&snapshot, sort, rows);
            lines.insert(0, view::heading(sort));
            screen.draw(output, &lines, rows, columns)?;
        }
        Ok(())
    }
}

fn json(snapshot: &Snapshot) -> SnapshotJson<'_> {
    let proxies = snapshot.proxies.iter().filter_map(|proxy| match proxy {
        ProxyState::Answered(overview) => Some(&overview.json),
        ProxyState::Failed { .. } => None,
    });
    SnapshotJson {
        proxies: proxies.collect(),
        streams: snapshot.streams.iter().map(|stream| &stream.json).collect(),
    }
}

#[cfg(test)]
mod tests;
