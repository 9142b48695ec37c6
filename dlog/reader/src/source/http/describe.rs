use std::sync::Arc;

use hyper::StatusCode;
use serde::Deserialize;

use super::exchange::Exchange;
use super::settings::{Server, Servers};
use crate::source::SegmentEnd;

/// Largest description that is read, in bytes: 16 MiB. A log segment takes about 150.
const MAX_DESCRIPTION_BYTES: usize = 16 << 20;

/// Size of the connection's read buffer, in bytes.
const BUFFER_BYTES: usize = 16 << 10;

#[derive(Deserialize)]
struct Description {
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
struct Segment {
    log_segment: i64,
    entries: u64,
    last_ms: u64,
}

/// Describes the streams, one after another over one connection: to the first proxy that can be
/// reached.
pub(crate) async fn describe(
    servers: &Servers,
    streams: &[Arc<str>],
) -> Vec<Result<Vec<SegmentEnd>, String>> {
    let mut connected = Err("there is no proxy".to_owned());
    for server in &servers.urls {
        connected = Exchange::connect(servers, server, BUFFER_BYTES)
            .await
            .map(|exchange| (server, exchange));
        if connected.is_ok() {
            break;
        }
    }
    let (server, mut exchange) = match connected {
        Ok(connected) => connected,
        Err(error) => return vec![Err(error); streams.len()],
    };
    let mut described = Vec::with_capacity(streams.len());
    for stream in streams {
        described.push(one(servers, server, &mut exchange, stream).await);
    }
    described
}

async fn one(
    servers: &Servers,
    server: &Server,
    exchange: &mut Exchange,
    stream: &str,
) -> Result<Vec<SegmentEnd>, String> {
    let path = server.path(stream, "");
    let response = exchange
        .get(servers, server, &path, "application/json")
        .await?;
    let status = response.status();
    let body = exchange
        .whole(servers, server, response.into_body(), MAX_DESCRIPTION_BYTES)
        .await?;
    if status != StatusCode::OK {
        return Err(format!("{server} answered {status}"));
    }
    let description: Description =
        serde_json::from_slice(&body).map_err(|error| format!("{server}: {error}"))?;
    let end = |segment: Segment| SegmentEnd {
        log_segment: segment.log_segment,
        entries: segment.entries,
        last_unix_ms: segment.last_ms,
    };
    Ok(description.segments.into_iter().map(end).collect())
}
