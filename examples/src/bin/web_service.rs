//! A web service that writes each request's body as a record, and drains before it stops.
//!
//! ```sh
//! cargo run -p distributedlog-examples --bin web_service
//! curl -d 'an order' http://127.0.0.1:3000/orders
//! ```
//!
//! The second command is for another terminal. Ctrl-C stops the service.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use distributedlog_examples::{Error, Local};
use distributedlog_tokio::MultiStreamWriter;
use tokio::net::TcpListener;

const STREAMS: [&str; 3] = ["orders-1", "orders-2", "orders-3"];

#[tokio::main]
async fn main() -> Result<(), Error> {
    let local = Local::start(&STREAMS).await?;
    // One writer for the service: handlers share its batches, connections and bounds.
    let writer = MultiStreamWriter::builder(STREAMS)
        .proxies(local.name())
        .client_id("order-service")
        .build()
        .await?;

    let app = Router::new()
        .route("/orders", post(order))
        .with_state(writer.clone());
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}/orders", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async {
            tokio::signal::ctrl_c().await.ok();
        })
        .await?;

    // Requests in flight have ended; records that were submitted and not awaited complete here.
    writer.close().await;
    println!("stopped after {} records", writer.counters().records);
    local.stop().await
}

/// Answers when the record is durable, or with what is known of it.
async fn order(State(writer): State<MultiStreamWriter>, body: Bytes) -> (StatusCode, String) {
    match writer.write(&body).await {
        Ok(written) => {
            let stream = writer.stream_name(written.stream);
            (StatusCode::CREATED, format!("{stream} {}\n", written.dlsn))
        }
        // The caller may send the order again without making it twice.
        Err(error) if !error.may_be_written() => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
        }
        // It may be stored: the caller has to look before it sends the order again.
        Err(error) => (StatusCode::GATEWAY_TIMEOUT, format!("{error}\n")),
    }
}
