//! The page of metrics: a registry with what every process has, in the format that the scraper asks
//! for.

mod format;
#[cfg(target_os = "linux")]
mod process;

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use distributedlog_store::metrics::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::http::Accept;

/// Content type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Content type of Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Format of a page of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetricsFormat {
    /// Prometheus' text format, which everything reads.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// Returns the format that the header `accept` asks for: OpenMetrics only if it is named and
    /// plain text is not preferred.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let accept = Accept::of(headers);
        let open = accept.weight("application/openmetrics-text");
        let is_preferred = open.thousandths >= accept.weight("text/plain").thousandths;
        if open.named && open.thousandths > 0 && is_preferred {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    os: &'static str,
    arch: &'static str,
    optimized: &'static str,
}

/// Metrics of a process: those of the build and of the process, and the registries that are added.
#[derive(Debug)]
pub(crate) struct Metrics(Mutex<Vec<Registry>>);

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let build = Family::<BuildLabels, Gauge>::default();
        let labels = BuildLabels {
            version: env!("CARGO_PKG_VERSION"),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            optimized: if cfg!(debug_assertions) { "no" } else { "yes" },
        };
        build.get_or_create(&labels).set(1);
        registry.register(
            "dlog_build_info",
            "Version and target of this program",
            build,
        );
        #[cfg(target_os = "linux")]
        registry.register_collector(Box::new(process::ProcessMetrics));
        Self(Mutex::new(vec![registry]))
    }

    /// Adds metrics.
    pub(crate) fn add(&self, registry: Registry) {
        self.registries().push(registry);
    }

    fn registries(&self) -> MutexGuard<'_, Vec<Registry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the page, with the metrics of `others` too.
    pub(crate) fn page(&self, format: MetricsFormat, others: &[Registry]) -> Response {
        let (content_type, text) = self.encode(format, others);
        ([(header::CONTENT_TYPE, content_type)], text).into_response()
    }

    /// Returns the content type, and all metrics.
    fn encode(&self, format: MetricsFormat, others: &[Registry]) -> (&'static str, String) {
        let mut text = String::new();
        for registry in self.registries().iter().chain(others) {
            encode_registry(&mut text, registry).expect("a string takes everything");
        }
        match format {
            MetricsFormat::OpenMetrics => {
                encode_eof(&mut text).expect("a string takes everything");
                (OPEN_METRICS, text)
            }
            MetricsFormat::Text => (TEXT, format::to_text(&text)),
        }
    }

    /// Returns all metrics in OpenMetrics' format.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.encode(MetricsFormat::OpenMetrics, &[]).1
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let format = |accept: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            MetricsFormat::of(&headers)
        };
        for accept in [
            None,
            Some("*/*"),
            Some("text/plain"),
            Some("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.5"),
            Some("application/openmetrics-text;q=0"),
            Some("application/vnd.google.protobuf,*/*"),
        ] {
            assert_eq!(format(accept), MetricsFormat::Text, "{accept:?}");
        }
        // The second is Prometheus'.
        for accept in [
            Some("application/openmetrics-text"),
            Some(
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ),
        ] {
            assert_eq!(format(accept), MetricsFormat::OpenMetrics, "{accept:?}");
        }
    }

    #[test]
    fn every_process_has_its_build_and_its_resources() {
        let text = Metrics::new().text();
        assert!(text.contains("dlog_build_info{version=\""), "{text}");
        #[cfg(target_os = "linux")]
        for name in [
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_virtual_memory_bytes ",
            "process_start_time_seconds ",
            "process_open_fds ",
            "process_max_fds ",
            "process_threads ",
        ] {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let value: f64 = line.and_then(|it| it.parse().ok()).expect(name);
            assert!(value >= 0.0 && value.is_finite(), "{name}{value}");
        }
    }
}
