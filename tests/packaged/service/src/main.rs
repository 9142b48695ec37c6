//! A web service that writes the body of each request as a record. SIGTERM ends it: requests that
//! have begun are answered, then the writer is drained. `/metrics` is for Prometheus; spans and
//! warnings go to standard error.
//!
//! ```text
//! service PROXIES STREAM...
//! ```

use std::error::Error;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use distributedlog_tokio::MultiStreamWriter;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::fmt::format::FmtSpan;

/// Longer than a restart of a proxy takes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that records have to be written once no request is left.
const DRAIN: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Service {
    writer: MultiStreamWriter,
    metrics: PrometheusHandle,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [proxies, streams @ ..] = &arguments[..] else {
        return Err("usage: service PROXIES STREAM...".into());
    };
    // A span is a line when it ends, with the fields that it got until then.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(io::stderr)
        .init();
    let service = Service {
        metrics: PrometheusBuilder::new().install_recorder()?,
        writer: MultiStreamWriter::builder(streams.iter().cloned())
            .proxies(proxies)
            .client_id("order-service")
            .request_timeout(REQUEST_TIMEOUT)
            .build()
            .await?,
    };
    let routes = Router::new()
        .route("/orders", post(order))
        .route("/metrics", get(metrics))
        .with_state(service.clone());

    // Before it listens: a signal that comes as soon as it does must not kill it.
    let mut terminated = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            terminated.recv().await;
        })
        .await?;
    let drained = service.writer.close_within(DRAIN).await;
    let written = service.writer.counters().records_written;
    println!(
        "{written} records written, {} failed at the end",
        drained.failed
    );
    Ok(())
}

/// Answers when the record is durable, or with what is known of it.
async fn order(State(service): State<Service>, body: Bytes) -> (StatusCode, String) {
    match service.writer.write(&body).await {
        Ok(written) => {
            let stream = service.writer.stream_name(written.stream);
            (
                StatusCode::CREATED,
                format!("{stream} {}\n", written.dlsn.to_text()),
            )
        }
        // The caller may send the order again without making it twice.
        Err(error) if !error.may_be_written() => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
        }
        Err(error) => (StatusCode::GATEWAY_TIMEOUT, format!("{error}\n")),
    }
}

async fn metrics(State(service): State<Service>) -> String {
    service.metrics.run_upkeep();
    service.metrics.render()
}
