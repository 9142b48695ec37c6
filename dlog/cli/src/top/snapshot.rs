use core::cmp::Reverse;
use core::time::Duration;
use std::collections::HashMap;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::super::CliError;
use super::super::http::{HttpClient, escape};
use super::Sort;

/// Time for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of rows that a proxy returns at once.
const MAX_ROWS: usize = 1_000;

/// Proxies and streams at one time.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) proxies: Vec<ProxyState>,
    /// Sorted, each stream once.
    pub(super) streams: Vec<StreamRow>,
    /// Number of streams of all pages.
    pub(super) total: u64,
    /// Reason why there are no streams, or why they are not sorted as asked.
    pub(super) note: Option<String>,
}

/// Answer of a proxy.
#[derive(Debug)]
pub(super) enum ProxyState {
    Answered(Box<Overview>),
    Failed { url: String, why: String },
}

/// State of a proxy, and the object that it is from.
#[derive(Debug)]
pub(super) struct Overview {
    pub(super) body: OverviewBody,
    pub(super) json: Value,
}

/// The part of `GET /v1/overview` that is shown.
#[derive(Debug, Deserialize)]
pub(super) struct OverviewBody {
    pub(super) proxy: ProxyBody,
    pub(super) ready: bool,
    #[serde(default)]
    pub(super) streams: StreamsBody,
    #[serde(default)]
    pub(super) requests: RequestsBody,
    #[serde(default)]
    pub(super) writes: WritesBody,
    #[serde(default)]
    pub(super) history: Vec<HistoryBody>,
    #[serde(default)]
    pub(super) errors: Vec<ErrorBody>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ProxyBody {
    pub(super) address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamsBody {
    pub(super) owned: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RequestsBody {
    pub(super) unanswered: u64,
    pub(super) duplicates_answered: u64,
    pub(super) connections: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WritesBody {
    pub(super) first: LatencyBody,
    pub(super) repeated: LatencyBody,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LatencyBody {
    pub(super) written: u64,
    pub(super) p50_us: Option<u64>,
    pub(super) p99_us: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HistoryBody {
    pub(super) writes_per_s: f64,
    pub(super) bytes_per_s: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) kind: String,
    #[serde(default)]
    pub(super) count: u64,
    #[serde(default)]
    pub(super) message: String,
}

/// A stream, and the object that it is from.
#[derive(Debug)]
pub(super) struct StreamRow {
    pub(super) body: StreamBody,
    pub(super) json: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamBody {
    pub(super) stream: String,
    pub(super) bytes: Option<u64>,
    pub(super) records: Option<u64>,
    pub(super) last_ms: Option<u64>,
    pub(super) owner: Option<ProxyBody>,
    pub(super) write_rate: Option<RateBody>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RateBody {
    pub(super) records_per_s: f64,
    pub(super) bytes_per_s: f64,
}

#[derive(Deserialize)]
struct PageBody {
    streams: Vec<Value>,
    #[serde(default)]
    total: u64,
}

impl Snapshot {
    /// Returns an error if no proxy answered.
    pub(super) fn all_failed(&self) -> Option<CliError> {
        let failures = self.proxies.iter().map(|proxy| match proxy {
            ProxyState::Answered(_) => None,
            ProxyState::Failed { url, why } => Some(format!("{url}: {why}")),
        });
        let failures: Option<Vec<String>> = failures.collect();
        failures.map(|failures| {
            CliError::failure(format!("no proxy answers: {}", failures.join("; ")))
                .tip("name the HTTP port of a proxy: dlog top http://127.0.0.1:8002")
        })
    }
}

/// Asks all proxies at once.
pub(super) async fn take(
    clients: &[HttpClient],
    sort: Sort,
    search: &str,
    rows: usize,
) -> Snapshot {
    let asked = clients.iter().map(|client| async move {
        let overview = overview(client).await;
        let page = match &overview {
            Ok(_) => Some(page(client, sort, search, rows.clamp(1, MAX_ROWS)).await),
            Err(_) => None,
        };
        (client, overview, page)
    });
    let asked: futures_util::stream::FuturesOrdered<_> = asked.collect();
    let asked: Vec<_> = futures_util::StreamExt::collect(asked).await;
    let mut snapshot = Snapshot::default();
    let mut streams: HashMap<String, StreamRow> = HashMap::new();
    for (client, overview, page) in asked {
        snapshot.proxies.push(match overview {
            Ok(overview) => ProxyState::Answered(Box::new(overview)),
            Err(why) => ProxyState::Failed {
                url: client.url().to_owned(),
                why,
            },
        });
        match page {
            Some(Ok((total, rows))) => {
                snapshot.total = snapshot.total.max(total);
                for row in rows {
                    let known = streams.get(&row.body.stream);
                    // A stream's rate is known to its owner alone.
                    let knows_more = row.body.write_rate.is_some();
                    if known.is_none_or(|known| knows_more && known.body.write_rate.is_none()) {
                        streams.insert(row.body.stream.clone(), row);
                    }
                }
            }
            Some(Err(why)) => snapshot.note = Some(why),
            None => {}
        }
    }
    snapshot.streams = streams.into_values().collect();
    sort_rows(&mut snapshot.streams, sort);
    snapshot.streams.truncate(rows);
    snapshot
}

fn sort_rows(streams: &mut [StreamRow], sort: Sort) {
    streams.sort_by(|a, b| a.body.stream.cmp(&b.body.stream));
    match sort {
        Sort::Name => {}
        Sort::Bytes => streams.sort_by_key(|row| Reverse(row.body.bytes)),
        Sort::LastWrite => streams.sort_by_key(|row| Reverse(row.body.last_ms)),
        Sort::Rate => {
            let rate = |row: &StreamRow| {
                let rate = row.body.write_rate.as_ref();
                rate.map_or(0.0, |rate| rate.bytes_per_s)
            };
            streams.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
        }
    }
}

async fn overview(client: &HttpClient) -> Result<Overview, String> {
    let json = ask(client, "/v1/overview").await?;
    let body = OverviewBody::deserialize(&json);
    let body = body.map_err(|error| format!("its overview cannot be read: {error}"))?;
    Ok(Overview { body, json })
}

async fn page(
    client: &HttpClient,
    sort: Sort,
    search: &str,
    rows: usize,
) -> Result<(u64, Vec<StreamRow>), String> {
    let (sort, order) = match sort {
        Sort::Rate => ("rate", "desc"),
        Sort::Bytes => ("bytes", "desc"),
        Sort::LastWrite => ("last_write", "desc"),
        Sort::Name => ("name", "asc"),
    };
    let search = escape(search);
    let path =
        format!("/v1/streams?details=true&sort={sort}&order={order}&search={search}&limit={rows}");
    let json = ask(client, &path).await?;
    let page: PageBody = serde_json::from_value(json)
        .map_err(|error| format!("{}: its list cannot be read: {error}", client.url()))?;
    let rows = page.streams.into_iter().filter_map(|json| {
        let body = StreamBody::deserialize(&json).ok()?;
        Some(StreamRow { body, json })
    });
    Ok((page.total, rows.collect()))
}

async fn ask(client: &HttpClient, path: &str) -> Result<Value, String> {
    let answer = client
        .ask(Method::GET, path, &[], Bytes::new(), TIMEOUT)
        .await;
    let answer = answer.map_err(|error| error.to_string())?;
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status == StatusCode::OK {
        return Ok(json);
    }
    let detail = json["detail"].as_str().unwrap_or_default();
    Err(match answer.status {
        StatusCode::UNAUTHORIZED => "it wants a token: --token-file FILE".to_owned(),
        StatusCode::NOT_FOUND => format!("it has no {path}: is it an older proxy?"),
        status => format!("it answered {status}: {detail}"),
    })
}
