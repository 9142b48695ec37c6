//! The metrics' names: those that are served, those in the documentation, and those that the
//! dashboard and the alerts use.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p distributedlog-proxy --lib tests::metrics` writes
//! docs/metrics.md anew.

use core::fmt::Write as _;
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use distributedlog_store::LogStore;
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_store::net::listen;
use distributedlog_store::remote::{ClientSettings, RemoteStore, ServerSettings, serve};
use distributedlog_store::uri::Uri;
use regex::Regex;

use super::kit::{Raw, settings, write};
use super::stats::http;
use crate::{AdminPeers, Proxy, StoreStatsPort};

/// Sections of docs/metrics.md: prefix of the names, and text. The first prefix that fits counts.
const SECTIONS: [(&str, &str, &str); 6] = [
    (
        "dlog_store_server_",
        "Server of a store",
        "`dlog local --stats-port`: its clients and their requests.",
    ),
    (
        "dlog_store_client_",
        "Client of a store",
        "A proxy whose store is behind `dlog local`.",
    ),
    (
        "dlog_store_",
        "Store in a folder",
        "`dlog local --stats-port`, and a proxy that has the folder itself (`--data`).",
    ),
    (
        "dlog_proxy_stream_",
        "Single streams",
        "Only where `/metrics?streams=PREFIX` asks for them: the streams of the prefix with the \
         most\nbytes, at most `limit=` (100, up to 1,000). A stream's counters begin again when \
         the proxy\nacquires it.",
    ),
    (
        "dlog_proxy_",
        "Proxy",
        "`dlog proxy`. Methods, operations and kinds of errors that did not occur have no series,\n\
         except those that alerts are about.",
    ),
    (
        "",
        "Every process",
        "The version, and what Linux says of the process.",
    ),
];

/// A metric as it is served.
#[derive(Debug, Default)]
struct Served {
    help: String,
    kind: String,
    labels: BTreeSet<String>,
}

/// All metrics, by name.
#[derive(Debug, Default)]
struct AllServed(BTreeMap<String, Served>);

