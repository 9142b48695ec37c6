use core::sync::atomic::Ordering;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::HttpState;
use super::catalogue::Snapshot;
use super::problem::OwnerBody;
use crate::recent::{AttemptSummary, HistoryPoint, RecentError, WritesSummary};
use crate::stats::{MachineStats, Stats};
use distributedlog_store::DiskUsage;

/// What an operator asks first, in one response.
#[derive(Debug, Serialize)]
pub(super) struct OverviewBody {
    version: &'static str,
    uptime_s: u64,
    now_ms: u64,
    proxy: OwnerBody,
    /// As its handshakes say it.
    failure_domain: Option<String>,
    ready: bool,
    /// As `/readyz` has them.
    checks: [CheckBody; 2],
    disk: Option<DiskBody>,
    streams: StreamsBody,
    requests: RequestsBody,
    /// Writes of the last minute.
    writes: WritesBody,
    /// Ten seconds each, the oldest first.
    history: Vec<PointBody>,
    errors: Vec<ErrorBody>,
    /// Owners of streams. `None`: the store cannot say cheaply.
    proxies: Option<Vec<ProxyBody>>,
}

#[derive(Debug, Serialize)]
struct CheckBody {
    name: &'static str,
    ok: bool,
    detail: String,
}

#[derive(Debug, Serialize)]
struct DiskBody {
    size_bytes: u64,
    free_bytes: u64,
    live_bytes: u64,
    dead_bytes: u64,
}

#[derive(Debug, Serialize)]
struct StreamsBody {
    /// All of the store. `None`: more than are counted.
    total: Option<usize>,
    /// Those that this proxy owns, or is about to.
    owned: usize,
}

/// Counts since the start, and what is under way.
#[derive(Debug, Serialize)]
struct RequestsBody {
    unanswered: usize,
    unanswered_bytes: usize,
    written_bytes: u64,
    repeated: u64,
    discarded: u64,
    aborted: u64,
    duplicates_answered: u64,
    leases_lost: u64,
    connections: i64,
    readers: i64,
}

#[derive(Debug, Serialize)]
struct WritesBody {
    seconds: f64,
    first: AttemptsBody,
    repeated: AttemptsBody,
}

#[derive(Debug, Serialize)]
struct AttemptsBody {
    written: u64,
    failed: u64,
    p50_us: Option<u64>,
    p90_us: Option<u64>,
    p99_us: Option<u64>,
    p999_us: Option<u64>,
}

#[derive(Debug, Serialize)]
struct PointBody {
    writes_per_s: f64,
    bytes_per_s: f64,
    repeated_per_s: f64,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    kind: &'static str,
    count: u64,
    last_ms: u64,
    message: String,
}

#[derive(Debug, Serialize)]
struct ProxyBody {
    #[serde(flatten)]
    owner: OwnerBody,
    streams: usize,
}

/// Returns the state of the proxy and the last minutes of its work.
pub(super) async fn overview(State(state): State<Arc<HttpState>>) -> Json<OverviewBody> {
    let service = &state.service;
    let verdict = service.health.verdict().await;
    // An overview is most wanted when the store does not answer, and then has no streams.
    let snapshot = state.catalogue.snapshot(service).await.ok();
    let machine = service.machine_stats();
    let (now, unix_ms) = (service.now(), service.unix_nanos() / 1_000_000);
    let stats = &service.stats;
    let accepts = if machine.accepting {
        "accepts streams"
    } else {
        "accepts no new streams"
    };
    let checks = [
        ("proxy", machine.accepting, accepts.to_owned()),
        ("store", verdict.is_healthy(), verdict.to_string()),
    ];
    let history = stats.recent_writes.history(now).into_iter();
    let errors = stats.recent_errors.list(unix_ms).into_iter();
    Json(OverviewBody {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: now.as_micros() / 1_000_000,
        now_ms: unix_ms,
        proxy: service.owner().clone().into(),
        failure_domain: service.failure_domain().map(Into::into),
        ready: checks.iter().all(|(_, ok, _)| *ok),
        checks: checks.map(|(name, ok, detail)| CheckBody { name, ok, detail }),
        disk: service.store().disk_usage().map(DiskBody::from),
        streams: StreamsBody {
            total: snapshot
                .as_ref()
                .and_then(|it| it.is_complete.then_some(it.rows.len())),
            owned: machine.streams,
        },
        requests: RequestsBody::new(stats, &machine),
        writes: stats.recent_writes.summary(now).into(),
        history: history.map(PointBody::from).collect(),
        errors: errors.map(ErrorBody::from).collect(),
        proxies: snapshot.as_deref().and_then(proxies),
    })
}

/// Returns the owners of streams, if those of all streams are known.
fn proxies(snapshot: &Snapshot) -> Option<Vec<ProxyBody>> {
    let owners = snapshot.owners.iter().map(|(owner, streams)| ProxyBody {
        owner: (**owner).clone().into(),
        streams: *streams,
    });
    snapshot.has_details.then(|| owners.collect())
}

impl RequestsBody {
    fn new(stats: &Stats, machine: &MachineStats) -> Self {
        Self {
            unanswered: machine.usage.requests,
            unanswered_bytes: machine.usage.bytes,
            written_bytes: stats.written_bytes.get(),
            repeated: stats.repeated.get(),
            discarded: stats.discarded.get(),
            aborted: stats.http.aborted.get(),
            duplicates_answered: machine.counters.duplicates_answered,
            leases_lost: machine.counters.leases_lost,
            connections: stats.connections.get(),
            readers: stats.http.readers.inner().load(Ordering::Relaxed),
        }
    }
}

impl From<WritesSummary> for WritesBody {
    fn from(summary: WritesSummary) -> Self {
        Self {
            seconds: summary.seconds,
            first: summary.first.into(),
            repeated: summary.repeated.into(),
        }
    }
}

impl From<RecentError> for ErrorBody {
    fn from(error: RecentError) -> Self {
        Self {
            kind: error.kind,
            count: error.count,
            last_ms: error.last_unix_ms,
            message: error.message,
        }
    }
}

impl From<DiskUsage> for DiskBody {
    fn from(usage: DiskUsage) -> Self {
        Self {
            size_bytes: usage.size_bytes,
            free_bytes: usage.free_bytes,
            live_bytes: usage.live_bytes,
            dead_bytes: usage.dead_bytes,
        }
    }
}

impl From<AttemptSummary> for AttemptsBody {
    fn from(summary: AttemptSummary) -> Self {
        Self {
            written: summary.written,
            failed: summary.failed,
            p50_us: summary.p50_us,
            p90_us: summary.p90_us,
            p99_us: summary.p99_us,
            p999_us: summary.p999_us,
        }
    }
}

impl From<HistoryPoint> for PointBody {
    fn from(point: HistoryPoint) -> Self {
        Self {
            writes_per_s: point.writes_per_s,
            bytes_per_s: point.bytes_per_s,
            repeated_per_s: point.repeated_per_s,
            p50_us: point.p50_us,
            p99_us: point.p99_us,
        }
    }
}