impl AllServed {
    /// Takes over a page in Prometheus' text format.
    fn take(&mut self, page: &str) {
        let sample = Regex::new(r"^([a-z_]+)(?:\{(.*)\})? \S+$").expect("valid");
        let label = Regex::new(r#"([a-z_]+)="[^"]*""#).expect("valid");
        for line in page.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a help");
                let help = help.strip_suffix('.').unwrap_or(help);
                help.clone_into(&mut self.0.entry(name.to_owned()).or_default().help);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                kind.clone_into(&mut self.0.entry(name.to_owned()).or_default().kind);
            } else if let Some(found) = sample.captures(line) {
                let labels = found.get(2).map_or("", |labels| labels.as_str());
                let labels = label.captures_iter(labels).map(|it| it[1].to_owned());
                let metric = self.of_sample(&found[1]);
                metric.labels.extend(labels.filter(|name| name != "le"));
            }
        }
    }

    fn of_sample(&mut self, name: &str) -> &mut Served {
        let histogram = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(|end| name.strip_suffix(end))
            .filter(|name| self.0.get(*name).is_some_and(|it| it.kind == "histogram"));
        let name = histogram.unwrap_or(name);
        let found = self.0.get_mut(name);
        found.unwrap_or_else(|| panic!("{name} has samples and no type"))
    }

    /// Returns the names of all samples.
    fn samples(&self) -> BTreeSet<String> {
        let mut samples = BTreeSet::new();
        for (name, metric) in &self.0 {
            if metric.kind == "histogram" {
                samples.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
            } else {
                samples.insert(name.clone());
            }
        }
        samples
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Serves a store in a folder by itself, and a proxy over it, and returns what both serve.
async fn served() -> AllServed {
    let folder = tempfile::tempdir().expect("a folder");
    let files = EmbeddedStore::open(EmbeddedSettings::new(folder.path())).expect("a new store");
    let files: Arc<dyn LogStore> = Arc::new(files);
    let bind = || listen(any_port()).expect("a free port");
    let server = serve(bind(), Arc::clone(&files), ServerSettings::default()).expect("it listens");
    let listener = bind();
    let store_stats = listener.local_addr().expect("it is bound");
    let _port = StoreStatsPort::start(listener, store_stats, Arc::clone(&files), &server);
    let uri = Uri::local("127.0.0.1", server.local_addr().port());
    let client = RemoteStore::connect(&uri, ClientSettings::default()).await;
    let settings = settings()
        .stats_listen(Some(any_port()))
        .admin_from(AdminPeers::None)
        .build();
    let settings = settings.expect("valid settings");
    let store = Arc::new(client.expect("the store listens"));
    let proxy = Proxy::start(settings, store).await.expect("free ports");
    Raw::connect(&proxy).await.ask(&write("s", b"x")).await;
    let proxy_stats = proxy.stats_addr().expect("it was asked for");
    // So that HTTP requests, refusals and reloads have series.
    http(proxy_stats, "GET", "/healthz").await;
    http(proxy_stats, "DELETE", "/faults/s").await;
    proxy.count_reload("tokens", true);
    let mut all = AllServed::default();
    for (address, path) in [
        (store_stats, "/metrics"),
        (proxy_stats, "/metrics?streams="),
    ] {
        let response = http(address, "GET", path).await;
        let (head, page) = response.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        all.take(page);
    }
    all
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn page(all: &AllServed) -> String {
    let mut page = "# Metrics\n\n\
        `/metrics` on the stats ports and on the HTTP port, in Prometheus' text format, or in\n\
        that of OpenMetrics if the scraper's `Accept` names it. What to alert on is in\n\
        [operations.md](operations.md). This page is made from what is served.\n"
        .to_owned();
    let section_of = |name: &str| {
        let mut prefixes = SECTIONS.iter().map(|(prefix, ..)| prefix);
        prefixes.position(|prefix| name.starts_with(prefix))
    };
    for (index, (_, title, text)) in SECTIONS.iter().enumerate() {
        let head = "| metric | type | labels | |\n|---|---|---|---|\n";
        write!(page, "\n## {title}\n\n{text}\n\n{head}").expect("a string takes everything");
        for (name, metric) in &all.0 {
            if section_of(name) == Some(index) {
                let labels = metric.labels.iter().map(|label| format!("`{label}`"));
                let labels = labels.collect::<Vec<_>>().join(", ");
                let Served { kind, help, .. } = metric;
                writeln!(page, "| `{name}` | {kind} | {labels} | {help} |")
                    .expect("a string takes everything");
            }
        }
    }
    page
}

/// Asserts that a file uses no metric and no label that is not served.
fn assert_served(all: &AllServed, file: &str, text: &str) {
    let samples = all.samples();
    let name = Regex::new(r"\b(?:dlog|process)_[a-z_]+\b").expect("valid");
    let used: BTreeSet<&str> = name.find_iter(text).map(|it| it.as_str()).collect();
    assert!(used.len() > 10, "{file} uses {used:?}");
    for used in used {
        assert!(
            samples.contains(used),
            "{file} uses {used}, which is not served"
        );
    }
    // Those that Prometheus adds, and those of alerts.
    let others = ["le", "instance", "job", "severity", "alertname"];
    let labels: BTreeSet<&str> = all
        .0
        .values()
        .flat_map(|metric| metric.labels.iter().map(String::as_str))
        .chain(others)
        .collect();
    let matchers = Regex::new(r"\{([^{}$]*)\}").expect("valid");
    let matched = Regex::new(r#"([a-z_]+)\s*(?:=~|!=|!~|=)\s*\\?""#).expect("valid");
    let grouped = Regex::new(r"\b(?:by|without|on) \(([a-z_, ]*)\)").expect("valid");
    let mut used = BTreeSet::new();
    for found in matchers.captures_iter(text) {
        let inside = found.get(1).expect("it is not optional").as_str();
        let names = matched.captures_iter(inside);
        used.extend(names.map(|it| it.get(1).expect("it is not optional").as_str()));
    }
    for found in grouped.captures_iter(text) {
        let names = found.get(1).expect("it is not optional").as_str();
        used.extend(names.split(',').map(str::trim).filter(|it| !it.is_empty()));
    }
    for used in used {
        assert!(
            labels.contains(used),
            "{file}: no metric has the label {used}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_names_that_are_served_are_documented_and_those_that_are_used_are_served() {
    let all = served().await;
    for (name, metric) in &all.0 {
        let Served { help, kind, .. } = metric;
        assert!(!help.is_empty() && !kind.is_empty(), "{name}: {metric:?}");
        assert_eq!(
            kind == "counter",
            name.ends_with("_total"),
            "{name} is a {kind}"
        );
        for unit in ["_ms", "_us", "_millis", "_kb", "_mb"] {
            assert!(!name.ends_with(unit), "{name}: base units only");
        }
    }
    let kept = repository("docs/metrics.md");
    let page = page(&all);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&kept, &page).expect("the repository can be written");
    }
    let kept = fs::read_to_string(&kept).unwrap_or_default();
    assert!(
        kept == page,
        "docs/metrics.md is stale; make it anew with: UPDATE_SNAPSHOTS=1 cargo test \
         -p distributedlog-proxy --lib tests::metrics"
    );
    for file in ["alerts.yml", "dashboard.json"] {
        let text = fs::read_to_string(repository("deploy/monitoring").join(file));
        assert_served(&all, file, &text.expect("it is in the repository"));
    }
    let operations = fs::read_to_string(repository("docs/operations.md")).expect("a page");
    let alerts = fs::read_to_string(repository("deploy/monitoring/alerts.yml")).expect("a file");
    let alert = Regex::new(r"alert: (\w+)").expect("valid");
    for found in alert.captures_iter(&alerts) {
        let name = &found[1];
        assert!(
            operations.contains(&format!("`{name}`")),
            "{name} is not in operations.md"
        );
    }
}
